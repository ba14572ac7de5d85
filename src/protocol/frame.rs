use std::ops::Range;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::ClientId;

/// One or more whole lines, encoded once and shared by all who receive them.
#[derive(Clone, Debug)]
pub struct Frame(Bytes);

impl Frame {
    /// Bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no line in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Some of the lines, by where they begin and end, sharing the same memory.
    #[must_use]
    pub fn part(&self, bytes: Range<usize>) -> Self {
        Self(self.0.slice(bytes))
    }
}

impl From<Vec<u8>> for Frame {
    fn from(lines: Vec<u8>) -> Self {
        Self(lines.into())
    }
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The parts of a `message` line that are the same for every message of one publisher to one topic.
///
/// Writing a message is then four copies and no formatting. That what it writes is what
/// [`ServerEvent::Message`](super::ServerEvent::Message) would write is held by a test.
#[derive(Debug)]
pub struct MessageTemplate {
    before_payload: Vec<u8>,
    after_payload: Vec<u8>,
}

impl MessageTemplate {
    /// Prepares the lines of `publisher`, known to others as `sender`, to `topic`.
    #[must_use]
    pub fn new(publisher: ClientId, sender: &str, topic: &str) -> Self {
        let topic = serde_json::Value::from(topic);
        let sender = serde_json::Value::from(sender);
        Self {
            before_payload: format!(
                r#"{{"event":"message","id":"{publisher}","content":{{"topic":{topic},"payload":"#
            )
            .into_bytes(),
            after_payload: format!(r#","sender":{sender}}},"timestamp":""#).into_bytes(),
        }
    }

    /// Appends one line. `accepted_at` is a [`Timestamp`](super::Timestamp) already written out, as many messages share it.
    pub fn write(&self, payload: &RawValue, accepted_at: &str, lines: &mut Vec<u8>) {
        lines.extend_from_slice(&self.before_payload);
        lines.extend_from_slice(payload.get().as_bytes());
        lines.extend_from_slice(&self.after_payload);
        lines.extend_from_slice(accepted_at.as_bytes());
        lines.extend_from_slice(b"\"}\n");
    }

    /// Bytes of a line with a payload of `payload_bytes`.
    #[must_use]
    pub const fn line_len(&self, payload_bytes: usize) -> usize {
        const TIMESTAMP_BYTES: usize = "2026-01-31T12:00:00.000000Z".len();
        const END_BYTES: usize = 3;
        self.before_payload.len()
            + payload_bytes
            + self.after_payload.len()
            + TIMESTAMP_BYTES
            + END_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{
        ServerEvent, Timestamp,
        server_event::{Message, encode},
    };

    #[test]
    fn writes_what_the_typed_event_writes() {
        let publisher = ClientId::fresh();
        let now = Timestamp::now();
        let payload: &RawValue = serde_json::from_str(r#"{"a": [1,  "\ud800"]}"#).unwrap();
        for (sender, topic) in [("alice", "a/b"), ("a\"l\\ice", "ü/\"/\\/🦀")] {
            let mut lines = Vec::new();
            let template = MessageTemplate::new(publisher, sender, topic);
            template.write(payload, &now.to_string(), &mut lines);
            let typed = encode(
                &ServerEvent::Message(Message {
                    topic: topic.into(),
                    payload,
                    sender: sender.into(),
                }),
                &publisher,
                now,
            );
            assert_eq!(lines, typed.as_ref());
            assert_eq!(lines.len(), template.line_len(payload.get().len()));
        }
    }
}
