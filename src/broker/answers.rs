//! The answers to one client, in the order of its requests.
//!
//! Owns that order when an answer takes time: answers behind it are held back until it has come.
//! Does not know what was asked: a request is a future that completes once its answer is queued in
//! the client's outbox, or fails.
//!
//! **Invariants:** a request starts only when every answer before it has been queued, so whoever
//! answers it may queue the answer directly. What waits here is bounded; see
//! [`takes_requests`](Answers::takes_requests).

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{Outbox, OutboxEntry, RequestError};
use crate::protocol::{EventName, Frame};

/// Answers that may wait for one client, outstanding or held back. It is enough to keep a disk
/// busy, and a client cannot hold more memory here than its outbox may hold anyway.
const ANSWERS_MAX: usize = 1024;

/// Bytes of answers that may be held back behind an outstanding one.
const HELD_BYTES_MAX: usize = 1024 * 1024;

/// The memory that an empty queue keeps, in entries: one request after the other needs no more.
const IDLE_CAPACITY: usize = 4;

/// Answers on their way to one client's outbox.
#[derive(Debug)]
pub struct Answers {
    outbox: Arc<Outbox>,
    /// Empty nearly always: then an answer goes straight to the outbox.
    queue: VecDeque<Entry>,
    held_bytes: usize,
}

#[derive(Debug)]
enum Entry {
    Held(Frame),
    Pending(PendingAnswer),
}

/// An answer that comes later.
pub struct PendingAnswer {
    event: EventName,
    reference: Option<String>,
    following: FollowingLines,
    request: Request,
}

/// Completes when the answer is in the client's outbox.
type Request = Pin<Box<dyn Future<Output = Result<(), RequestError>> + Send>>;

/// What becomes of the lines behind a request while its answer is outstanding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowingLines {
    /// They wait: what they mean depends on the outcome.
    Wait,
    /// They are handled. Only their answers wait.
    GoOn,
}

/// A request that was not carried out. Its error is to be the next answer.
#[derive(Debug)]
pub struct FailedRequest {
    /// Why.
    pub error: RequestError,
    /// What was asked.
    pub event: EventName,
    /// The `ref` of the request.
    pub reference: Option<String>,
}

impl PendingAnswer {
    /// The answer to an `event` with this `ref`.
    pub fn new(
        event: EventName,
        reference: Option<String>,
        following: FollowingLines,
        request: impl Future<Output = Result<(), RequestError>> + Send + 'static,
    ) -> Self {
        Self {
            event,
            reference,
            following,
            request: Box::pin(request),
        }
    }

    fn failed(self, error: RequestError) -> FailedRequest {
        FailedRequest {
            error,
            event: self.event,
            reference: self.reference,
        }
    }
}

impl fmt::Debug for PendingAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingAnswer")
            .field("event", &self.event)
            .field("reference", &self.reference)
            .field("following", &self.following)
            .finish_non_exhaustive()
    }
}

impl Answers {
    /// To the client with this outbox.
    #[must_use]
    pub const fn new(outbox: Arc<Outbox>) -> Self {
        Self {
            outbox,
            queue: VecDeque::new(),
            held_bytes: 0,
        }
    }

    /// Gives an answer, behind those that are outstanding.
    pub fn push(&mut self, answer: Frame) {
        if self.queue.is_empty() {
            self.outbox.push(OutboxEntry::Answer(answer));
            return;
        }
        self.held_bytes += answer.len();
        self.queue.push_back(Entry::Held(answer));
    }

    /// Takes a place for an answer that comes later.
    pub fn push_pending(&mut self, answer: PendingAnswer) {
        self.queue.push_back(Entry::Pending(answer));
    }

    /// Whether an answer is outstanding.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether the client's next line may be handled, or has to wait for an answer.
    #[must_use]
    pub fn takes_requests(&self) -> bool {
        let Some(last) = self.queue.back() else {
            return true;
        };
        let is_held_up = matches!(
            last,
            Entry::Pending(PendingAnswer {
                following: FollowingLines::Wait,
                ..
            })
        );
        !is_held_up && self.queue.len() < ANSWERS_MAX && self.held_bytes < HELD_BYTES_MAX
    }

    /// Moves on: starts the request whose turn it is, and queues answers up to the next one that is
    /// outstanding. Ready when that changed anything.
    ///
    /// Stands still while the outbox is over its soft limit, as more answers would only add to it.
    /// Only the client's own task takes from its outbox; it is to poll this after writing.
    ///
    /// # Errors
    ///
    /// [`FailedRequest`] when a request failed. Its error goes straight into the outbox, before
    /// this is polled again.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FailedRequest>> {
        let mut progress = Poll::Pending;
        while !self.queue.is_empty()
            && !self.outbox.is_over_soft_limit()
            && let Some(entry) = self.queue.pop_front()
        {
            match entry {
                Entry::Held(answer) => {
                    self.held_bytes -= answer.len();
                    self.outbox.push(OutboxEntry::Answer(answer));
                }
                Entry::Pending(mut pending) => match pending.request.as_mut().poll(cx) {
                    Poll::Pending => {
                        self.queue.push_front(Entry::Pending(pending));
                        break;
                    }
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(pending.failed(error))),
                },
            }
            progress = Poll::Ready(Ok(()));
        }
        if self.queue.is_empty() {
            self.queue.shrink_to(IDLE_CAPACITY);
        }
        progress
    }
}

#[cfg(test)]
mod tests;
