use std::{
    fmt, mem,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::Instant;

use crate::protocol::{CloseReason, Frame};

/// How long a client that takes nothing still counts as one that does. A socket becomes writable again
/// only when a good part of its buffer is free: for a slow peer that is some hundred milliseconds.
const PROGRESS_TIME: Duration = Duration::from_secs(1);

/// What waits for one client: frames that any task may push and the client's own task takes.
///
/// Bounded in bytes, counted from the push until the socket has taken them. A push never waits: at
/// the hard limit, or after too long over the soft one, the outbox closes as `slow_consumer` and
/// drops what it holds, so a client that does not read costs no more than its limit.
///
/// Closing it is also how anything in the broker ends the client's connection.
#[derive(Debug)]
pub struct Outbox {
    limits: OutboxLimits,
    inner: Mutex<Inner>,
}

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

/// What a client's task is to do before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// The outbox closed; nothing more goes in or out, save what was taken before.
    Closed(CloseReason),
    /// What lets the client be here has changed: it is to be judged again.
    Recheck,
}

#[derive(Debug, Default)]
struct Inner {
    queue: Vec<Queued>,
    /// Bytes in `queue`, and those taken but not yet written.
    bytes: usize,
    over_soft_since: Option<Instant>,
    /// When the socket last took something while the outbox was over its soft limit.
    last_progress: Option<Instant>,
    closed: Option<CloseReason>,
    recheck_requested: bool,
    waker: Option<Waker>,
    /// Whether `waker` waits for frames too, and not for an interrupt alone.
    waits_for_frames: bool,
}

/// What waits in an outbox.
enum Queued {
    Frame(Frame),
    Deferred(Deferred),
}

/// A frame that the client's own task writes when it takes it: too costly for whoever queues it.
struct Deferred {
    /// As it was counted when it was queued.
    estimated_bytes: usize,
    write: Box<dyn FnOnce() -> Frame + Send>,
}

impl fmt::Debug for Queued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(frame) => frame.fmt(f),
            Self::Deferred(deferred) => write!(f, "Deferred({})", deferred.estimated_bytes),
        }
    }
}

impl Outbox {
    /// An empty outbox.
    #[must_use]
    pub fn new(limits: OutboxLimits) -> Self {
        Self {
            limits,
            inner: Mutex::default(),
        }
    }

    /// Queues `frame`, and wakes the client's task when it waits. Whether the frame was queued.
    pub fn push(&self, frame: Frame) -> bool {
        self.queue(frame.len(), Queued::Frame(frame))
    }

    /// Queues a frame that is yet to be written, of about `estimated_bytes`. It keeps its place in
    /// the order. Whether it was queued.
    pub fn push_deferred(
        &self,
        estimated_bytes: usize,
        write: impl FnOnce() -> Frame + Send + 'static,
    ) -> bool {
        let deferred = Deferred {
            estimated_bytes,
            write: Box::new(write),
        };
        self.queue(estimated_bytes, Queued::Deferred(deferred))
    }

    fn queue(&self, bytes: usize, item: Queued) -> bool {
        let mut inner = self.lock();
        if inner.closed.is_some() {
            return false;
        }
        let bytes = inner.bytes + bytes;
        let accepted = inner.bytes == 0 || bytes <= self.limits.hard_bytes;
        if accepted {
            inner.queue.push(item);
            inner.bytes = bytes;
        }
        if bytes > self.limits.soft_bytes {
            inner.over_soft_since.get_or_insert_with(Instant::now);
        }
        if !accepted || self.is_stalled(&inner) {
            inner.close(CloseReason::SlowConsumer);
        }
        if inner.waits_for_frames || inner.closed.is_some() {
            inner.wake_after();
        }
        accepted
    }

    /// Ends the client's connection for `reason`. What is queued is still delivered, unless the
    /// client [forfeits](CloseReason::forfeits_queued) it. The first reason stands.
    pub fn close(&self, reason: CloseReason) {
        let mut inner = self.lock();
        inner.close(reason);
        inner.wake_after();
    }

    /// Has the client's own task look again at what lets the client be here.
    pub fn request_recheck(&self) {
        let mut inner = self.lock();
        inner.recheck_requested = true;
        inner.wake_after();
    }

    /// Takes what is queued, in order, appending it to `frames`: all of it, or up to the first frame
    /// that is yet to be written.
    ///
    /// The bytes taken count as queued until [`written`](Self::written) says otherwise.
    ///
    /// # Errors
    ///
    /// [`Interrupt::Recheck`] once after a summons, and [`Interrupt::Closed`] when it is closed and
    /// nothing is left in it.
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
            // A long list is work: only one of them before others have their turn.
            let is_deferred = |item: &Queued| matches!(item, Queued::Deferred(_));
            let first = inner.queue.iter().position(is_deferred);
            let end = first.map_or(inner.queue.len(), |first| first + 1);
            let rest = inner.queue.split_off(end);
            let queue = mem::replace(&mut inner.queue, rest);
            drop(inner);
            // Nobody who pushes waits while deferred frames are written.
            self.hand_over(queue, frames);
            return Poll::Ready(Ok(()));
        }
        if let Some(reason) = inner.closed {
            return Poll::Ready(Err(Interrupt::Closed(reason)));
        }
        // An idle client holds on to no queue.
        inner.queue = Vec::new();
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
        let mut inner = self.lock();
        inner.bytes = inner.bytes.saturating_sub(bytes);
        if inner.bytes <= self.limits.soft_bytes {
            inner.over_soft_since = None;
            inner.last_progress = None;
        } else {
            inner.last_progress = Some(Instant::now());
        }
    }

    /// Whether the client is on its way to the hard limit although it takes what it can: a publisher
    /// with much more to say does well to wait a little. For a client that takes nothing, waiting
    /// would not help, and for one that stays behind the soft limit's time ends it.
    #[must_use]
    pub fn is_catching_up(&self) -> bool {
        let inner = self.lock();
        let is_crowded = inner.bytes > self.limits.soft_bytes.max(self.limits.hard_bytes / 2);
        is_crowded
            && inner.closed.is_none()
            && inner
                .last_progress
                .max(inner.over_soft_since)
                .is_some_and(|since| since.elapsed() < PROGRESS_TIME)
    }

    /// Whether more waits than a client should leave waiting: time to take no more requests from
    /// it, whose answers would only add to it.
    #[must_use]
    pub fn is_over_soft_limit(&self) -> bool {
        self.lock().over_soft_since.is_some()
    }

    /// Closes the outbox when it was over its soft limit for too long. The client's own task asks
    /// this now and then, as a stalled client may be sent nothing more that would tell.
    pub fn check_stall(&self) {
        let mut inner = self.lock();
        if self.is_stalled(&inner) {
            inner.close(CloseReason::SlowConsumer);
        }
    }

    /// Why it closed, if it did: also while frames are left in it.
    #[cfg(test)]
    fn closed(&self) -> Option<CloseReason> {
        self.lock().closed
    }

    fn hand_over(&self, mut queue: Vec<Queued>, frames: &mut impl Extend<Frame>) {
        let (mut estimated, mut actual) = (0, 0);
        frames.extend(queue.drain(..).map(|item| match item {
            Queued::Frame(frame) => frame,
            Queued::Deferred(deferred) => {
                let frame = (deferred.write)();
                estimated += deferred.estimated_bytes;
                actual += frame.len();
                frame
            }
        }));
        let mut inner = self.lock();
        inner.bytes = (inner.bytes + actual).saturating_sub(estimated);
        if inner.queue.is_empty() {
            // A busy client's queue is not allocated anew each time.
            inner.queue = queue;
        }
    }

    fn is_stalled(&self, inner: &Inner) -> bool {
        inner
            .over_soft_since
            .is_some_and(|since| since.elapsed() >= self.limits.soft_time)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code between lock and unlock panics half-way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn wait(&mut self, cx: &Context<'_>, for_frames: bool) {
        self.waits_for_frames = for_frames;
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
            self.queue = Vec::new();
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
mod tests {
    use std::{future::poll_fn, task::Waker};

    use super::*;

    const LIMITS: OutboxLimits = OutboxLimits {
        hard_bytes: 100,
        soft_bytes: 50,
        soft_time: Duration::from_secs(10),
    };

    fn frame(bytes: usize) -> Frame {
        vec![b'x'; bytes].into()
    }

    fn take(outbox: &Outbox) -> Poll<Result<usize, Interrupt>> {
        let mut frames = Vec::new();
        outbox
            .poll_take(&mut Context::from_waker(Waker::noop()), &mut frames)
            .map_ok(|()| frames.iter().map(Frame::len).sum())
    }

    #[tokio::test(start_paused = true)]
    async fn counts_bytes_until_they_are_written() {
        let outbox = Outbox::new(LIMITS);
        assert!(outbox.push(frame(60)));
        assert_eq!(take(&outbox), Poll::Ready(Ok(60)));
        assert!(outbox.push(frame(40)));
        outbox.written(60);
        assert!(outbox.push(frame(60)));
        assert!(!outbox.push(frame(1)), "the hard limit");
        assert_eq!(
            take(&outbox),
            Poll::Ready(Err(Interrupt::Closed(CloseReason::SlowConsumer)))
        );
        assert!(!outbox.push(frame(1)), "closed for good");
    }

    #[tokio::test(start_paused = true)]
    async fn a_single_large_frame_fits_into_an_empty_outbox() {
        let outbox = Outbox::new(LIMITS);
        assert!(outbox.push(frame(1000)));
        assert_eq!(take(&outbox), Poll::Ready(Ok(1000)));
        assert!(!outbox.push(frame(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn tolerates_the_soft_limit_for_its_time() {
        let outbox = Outbox::new(LIMITS);
        assert!(outbox.push(frame(60)));
        tokio::time::advance(Duration::from_secs(9)).await;
        outbox.check_stall();
        assert_eq!(outbox.closed(), None);
        assert_eq!(take(&outbox), Poll::Ready(Ok(60)));
        outbox.written(20);
        assert!(outbox.push(frame(20)), "the time begins anew");
        tokio::time::advance(Duration::from_secs(9)).await;
        outbox.check_stall();
        assert_eq!(outbox.closed(), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        outbox.check_stall();
        assert_eq!(outbox.closed(), Some(CloseReason::SlowConsumer));
    }

    #[tokio::test(start_paused = true)]
    async fn tells_who_is_behind_and_still_reads() {
        let outbox = Outbox::new(LIMITS);
        assert!(outbox.push(frame(60)));
        assert!(outbox.push(frame(30)));
        assert!(outbox.is_catching_up(), "it has had no time yet");
        tokio::time::advance(PROGRESS_TIME).await;
        assert!(!outbox.is_catching_up(), "it takes nothing");
        assert_eq!(take(&outbox), Poll::Ready(Ok(90)));
        outbox.written(30);
        assert!(outbox.is_catching_up());
        outbox.written(30);
        assert!(!outbox.is_catching_up(), "it is no longer behind");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_queued_before_a_close_still_comes_out() {
        let outbox = Outbox::new(LIMITS);
        assert!(outbox.push(frame(10)));
        outbox.close(CloseReason::ServerShuttingDown);
        outbox.close(CloseReason::InternalError);
        assert!(!outbox.push(frame(10)));
        assert_eq!(take(&outbox), Poll::Ready(Ok(10)));
        assert_eq!(
            take(&outbox),
            Poll::Ready(Err(Interrupt::Closed(CloseReason::ServerShuttingDown)))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_summons_comes_before_all_else_and_once() {
        let outbox = Outbox::new(LIMITS);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(outbox.push(frame(10)));
        outbox.request_recheck();
        outbox.request_recheck();
        assert_eq!(take(&outbox), Poll::Ready(Err(Interrupt::Recheck)));
        assert_eq!(take(&outbox), Poll::Ready(Ok(10)));
        assert!(outbox.poll_interrupt(&mut cx).is_pending());
        outbox.request_recheck();
        outbox.close(CloseReason::CertificateRevoked);
        assert_eq!(
            outbox.poll_interrupt(&mut cx),
            Poll::Ready(Interrupt::Recheck)
        );
        assert_eq!(
            outbox.poll_interrupt(&mut cx),
            Poll::Ready(Interrupt::Closed(CloseReason::CertificateRevoked))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_lost_the_right_to_it_is_not_left_what_is_queued() {
        let outbox = Outbox::new(LIMITS);
        assert!(outbox.push(frame(10)));
        let reason = CloseReason::PermissionWithdrawn;
        outbox.close(reason);
        assert_eq!(take(&outbox), Poll::Ready(Err(Interrupt::Closed(reason))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_deferred_frame_keeps_its_place_and_is_counted_as_what_it_came_to() {
        let outbox = Outbox::new(LIMITS);
        assert!(outbox.push(frame(10)));
        assert!(outbox.push_deferred(30, || frame(60)));
        assert!(outbox.push(frame(20)));
        let mut frames = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(outbox.poll_take(&mut cx, &mut frames).is_ready());
        assert!(outbox.poll_take(&mut cx, &mut frames).is_ready());
        assert_eq!(
            frames.iter().map(Frame::len).collect::<Vec<_>>(),
            [10, 60, 20]
        );
        assert!(outbox.push(frame(10)), "90 bytes, and ten fit");
        assert!(!outbox.push(frame(1)), "the hard limit");
    }

    #[tokio::test(start_paused = true)]
    async fn deferred_frames_are_written_one_at_a_time() {
        let outbox = Outbox::new(LIMITS);
        for bytes in [10, 20] {
            assert!(outbox.push_deferred(bytes, move || frame(bytes)));
        }
        assert!(outbox.push(frame(5)));
        assert_eq!(take(&outbox), Poll::Ready(Ok(10)));
        assert_eq!(take(&outbox), Poll::Ready(Ok(20)));
        assert_eq!(take(&outbox), Poll::Ready(Ok(5)));
        assert_eq!(take(&outbox), Poll::Pending);
    }

    #[tokio::test(start_paused = true)]
    async fn wakes_who_waits() {
        let outbox = std::sync::Arc::new(Outbox::new(LIMITS));
        let waiting = tokio_util::task::TaskTracker::new().spawn({
            let outbox = outbox.clone();
            async move {
                let mut frames = Vec::new();
                poll_fn(|cx| outbox.poll_take(cx, &mut frames))
                    .await
                    .map(|()| frames.len())
            }
        });
        tokio::task::yield_now().await;
        assert!(outbox.push(frame(1)));
        assert_eq!(waiting.await.unwrap(), Ok(1));
    }
}
