//! Who may do what: access rules on the real broker, and what is told of them.

use crate::support::{
    AUTHENTICATE, Broker, PolicyFolder, WITNESS_RULE, Witness, line, list_of, publish_ref, run,
    subscribe, tidings,
};

const PLANT: &str = r##"
[[rule]]
identity = ["sensor-*"]
publish = ["plant/{identity}/#"]
subscribe = ["plant/{identity}/commands/#"]

[[rule]]
identity = ["dashboard"]
subscribe = ["plant/#"]

[[rule]]
identity = ["*"]
deny_publish = ["plant/audit/#", "plant/+/secret"]
deny_subscribe = ["plant/+/secret"]

[[rule]]
identity = ["ghost"]
publish = ["plant/#"]
subscribe = ["plant/#"]
presence = false
"##;

fn plant() -> PolicyFolder {
    PolicyFolder::with_rules(PLANT)
}

#[test]
fn what_no_rule_allows_is_denied_and_the_connection_goes_on() {
    let folder = plant();
    let broker = Broker::with_rules(&folder, &[]);
    let mut sensor = broker.deaf_client("sensor-7");
    for (said, code, reference) in [
        (
            publish_ref("plant/sensor-8/t", "1", "a"),
            "publish_denied",
            "a",
        ),
        (publish_ref("plant", "1", "b"), "publish_denied", "b"),
        (
            publish_ref("plant/sensor-7/secret", "1", "c"),
            "publish_denied",
            "c",
        ),
        (publish_ref("$SYS/x", "1", "d"), "reserved_topic", "d"),
        (
            line("subscribe", r#"{"topic":"plant/#","ref":"e"}"#),
            "subscribe_denied",
            "e",
        ),
        (
            line("subscribe", r##"{"topic":"$SYS/#","ref":"f"}"##),
            "reserved_topic",
            "f",
        ),
    ] {
        sensor.send(&said);
        let error = sensor.expect("error");
        assert_eq!(error.text_of("code"), code, "{}", error.text);
        assert_eq!(error.text_of("ref"), reference);
        assert_eq!(error.content()["retryable"], false);
    }
    sensor.send(&subscribe("plant/sensor-7/commands/+"));
    sensor.expect("subscribed");
    sensor.send(&publish_ref("plant/sensor-7/t", "1", "g"));
    sensor.expect("published");
}

#[test]
fn rules_on_one_line_do_not_lend_each_other_their_rights() {
    let folder = PolicyFolder::with_rules(
        r##"rule = [{identity=["alice"],publish=["secret/#"],subscribe=["secret/#"]},{identity=["bob"],publish=["open/#"]}]"##,
    );
    let broker = Broker::with_rules(&folder, &[]);
    let mut alice = broker.deaf_client("alice");
    alice.send(&publish_ref("secret/x", "1", "a"));
    alice.expect("published");
    let mut bob = broker.deaf_client("bob");
    bob.send(&publish_ref("secret/x", "1", "b"));
    assert_eq!(bob.expect("error").text_of("code"), "publish_denied");
    bob.send(&subscribe("secret/#"));
    assert_eq!(bob.expect("error").text_of("code"), "subscribe_denied");
    bob.send(&publish_ref("open/x", "1", "c"));
    bob.expect("published");
}

#[test]
fn what_is_denied_is_withheld_from_a_wider_subscription() {
    let folder = plant();
    let broker = Broker::with_rules(&folder, &[]);
    let mut dashboard = broker.deaf_client("dashboard");
    dashboard.send(&subscribe("plant/#"));
    dashboard.expect("subscribed");
    let mut ghost = broker.deaf_client("ghost");
    let mut sensor = broker.deaf_client("sensor-7");
    // The same filter: what one may not have, the other does not get either, each by its own rules.
    ghost.send(&subscribe("plant/#"));
    ghost.expect("subscribed");
    sensor.send(&publish_ref("plant/sensor-7/t", "1", "a"));
    assert_eq!(sensor.expect("published").content()["receivers"], 2);
    ghost.send(&publish_ref("plant/sensor-7/secret", "2", "b"));
    assert_eq!(ghost.expect("message").raw_payload(), "1");
    assert_eq!(ghost.expect("error").text_of("code"), "publish_denied");
    ghost.send(&publish_ref("plant/x/y/secret", "3", "c"));
    assert_eq!(ghost.expect("message").raw_payload(), "3");
    let told = dashboard.fence();
    let payloads: Vec<_> = told.iter().map(|line| line.raw_payload()).collect();
    assert_eq!(payloads, ["1", "3"]);
}

#[test]
fn a_denied_topic_reaches_only_those_who_may_have_it() {
    let folder = PolicyFolder::with_rules(
        r##"
        [[rule]]
        identity = ["*"]
        publish = ["#"]
        subscribe = ["#"]

        [[rule]]
        identity = ["guest-*"]
        deny_subscribe = ["plant/secret/#", "+/private"]
        "##,
    );
    let broker = Broker::with_rules(&folder, &[]);
    let mut guest = broker.deaf_client("guest-1");
    let mut owner = broker.deaf_client("owner");
    for client in [&mut guest, &mut owner] {
        for filter in ["plant/#", "#", "plant/+/x"] {
            client.send(&subscribe(filter));
            client.expect("subscribed");
        }
    }
    for filter in [
        "plant/secret/#",
        "plant/secret",
        "plant/secret/+/x",
        "a/private",
    ] {
        guest.send(&subscribe(filter));
        assert_eq!(
            guest.expect("error").text_of("code"),
            "subscribe_denied",
            "{filter}"
        );
    }
    let mut publisher = broker.deaf_client("publisher");
    for (topic, receivers) in [
        ("plant/secret/x", 1),
        ("plant/secret", 1),
        ("plant/open/x", 2),
        ("a/private", 1),
        ("a/private/more", 2),
    ] {
        publisher.send(&publish_ref(topic, "0", "r"));
        let published = publisher.expect("published");
        assert_eq!(published.content()["receivers"], receivers, "{topic}");
    }
    let topics: Vec<String> = guest
        .fence()
        .iter()
        .map(|line| line.text_of("topic").to_owned())
        .collect();
    assert_eq!(topics, ["plant/open/x", "a/private/more"]);
    assert_eq!(owner.fence().len(), 5);
}

#[test]
fn whom_no_rule_matches_is_refused_by_name() {
    let folder = PolicyFolder::with_rules(WITNESS_RULE);
    let broker = Broker::with_rules(&folder, &[]);
    let witness = Witness::start(&broker);
    let mut stranger = broker.dial("stranger").unwrap();
    let refused = stranger.last_line();
    assert_eq!(refused.event(), "connection_refused");
    assert_eq!(refused.text_of("code"), "identity_denied");
    assert_eq!(refused.content()["retryable"], false);
    let audit = broker.audit("connection_refused", "stranger");
    assert_eq!(audit["code"], "identity_denied");
    assert!(audit["address"].as_str().unwrap().starts_with("127.0.0.1:"));
    witness.finish();
}

#[test]
fn an_identity_that_could_break_out_of_a_pattern_never_gets_into_one() {
    let folder = PolicyFolder::with_rules(
        r##"
        [[rule]]
        identity = ["*"]
        publish = ["plant/{identity}/#"]
        "##,
    );
    let broker = Broker::with_rules(&folder, &[]);
    for (number, name) in ["a/b", "+", "#", "a+", "$SYS", "a b"]
        .into_iter()
        .enumerate()
    {
        let request = tidings::pki::CertificateRequest::client(name);
        let file = format!("odd-{number}");
        broker.certificates.issue(&file, &request);
        let mut client = broker.dial(&file).unwrap();
        let refused = client.last_line();
        assert_eq!(
            refused.text_of("code"),
            "identity_denied",
            "{name}: {}",
            refused.text
        );
        broker.audit("connection_refused", name);
    }
    // Where no pattern takes it in, such a name is as good as any.
    let open = Broker::start();
    let request = tidings::pki::CertificateRequest::client("spiffe://plant/sensor");
    open.certificates.issue("odd", &request);
    let mut client = open.dial("odd").unwrap();
    client.take_greeting();
    client.send(AUTHENTICATE);
    client.expect("authentication_accepted");
}

#[test]
fn who_is_not_to_be_seen_is_not_seen_and_sees_nobody() {
    let folder = plant();
    let broker = Broker::with_rules(&folder, &[]);
    let mut dashboard = broker.client("dashboard");
    let mut ghost = broker.client("ghost");
    let sensor = broker.client("sensor-7");
    let told = dashboard.fence();
    assert_eq!(list_of(&told), ["client_authenticated"]);
    assert_eq!(told[0].text_of("identity"), "sensor-7");
    let (told, roster) = ghost.fence_with_roster();
    assert!(told.is_empty(), "{told:#?}");
    assert_eq!(names(&roster), ["ghost"]);
    let (_, roster) = dashboard.fence_with_roster();
    assert_eq!(names(&roster), ["dashboard", "sensor-7"]);
    ghost.send(crate::support::DISCONNECT);
    ghost.rest();
    sensor.reset();
    assert_eq!(
        dashboard.expect("client_disconnected").text_of("identity"),
        "sensor-7"
    );
}

fn names(roster: &crate::support::Line) -> Vec<&str> {
    let clients = roster.content()["clients"].as_array().unwrap();
    clients
        .iter()
        .map(|client| client["identity"].as_str().unwrap())
        .collect()
}

#[test]
fn without_rules_the_log_says_that_everyone_may_do_everything() {
    let broker = Broker::start();
    broker
        .log()
        .wait_for("every certificate of the CA may publish and subscribe to everything");
}

#[test]
fn rules_that_cannot_be_used_keep_the_broker_from_starting() {
    for (rules, place, words) in [
        ("", "access.toml", "rule"),
        (
            "[[rule]]\nidentity = [\"a\"]\npublish = [\"a/#/b\"]\n",
            "access.toml:3",
            "#",
        ),
        (
            "[[rule]]\nidentity = [\"a\"]\npublsh = [\"a\"]\n",
            "access.toml:3",
            "publsh",
        ),
        ("[[rule]]\nidentity = [\"a\"\n", "access.toml", ""),
    ] {
        let folder = PolicyFolder::with_rules(rules);
        let certificates = crate::support::Certificates::new();
        let mut command = crate::support::serve(&certificates);
        command.args([
            "--listen",
            "127.0.0.1:0",
            "--access",
            &folder.argument("access.toml"),
        ]);
        let outcome = run(command);
        assert_eq!(outcome.code, Some(64), "{outcome:?}");
        let [error] = outcome.err.as_slice() else {
            panic!("one line: {outcome:?}");
        };
        assert!(error.contains(place) && error.contains(words), "{error}");
    }
}

#[test]
fn explain_says_what_the_broker_does() {
    let folder = plant();
    let broker = Broker::with_rules(&folder, &[]);
    for (name, action, topic, is_allowed) in [
        ("sensor-7", "publish", "plant/sensor-7/t", true),
        ("sensor-7", "publish", "plant/sensor-8/t", false),
        ("sensor-7", "publish", "plant/sensor-7/secret", false),
        ("sensor-7", "subscribe", "plant/sensor-7/commands/#", true),
        ("dashboard", "subscribe", "plant/#", true),
        ("dashboard", "subscribe", "plant/x/secret", false),
        ("dashboard", "publish", "plant/x", false),
    ] {
        let mut command = tidings();
        command.args(["explain", "--access", &folder.argument("access.toml")]);
        command.args(["--identity", name, action, topic]);
        let outcome = run(command);
        assert_eq!(outcome.code, Some(i32::from(!is_allowed)), "{outcome:?}");
        let verdict = if is_allowed { "allowed" } else { "denied" };
        assert!(outcome.out[0].starts_with(verdict), "{outcome:?}");
        let mut client = broker.deaf_client(name);
        client.send(&match action {
            "publish" => publish_ref(topic, "1", "r"),
            _ => subscribe(topic),
        });
        assert_eq!(
            client.next().event() != "error",
            is_allowed,
            "{name} {action} {topic}"
        );
    }
}
