//! Messages of one publisher to one topic that go out together.

use std::{borrow::Cow, mem};

use serde_json::value::RawValue;

use crate::{
    broker::{OutboxEntry, routes::Route},
    protocol::{Frame, LineBuffer, MessageTemplate},
    topic::Topic,
};

/// Bytes at which a batch goes out as a frame, though more of it may follow.
const FRAME_BYTES_MAX: usize = 64 * 1024;

/// What is worked out once for the messages of one publisher to one topic: where they go, and what
/// their lines have in common.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) route: Route,
    pub(super) template: MessageTemplate,
    /// Bytes of the last frame that went there: the best guess for the next.
    pub(super) last_frame_len: usize,
}

/// Consecutive messages to one topic, which become one frame. Once that has gone out, the batch is
/// empty and can be continued.
#[derive(Debug)]
pub(super) struct MessageBatch {
    pub(super) topic: Topic<'static>,
    pub(super) destination: Destination,
    lines: LineBuffer,
    /// The `ref` of each message in `lines` whose publisher wants an answer.
    references: Vec<String>,
}

/// What became of a batch that has gone out.
#[derive(Debug)]
pub(super) struct Delivery {
    /// How many outboxes took it.
    pub(super) recipients: usize,
    /// The `ref` of each message that wants an answer.
    pub(super) references: Vec<String>,
}

impl MessageBatch {
    /// An empty one.
    pub(super) fn new(topic: Topic<'static>, destination: Destination) -> Self {
        Self {
            topic,
            destination,
            lines: LineBuffer::default(),
            references: Vec::new(),
        }
    }

    /// Whether a message to `topic` can go out with it, while `generation` is in force.
    pub(super) fn continues(&self, topic: &Topic<'_>, generation: u64) -> bool {
        self.topic == *topic && self.destination.route.generation() == generation
    }

    /// Adds a message.
    pub(super) fn append(
        &mut self,
        payload: &RawValue,
        reference: Option<Cow<'_, str>>,
        accepted_at: &str,
    ) {
        let template = &self.destination.template;
        if self.lines.capacity() == 0 {
            let line_len = template.line_len(payload.get().len());
            let frame_len = line_len.max(self.destination.last_frame_len);
            self.lines.reserve_exact(frame_len);
        }
        template.write(payload, accepted_at, &mut self.lines);
        self.references.extend(reference.map(Cow::into_owned));
    }

    /// Whether it is to go out before more is added.
    pub(super) const fn is_full(&self) -> bool {
        self.lines.len() >= FRAME_BYTES_MAX
    }

    /// Pushes its messages into the outbox of each recipient; `None` when there are none.
    pub(super) fn send(&mut self) -> Option<Delivery> {
        if self.lines.is_empty() {
            return None;
        }
        self.destination.last_frame_len = self.lines.len();
        let frame = Frame::from(mem::take(&mut self.lines));
        let pushed = self.destination.route.recipients.iter();
        let pushed = pushed.filter(|recipient| {
            let entry = OutboxEntry::Message(frame.clone());
            recipient.outbox.push(entry)
        });
        Some(Delivery {
            recipients: pushed.count(),
            references: mem::take(&mut self.references),
        })
    }
}
