//! Lines on their way out: encoded once, shared by all clients that receive them.
//!
//! A [`LineBuffer`] collects lines and counts them, and becomes a [`Frame`]. [`MessageTemplate`] writes
//! `message` lines without formatting.

use std::ops::Range;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::ClientId;

/// Whole lines, encoded once and shared by all clients that receive them.
#[derive(Clone, Debug)]
pub struct Frame {
    bytes: Bytes,
    lines: usize,
}

impl Frame {
    /// Bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no byte in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many lines it holds.
    #[must_use]
    pub const fn lines(&self) -> usize {
        self.lines
    }

    /// The `lines` lines in `bytes`, sharing the same memory. The caller knows where they begin and
    /// end, so that many clients can get their part without anyone counting again.
    #[must_use]
    pub fn part(&self, bytes: Range<usize>, lines: usize) -> Self {
        let bytes = self.bytes.slice(bytes);
        debug_assert_eq!(lines, count_lines(&bytes));
        Self { bytes, lines }
    }
}

impl From<LineBuffer> for Frame {
    fn from(LineBuffer { bytes, lines }: LineBuffer) -> Self {
        Self {
            bytes: bytes.into(),
            lines,
        }
    }
}

/// Lines that something else has written. They are counted here.
impl From<Vec<u8>> for Frame {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            lines: count_lines(&bytes),
            bytes: bytes.into(),
        }
    }
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn count_lines(bytes: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', bytes).count()
}

/// Lines that are being written. Each one is counted as it begins, so line breaks need not be
/// searched for later.
#[derive(Debug, Default)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    lines: usize,
}

impl LineBuffer {
    /// Bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no line in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes that fit without another allocation.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Makes room for exactly this many more bytes.
    pub fn reserve_exact(&mut self, bytes: usize) {
        self.bytes.reserve_exact(bytes);
    }

    /// Removes all lines and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.lines = 0;
    }

    /// Where the next line is written, which must end with the only LF in it.
    pub(super) const fn begin_line(&mut self) -> &mut Vec<u8> {
        self.lines += 1;
        &mut self.bytes
    }
}

/// The parts of a `message` line that are the same for every message of one publisher to one topic.
///
/// Writing a message takes a few copies and no formatting. A test checks that it writes what
/// [`ServerEvent::Message`](super::ServerEvent::Message) would.
#[derive(Debug)]
pub struct MessageTemplate {
    before_payload: Vec<u8>,
    after_payload: Vec<u8>,
}

impl MessageTemplate {
    /// For messages of the client `publisher`, whose identity is `sender`, to `topic`.
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

    /// Appends one line. `accepted_at` is a [`Timestamp`](super::Timestamp) already written out, since
    /// many messages share it.
    pub fn write(&self, payload: &RawValue, accepted_at: &str, lines: &mut LineBuffer) {
        let line = lines.begin_line();
        line.extend_from_slice(&self.before_payload);
        line.extend_from_slice(payload.get().as_bytes());
        line.extend_from_slice(&self.after_payload);
        line.extend_from_slice(accepted_at.as_bytes());
        line.extend_from_slice(b"\"}\n");
    }

    /// The length of a line with a payload of `payload_bytes`.
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
        server_event::{Empty, Message, encode, encode_into},
    };

    #[test]
    fn writes_what_the_typed_event_writes() {
        let publisher = ClientId::fresh();
        let now = Timestamp::now();
        let payload: &RawValue = serde_json::from_str(r#"{"a": [1,  "\ud800"]}"#).unwrap();
        for (sender, topic) in [("alice", "a/b"), ("a\"l\\ice", "ü/\"/\\/🦀")] {
            let mut lines = LineBuffer::default();
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
            assert_eq!(lines.len(), template.line_len(payload.get().len()));
            assert_eq!(Frame::from(lines).as_ref(), typed.as_ref());
        }
    }

    #[test]
    fn knows_how_many_lines_it_holds() {
        let template = MessageTemplate::new(ClientId::fresh(), "alice", "a/b");
        let now = Timestamp::now();
        let mut lines = LineBuffer::default();
        let mut starts = Vec::new();
        for index in 0..4 {
            starts.push(lines.len());
            if index % 2 == 0 {
                template.write(RawValue::NULL, &now.to_string(), &mut lines);
            } else {
                encode_into(&ServerEvent::Ping(Empty {}), &"0", now, &mut lines);
            }
        }
        let frame = Frame::from(lines);
        assert_eq!(frame.lines(), 4);
        assert_eq!(Frame::from(frame.as_ref().to_vec()).lines(), 4);
        let part = frame.part(starts[1]..starts[3], 2);
        assert_eq!(part.lines(), 2);
        assert_eq!(part.as_ref(), &frame.as_ref()[starts[1]..starts[3]]);
        assert_eq!(frame.part(starts[2]..starts[2], 0).lines(), 0);
        assert_eq!(encode(&ServerEvent::Ping(Empty {}), &"0", now).lines(), 1);

        let mut lines = LineBuffer::default();
        template.write(RawValue::NULL, &now.to_string(), &mut lines);
        lines.clear();
        assert_eq!(Frame::from(lines).lines(), 0);
    }
}
