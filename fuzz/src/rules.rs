//! Access rules: read, worked out for clients, and explained.

use std::path::Path;

use tidings::{protocol::ClientId, identity::Identity, access::{AccessRules, Action}, topic::{Topic, TopicFilter}};

use crate::oracle::check_message;

/// Texts of the file that are tried as identities, topics and filters.
const TEXTS_MAX: usize = 12;

pub fn run(input: &[u8]) {
    let rules = match parse(input) {
        Ok(rules) => rules,
        Err(message) => {
            check_message(&message);
            return;
        }
    };
    assert!(rules.rule_count() > 0 && !rules.is_open());
    let text = String::from_utf8_lossy(input);
    let mut texts: Vec<&str> = text.split(['"', '\'']).skip(1).step_by(2).collect();
    texts.truncate(TEXTS_MAX);
    texts.extend(["alice", "a/b", "#"]);
    let client_id = ClientId::fresh();
    for name in &texts {
        if let Ok(identity) = Identity::parse(name) {
            check_client(&rules, input, &texts, &identity, client_id);
        }
    }
}

fn parse(input: &[u8]) -> Result<AccessRules, String> {
    AccessRules::parse(Path::new("access.toml"), input).map_err(|fault| fault.to_string())
}

/// `rules` have judged others before; what they say of this client must not depend on that.
fn check_client(
    rules: &AccessRules,
    input: &[u8],
    texts: &[&str],
    identity: &Identity,
    client_id: ClientId,
) {
    let permissions = rules.permissions(identity, client_id);
    let alone = parse(input).expect("rules").permissions(identity, client_id);
    assert_eq!(permissions, alone, "{identity:?}");
    let allowed = |action: &Action| rules.explain(identity, Some(client_id), action).allowed;
    for text in texts {
        if let Ok(topic) = Topic::parse((*text).to_owned()) {
            let may_publish = permissions
                .as_ref()
                .is_ok_and(|permissions| permissions.may_publish(&topic).is_ok());
            assert!(!(may_publish && topic.is_reserved()), "{topic:?}");
            assert_eq!(allowed(&Action::Publish(topic)), may_publish, "{text:?}");
        }
        if let Ok(filter) = TopicFilter::parse(text) {
            let may_subscribe = permissions
                .as_ref()
                .is_ok_and(|permissions| permissions.may_subscribe(&filter).is_ok());
            if let (Ok(topic), Ok(permissions)) = (Topic::parse(*text), &permissions) {
                assert_eq!(permissions.may_receive(&topic), may_subscribe, "{text:?}");
            }
            assert_eq!(allowed(&Action::Subscribe(filter)), may_subscribe, "{text:?}");
        }
    }
    if let Err(denial) = &permissions {
        check_message(&denial.reason);
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    [
        r##"
[[rule]]
identity = ["sensor-*", "alice"]
publish = ["plant/{identity}/#"]
subscribe = ["plant/+/oven", "clients/{client_id}"]
deny_publish = ["plant/secret"]
deny_subscribe = ["plant/+/secret"]
presence = false
max_publish_messages_per_second = 10
max_publish_bytes_per_second = 1_000
max_errors_per_minute = 0

[[rule]]
identity = ["*"]
subscribe = ["#"]
"##,
        r##"rule = [{identity=["alice"],publish=["secret/#"]},{identity=["bob"],publish=["open/#"]}]"##,
        "[[rule]]\nidentity = ['a*b*c']\npublish = ['a/b', '$SYS']\n\"presence\" = true\n",
        "rule.identity = [\"a\"]",
        "[[rule]]\nidentity = [\"a\\u0041\"]\nsubscribe = [\"\"\"\na\"\"\"]",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
