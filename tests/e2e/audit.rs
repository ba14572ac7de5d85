//! The audit trail: everything refused or withdrawn is one line of the log, and no word of a peer can
//! make it two.

use crate::support::{Broker, PolicyFolder, audit_in, publish};

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
