//! The audit trail: everything refused or withdrawn is one line of the log, and no word of a peer can
//! make it two.

use std::io::{Read, Write};

use crate::support::{Broker, DEADLINE, DISCONNECT, End, PolicyFolder, audit_in, publish, told};

const RULES: &str = r##"
[[rule]]
identity = ["sensor-*"]
publish = ["plant/{identity}/#"]

[[rule]]
identity = ["*"]
deny_publish = ["plant/+/secret"]
"##;

#[test]
fn every_denial_is_one_line_of_the_audit_trail() {
    let folder = PolicyFolder::with_rules(RULES);
    let broker = Broker::with_rules(&folder, &[]);
    let mut sensor = broker.deaf_client("sensor-7");
    // A direction mark and a terminal's escape, as far as a topic may hold them.
    let topic = "plant/\u{202e}x";
    sensor.send(&publish(topic, "1"));
    sensor.expect("error");
    sensor.send(&publish("plant/sensor-7/secret", "1"));
    sensor.expect("error");
    let trail = broker.log().wait_until("two denials", |lines| {
        Some(audit_in(lines)).filter(|trail| trail.len() >= 2)
    });
    let [unallowed, denied] = trail.as_slice() else {
        panic!("two lines: {trail:#?}");
    };
    for line in [unallowed, denied] {
        assert_eq!(line["event"], "publish_denied");
        assert_eq!(line["code"], "publish_denied");
        assert_eq!(line["identity"], "sensor-7");
        assert_eq!(line["client_id"], sensor.id());
        assert_eq!(line["address"], sensor.local_address().to_string());
    }
    assert_eq!(unallowed["topic"], r"plant/\u{202e}x");
    assert_eq!(unallowed.get("rule"), None);
    assert_eq!(denied["topic"], "plant/sensor-7/secret");
    assert_eq!(denied["rule"], 6, "the line of the rule");
    let log = broker.log().all().join("\n");
    assert!(!log.contains('\u{202e}') && !log.contains('\u{1b}'));
}

/// The log for people: what a peer chose stands in quotes, all of it on the line that it is about.
#[test]
fn a_topic_cannot_forge_a_line_for_people_either() {
    let folder = PolicyFolder::with_rules(RULES);
    let broker = Broker::with(&["--access", &folder.argument("access.toml")]);
    let mut sensor = broker.deaf_client("sensor-7");
    let topic = r#"plant/x\" code=none \u001b[2J"#;
    sensor.send(&publish(&topic.replace("\\u001b", ""), "1"));
    sensor.expect("error");
    // A control character is not even a topic.
    sensor.send(&publish(topic, "1"));
    assert_eq!(sensor.expect("error").text_of("code"), "invalid_topic");
    let line = broker.log().wait_for("publish_denied");
    assert!(
        line.contains("tidings::audit") && line.contains("client_id="),
        "{line}"
    );
    assert!(line.contains(r#"\" code=none "#), "{line}");
    assert!(line.ends_with("code=publish_denied"), "{line}");
    assert!(!broker.log().all().join("\n").contains('\u{1b}'));
}

/// Each one is counted; how long the log becomes is not for strangers to decide.
#[test]
fn what_strangers_do_again_and_again_is_counted_and_told_in_one_line() {
    const KNOCKS: u64 = 300;
    let mut broker = Broker::with(&["--log-format", "json"]);
    for _ in 0..KNOCKS {
        let mut tcp = broker.tcp();
        tcp.set_read_timeout(Some(DEADLINE)).unwrap();
        tcp.write_all(b"\0\0\0\0\0").unwrap();
        // With an alert, or a reset: closed in any case.
        let _ = tcp.read_to_end(&mut Vec::new());
    }
    let log = broker.terminate().err;
    let (written, counted) = told(&log, "tls_refused");
    assert_eq!(written + counted, KNOCKS);
    // Twenty a minute; a slow machine may see a second and a third one begin.
    assert!(
        written <= 100 && log.len() < 150,
        "{written} of {}",
        log.len()
    );
    let trail = audit_in(&log);
    let summary = trail.iter().find(|line| line.get("repeated").is_some());
    let summary = summary.expect("there is one");
    assert_eq!(summary["address"], "127.0.0.1");
    assert_eq!(summary["level"], "INFO");
}

#[test]
fn what_an_identity_does_again_and_again_is_counted_over_all_its_connections() {
    const ROUNDS: u64 = 60;
    let folder = PolicyFolder::with_rules(RULES);
    let mut broker = Broker::with_rules(&folder, &[]);
    for _ in 0..ROUNDS {
        let mut client = broker.deaf_client("sensor-7");
        client.send(&publish("elsewhere", "1"));
        client.expect("error");
        client.send(DISCONNECT);
        let (_, end) = client.rest();
        assert_eq!(end, End::CloseNotify);
    }
    // Another one's first is written, whatever came before it.
    let mut other = broker.deaf_client("sensor-8");
    other.send(&publish("elsewhere", "1"));
    broker.audit("publish_denied", "sensor-8");
    drop(other);
    let log = broker.terminate().err;
    let (written, counted) = told(&log, "publish_denied");
    assert_eq!(written + counted, ROUNDS + 1);
    assert!(written <= 41, "{written}");
    for what in ["authenticated", "closed"] {
        let of_it = |line: &&String| line.contains(&format!(r#""message":"{what}"#));
        let lines = log.iter().filter(of_it).count();
        assert!(lines <= 45, "{what}: {lines}");
        let more = format!(r#""message":"{what}: more in the last minute""#);
        assert!(log.iter().any(|line| line.contains(&more)), "{what}");
    }
}
