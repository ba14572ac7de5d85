//! Every error of a line has its code, and the decoder agrees with a far simpler one.

use serde_json::{Value, json, value::RawValue};

use super::*;
use crate::{
    protocol::{ClientId, Code, ServerEvent, Timestamp, server_event},
    topic::{Topic, TopicFilter},
};

mod content;
mod envelope;
mod form;
mod generate;
mod oracle;
mod plain;
mod random;

const OWN_ID: ClientId = ClientId::from_number(0x0194_0c2e_5b7a_7d10_8f3a_6c2b_9e4d_1a55);
const OWN_ID_TEXT: &str = "01940c2e-5b7a-7d10-8f3a-6c2b9e4d1a55";

fn read(line: &[u8]) -> Result<ClientEvent<'_>, LineError<'_>> {
    decode(line, OWN_ID, |_| Ok(()))
}

/// The code that a line is refused with, and the `event` and `ref` of the answer.
fn refusal(line: &[u8]) -> (Code, Option<String>, Option<String>) {
    match read(line) {
        Ok(event) => panic!(
            "{:?} was accepted as {event:?}",
            String::from_utf8_lossy(line)
        ),
        Err(error) => (
            error.cause.code,
            error.event.map(Cow::into_owned),
            error.reference.map(Cow::into_owned),
        ),
    }
}

#[track_caller]
fn assert_refused(line: &str, code: Code, event: Option<&str>, reference: Option<&str>) {
    let (event, reference) = (event.map(str::to_owned), reference.map(str::to_owned));
    assert_eq!(refusal(line.as_bytes()), (code, event, reference), "{line}");
}

#[track_caller]
fn assert_accepted(line: &str) -> Value {
    match read(line.as_bytes()) {
        Ok(event) => as_value(&event),
        Err(error) => panic!("{line}: {}", error.cause),
    }
}

/// All values of an event, to be compared.
fn as_value(event: &ClientEvent<'_>) -> Value {
    let content = match event {
        ClientEvent::RequestAuthentication(content) => json!({
            "token": content.token.as_ref().map(Token::secret),
            "presence": content.presence,
        }),
        ClientEvent::Publish(content) => {
            json!({"topic": content.topic.as_str(), "payload": content.payload.get()})
        }
        ClientEvent::Subscribe(content) | ClientEvent::Unsubscribe(content) => {
            json!({"topic": content.topic.as_str()})
        }
        ClientEvent::ListClients(_)
        | ClientEvent::Ping(_)
        | ClientEvent::Pong(_)
        | ClientEvent::Help(_)
        | ClientEvent::Disconnecting(_) => json!({}),
    };
    json!({"event": event.name().as_str(), "ref": event.reference(), "content": content})
}

/// The members that the content of `name` needs.
fn members_needed(name: EventName) -> &'static str {
    match name {
        EventName::Publish => r#""topic":"a/b","payload":1"#,
        EventName::Subscribe | EventName::Unsubscribe => r#""topic":"a/+""#,
        _ => r#""unknown":1"#,
    }
}

#[test]
fn every_event_has_an_example_of_its_own() {
    for name in EventName::ALL {
        assert_eq!(read(name.example().as_bytes()).unwrap().name(), *name);
        assert_eq!(EventName::parse(name.as_str()), Some(*name));
    }
}

#[test]
fn events_are_encoded_with_their_content_before_the_id() {
    let encoded = |event| String::from_utf8(encode(&event)).unwrap();
    let publish = Publish {
        topic: Topic::parse("a/b").unwrap(),
        payload: RawValue::NULL,
        reference: Some("r".into()),
    };
    assert_eq!(
        encoded(ClientEvent::Publish(publish)),
        "{\"event\":\"publish\",\"content\":{\"topic\":\"a/b\",\"payload\":null,\"ref\":\"r\"},\"id\":\"__\"}\n"
    );
    assert_eq!(
        encoded(ClientEvent::Ping(OnlyRef::default())),
        "{\"event\":\"ping\",\"content\":{},\"id\":\"__\"}\n"
    );
    let request = RequestAuthentication {
        token: Some(Token::new("t")),
        presence: false,
        reference: None,
    };
    assert_eq!(
        encoded(ClientEvent::RequestAuthentication(request)),
        "{\"event\":\"request_authentication\",\"content\":{\"token\":\"t\",\"presence\":false},\"id\":\"__\"}\n"
    );
}
