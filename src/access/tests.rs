use super::*;
use crate::{protocol::CodedError, topic::Topic};

fn rules(text: &str) -> AccessRules {
    AccessRules::parse(Path::new("access.toml"), text.as_bytes()).unwrap()
}

fn permissions_of(rules: &AccessRules, name: &str) -> Result<Arc<Permissions>, Denial> {
    let identity = Identity::parse(name).unwrap();
    rules.permissions(&identity, ClientId::from_number(7))
}

fn may_publish(permissions: &Permissions, topic: &str) -> bool {
    permissions
        .may_publish(&Topic::parse(topic).unwrap())
        .is_ok()
}

fn may_subscribe(permissions: &Permissions, filter: &str) -> bool {
    permissions
        .may_subscribe(&TopicFilter::parse(filter).unwrap())
        .is_ok()
}

fn may_receive(permissions: &Permissions, topic: &str) -> bool {
    permissions.may_receive(&Topic::parse(topic).unwrap())
}

const PLANT: &str = r#"
[[rule]]
identity = ["sensor-*"]
publish = ["plant/{identity}/#"]
subscribe = ["plant/{identity}/commands/#", "in/{client_id}"]

[[rule]]
identity = ["dashboard", "laptop-*"]
subscribe = ["plant/#"]

[[rule]]
identity = ["laptop-*"]
publish = ["plant/#"]

[[rule]]
identity = ["*"]
deny_publish = ["plant/audit/#"]
deny_subscribe = ["plant/secret/#"]
"#;

#[test]
fn without_a_file_everybody_may_do_everything_but_the_servers() {
    let rules = AccessRules::open();
    assert_eq!((rules.is_open(), rules.rule_count()), (true, 0));
    let alice = permissions_of(&rules, "alice").unwrap();
    assert!(Arc::ptr_eq(&alice, &permissions_of(&rules, "b/+").unwrap()));
    assert!(alice.presence());
    assert_eq!(*alice.limits(), ClientLimits::default());
    assert!(may_publish(&alice, "a/b") && may_subscribe(&alice, "#") && may_receive(&alice, "a"));
    for topic in ["$SYS", "$client/x"] {
        assert!(!may_publish(&alice, topic) && !may_subscribe(&alice, topic));
        assert!(!may_receive(&alice, topic));
    }
}

#[test]
fn all_rules_that_match_apply_together() {
    let rules = rules(PLANT);
    assert_eq!((rules.is_open(), rules.rule_count()), (false, 4));
    let sensor = permissions_of(&rules, "sensor-7").unwrap();
    assert!(may_publish(&sensor, "plant/sensor-7/heat"));
    assert!(!may_publish(&sensor, "plant/sensor-8/heat"));
    assert!(may_subscribe(&sensor, "plant/sensor-7/commands/+"));
    assert!(!may_subscribe(&sensor, "plant/+/commands/#"));
    assert!(may_receive(
        &sensor,
        "in/00000000-0000-0000-0000-000000000007"
    ));
    let laptop = permissions_of(&rules, "laptop-1").unwrap();
    assert!(may_publish(&laptop, "plant/x") && may_subscribe(&laptop, "plant/+/x"));
    let dashboard = permissions_of(&rules, "dashboard").unwrap();
    assert!(!may_publish(&dashboard, "plant/x") && may_subscribe(&dashboard, "plant/+/x"));
    let stranger = permissions_of(&rules, "stranger").unwrap();
    assert!(!may_publish(&stranger, "plant/x") && !may_subscribe(&stranger, "plant/x"));
}

#[test]
fn rules_on_one_line_are_as_separate_as_on_several() {
    let one_line = r#"rule = [{identity=["alice"],publish=["secret/#"]},{identity=["bob"],publish=["open/#"]}]"#;
    let rules = rules(one_line);
    let alice = permissions_of(&rules, "alice").unwrap();
    let bob = permissions_of(&rules, "bob").unwrap();
    assert!(may_publish(&alice, "secret/x") && !may_publish(&alice, "open/x"));
    assert!(may_publish(&bob, "open/x") && !may_publish(&bob, "secret/x"));
    let again = permissions_of(&rules, "alice").unwrap();
    assert!(
        Arc::ptr_eq(&alice, &again),
        "those that match the same share"
    );
}

#[test]
fn deny_wins_and_is_withheld_from_what_is_wider() {
    let laptop = permissions_of(&rules(PLANT), "laptop-1").unwrap();
    assert!(!may_publish(&laptop, "plant/audit") && !may_publish(&laptop, "plant/audit/x"));
    assert!(may_subscribe(&laptop, "plant/#"));
    assert!(may_receive(&laptop, "plant/x"));
    assert!(!may_receive(&laptop, "plant/secret/x"));
    assert!(!may_receive(&laptop, "other"));
    assert!(!may_subscribe(&laptop, "plant/secret/x") && !may_subscribe(&laptop, "plant/secret/+"));
}

#[test]
fn an_identity_that_no_rule_matches_is_refused() {
    let rules = rules("[[rule]]\nidentity = [\"alice\"]");
    assert!(permissions_of(&rules, "alice").is_ok());
    let denial = permissions_of(&rules, "bob\"").unwrap_err();
    let expected = Denial {
        code: Code::IdentityDenied,
        reason: r#"no access rule admits the identity "bob\"""#.into(),
        topic: None,
        rule: None,
    };
    assert_eq!(denial, expected);
    let fault = CodedError::from(denial.clone());
    assert_eq!((fault.code, fault.reason), (denial.code, denial.reason));
}

#[test]
fn an_unsafe_identity_gets_into_no_filter_of_any_list() {
    for list in ["publish", "subscribe", "deny_publish", "deny_subscribe"] {
        let rules = rules(&format!(
            "[[rule]]\nidentity = [\"*\"]\n[[rule]]\nidentity = [\"*/*\"]\n{list} = [\"x/{{identity}}\"]"
        ));
        assert!(permissions_of(&rules, "a+b").is_ok());
        let denial = permissions_of(&rules, "a/b").unwrap_err();
        assert_eq!((denial.code, denial.rule), (Code::IdentityDenied, Some(3)));
        assert!(denial.reason.contains(r#""a/b""#), "{denial:?}");
        assert!(!denial.reason.contains("line"), "{denial:?}");
    }
    let rules =
        rules("[[rule]]\nidentity = [\"spiffe://*\"]\npublish = [\"x/{client_id}\", \"y\"]");
    let spiffe = permissions_of(&rules, "spiffe://example.org/x").unwrap();
    assert!(may_publish(&spiffe, "y"));
}

#[test]
fn of_several_switches_and_limits_the_strictest_counts() {
    let rules = rules(
        r#"
        [[rule]]
        identity = ["*"]
        max_publish_messages_per_second = 0
        max_publish_bytes_per_second = 100
        [[rule]]
        identity = ["quiet", "loud"]
        presence = true
        max_publish_messages_per_second = 50
        max_publish_bytes_per_second = 0
        [[rule]]
        identity = ["quiet"]
        presence = false
        max_publish_messages_per_second = 60
        [[rule]]
        identity = ["quiet"]
        presence = true
        "#,
    );
    let limits = |messages, bytes| ClientLimits {
        publish_messages_per_second: Some(messages),
        publish_bytes_per_second: Some(bytes),
        errors_per_minute: None,
    };
    for (name, presence, expected) in [
        ("quiet", false, limits(50, 100)),
        ("loud", true, limits(50, 100)),
        ("other", true, limits(0, 100)),
    ] {
        let permissions = permissions_of(&rules, name).unwrap();
        assert_eq!(
            (permissions.presence(), *permissions.limits()),
            (presence, expected),
            "{name}"
        );
    }
}

#[test]
fn equal_is_what_permits_the_same() {
    let base = "[[rule]]\nidentity = [\"a\"]\npublish = [\"x\", \"y\"]\ndeny_subscribe = [\"z\"]\n";
    let permissions = |text: &str| permissions_of(&rules(text), "a").unwrap();
    let one = permissions(base);
    for same in [
        format!("# A comment.\n\n{base}"),
        base.replace("\"x\", \"y\"", "\"y\", \"x\", \"y\""),
        format!("{base}[[rule]]\nidentity = [\"b\"]\npublish = [\"q\"]\n"),
        format!("{base}[[rule]]\nidentity = [\"*\"]\npublish = [\"x\"]\n"),
    ] {
        assert_eq!(permissions(&same), one, "{same}");
    }
    for other in [
        base.replace("\"x\", ", ""),
        base.replace("\"z\"", "\"zz\""),
        base.replace("publish = [", "subscribe = ["),
        format!("{base}presence = false"),
        format!("{base}max_errors_per_minute = 1"),
    ] {
        assert_ne!(permissions(&other), one, "{other}");
    }
}
