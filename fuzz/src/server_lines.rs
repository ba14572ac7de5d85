//! Lines of a server, as the client reads them.

use serde_json::{json, value::RawValue};
use tidings::protocol::{
    Code, ServerEvent, Timestamp,
    server_event::{Empty, Message, Refused, ServerLine, encode},
};

use crate::oracle::check_message;

pub fn run(input: &[u8]) {
    let line = match ServerLine::parse(input) {
        Ok(line) => line,
        Err(fault) => {
            check_message(&fault);
            return;
        }
    };
    let Some(event) = &line.event else { return };
    // Between the tokens of a payload a client may be sent anything that JSON allows.
    if input.contains(&b'\n') {
        return;
    }
    let frame = encode(event, &"0", Timestamp::now());
    let text = frame.as_ref().strip_suffix(b"\n").expect("a line");
    let again = ServerLine::parse(text).expect("what was read can be written and read again");
    assert_eq!(format!("{event:?}"), format!("{:?}", again.event.expect("an event")));
}

pub fn seeds() -> Vec<Vec<u8>> {
    let id = "0190d5a8-3c4e-7b6f-8a1d-2e3f4a5b6c7d";
    let payload = RawValue::from_string(r#"{"celsius":1e400,"x":"\ud83d"}"#.to_owned());
    let payload = payload.expect("JSON");
    let events = [
        ServerEvent::Ping(Empty {}),
        ServerEvent::ConnectionClosing(Refused::new(Code::MalformedEvent, "a \"reason\"")),
        ServerEvent::Message(Message {
            topic: "a/b".into(),
            payload: &payload,
            sender: "ä\u{202e}".into(),
        }),
    ];
    let encoded = events
        .iter()
        .map(|event| encode(event, &id, Timestamp::now()).as_ref().trim_ascii().to_vec());
    let client = json!({ "client_id": id, "identity": "alice", "since": "now" });
    let limits = json!({ "line_bytes_max": 1, "authentication_timeout_ms": 2, "ping_interval_ms": 3 });
    let others = [
        ("connection_accepted", json!({
            "client_id": id, "identity": "alice", "protocol": 1, "token_required": true,
            "server": { "name": "tidings", "version": "1" }, "limits": limits,
        })),
        ("authentication_accepted", json!({ "client_id": id, "identity": "alice", "ref": "1" })),
        ("client_disconnected", json!({ "client_id": id, "identity": "bob", "reason": "gone" })),
        ("clients", json!({ "clients": [client], "ref": null })),
        ("subscribed", json!({ "topic": "a/#", "ref": "1" })),
        ("published", json!({ "topic": "a", "receivers": 1, "ref": "1" })),
        ("help", json!({ "events": [{ "event": "ping", "example": "{}" }] })),
        ("error", json!({ "code": "c", "reason": "r", "retryable": false, "event": "e", "ref": "1" })),
        ("of_tomorrow", json!({})),
    ];
    let others = others.map(|(event, content)| {
        json!({ "event": event, "id": id, "content": content, "timestamp": "2026-01-31T12:00:00Z" })
            .to_string()
            .into_bytes()
    });
    encoded.chain(others).collect()
}
