//! What waits in an outbox: entries that say what they are, and how many bytes they come to.
//!
//! Owns the limits in bytes and time. Knows nothing of closing and waking: it says whether there is
//! room and whether the client is stalled, and the outbox acts on that.

use std::{fmt, mem, time::Duration};

use tokio::time::Instant;

use crate::protocol::Frame;

/// How long a client that takes nothing still counts as one that catches up. A socket becomes
/// writable again only when a good part of its buffer is free: for a slow connection that is some
/// hundred milliseconds.
pub(super) const PROGRESS_TIME: Duration = Duration::from_secs(1);

/// How much may wait for one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Bytes that may never be exceeded, save by a frame pushed into an empty outbox.
    pub hard_bytes: usize,
    /// Bytes that may be exceeded for no longer than `soft_time`.
    pub soft_bytes: usize,
    /// See `soft_bytes`.
    pub soft_time: Duration,
}

/// Lines for one client, by what they are.
#[derive(Clone, Debug)]
pub enum OutboxEntry {
    /// For this client alone, from its own task: answers, errors, `ping`.
    Answer(Frame),
    /// Other clients that came or went.
    Presence(Frame),
    /// What others published.
    Message(Frame),
    /// For this client alone, and not asked for: `subscription_closed`.
    Control(Frame),
}

impl OutboxEntry {
    const fn frame(&self) -> &Frame {
        match self {
            Self::Answer(frame)
            | Self::Presence(frame)
            | Self::Message(frame)
            | Self::Control(frame) => frame,
        }
    }

    fn into_frame(self) -> Frame {
        match self {
            Self::Answer(frame)
            | Self::Presence(frame)
            | Self::Message(frame)
            | Self::Control(frame) => frame,
        }
    }
}

/// An entry in its place in the order.
pub(super) enum Queued {
    Encoded(OutboxEntry),
    Deferred(DeferredAnswer),
}

/// An answer that the client's own task encodes when it takes it: too costly for the task that
/// queues it.
pub(super) struct DeferredAnswer {
    /// As it is counted until it is encoded.
    pub(super) estimated_bytes: usize,
    pub(super) encode: Box<dyn FnOnce() -> Frame + Send>,
}

impl Queued {
    const fn len(&self) -> usize {
        match self {
            Self::Encoded(entry) => entry.frame().len(),
            Self::Deferred(answer) => answer.estimated_bytes,
        }
    }
}

impl fmt::Debug for Queued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoded(entry) => entry.fmt(f),
            Self::Deferred(answer) => write!(f, "Deferred({})", answer.estimated_bytes),
        }
    }
}

/// The entries of one outbox, in order and bounded.
///
/// Bytes count from the push until the socket has taken them.
#[derive(Debug)]
pub(super) struct Queue {
    limits: OutboxLimits,
    entries: Vec<Queued>,
    /// Bytes in `entries`, and those taken but not yet written.
    bytes: usize,
    over_soft_since: Option<Instant>,
    /// When the socket last took something while more than the soft limit waited.
    last_progress: Option<Instant>,
}

impl Queue {
    pub(super) const fn new(limits: OutboxLimits) -> Self {
        Self {
            limits,
            entries: Vec::new(),
            bytes: 0,
            over_soft_since: None,
            last_progress: None,
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends `entry`, or discards it where it exceeds the hard limit. Whether it was appended.
    pub(super) fn push(&mut self, entry: Queued) -> bool {
        let bytes = self.bytes + entry.len();
        if bytes > self.limits.soft_bytes {
            self.over_soft_since.get_or_insert_with(Instant::now);
        }
        if self.bytes > 0 && bytes > self.limits.hard_bytes {
            discard([entry]);
            return false;
        }
        self.bytes = bytes;
        self.entries.push(entry);
        true
    }

    /// Takes the next entries for the client's task: all, or up to the first deferred answer. Encoding
    /// a long one is work, so there is only one of them before others have their turn.
    ///
    /// Their bytes count until they are [`written`](Self::written).
    pub(super) fn take_next(&mut self) -> Vec<Queued> {
        let is_deferred = |entry: &Queued| matches!(entry, Queued::Deferred(_));
        let rest = match self.entries.iter().position(is_deferred) {
            Some(first) => self.entries.split_off(first + 1),
            None => Vec::new(),
        };
        mem::replace(&mut self.entries, rest)
    }

    /// Takes all entries, with the memory for more.
    pub(super) fn take_all(&mut self) -> Vec<Queued> {
        mem::take(&mut self.entries)
    }

    /// Takes the emptied memory of entries back, so that a busy client's queue is not allocated anew
    /// each time. Of their bytes, `estimated` turned out to be `actual`.
    pub(super) fn recycle(&mut self, emptied: Vec<Queued>, estimated: usize, actual: usize) {
        self.bytes = (self.bytes + actual).saturating_sub(estimated);
        if self.entries.is_empty() {
            self.entries = emptied;
        }
    }

    /// The socket has taken `bytes`.
    pub(super) fn written(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        if self.bytes <= self.limits.soft_bytes {
            self.over_soft_since = None;
            self.last_progress = None;
        } else {
            self.last_progress = Some(Instant::now());
        }
    }

    pub(super) const fn is_over_soft_limit(&self) -> bool {
        self.over_soft_since.is_some()
    }

    /// Whether it was over its soft limit for longer than it may be.
    pub(super) fn is_stalled(&self) -> bool {
        self.over_soft_since
            .is_some_and(|since| since.elapsed() >= self.limits.soft_time)
    }

    /// Whether it is on the way to its hard limit although the socket takes something.
    pub(super) fn is_catching_up(&self) -> bool {
        let is_crowded = self.bytes > self.limits.soft_bytes.max(self.limits.hard_bytes / 2);
        is_crowded
            && self
                .last_progress
                .max(self.over_soft_since)
                .is_some_and(|since| since.elapsed() < PROGRESS_TIME)
    }
}

/// Hands entries over to the client's task, as frames. Whatever a client is sent passes here.
///
/// Returns the bytes that were estimated, and those that they turned out to be.
pub(super) fn hand_over(
    entries: &mut Vec<Queued>,
    frames: &mut impl Extend<Frame>,
) -> (usize, usize) {
    let (mut estimated, mut actual) = (0, 0);
    frames.extend(entries.drain(..).map(|entry| match entry {
        Queued::Encoded(entry) => entry.into_frame(),
        Queued::Deferred(answer) => {
            let frame = (answer.encode)();
            estimated += answer.estimated_bytes;
            actual += frame.len();
            frame
        }
    }));
    (estimated, actual)
}

/// Drops entries that the client is not sent. Whatever an outbox loses passes here.
pub(super) fn discard(entries: impl IntoIterator<Item = Queued>) {
    entries.into_iter().for_each(drop);
}
