//! Every code that this version can raise, provoked on a real broker: the line that tells it,
//! whether the connection goes on, and that nobody else notices.

use std::time::Duration;

use rustix::process::Signal;
use tidings::pki::CertificateRequest;

use crate::support::{
    AUTHENTICATE, Broker, Client, DEADLINE, DISCONNECT, End, Files, Line, Witness, line, list_of,
    publish, publish_ref, subscribe, tls_of,
};

/// The peer is told why it is not let in, and the connection ends in order.
fn check_refused(client: &mut Client, code: &str, retryable: bool) {
    let refused = client.expect("connection_refused");
    assert_eq!(refused.content()["code"], code, "{}", refused.text);
    assert_eq!(refused.content()["retryable"], retryable);
    assert!(!refused.text_of("reason").is_empty());
    let (more, end) = client.rest();
    assert_eq!((list_of(&more), end), (vec![], End::CloseNotify));
}

/// `error`, with what it must say of the line at fault.
fn check_error(error: &Line, code: &str, event: Option<&str>, reference: Option<&str>) {
    assert_eq!(error.event(), "error", "{}", error.text);
    let content = error.content();
    assert_eq!(content["code"], code, "{}", error.text);
    assert_eq!(content["retryable"], false, "{}", error.text);
    assert!(!error.text_of("reason").is_empty());
    assert_eq!(
        content.get("event").and_then(|e| e.as_str()),
        event,
        "{}",
        error.text
    );
    assert_eq!(
        content.get("ref").and_then(|r| r.as_str()),
        reference,
        "{}",
        error.text
    );
}

/// The last line of a connection that the broker ends.
fn check_closing(last: &Line, code: &str, retryable: bool) {
    assert_eq!(last.event(), "connection_closing", "{}", last.text);
    assert_eq!(last.content()["code"], code, "{}", last.text);
    assert_eq!(last.content()["retryable"], retryable, "{}", last.text);
    assert!(!last.text_of("reason").is_empty());
}

/// The connection goes on: a question is answered, by the very next line.
fn check_goes_on(client: &mut Client) {
    client.send(&line("ping", r#"{"ref":"goes on"}"#));
    assert_eq!(client.expect("pong").text_of("ref"), "goes on");
}

#[test]
fn server_full() {
    let broker = Broker::with(&["--max-connections", "4"]);
    let witness = Witness::start(&broker);
    let mut observer = broker.client("observer");
    let last = broker.client("last");
    check_refused(&mut broker.dial("too-many").unwrap(), "server_full", true);
    let logged = broker.log().wait_for("server_full");
    assert!(
        logged.contains("INFO") && logged.contains("too-many"),
        "{logged}"
    );
    drop(last);
    // The place is free as soon as the departure is told.
    observer.expect("client_authenticated");
    observer.expect("client_disconnected");
    broker.client("next");
    witness.finish();
}

#[test]
fn too_many_connections_of_one_identity() {
    let broker = Broker::with(&["--max-connections-per-identity", "2"]);
    let witness = Witness::start(&broker);
    let _held = [broker.client("a"), broker.client("a")];
    check_refused(&mut broker.dial("a").unwrap(), "too_many_connections", true);
    broker.client("b");
    witness.finish();
}

/// Whoever has the certificate alone does not keep its owner out, who has the token as well.
#[test]
fn a_connection_that_is_not_authenticated_gives_way_to_its_identity_s_next() {
    let flags = ["--max-connections-per-identity", "1"];
    let broker = Broker::with(&[&flags[..], &["--authentication-timeout", "1h"]].concat());
    let mut waits = broker.greeted("a");
    let _session = broker.client("a");
    check_closing(&waits.last_line(), "authentication_timeout", true);
    check_refused(&mut broker.dial("a").unwrap(), "too_many_connections", true);
}

#[test]
fn too_many_connections_from_one_address() {
    let broker = Broker::with(&["--max-connections-per-address", "3"]);
    let witness = Witness::start(&broker);
    let _held = broker.client("a");
    check_refused(
        &mut broker.dial("b").unwrap(),
        "too_many_connections_from_address",
        true,
    );
    witness.finish();
}

#[test]
fn server_draining() {
    let mut broker = Broker::start();
    // On its way when the end is asked for: accepted by the kernel and the broker, not yet by TLS.
    let tls = broker.certificates.tls("late");
    let mut early = broker.client("early");
    let tcp = broker.tcp();
    // Its turn to be accepted came before that of one who is greeted.
    drop(broker.greeted("next"));
    broker.signal(Signal::TERM);
    check_closing(&early.last_line(), "server_shutting_down", true);
    let mut late = Client::over(tcp, &tls).unwrap();
    check_refused(&mut late, "server_draining", true);
    drop((early, late));
    assert_eq!(broker.process().wait().code, Some(0));
}

#[test]
fn identity_missing() {
    let broker = Broker::start();
    let witness = Witness::start(&broker);
    let by_uri = Broker::with_certificates(&broker.certificates, &["--identity-from", "san-uri"]);
    let issue = |name: &str, common_names: &[&str], uris: &[&str]| {
        let mut request = CertificateRequest::client(name);
        request.names.common_names = common_names.iter().map(ToString::to_string).collect();
        request.names.uris = uris.iter().map(ToString::to_string).collect();
        broker.certificates.issue(name, &request)
    };
    let dial = |broker: &Broker, files: &Files| {
        Client::dial(
            broker.address,
            &tls_of(&broker.certificates.ca(), Some(files)),
        )
        .unwrap()
    };
    let none = issue("none", &[], &["urn:a"]);
    let two = issue("two", &["first", "second"], &["urn:a", "urn:b"]);
    let control = issue("control", &["evil\nINFO forged line"], &[]);
    let fine = issue("fine", &["fine"], &["spiffe://example.org/fine"]);
    check_refused(&mut dial(&broker, &none), "identity_missing", false);
    check_refused(&mut dial(&broker, &two), "identity_missing", false);
    check_refused(&mut dial(&broker, &control), "identity_missing", false);
    check_refused(&mut dial(&by_uri, &two), "identity_missing", false);
    check_refused(&mut dial(&by_uri, &control), "identity_missing", false);
    // The one field counts, and only that one.
    let greeting = dial(&by_uri, &none).take_greeting();
    assert_eq!(greeting.content()["identity"], "urn:a");
    let greeting = dial(&by_uri, &fine).take_greeting();
    assert_eq!(greeting.content()["identity"], "spiffe://example.org/fine");
    for line in broker.log().all() {
        assert!(
            !line.starts_with("INFO forged"),
            "a forged line of the log: {line}"
        );
    }
    witness.finish();
}

#[test]
fn identity_from_dns_and_email() {
    let certificates = std::sync::Arc::new(crate::support::Certificates::new());
    let mut request = CertificateRequest::client("cn");
    request.names.dns = vec!["sensor.example.org".to_owned()];
    request.names.emails = vec!["alice@example.org".to_owned()];
    let files = certificates.issue("both", &request);
    for (from, identity) in [
        ("cn", "cn"),
        ("san-dns", "sensor.example.org"),
        ("san-email", "alice@example.org"),
    ] {
        let broker = Broker::with_certificates(&certificates, &["--identity-from", from]);
        let tls = tls_of(&certificates.ca(), Some(&files));
        let greeting = Client::dial(broker.address, &tls).unwrap().take_greeting();
        assert_eq!(greeting.content()["identity"], identity);
    }
}

#[test]
fn authentication_timeout() {
    let broker = Broker::with(&["--authentication-timeout", "300ms"]);
    let mut witness = broker.client("witness");
    let mut client = broker.greeted("late");
    // A sign of life is not enough.
    client.send(&line("ping", "{}"));
    client.expect("pong");
    check_closing(&client.last_line(), "authentication_timeout", true);
    assert_eq!(list_of(&witness.fence()), [""; 0]);
}

#[test]
fn not_authenticated_three_times() {
    let broker = Broker::start();
    let witness = Witness::start(&broker);
    let mut client = broker.greeted("hasty");
    client.send(&publish_ref("a", "1", "r"));
    check_error(
        &client.next(),
        "not_authenticated",
        Some("publish"),
        Some("r"),
    );
    check_goes_on(&mut client);
    client.send(&line("list_clients", "{}"));
    check_error(
        &client.next(),
        "not_authenticated",
        Some("list_clients"),
        None,
    );
    check_goes_on(&mut client);
    client.send(&subscribe("#"));
    check_error(&client.next(), "not_authenticated", Some("subscribe"), None);
    check_closing(&client.last_line(), "too_many_errors", false);
    witness.finish();
}

#[test]
fn not_authenticated_twice_and_then_authenticated() {
    let broker = Broker::start();
    let mut client = broker.greeted("hasty");
    for _ in 0..2 {
        client.send(&line("help", "{}"));
        check_error(&client.next(), "not_authenticated", Some("help"), None);
    }
    client.send(AUTHENTICATE);
    client.expect("authentication_accepted");
    check_goes_on(&mut client);
}

#[test]
fn already_authenticated_three_times() {
    let broker = Broker::start();
    let witness = Witness::start(&broker);
    let mut observer = broker.client("observer");
    let mut client = broker.client("twice");
    for _ in 0..2 {
        client.send(&line("request_authentication", r#"{"ref":"again"}"#));
        let error = client.next();
        check_error(
            &error,
            "already_authenticated",
            Some("request_authentication"),
            Some("again"),
        );
        check_goes_on(&mut client);
    }
    client.send(AUTHENTICATE);
    check_error(
        &client.next(),
        "already_authenticated",
        Some("request_authentication"),
        None,
    );
    check_closing(&client.last_line(), "too_many_errors", false);
    assert_eq!(
        observer.expect("client_authenticated").text_of("client_id"),
        client.id()
    );
    let gone = observer.expect("client_disconnected");
    assert_eq!(gone.text_of("reason"), "too_many_errors");
    witness.finish();
}

/// Line, code, and what of the line the answer can name.
type Broken = (
    Vec<u8>,
    &'static str,
    Option<&'static str>,
    Option<&'static str>,
);

fn malformed() -> Vec<Broken> {
    let deep = format!(
        r#"{{"event":"publish","id":"__","content":{{"topic":"a","payload":{}{},"ref":"r"}}}}"#,
        "[".repeat(31),
        "]".repeat(31)
    );
    let lines: [&[u8]; 18] = [
        b"nonsense",
        b"[]",
        b"\"event\"",
        b"null",
        b"{",
        br#"{"event":"ping","id":"__""#,
        br#"{"event":"ping","id":"__"}}"#,
        br#"{"event":"ping","id":"__"} {"event":"ping","id":"__"}"#,
        br#"{'event':'ping','id':'__'}"#,
        b"{\"event\":\"ping\",\"id\":\"__\",\"x\":\"\xff\"}",
        b"{\"event\":\"ping\",\"id\":\"__\",\"x\":\"\xed\xa0\x80\"}",
        b"\xef\xbb\xbf{\"event\":\"ping\",\"id\":\"__\"}",
        b"{\"event\":\"ping\",\r\"id\":\"__\"}",
        b"{\"event\":\"ping\",\"id\":\"__\"}\r\r",
        br#"{"event":"ping","event":"ping","id":"__"}"#,
        br#"{"event":"ping","id":"__","x":1,"x":1}"#,
        br#"{"event":"ping","id":"__","content":{"ref":"a","ref":"b"}}"#,
        deep.as_bytes(),
    ];
    lines
        .into_iter()
        .map(|line| (line.to_vec(), "malformed_event", None, None))
        .collect()
}

fn unknown_and_mismatched() -> Vec<Broken> {
    let of = |line: &str, code, event| (line.as_bytes().to_vec(), code, event, None);
    let unknown = |name: &'static str| {
        let line = format!(r#"{{"event":"{name}","id":"__"}}"#);
        (line.into_bytes(), "unknown_event", Some(name), None)
    };
    vec![
        unknown("publishh"),
        unknown("Publish"),
        unknown(""),
        unknown("message"),
        unknown("connection_accepted"),
        unknown("client_authenticated"),
        unknown("authentication_accepted"),
        unknown("acknowledge"),
        of(r#"{"event":"ping","id":"_"}"#, "id_mismatch", Some("ping")),
        of(r#"{"event":"ping","id":""}"#, "id_mismatch", Some("ping")),
        of(
            r#"{"event":"ping","id":"01890a5d-ac96-774b-bcce-b302099a8057"}"#,
            "id_mismatch",
            Some("ping"),
        ),
        of(r#"{"id":"__"}"#, "missing_field", None),
        of(r#"{"event":"ping"}"#, "missing_field", Some("ping")),
        of(r#"{"event":7,"id":"__"}"#, "invalid_field", None),
        of(r#"{"event":"ping","id":7}"#, "invalid_field", Some("ping")),
        of(
            r#"{"event":"ping","id":"__","content":[]}"#,
            "invalid_field",
            Some("ping"),
        ),
        of(
            r#"{"event":"ping","id":"__","content":"a"}"#,
            "invalid_field",
            Some("ping"),
        ),
        of(
            r#"{"event":"ping","id":"__","content":{"ref":7}}"#,
            "invalid_field",
            Some("ping"),
        ),
        of(
            r#"{"event":"ping","id":"__","timestamp":"yesterday"}"#,
            "invalid_field",
            Some("ping"),
        ),
        of(
            r#"{"event":"ping","id":"__","timestamp":12}"#,
            "invalid_field",
            Some("ping"),
        ),
        (
            line("ping", &format!(r#"{{"ref":"{}"}}"#, "r".repeat(65))).into_bytes(),
            "invalid_field",
            Some("ping"),
            None,
        ),
    ]
}

fn contents() -> Vec<Broken> {
    let mut broken = Vec::new();
    let mut of = |event: &'static str, content: &str, code: &'static str| {
        // Every one of them with a `ref`, which its answer must carry.
        let content = content.strip_prefix('{').unwrap();
        let comma = if content == "}" { "" } else { "," };
        let line = line(event, &format!(r#"{{"ref":"r"{comma}{content}"#));
        broken.push((line.into_bytes(), code, Some(event), Some("r")));
    };
    of("publish", "{}", "missing_field");
    of("publish", r#"{"topic":"a"}"#, "missing_field");
    of("publish", r#"{"payload":1}"#, "missing_field");
    of("subscribe", "{}", "missing_field");
    of("unsubscribe", "{}", "missing_field");
    of("publish", r#"{"topic":7,"payload":1}"#, "invalid_field");
    of("subscribe", r#"{"topic":["a"]}"#, "invalid_field");
    for later in [
        r#""retain":true"#,
        r#""reply_to":"b""#,
        r#""expires_in_ms":1000"#,
        r#""message_id":"m""#,
    ] {
        of(
            "publish",
            &format!(r#"{{"topic":"a","payload":1,{later}}}"#),
            "invalid_field",
        );
    }
    for later in [
        r#""group":"g""#,
        r#""from":0"#,
        r#""overflow":"drop_oldest""#,
    ] {
        of(
            "subscribe",
            &format!(r#"{{"topic":"a",{later}}}"#),
            "invalid_field",
        );
    }
    let levels = vec!["a"; 33].join("/");
    let long = "a".repeat(513);
    for topic in [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        "a\\u0000b",
        "a\\nb",
        &levels,
        &long,
    ] {
        of(
            "publish",
            &format!(r#"{{"topic":"{topic}","payload":1}}"#),
            "invalid_topic",
        );
        of(
            "subscribe",
            &format!(r#"{{"topic":"{topic}"}}"#),
            "invalid_filter",
        );
        of(
            "unsubscribe",
            &format!(r#"{{"topic":"{topic}"}}"#),
            "invalid_filter",
        );
    }
    for topic in ["#", "+", "a/+", "a/#", "a+b"] {
        of(
            "publish",
            &format!(r#"{{"topic":"{topic}","payload":1}}"#),
            "invalid_topic",
        );
    }
    for filter in ["#/a", "a/#/b", "a#", "a+", "+a/b"] {
        of(
            "subscribe",
            &format!(r#"{{"topic":"{filter}"}}"#),
            "invalid_filter",
        );
    }
    for topic in ["$SYS/x", "$client/1", "$x"] {
        of(
            "publish",
            &format!(r#"{{"topic":"{topic}","payload":1}}"#),
            "reserved_topic",
        );
        of(
            "subscribe",
            &format!(r#"{{"topic":"{topic}"}}"#),
            "reserved_topic",
        );
    }
    of("subscribe", r#"{"topic":"$SYS/#"}"#, "reserved_topic");
    of(
        "unsubscribe",
        r#"{"topic":"never/subscribed"}"#,
        "not_subscribed",
    );
    broken
}

#[test]
fn acceptance_5_each_broken_line_gets_its_code_and_the_connection_goes_on() {
    let broker = Broker::start();
    let witness = Witness::start(&broker);
    let mut observer = broker.client("observer");
    let mut client = broker.client("clumsy");
    observer.expect("client_authenticated");
    for (bytes, code, event, reference) in
        [malformed(), unknown_and_mismatched(), contents()].concat()
    {
        client
            .send_bytes(&[&bytes, b"\n".as_slice()].concat())
            .unwrap();
        let answer = client.next();
        let said = String::from_utf8_lossy(&bytes).into_owned();
        println!("{said}\n  {}", answer.text);
        check_error(&answer, code, event, reference);
        check_goes_on(&mut client);
    }
    // The other's id is no more the client's own than any other is.
    client.send(&format!(r#"{{"event":"ping","id":"{}"}}"#, observer.id()));
    check_error(&client.next(), "id_mismatch", Some("ping"), None);
    client.send(&format!(
        r#"{{"event":"ping","id":"{}"}}"#,
        client.id().to_owned()
    ));
    client.expect("pong");
    assert_eq!(list_of(&observer.fence()), [""; 0]);
    witness.finish();
}

#[test]
fn acceptance_5_what_is_odd_but_right_is_taken() {
    let broker = Broker::start();
    let mut client = broker.client("odd");
    let deepest = format!(
        r#"{{"event":"publish","id":"__","content":{{"topic":"a","payload":{}{},"ref":"r"}}}}"#,
        "[".repeat(30),
        "]".repeat(30)
    );
    for right in [
        r#"  {  "content" : { "topic":"a", "ref":"r", "payload" : 1 } , "id":"__", "event":"publish" }  "#,
        r#"{"event":"publish","id":"__","content":{"topic":"a","payload":1,"ref":"r","unknown":{}},"unknown":[1]}"#,
        r#"{"event":"publish","id":"__","timestamp":"2026-01-31T12:00:00+01:00","content":{"topic":"a","payload":1,"ref":"r"}}"#,
        "{\"\\u0065vent\":\"publis\\u0068\",\"id\":\"_\\u005f\",\"content\":{\"topic\":\"\\u0061\",\"payload\":1,\"ref\":\"r\"}}",
        &publish_ref(&"a".repeat(512), "1", "r"),
        &publish_ref(&vec!["a"; 32].join("/"), "1", "r"),
        &deepest,
    ] {
        client.send(right);
        let published = client.expect("published");
        assert_eq!(published.content()["ref"], "r");
        assert_eq!(published.content()["receivers"], 0);
    }
    let longest = "r".repeat(64);
    client.send(&line("ping", &format!(r#"{{"ref":"{longest}"}}"#)));
    assert_eq!(client.expect("pong").text_of("ref"), longest);
    client.send("\n\r\n");
    check_goes_on(&mut client);
}

#[test]
fn malformed_authentication_leaves_the_chance_to_do_it_right() {
    let broker = Broker::start();
    let mut client = broker.greeted("a");
    for content in [r#"{"presence":"yes"}"#, r#"{"token":7}"#, "[]"] {
        client.send(&line("request_authentication", content));
        check_error(
            &client.next(),
            "invalid_field",
            Some("request_authentication"),
            None,
        );
    }
    client.send(&line(
        "request_authentication",
        r#"{"token":"of no use","ref":"r"}"#,
    ));
    assert_eq!(client.expect("authentication_accepted").text_of("ref"), "r");
}

#[test]
fn line_too_long_twice() {
    let broker = Broker::with(&["--line-bytes-max", "2048"]);
    let witness = Witness::start(&broker);
    let mut observer = broker.client("observer");
    let mut client = broker.client("long");
    observer.expect("client_authenticated");
    let of_length = |bytes: usize| {
        let empty = publish_ref("a", "\"\"", "r").len();
        publish_ref("a", &format!("\"{}\"", "x".repeat(bytes - empty)), "r")
    };
    client.send(&of_length(2048));
    client.expect("published");
    client.send(&format!("{}\r", of_length(2048)));
    client.expect("published");
    client.send(&of_length(2049));
    check_error(&client.next(), "line_too_long", None, None);
    check_goes_on(&mut client);
    client.send(&of_length(20_000));
    check_error(&client.next(), "line_too_long", None, None);
    check_closing(&client.last_line(), "too_many_errors", false);
    assert_eq!(
        observer.expect("client_disconnected").text_of("reason"),
        "too_many_errors"
    );
    witness.finish();
}

#[test]
fn line_of_four_kib_before_authentication() {
    let broker = Broker::start();
    let padded = |bytes: usize| format!("{AUTHENTICATE}{}", " ".repeat(bytes - AUTHENTICATE.len()));
    let mut client = broker.greeted("padded");
    client.send(&padded(4097));
    check_error(&client.next(), "line_too_long", None, None);
    client.send(&padded(4096));
    client.expect("authentication_accepted");
    // Once authenticated, it may say more at once.
    client.send(&publish_ref(
        "a",
        &format!("\"{}\"", "x".repeat(5_000)),
        "r",
    ));
    client.expect("published");

    let mut client = broker.greeted("stubborn");
    client.send(&padded(4097));
    check_error(&client.next(), "line_too_long", None, None);
    client.send(&padded(4097));
    check_error(&client.next(), "line_too_long", None, None);
    check_closing(&client.last_line(), "too_many_errors", false);
}

#[test]
fn too_many_subscriptions() {
    let broker = Broker::with(&["--max-subscriptions", "2"]);
    let mut client = broker.client("eager");
    for filter in ["a", "b/#"] {
        client.send(&subscribe(filter));
        client.expect("subscribed");
    }
    client.send(&line("subscribe", r#"{"topic":"c","ref":"r"}"#));
    check_error(
        &client.next(),
        "too_many_subscriptions",
        Some("subscribe"),
        Some("r"),
    );
    // The same again is no more than it has.
    client.send(&subscribe("a"));
    client.expect("subscribed");
    client.send(&line("unsubscribe", r#"{"topic":"a"}"#));
    client.expect("unsubscribed");
    client.send(&subscribe("c"));
    client.expect("subscribed");
    client.send(&publish("c", "1"));
    client.expect("message");
}

/// Over all its connections, and with `#` and `+` in no more places than a message can be looked for.
#[test]
fn too_many_subscriptions_of_one_identity_and_in_all() {
    let flags = [
        ["--max-subscriptions-per-identity", "3"],
        ["--max-subscriptions-total", "4"],
        ["--max-filter-shapes-per-identity", "2"],
    ];
    let broker = Broker::with(flags.as_flattened());
    let mut first = broker.deaf_client("eager");
    let mut second = broker.deaf_client("eager");
    let mut other = broker.deaf_client("other");
    let take = |client: &mut Client, filter: &str| {
        client.send(&subscribe(filter));
        client.expect("subscribed");
    };
    let refuse = |client: &mut Client, filter: &str, whose: &str| {
        client.send(&line("subscribe", &format!(r#"{{"topic":"{filter}"}}"#)));
        let answer = client.next();
        check_error(&answer, "too_many_subscriptions", Some("subscribe"), None);
        let reason = answer.text_of("reason");
        assert!(reason.contains(whose), "{reason}");
    };
    take(&mut first, "a/+");
    take(&mut second, "+/a");
    refuse(
        &mut first,
        "a/#",
        "the filters of this identity have their 2 shapes",
    );
    take(&mut first, "b/+");
    refuse(&mut second, "a", "this identity holds its 3 subscriptions");
    take(&mut other, "a/#");
    refuse(&mut other, "b", "the server holds its 4 subscriptions");
    // What one gives back another can have, and what goes with a connection too.
    second.send(&line("unsubscribe", r#"{"topic":"+/a"}"#));
    second.expect("unsubscribed");
    take(&mut other, "b");
    first.send(DISCONNECT);
    first.rest();
    take(&mut second, "a/#");
    take(&mut second, "c");
}

/// With the defaults: at most 65 filters of a client match a message, which comes once.
#[test]
fn too_many_subscriptions_that_match_one_topic() {
    let broker = Broker::start();
    let mut client = broker.client("eager");
    let filter = |wildcards: u32| {
        let level = |index: u32| ["a", "+"][(wildcards >> index & 1) as usize];
        (0..7).map(level).collect::<Vec<_>>().join("/")
    };
    for wildcards in 0..=64 {
        client.send(&subscribe(&filter(wildcards)));
        client.expect("subscribed");
    }
    client.send(&subscribe(&filter(65)));
    let answer = client.next();
    check_error(&answer, "too_many_subscriptions", Some("subscribe"), None);
    assert!(answer.text_of("reason").contains("64 shapes"));
    client.send(&publish(&filter(0), "1"));
    assert_eq!(list_of(&client.fence()), ["message"]);
}

#[test]
fn keepalive_timeout_after_two_unanswered_pings() {
    let broker = Broker::with(&["--ping-interval", "300ms"]);
    let mut observer = broker.client("observer");
    let mut silent = broker.client("silent");
    // Answers its pings until the other one is gone.
    let watching = std::thread::spawn(move || {
        let mut pings = 0;
        loop {
            let line = observer.next();
            match line.event() {
                "ping" => {
                    pings += 1;
                    observer.send(r#"{"event":"pong","id":"__"}"#);
                }
                "client_disconnected" => return (pings, line, observer),
                _ => {}
            }
        }
    });
    let (lines, end) = silent.rest();
    assert_eq!(list_of(&lines), ["ping", "ping", "connection_closing"]);
    check_closing(&lines[2], "keepalive_timeout", true);
    assert_eq!(end, End::CloseNotify);
    let (pings, gone, mut observer) = watching.join().unwrap();
    assert_eq!(gone.text_of("client_id"), silent.id());
    assert_eq!(gone.text_of("reason"), "keepalive_timeout");
    assert!(pings >= 1, "it was asked, and its answers kept it");
    // Any line is a sign of life, a blank one too; and it goes on for as long as it answers.
    for _ in 0..4 {
        observer.expect("ping");
        observer.send("");
    }
}

#[test]
fn keepalive_asks_nobody_when_it_is_switched_off() {
    let broker = Broker::with(&["--ping-interval", "0"]);
    let mut client = broker.dial("a").unwrap();
    let greeting = client.take_greeting();
    assert_eq!(greeting.content()["limits"]["ping_interval_ms"], 0);
    client.send(AUTHENTICATE);
    client.expect("authentication_accepted");
    check_goes_on(&mut client);
}

#[test]
fn server_shutting_down_is_told_to_everyone_after_what_is_queued() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut broker = Broker::start();
        let mut waiting = broker.greeted("waiting");
        let mut quiet = broker.deaf_client("quiet");
        let mut busy = broker.deaf_client("busy");
        busy.send(&subscribe("news"));
        busy.expect("subscribed");
        // Six megabytes that it has not read when the end comes: more than the kernel takes.
        let payload = format!("\"{}\"", "x".repeat(12_000));
        for number in 0..500 {
            quiet.send(&publish_ref("news", &payload, &number.to_string()));
            quiet.expect("published");
        }
        broker.signal(signal);
        for client in [&mut waiting, &mut quiet] {
            let (lines, end) = client.rest();
            assert_eq!(list_of(&lines), ["connection_closing"]);
            check_closing(&lines[0], "server_shutting_down", true);
            assert_eq!(end, End::CloseNotify);
        }
        let (lines, end) = busy.rest();
        assert_eq!(lines.len(), 501);
        assert!(lines[..500].iter().all(|line| line.event() == "message"));
        check_closing(&lines[500], "server_shutting_down", true);
        assert_eq!(end, End::CloseNotify);
        drop((waiting, quiet, busy));

        let ended = broker.process().wait();
        assert_eq!(ended.code, Some(0));
        let log = ended.err_text();
        assert!(log.contains("every connection has ended"), "{log}");
        assert_eq!(broker.ready_file(), None, "nobody may find it ready");
    }
}

#[test]
fn server_shutting_down_within_the_drain_time() {
    let mut broker = Broker::with(&["--drain", "300ms"]);
    // Neither of them closes its side.
    let _holding = broker.client("holding");
    let _silent = broker.tcp();
    let ended = broker.terminate();
    assert_eq!(ended.code, Some(0));
    assert!(
        ended.err_text().contains("the drain time is over"),
        "{}",
        ended.err_text()
    );
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut broker = Broker::with(&["--drain", "60s", "--handshake-timeout", "60s"]);
    let _silent = broker.tcp();
    drop(broker.greeted("next, so that the silent one was accepted"));
    broker.signal(Signal::TERM);
    broker.log().wait_for("draining");
    assert!(broker.process().is_running());
    broker.signal(Signal::INT);
    let ended = broker.process().wait();
    assert_eq!(ended.code, Some(0));
    let log = ended.err_text();
    assert!(log.contains("ending at once"), "{log}");
}

#[test]
fn sighup_does_not_end_it() {
    let mut broker = Broker::start();
    let witness = Witness::start(&broker);
    broker.signal(Signal::HUP);
    broker.log().wait_for("SIGHUP");
    broker.client("newcomer");
    witness.finish();
    assert_eq!(broker.terminate().code, Some(0));
}

#[test]
fn disconnecting_before_authentication_ends_in_order() {
    let broker = Broker::start();
    let mut client = broker.greeted("shy");
    client.send(DISCONNECT);
    let (lines, end) = client.rest();
    assert_eq!((list_of(&lines), end), (vec![], End::CloseNotify));
}

#[test]
fn a_peer_that_closes_its_half_is_gone() {
    let broker = Broker::start();
    let mut client = broker.client("half");
    client.send(&publish("a", "1"));
    client.socket().shutdown(std::net::Shutdown::Write).unwrap();
    // The end of its half is the end of the connection; it must come, and soon.
    let text = client.next_text(DEADLINE.min(Duration::from_secs(10)));
    assert!(
        matches!(
            text,
            Err(End::CloseNotify | End::Truncated | End::Broken(_))
        ),
        "{text:?}"
    );
}

/// Bytes of an `error`, whatever it answers.
const ERROR_BYTES_MAX: usize = 2 * 1024;

/// A token that was pasted into the wrong place is not to be found in the log.
#[test]
fn no_line_is_repeated_in_its_answer_or_in_the_log() {
    const SECRET: &str = "tdg_0123456789abcdef";
    let broker = Broker::with(&["--log", "debug"]);
    let witness = Witness::start(&broker);
    let mut clumsy = broker.deaf_client("clumsy");
    let turned = "\u{202e}".repeat(300_000);
    let content = |content: &str| line("request_authentication", content);
    let lines = [
        SECRET.to_owned(),
        format!("\"{SECRET}\""),
        format!("[\"{SECRET}\"]"),
        format!("\"{SECRET}{}\"", "x".repeat(1_000_000)),
        format!("\"{turned}{SECRET}\""),
        format!("{{\"{SECRET}\":1,\"{SECRET}\":2}}"),
        format!("{{\"{turned}\":1,\"{turned}\":2}}"),
        format!(r#"{{"event":"{SECRET}","id":"__"}}"#),
        format!(r#"{{"event":"{turned}","id":"__"}}"#),
        format!(r#"{{"event":["{SECRET}"],"id":"__"}}"#),
        format!(r#"{{"event":"ping","id":"{SECRET}"}}"#),
        format!(r#"{{"event":"ping","id":"__","timestamp":"{SECRET}"}}"#),
        format!(r#"{{"event":"ping","id":"__","content":"{SECRET}"}}"#),
        format!(r#"{{"event":"ping","id":"__","content":{{"ref":["{SECRET}"]}}}}"#),
        content(&format!(r#"{{"token":"{SECRET}","token":"{SECRET}"}}"#)),
        content(&format!(
            r#"{{"token":"{SECRET}","{SECRET}":1,"{SECRET}":2}}"#
        )),
        content(&format!(r#"{{"token":["{SECRET}"]}}"#)),
        content(&format!(r#"{{"token":"{SECRET}"#)),
        subscribe(&format!("{SECRET}#")),
        publish(&format!("{SECRET}/+"), "1"),
        publish(&format!("$SYS/{}", "\u{300}".repeat(250)), "1"),
    ];
    for line in &lines {
        clumsy.send(line);
        let error = clumsy.expect("error");
        assert!(error.text.len() <= ERROR_BYTES_MAX, "{}", error.text.len());
        assert!(!error.text_of("reason").contains("tdg_"), "{}", error.text);
    }
    let told = broker.log().wait_until("all refusals", |log| {
        let refused = log.iter().filter(|line| line.contains("refused a line"));
        (refused.clone().count() == lines.len()).then(|| refused.cloned().collect::<Vec<_>>())
    });
    for line in told.iter().chain(&broker.log().all()) {
        // The audit trail has a refused topic whole: 512 bytes, which escapes make longer.
        assert!(line.len() <= 4 * 1024, "{}: {line:.300}", line.len());
        assert!(!line.contains("tdg_"), "{line}");
    }
    witness.finish();
}

/// Many libraries write `null` for what is not there.
#[test]
fn null_stands_for_what_is_left_out() {
    let broker = Broker::start();
    let mut client = broker.greeted("nobody");
    let all = r#"{"ref":null,"presence":null,"token":null}"#;
    client.send(&format!(
        r#"{{"event":"request_authentication","id":"__","timestamp":null,"content":{all}}}"#
    ));
    assert!(
        !client
            .expect("authentication_accepted")
            .text
            .contains("ref")
    );
    client.send(&line("ping", "null"));
    client.expect("pong");
    client.send(&line(
        "subscribe",
        r#"{"topic":"a","ref":null,"group":null,"from":null}"#,
    ));
    client.expect("subscribed");
    client.send(&line(
        "publish",
        r#"{"topic":"a","payload":null,"ref":null,"retain":null}"#,
    ));
    assert_eq!(client.expect("message").raw_payload(), "null");
    // What is needed is not there, or is no string.
    client.send(&line("publish", "null"));
    check_error(&client.next(), "missing_field", Some("publish"), None);
    client.send(r#"{"event":"ping","id":null}"#);
    check_error(&client.next(), "invalid_field", Some("ping"), None);
    assert_eq!(list_of(&client.fence()), [""; 0]);
}
