//! Without any SDK: `openssl s_client` and lines of JSON. And who is not let in by TLS.

use std::fs;

use chrono::{TimeDelta, Utc};
use serde_json::Value;
use tidings::pki::{Authority, CertificateRequest, Purpose, Validity};

use crate::support::{
    AUTHENTICATE, Broker, Client, DISCONNECT, End, Files, Line, Outcome, Process, complaints, line,
    list_of, publish_ref, s_client, subscribe, tls_of,
};

/// What a person keeps in a file and pipes in: whoever sends it, its lines are always right.
fn script() -> Vec<String> {
    vec![
        AUTHENTICATE.to_owned(),
        line("subscribe", r#"{"topic":"plant/+/oven","ref":"s"}"#),
        publish_ref("plant/7/oven", r#"{"celsius":181.5}"#, "p"),
        line("list_clients", r#"{"ref":"l"}"#),
        line("ping", r#"{"ref":"i"}"#),
        line("help", r#"{"ref":"h"}"#),
        DISCONNECT.to_owned(),
    ]
}

/// The answers to [`script`], documented one by one, in this order and nothing else.
fn check_answers(lines: &[Line]) {
    assert_eq!(
        list_of(lines),
        [
            "connection_accepted",
            "authentication_accepted",
            "subscribed",
            "message",
            "published",
            "clients",
            "pong",
            "help",
        ]
    );
    let [
        greeting,
        accepted,
        subscribed,
        message,
        published,
        clients,
        pong,
        help,
    ] = lines
    else {
        unreachable!("eight, as compared above");
    };
    let content = greeting.content();
    let client_id = content["client_id"].clone();
    assert_eq!(client_id.as_str().unwrap().as_bytes()[14], b'7', "UUID v7");
    assert_eq!(content["identity"], "alice");
    assert_eq!(content["protocol"], 1);
    assert_eq!(content["server"]["name"], "tidings");
    assert_eq!(content["server"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(content["token_required"], false);
    assert_eq!(content["limits"]["line_bytes_max"], 1024 * 1024);
    assert_eq!(content["limits"]["authentication_timeout_ms"], 5_000);
    assert_eq!(content["limits"]["ping_interval_ms"], 30_000);

    assert_eq!(accepted.content()["client_id"], client_id);
    assert_eq!(accepted.content()["identity"], "alice");
    assert_eq!(subscribed.content()["topic"], "plant/+/oven");
    assert_eq!(subscribed.content()["ref"], "s");
    assert_eq!(message.id(), client_id.as_str().unwrap());
    assert_eq!(message.content()["topic"], "plant/7/oven");
    assert_eq!(message.raw_payload(), r#"{"celsius":181.5}"#);
    assert_eq!(message.content()["sender"], "alice");
    assert_eq!(published.content()["topic"], "plant/7/oven");
    assert_eq!(published.content()["receivers"], 1);
    assert_eq!(published.content()["ref"], "p");
    assert_eq!(clients.content()["ref"], "l");
    let roster = clients.content()["clients"].as_array().unwrap();
    assert_eq!(roster.len(), 1);
    assert_eq!(roster[0]["client_id"], client_id);
    assert_eq!(roster[0]["identity"], "alice");
    assert_eq!(pong.content()["ref"], "i");
    assert_eq!(help.content()["ref"], "h");
    let events = help.content()["events"].as_array().unwrap();
    assert_eq!(events.len(), 9);
    for event in events {
        let example: Value = serde_json::from_str(event["example"].as_str().unwrap()).unwrap();
        assert_eq!(example["event"], event["event"]);
    }
    for line in lines.iter().filter(|line| line.event() != "message") {
        assert_eq!(
            line.id(),
            greeting.id(),
            "all but messages are the server's words"
        );
    }
}

/// Pipes `lines` through s_client, as `sh` would.
fn pipe(broker: &Broker, flags: &[&str], lines: &[String]) -> Outcome {
    let files = broker.certificates.client("alice");
    let mut command = s_client(broker.address, &broker.certificates.ca(), Some(&files));
    command.args(["-quiet", "-verify_quiet"]).args(flags);
    let mut process = Process::spawn(command);
    process.write(format!("{}\n", lines.join("\n")).as_bytes());
    process.close_stdin();
    process.wait()
}

fn parsed(outcome: &Outcome) -> Vec<Line> {
    outcome
        .out
        .iter()
        .map(|text| Line::parse(text.trim_end_matches('\r').to_owned()))
        .collect()
}

#[test]
fn acceptance_2_a_script_through_s_client_yields_the_documented_events_and_close_notify() {
    let broker = Broker::start();
    let folder = tempfile::tempdir().unwrap();
    let messages = folder.path().join("messages");
    let outcome = pipe(
        &broker,
        &[
            "-verify_return_error",
            "-msg",
            "-msgfile",
            messages.to_str().unwrap(),
        ],
        &script(),
    );
    check_answers(&parsed(&outcome));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(complaints(&outcome), [""; 0]);
    let messages = fs::read_to_string(messages).unwrap();
    let alert = messages
        .lines()
        .rfind(|line| line.starts_with("<<<") && line.contains("Alert"))
        .expect("the server ends with an alert");
    assert!(alert.ends_with("warning close_notify"), "{alert}");
}

#[test]
fn acceptance_2_a_script_in_one_write_ends_with_close_notify() {
    let broker = Broker::start();
    let mut client = broker.dial("alice").unwrap();
    client.send(&script().join("\n"));
    let (lines, end) = client.rest();
    check_answers(&lines);
    assert_eq!(end, End::CloseNotify);
}

/// The broker has one certificate and no other protocol to choose from.
#[test]
fn whatever_name_and_protocol_a_client_asks_for_it_gets_the_same() {
    let broker = Broker::start();
    for flags in [
        &["-noservername"][..],
        &["-servername", "other.example"],
        &["-servername", "127.0.0.1"],
        &["-alpn", "h2"],
    ] {
        check_answers(&parsed(&pipe(&broker, flags, &script())));
    }
}

#[test]
fn a_script_with_crlf_line_ends_works_the_same() {
    let broker = Broker::start();
    let outcome = pipe(&broker, &["-crlf"], &script());
    check_answers(&parsed(&outcome));
    let mut client = broker.dial("alice").unwrap();
    client
        .send_bytes(format!("{}\r\n\r\n", script().join("\r\n\r\n")).as_bytes())
        .unwrap();
    check_answers(&client.rest().0);
}

#[test]
fn disconnecting_with_a_ref_is_answered_by_the_last_line() {
    let broker = Broker::start();
    let outcome = pipe(
        &broker,
        &[],
        &[
            AUTHENTICATE.to_owned(),
            line("disconnecting", r#"{"ref":"bye"}"#),
        ],
    );
    let lines = parsed(&outcome);
    assert_eq!(
        list_of(&lines),
        [
            "connection_accepted",
            "authentication_accepted",
            "connection_closing"
        ]
    );
    assert_eq!(lines[2].content()["code"], "client_disconnecting");
    assert_eq!(lines[2].content()["ref"], "bye");
}

/// A certificate that must not be let in, and a word of the reason that the log gives.
fn refused_certificates(broker: &Broker) -> Vec<(&'static str, Option<Files>, &'static str)> {
    let certificates = &broker.certificates;
    let issue = |name: &str, change: fn(&mut CertificateRequest)| {
        let mut request = CertificateRequest::client(name);
        change(&mut request);
        Some(certificates.issue(name, &request))
    };
    let stranger = Authority::generate("another").unwrap();
    let of_stranger = certificates.files("stranger");
    stranger
        .issue(&CertificateRequest::client("alice"))
        .unwrap()
        .write(&of_stranger)
        .unwrap();
    // The same name does not make it the same CA.
    let twin = Authority::generate("tests").unwrap();
    let of_twin = certificates.files("twin");
    twin.issue(&CertificateRequest::client("alice"))
        .unwrap()
        .write(&of_twin)
        .unwrap();
    let expired = issue("expired", |request| {
        request.valid = Validity {
            not_before: Utc::now() - TimeDelta::days(2),
            not_after: Utc::now() - TimeDelta::days(1),
        };
    });
    let future = issue("future", |request| {
        request.valid = Validity {
            not_before: Utc::now() + TimeDelta::days(1),
            not_after: Utc::now() + TimeDelta::days(2),
        };
    });
    let server_only = issue("server-only", |request| request.purpose = Purpose::Server);
    let unstated = issue("unstated", |request| request.purpose = Purpose::Unstated);
    vec![
        ("none at all", None, "showed no certificate"),
        (
            "another CA's",
            Some(of_stranger),
            "not from a CA that is trusted",
        ),
        (
            "another CA's of the same name",
            Some(of_twin),
            "was not signed by the CA that it names",
        ),
        ("an expired one", expired, "expired"),
        ("one of tomorrow", future, "not valid before"),
        ("one for servers only", server_only, "not for client use"),
        (
            "one that states no use",
            unstated,
            "does not state that it is for client use",
        ),
    ]
}

#[test]
fn acceptance_4_bad_certificates_are_refused_in_tls_and_logged_and_nobody_else_notices() {
    let broker = Broker::start();
    let mut bystander = broker.client("bystander");
    for (what, files, reason) in refused_certificates(&broker) {
        let tls = tls_of(&broker.certificates.ca(), files.as_ref());
        // In TLS 1.3 the client's side of the handshake is done before the server has judged it.
        let mut client = Client::dial(broker.address, &tls).unwrap();
        let end = client.try_next().map(|line| line.text).unwrap_err();
        assert!(matches!(end, End::Alert(_)), "{what}: {end:?}");
        let address = client.local_address().to_string();
        let logged = broker.log().wait_for(&address);
        for part in [" INFO ", "TLS refused", reason] {
            assert!(logged.contains(part), "{what}: no {part:?} in {logged}");
        }
    }
    assert_eq!(list_of(&bystander.fence()), [""; 0]);
}

#[test]
fn acceptance_4_s_client_is_told_by_alert_why_it_is_refused() {
    let broker = Broker::start();
    for (what, files, _) in refused_certificates(&broker) {
        let mut command = s_client(broker.address, &broker.certificates.ca(), files.as_ref());
        command.args(["-quiet", "-verify_quiet"]);
        let mut process = Process::spawn(command);
        let outcome = process.wait();
        assert_eq!(outcome.out, [""; 0], "{what}");
        assert_ne!(outcome.code, Some(0), "{what}");
        assert!(
            outcome.err_text().contains("alert"),
            "{what}: {}",
            outcome.err_text()
        );
    }
}

#[test]
fn tls_1_2_is_refused_unless_it_is_allowed() {
    let refusing = Broker::start();
    let outcome = pipe(&refusing, &["-tls1_2"], &script());
    assert_eq!(outcome.out, [""; 0]);
    assert_ne!(outcome.code, Some(0));
    assert!(
        outcome.err_text().contains("protocol version"),
        "{}",
        outcome.err_text()
    );
    refusing.log().wait_for("TLS refused");

    let allowing = Broker::with(&["--tls-min", "1.2"]);
    for version in ["-tls1_2", "-tls1_3"] {
        check_answers(&parsed(&pipe(&allowing, &[version], &script())));
    }
    for version in ["-tls1", "-tls1_1"] {
        // The lowest security level, or openssl would not even try.
        let outcome = pipe(
            &allowing,
            &[version, "-cipher", "DEFAULT@SECLEVEL=0"],
            &script(),
        );
        assert_eq!(outcome.out, [""; 0], "{version}");
    }
}

/// Lengths of the records with application data that came, headers not counted.
fn record_lengths(flags: &[&str], version: &str) -> Vec<usize> {
    let broker = Broker::with(flags);
    let folder = tempfile::tempdir().unwrap();
    let messages = folder.path().join("messages");
    let outcome = pipe(
        &broker,
        &[version, "-msg", "-msgfile", messages.to_str().unwrap()],
        &script(),
    );
    check_answers(&parsed(&outcome));
    let messages = fs::read_to_string(messages).unwrap();
    let lines: Vec<&str> = messages.lines().collect();
    let headers = lines.windows(2).filter_map(|pair| {
        let is_header = pair[0].starts_with("<<<") && pair[0].contains("RecordHeader");
        let header: Vec<&str> = pair[1].split_whitespace().collect();
        match header[..] {
            [_, _, _, high, low] if is_header => {
                Some(usize::from_str_radix(&format!("{high}{low}"), 16).unwrap())
            }
            _ => None,
        }
    });
    headers.collect()
}

#[test]
fn records_are_as_small_as_asked_for() {
    const SMALL: &[&str] = &["--tls-min", "1.2", "--tls-record-bytes-max", "512"];
    // One byte for the type and 16 of the cipher; in TLS 1.2, 8 more in the place of the type.
    for (version, overhead) in [("-tls1_3", 17), ("-tls1_2", 24)] {
        let small = record_lengths(SMALL, version);
        assert_eq!(small.iter().max(), Some(&(512 + overhead)), "{small:?}");
        let large = record_lengths(&["--tls-min", "1.2"], version);
        assert!(large.iter().max() > small.iter().max(), "{large:?}");
    }
}

#[test]
fn no_session_can_be_resumed() {
    let broker = Broker::with(&["--tls-min", "1.2"]);
    let files = broker.certificates.client("alice");
    let folder = tempfile::tempdir().unwrap();
    for version in ["-tls1_3", "-tls1_2"] {
        let session = folder.path().join(version);
        let outcome = pipe(
            &broker,
            &[version, "-sess_out", session.to_str().unwrap()],
            &script(),
        );
        check_answers(&parsed(&outcome));
        assert!(
            !session.exists(),
            "{version}: there is something to come back with"
        );

        // s_client's own test: six connections, of which five try to resume the first.
        let mut command = s_client(broker.address, &broker.certificates.ca(), Some(&files));
        command.args([version, "-reconnect"]);
        let mut process = Process::spawn(command);
        let sixth = |lines: &[String]| {
            let handshakes = lines.iter().filter(|l| l.contains(", Cipher is"));
            (handshakes.count() == 6).then_some(())
        };
        process.out.wait_until("six handshakes", sixth);
        process.close_stdin();
        let outcome = process.wait();
        assert!(
            !outcome.out.iter().any(|line| line.starts_with("Reused")),
            "{version}: {:#?}",
            outcome.out
        );
        let new = outcome.out.iter().filter(|line| line.starts_with("New, "));
        assert_eq!(new.count(), 6, "{version}");
    }
}

#[test]
fn subscribed_lines_reach_an_s_client_that_stays() {
    let broker = Broker::start();
    let files = broker.certificates.client("alice");
    let mut command = s_client(broker.address, &broker.certificates.ca(), Some(&files));
    command.args(["-quiet", "-verify_quiet"]);
    let mut by_hand = Process::spawn(command);
    by_hand.write(format!("{AUTHENTICATE}\n{}\n", subscribe("news/#")).as_bytes());
    by_hand.out.wait_for(r#""event":"subscribed""#);
    let published = crate::support::run(broker.cli("bob", &["pub", "-t", "news/1", "-m", "hello"]));
    assert_eq!(published.code, Some(0), "{published:?}");
    let heard = Line::parse(by_hand.out.wait_for(r#""event":"message""#));
    assert_eq!(heard.content()["payload"], "hello");
    assert_eq!(heard.content()["sender"], "bob");
    // It heard of the publisher's coming and going too: presence is told to everyone.
    by_hand.out.wait_for(r#""event":"client_disconnected""#);
}
