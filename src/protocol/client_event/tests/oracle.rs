//! The protocol once more, as plainly as serde can express it, over a parsed [`Value`].

use serde::{Deserialize, de::DeserializeOwned};

use super::*;

#[derive(Deserialize)]
#[serde(tag = "event", content = "content", rename_all = "snake_case")]
enum Event {
    RequestAuthentication(Authentication),
    Publish(Message),
    Subscribe(Subscription),
    Unsubscribe(EndOfSubscription),
    ListClients(Nothing),
    Ping(Nothing),
    Pong(Nothing),
    Help(Nothing),
    Disconnecting(Nothing),
}

#[derive(Deserialize)]
struct Authentication {
    presence: Option<bool>,
    token: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<Reference>,
}

#[derive(Deserialize)]
struct Message {
    topic: String,
    payload: Value,
    #[serde(rename = "ref")]
    reference: Option<Reference>,
    #[serde(rename = "retain")]
    _retain: Option<Unsupported>,
    #[serde(rename = "reply_to")]
    _reply_to: Option<Unsupported>,
    #[serde(rename = "expires_in_ms")]
    _expires_in_ms: Option<Unsupported>,
    #[serde(rename = "message_id")]
    _message_id: Option<Unsupported>,
}

#[derive(Deserialize)]
struct Subscription {
    topic: String,
    #[serde(rename = "ref")]
    reference: Option<Reference>,
    #[serde(rename = "group")]
    _group: Option<Unsupported>,
    #[serde(rename = "from")]
    _from: Option<Unsupported>,
    #[serde(rename = "overflow")]
    _overflow: Option<Unsupported>,
}

#[derive(Deserialize)]
struct EndOfSubscription {
    topic: String,
    #[serde(rename = "ref")]
    reference: Option<Reference>,
    #[serde(rename = "group")]
    _group: Option<Unsupported>,
}

#[derive(Deserialize)]
struct Nothing {
    #[serde(rename = "ref")]
    reference: Option<Reference>,
}

/// Nothing is one.
#[derive(Deserialize)]
enum Unsupported {}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Reference(String);

impl TryFrom<String> for Reference {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.len() > 64 {
            return Err("too long");
        }
        Ok(Self(text))
    }
}

/// What the line means, as [`as_value`] has it, but for the payload, which is parsed.
pub(super) fn read(line: &str) -> Option<Value> {
    let mut line: Value = serde_json::from_str(line).ok()?;
    let members = line.as_object_mut()?;
    let id = members.get("id")?.as_str()?;
    if id != "__" && id != OWN_ID_TEXT {
        return None;
    }
    members.retain(|name, value| !value.is_null() || !matches!(&**name, "timestamp" | "content"));
    if let Some(timestamp) = members.get("timestamp") {
        chrono::DateTime::parse_from_rfc3339(timestamp.as_str()?).ok()?;
    }
    if !members
        .entry("content")
        .or_insert_with(|| json!({}))
        .is_object()
    {
        return None;
    }
    let event = |event: &str, reference: Option<Reference>, content: Value| {
        let reference = reference.map(|reference| reference.0);
        Some(json!({"event": event, "ref": reference, "content": content}))
    };
    let is_filter = |text: &str| TopicFilter::parse(text).is_ok();
    match value::<Event>(line)? {
        Event::RequestAuthentication(content) => event(
            "request_authentication",
            content.reference,
            json!({"token": content.token, "presence": content.presence.unwrap_or(true)}),
        ),
        Event::Publish(content) => {
            Topic::parse(content.topic.as_str()).ok()?;
            let said = json!({"topic": content.topic, "payload": content.payload});
            event("publish", content.reference, said)
        }
        Event::Subscribe(content) => is_filter(&content.topic).then(|| {
            event(
                "subscribe",
                content.reference,
                json!({"topic": content.topic}),
            )
        })?,
        Event::Unsubscribe(content) => is_filter(&content.topic).then(|| {
            event(
                "unsubscribe",
                content.reference,
                json!({"topic": content.topic}),
            )
        })?,
        Event::ListClients(content) => event("list_clients", content.reference, json!({})),
        Event::Ping(content) => event("ping", content.reference, json!({})),
        Event::Pong(content) => event("pong", content.reference, json!({})),
        Event::Help(content) => event("help", content.reference, json!({})),
        Event::Disconnecting(content) => event("disconnecting", content.reference, json!({})),
    }
}

fn value<T: DeserializeOwned>(value: Value) -> Option<T> {
    serde_json::from_value(value).ok()
}
