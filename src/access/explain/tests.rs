//! The text of explanations, word for word.

use std::path::Path;

use super::*;

const RULES: &str = r#"
[[rule]]
identity = ["sensor-*"]
publish = ["plant/{identity}/#", "plant/+/heat"]
subscribe = ["in/{client_id}/#"]
max_errors_per_minute = 5

[[rule]]
identity = ["dashboard"]
subscribe = ["plant", "plant/+/#", "site"]
max_publish_messages_per_second = 0

[[rule]]
identity = ["dashboard", "sensor-*"]
deny_publish = ["plant/audit/#"]
deny_subscribe = ["plant/secret/#", "+/debug", "$SYS/#"]
presence = false
max_publish_messages_per_second = 50
"#;

fn explained(rules: &AccessRules, name: &str, deed: &str, topic: &str) -> String {
    let identity = Identity::parse(name).unwrap();
    let action = match deed {
        "publish" => Action::Publish(Topic::parse(topic.to_owned()).unwrap()),
        _ => Action::Subscribe(TopicFilter::parse(topic).unwrap()),
    };
    let client_id = Some(ClientId::from_number(7));
    let explanation = rules.explain(&identity, client_id, &action);
    let text = explanation.to_string();
    let verdict = if explanation.allowed {
        "allowed"
    } else {
        "denied"
    };
    assert_eq!(text.lines().next(), Some(verdict));
    text
}

fn explain(name: &str, deed: &str, topic: &str) -> String {
    let rules = AccessRules::parse(Path::new("access.toml"), RULES.as_bytes()).unwrap();
    explained(&rules, name, deed, topic)
}

const SWITCHES_OF_DASHBOARD: &str = "\
access.toml:13 sets presence = false
access.toml:13 sets max_publish_messages_per_second = 50
rules for \"dashboard\": access.toml:8, access.toml:13";

const SWITCHES_OF_SENSOR: &str = "\
access.toml:13 sets presence = false
access.toml:13 sets max_publish_messages_per_second = 50
access.toml:2 sets max_errors_per_minute = 5
rules for \"sensor-7\": access.toml:2, access.toml:13";

#[test]
fn publishing_is_explained_by_the_rule_that_decides() {
    assert_eq!(
        explain("sensor-7", "publish", "plant/sensor-7/heat"),
        format!(
            "allowed\n\
             access.toml:2 allows publishing to \"plant/sensor-7/#\"\n\
             {SWITCHES_OF_SENSOR}"
        )
    );
    assert_eq!(
        explain("sensor-7", "publish", "plant/audit/heat"),
        format!(
            "denied\n\
             publish_denied: publishing to \"plant/audit/heat\" is refused: access rules deny it\n\
             access.toml:13 denies publishing to \"plant/audit/#\"\n\
             {SWITCHES_OF_SENSOR}"
        )
    );
    assert_eq!(
        explain("dashboard", "publish", "plant/x"),
        format!(
            "denied\n\
             publish_denied: publishing to \"plant/x\" is refused: no access rule allows it\n\
             {SWITCHES_OF_DASHBOARD}"
        )
    );
}

#[test]
fn subscribing_is_explained_with_what_is_withheld() {
    assert_eq!(
        explain("dashboard", "subscribe", "plant/#"),
        format!(
            "allowed\n\
             access.toml:8 allows subscribing to \"plant\"\n\
             access.toml:8 allows subscribing to \"plant/+/#\"\n\
             access.toml:13 withholds what matches \"plant/secret/#\"\n\
             access.toml:13 withholds what matches \"+/debug\"\n\
             {SWITCHES_OF_DASHBOARD}"
        )
    );
    assert_eq!(
        explain("dashboard", "subscribe", "site"),
        format!(
            "allowed\n\
             access.toml:8 allows subscribing to \"site\"\n\
             nothing is withheld\n\
             {SWITCHES_OF_DASHBOARD}"
        )
    );
    assert_eq!(
        explain("dashboard", "subscribe", "plant/secret/+"),
        format!(
            "denied\n\
             subscribe_denied: subscribing to \"plant/secret/+\" is refused: access rules deny all \
             of it\n\
             access.toml:13 denies subscribing to \"plant/secret/#\"\n\
             {SWITCHES_OF_DASHBOARD}"
        )
    );
    assert_eq!(
        explain("dashboard", "subscribe", "+"),
        format!(
            "denied\n\
             subscribe_denied: subscribing to \"+\" is refused: no access rule allows all of it\n\
             access.toml:8 allows only subscribing to \"plant\"\n\
             access.toml:8 allows only subscribing to \"site\"\n\
             {SWITCHES_OF_DASHBOARD}"
        )
    );
}

#[test]
fn what_is_the_servers_needs_no_rule() {
    let text = explain("dashboard", "subscribe", "$SYS/#");
    assert_eq!(
        text,
        format!(
            "denied\n\
             reserved_topic: subscribing to \"$SYS/#\" is refused: topics that begin with `$` \
             belong to the server\n\
             {SWITCHES_OF_DASHBOARD}"
        )
    );
}

#[test]
fn a_refused_identity_is_explained() {
    assert_eq!(
        explain("nobody", "publish", "a"),
        "denied\nidentity_denied: no access rule admits the identity \"nobody\""
    );
    assert_eq!(
        explain("sensor-+", "publish", "a"),
        "denied\n\
         identity_denied: the identity \"sensor-+\" is refused: an access rule puts it into a \
         topic filter, where it must not hold '+'\n\
         access.toml:2 puts it into a topic filter\n\
         rules for \"sensor-+\": access.toml:2, access.toml:13"
    );
}

#[test]
fn a_new_client_id_is_shown_where_a_rule_uses_one() {
    let rules = AccessRules::parse(Path::new("access.toml"), RULES.as_bytes()).unwrap();
    let action = Action::Subscribe(TopicFilter::parse("in/#").unwrap());
    let text = |name: &str| {
        let identity = Identity::parse(name).unwrap();
        rules.explain(&identity, None, &action).to_string()
    };
    let explained = text("sensor-7");
    let (_, id) = explained
        .split_once("{client_id} is a new one here: ")
        .unwrap();
    let allowed = format!("access.toml:2 allows only subscribing to \"in/{id}/#\"");
    assert!(explained.contains(&allowed), "{explained}");
    assert!(!text("dashboard").contains("client_id"));
    assert!(!explain("sensor-7", "subscribe", "in/#").contains("new one"));
}

#[test]
fn no_file_is_explained_too() {
    assert_eq!(
        explained(&AccessRules::open(), "anybody", "subscribe", "a/#"),
        "allowed\nthe default without an access file allows subscribing to \"#\"\nnothing is withheld"
    );
}
