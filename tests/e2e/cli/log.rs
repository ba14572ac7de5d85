//! The log of `tidings serve`.

use serde_json::Value;
use tidings::pki::CertificateRequest;

use crate::support::{AUTHENTICATE, Broker, Client, line, tls_of};

/// What a stranger can say to appear in a log: by a certificate, by lines.
fn provoke(broker: &Broker) {
    let evil = CertificateRequest::client("\u{1b}[2Jx\n2026-01-01T00:00:00Z  INFO forged\r");
    let evil = broker.certificates.issue("evil", &evil);
    let tls = tls_of(&broker.certificates.ca(), Some(&evil));
    let refused = Client::dial(broker.address, &tls).unwrap().next();
    assert_eq!(refused.content()["code"], "identity_missing");
    let mut client = broker.greeted("a");
    client.send(AUTHENTICATE);
    client.expect("authentication_accepted");
    client.send_bytes(b"{\"\x1b[2J\n").unwrap();
    client.expect("error");
    client.send(&line(
        "ping",
        r#"{"\u001b\u000aINFO forged":1,"\u001b\u000aINFO forged":2}"#,
    ));
    client.expect("error");
    client.send(&line(
        "publish",
        r#"{"topic":"\u001b[31m\u000aINFO forged","payload":1}"#,
    ));
    client.expect("error");
    client.send(&line("publish", r#"{"topic":"$\u202e/x","payload":1}"#));
    client.expect("error");
    client.send(r#"{"event":"\u001b\u000aINFO forged","id":"__"}"#);
    client.expect("error");
    client.fence();
}

/// One event is one line, and no stranger's text does anything to a terminal.
fn check_harmless(log: &[String]) {
    for line in log {
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(!line.contains('\u{202e}'), "{line:?}");
        assert!(!line.trim_start().starts_with("INFO forged"), "{line}");
    }
}

#[test]
fn log_for_people_is_one_harmless_line_for_each_event() {
    let mut broker = Broker::with(&["--log", "debug"]);
    provoke(&broker);
    let log = broker.terminate().err;
    check_harmless(&log);
    for line in &log {
        let time = line.split(' ').next().unwrap();
        assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{line}");
    }
    assert!(
        log.iter()
            .any(|line| line.contains("authenticated") && line.contains(r#"identity="a""#))
    );
}

#[test]
fn log_as_json_is_one_object_for_each_event() {
    let mut broker = Broker::with(&["--log", "debug", "--log-format", "json"]);
    provoke(&broker);
    let log = broker.terminate().err;
    check_harmless(&log);
    let events: Vec<Value> = log
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let authenticated = events
        .iter()
        .find(|event| event["message"] == "authenticated")
        .expect("it is logged");
    assert_eq!(authenticated["identity"], "a");
    assert_eq!(authenticated["level"], "INFO");
    assert!(authenticated["client_id"].is_string() && authenticated["address"].is_string());
}

#[test]
fn log_is_as_loud_as_asked() {
    let mut quiet = Broker::with(&["--log", "warn"]);
    quiet.client("a");
    assert_eq!(quiet.terminate().err, [""; 0]);
}
