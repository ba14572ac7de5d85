//! The outbox of a client: where anything in the broker puts what goes to it, and how anything in the
//! broker ends its connection.
//!
//! Owns closing, interrupts and waking. What waits in it, and how much may wait, is for its
//! [`queue`] to know.

mod queue;

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use self::queue::{DeferredAnswer, Queue, Queued, discard, hand_over};
pub use self::queue::{OutboxEntry, OutboxLimits};
use crate::protocol::{CloseReason, Frame};

/// What waits for one client: entries that any task may push and the client's own task takes.
///
/// Bounded in bytes, counted from the push until the socket has taken them. A push never waits: at
/// the hard limit, or after too long over the soft one, the outbox closes as `slow_consumer` and
/// drops what it holds, so a client that does not read costs no more than its limit.
///
/// Closing it is also how anything in the broker ends the client's connection.
#[derive(Debug)]
pub struct Outbox {
    inner: Mutex<Inner>,
}

/// What a client's task is to do before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// The outbox closed; nothing more goes in or out, save what was taken before.
    Closed(CloseReason),
    /// What lets the client be here has changed: it is to be checked again.
    Recheck,
}

#[derive(Debug)]
struct Inner {
    queue: Queue,
    closed: Option<CloseReason>,
    recheck_requested: bool,
    waker: Option<Waker>,
    /// Whether `waker` waits for entries too, and not for an interrupt alone.
    waits_for_entries: bool,
}

impl Outbox {
    /// An empty outbox.
    #[must_use]
    pub const fn new(limits: OutboxLimits) -> Self {
        Self {
            inner: Mutex::new(Inner {
                queue: Queue::new(limits),
                closed: None,
                recheck_requested: false,
                waker: None,
                waits_for_entries: false,
            }),
        }
    }

    /// Queues `entry`, and wakes the client's task when it waits. Whether the entry was queued.
    pub fn push(&self, entry: OutboxEntry) -> bool {
        self.queue(Queued::Encoded(entry))
    }

    /// Queues an answer that is yet to be encoded, of about `estimated_bytes`. It keeps its place in
    /// the order. Whether it was queued.
    pub fn push_deferred(
        &self,
        estimated_bytes: usize,
        encode: impl FnOnce() -> Frame + Send + 'static,
    ) -> bool {
        self.queue(Queued::Deferred(DeferredAnswer {
            estimated_bytes,
            encode: Box::new(encode),
        }))
    }

    fn queue(&self, entry: Queued) -> bool {
        let mut inner = self.lock();
        if inner.closed.is_some() {
            drop(inner);
            discard([entry]);
            return false;
        }
        let is_queued = inner.queue.push(entry);
        if !is_queued || inner.queue.is_stalled() {
            inner.close(CloseReason::SlowConsumer);
        }
        if inner.waits_for_entries || inner.closed.is_some() {
            inner.wake_after();
        }
        is_queued
    }

    /// Ends the client's connection for `reason`. What is queued is still delivered, unless the
    /// client [forfeits](CloseReason::forfeits_queued) it. The first reason stands.
    pub fn close(&self, reason: CloseReason) {
        let mut inner = self.lock();
        inner.close(reason);
        inner.wake_after();
    }

    /// Has the client's own task check again what lets the client be here.
    pub fn request_recheck(&self) {
        let mut inner = self.lock();
        inner.recheck_requested = true;
        inner.wake_after();
    }

    /// Takes what is queued, in order, appending it to `frames`: all of it, or up to the first answer
    /// that is yet to be encoded.
    ///
    /// The bytes taken count as queued until [`written`](Self::written) says otherwise.
    ///
    /// # Errors
    ///
    /// [`Interrupt::Recheck`] once after a request for it, and [`Interrupt::Closed`] when it is
    /// closed and nothing is left in it.
    pub fn poll_take(
        &self,
        cx: &mut Context<'_>,
        frames: &mut impl Extend<Frame>,
    ) -> Poll<Result<(), Interrupt>> {
        let mut inner = self.lock();
        if mem::take(&mut inner.recheck_requested) {
            return Poll::Ready(Err(Interrupt::Recheck));
        }
        if !inner.queue.is_empty() {
            let mut entries = inner.queue.take_next();
            drop(inner);
            // No push waits while deferred answers are encoded.
            let (estimated, actual) = hand_over(&mut entries, frames);
            self.lock().queue.recycle(entries, estimated, actual);
            return Poll::Ready(Ok(()));
        }
        if let Some(reason) = inner.closed {
            return Poll::Ready(Err(Interrupt::Closed(reason)));
        }
        // An idle client holds no memory for entries.
        drop(inner.queue.take_all());
        inner.wait(cx, true);
        Poll::Pending
    }

    /// Waits for an interrupt, while the client's task has enough to write.
    pub fn poll_interrupt(&self, cx: &mut Context<'_>) -> Poll<Interrupt> {
        let mut inner = self.lock();
        if mem::take(&mut inner.recheck_requested) {
            return Poll::Ready(Interrupt::Recheck);
        }
        if let Some(reason) = inner.closed {
            return Poll::Ready(Interrupt::Closed(reason));
        }
        inner.wait(cx, false);
        Poll::Pending
    }

    /// The socket has taken `bytes` of what was taken from here.
    pub fn written(&self, bytes: usize) {
        self.lock().queue.written(bytes);
    }

    /// Whether the client is on its way to the hard limit although it takes what it can: a publisher
    /// with much more to publish does well to wait a little. For a client that takes nothing, waiting
    /// would not help, and one that stays behind is closed after the soft limit's time.
    #[must_use]
    pub fn is_catching_up(&self) -> bool {
        let inner = self.lock();
        inner.closed.is_none() && inner.queue.is_catching_up()
    }

    /// Whether more waits than a client should leave waiting: time to take no more requests from
    /// it, whose answers would only add to it.
    #[must_use]
    pub fn is_over_soft_limit(&self) -> bool {
        self.lock().queue.is_over_soft_limit()
    }

    /// Closes the outbox when it was over its soft limit for too long. The client's own task calls
    /// this now and then, since nothing may be pushed any more that would notice.
    pub fn check_stall(&self) {
        let mut inner = self.lock();
        if inner.queue.is_stalled() {
            inner.close(CloseReason::SlowConsumer);
        }
    }

    /// Why it closed, if it did: also while entries are left in it.
    #[cfg(test)]
    fn closed(&self) -> Option<CloseReason> {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code between lock and unlock panics half-way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn wait(&mut self, cx: &Context<'_>, for_entries: bool) {
        self.waits_for_entries = for_entries;
        if !self
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            self.waker = Some(cx.waker().clone());
        }
    }

    fn close(&mut self, reason: CloseReason) {
        if self.closed.is_none() {
            self.closed = Some(reason);
        }
        if reason.forfeits_queued() {
            discard(self.queue.take_all());
        }
    }
}

/// Wakes after the lock is given back, so that the woken task does not meet it.
trait WakeAfter {
    fn wake_after(self);
}

impl WakeAfter for MutexGuard<'_, Inner> {
    fn wake_after(mut self) {
        let waker = self.waker.take();
        drop(self);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests;
