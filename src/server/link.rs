use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::wire::Wire;
use crate::{
    broker::{Interrupt, Outbox},
    protocol::CloseReason,
};

/// Bytes that a task reads before it lets others run. A publisher that went on while there is input
/// would fill every outbox before any receiver had its turn; this way its input waits in its socket.
const READ_TURN_BYTES: usize = 64 * 1024;

/// Bytes that a task writes before it lets others run: enough for full records, and little beside
/// what may wait in the outboxes of those whose turn it is not.
const WRITE_TURN_BYTES: usize = 256 * 1024;

/// How long a task works on what has come before it lets others run, in however many pieces it came:
/// a line can be costly, as a publish is where many thousand wildcard filters have to be looked at,
/// and a peer may send each byte in a record of its own.
const TURN_TIME: Duration = Duration::from_millis(2);

/// The longest pause of a publisher, after each turn of reading, for a receiver that is far behind and
/// catching up. It bounds what a slow receiver can cost a publisher: 64 KiB every 50 ms still go on,
/// and a receiver that stays behind is closed after the soft limit's time.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// How often a pausing publisher looks whether the receiver has caught up.
const PAUSE_CHECK_INTERVAL: Duration = Duration::from_millis(1);

/// How long a client that can no longer be written to is read. What it has sent is there already, and
/// no more than its socket holds; only a client that is held to a rate needs longer.
const DEAF_TIME_MAX: Duration = Duration::from_secs(5);

/// How often a client that does not take what was written for it is looked at.
const STALL_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Between a client's outbox and its wire: writes what is queued, and wakes its task for all else.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) wire: Wire,
    outbox: Arc<Outbox>,
    timer: Pin<Box<Sleep>>,
    turn: Turn,
    pause: Option<Pause>,
}

/// What a task has done since it last let others run.
#[derive(Debug, Default)]
struct Turn {
    /// Bytes.
    read: usize,
    written: usize,
    /// When it is over in any case; `None` where nothing has come in it.
    ends: Option<Instant>,
}

impl Turn {
    fn ends(&mut self) -> Instant {
        *self.ends.get_or_insert_with(|| Instant::now() + TURN_TIME)
    }

    const fn has_read_all(&self) -> bool {
        self.read >= READ_TURN_BYTES
    }

    const fn has_written_all(&self) -> bool {
        self.written >= WRITE_TURN_BYTES
    }
}

/// Reading waits.
#[derive(Debug)]
struct Pause {
    /// Until then,
    until: Instant,
    /// or until this receiver of what was read has caught up.
    receiver: Option<Arc<Outbox>>,
}

/// What a connection's task is woken for.
#[derive(Debug)]
pub(super) enum Wake {
    /// There are bytes to take.
    Received,
    /// The peer ended the stream, or it broke.
    Ended(io::Result<()>),
    /// Something in the broker ends the connection; what was queued before that is written.
    Closed(CloseReason),
    /// What lets the client be here is to be judged again.
    Recheck,
    /// The time asked for has come.
    Due,
}

impl Link {
    pub(super) fn new(wire: Wire, outbox: Arc<Outbox>) -> Self {
        Self {
            wire,
            outbox,
            timer: Box::pin(sleep_until(Instant::now())),
            turn: Turn::default(),
            pause: None,
        }
    }

    /// Writes and waits, until there is something to do or `due` has come. Can be cancelled at any
    /// point without losing a byte.
    pub(super) async fn wait(&mut self, due: Instant) -> Wake {
        poll_fn(|cx| {
            if self.turn.has_read_all() || self.turn.has_written_all() {
                cx.waker().wake_by_ref();
                return self.end_turn();
            }
            match self.poll_wake(cx, due) {
                Poll::Ready(wake) => Poll::Ready(wake),
                Poll::Pending => self.end_turn(),
            }
        })
        .await
    }

    /// Whether so much was read in one go that others should have their turn.
    pub(super) const fn has_read_its_turn(&self) -> bool {
        self.turn.has_read_all()
    }

    /// When others should have their turn, however little was read.
    pub(super) fn turn_ends(&mut self) -> Instant {
        self.turn.ends()
    }

    /// Lets others run before anything more is read.
    pub(super) const fn end_turn_soon(&mut self) {
        self.turn.read = READ_TURN_BYTES;
    }

    /// Reads no more until `receiver` has caught up, or for [`PAUSE_MAX`].
    pub(super) fn pause_reading(&mut self, receiver: Arc<Outbox>) {
        self.pause = Some(Pause {
            until: Instant::now() + PAUSE_MAX,
            receiver: Some(receiver),
        });
    }

    /// Reads no more until then, as the client is over its rate; `None` when it is not, or no longer.
    pub(super) fn hold_to_rate(&mut self, until: Option<Instant>) {
        match until {
            Some(until) => {
                self.pause = Some(Pause {
                    until,
                    receiver: None,
                });
            }
            None => drop(self.pause.take_if(|pause| pause.receiver.is_none())),
        }
    }

    /// Whether the client is not heard because it is over its rate.
    pub(super) fn holds_client_to_rate(&self) -> bool {
        self.pause
            .as_ref()
            .is_some_and(|pause| pause.receiver.is_none() && Instant::now() < pause.until)
    }

    /// When to look again whether reading can go on; `None` when it can.
    fn paused_until(&mut self) -> Option<Instant> {
        let now = Instant::now();
        self.pause.take_if(|pause| {
            let has_caught_up = |receiver: &Arc<Outbox>| !receiver.is_catching_up();
            now >= pause.until || pause.receiver.as_ref().is_some_and(has_caught_up)
        });
        let pause = self.pause.as_ref()?;
        Some(match pause.receiver {
            Some(_) => now + PAUSE_CHECK_INTERVAL,
            None => pause.until,
        })
    }

    /// Lets others run.
    fn end_turn(&mut self) -> Poll<Wake> {
        self.turn = Turn::default();
        Poll::Pending
    }

    /// Takes what has been made use of off what has come.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.turn.read += bytes;
        self.wire.consume(bytes);
    }

    /// The bytes that have come, and the outbox that their answers go to.
    pub(super) fn received(&mut self) -> (&[u8], &Outbox) {
        (self.wire.received(), &self.outbox)
    }

    /// Moves what is left in the outbox to the wire, for a farewell.
    pub(super) fn take_queued(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        let mut take = || self.outbox.poll_take(&mut cx, self.wire.queue());
        // A request to check again comes too late. Neither "nothing left" nor "closed" leaves anything to do.
        while let Poll::Ready(Ok(()) | Err(Interrupt::Recheck)) = take() {}
    }

    fn poll_wake(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<Wake> {
        let mut look_again = due;
        match self.poll_write(cx) {
            Poll::Ready(wake) => return Poll::Ready(wake),
            Poll::Pending if !self.wire.is_idle() => {
                self.outbox.check_stall();
                match self.outbox.poll_interrupt(cx) {
                    Poll::Ready(Interrupt::Recheck) => return Poll::Ready(Wake::Recheck),
                    Poll::Ready(Interrupt::Closed(reason)) if reason.forfeits_queued() => {
                        return Poll::Ready(Wake::Closed(reason));
                    }
                    // What was queued before is written first.
                    Poll::Ready(Interrupt::Closed(_)) | Poll::Pending => {}
                }
                look_again = due.min(Instant::now() + STALL_CHECK_INTERVAL);
            }
            Poll::Pending => {}
        }
        // Before anything is read: who always has something to say is not to outlive its time.
        if Instant::now() >= due {
            return Poll::Ready(Wake::Due);
        }
        if let Some(since) = self.wire.deaf_since() {
            let until = since + DEAF_TIME_MAX;
            if Instant::now() >= until {
                return Poll::Ready(Wake::Ended(Err(io::ErrorKind::TimedOut.into())));
            }
            look_again = look_again.min(until);
        }
        if let Some(until) = self.paused_until() {
            look_again = look_again.min(until);
        } else if !self.outbox.is_over_soft_limit() {
            // While much waits for the client itself, its requests wait too: their answers would
            // add to it.
            match self.wire.poll_receive(cx) {
                Poll::Ready(Ok(true)) => return Poll::Ready(Wake::Received),
                Poll::Ready(Ok(false)) => return Poll::Ready(Wake::Ended(Ok(()))),
                Poll::Ready(Err(error)) => return Poll::Ready(Wake::Ended(Err(error))),
                Poll::Pending => {}
            }
        }
        ready!(self.poll_timer(cx, look_again));
        if Instant::now() >= due {
            return Poll::Ready(Wake::Due);
        }
        // Time to look at all of it again.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Moves frames from the outbox to the wire until one of them has no more to give or take.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        loop {
            if self.wire.is_idle()
                && let Err(interrupt) = ready!(self.outbox.poll_take(cx, self.wire.queue()))
            {
                return Poll::Ready(match interrupt {
                    Interrupt::Closed(reason) => Wake::Closed(reason),
                    Interrupt::Recheck => Wake::Recheck,
                });
            }
            match ready!(self.wire.poll_send(cx)) {
                0 => {}
                bytes => {
                    self.outbox.written(bytes);
                    self.turn.written += bytes;
                    if self.turn.has_written_all() {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// The timer is set anew only for an earlier time: what is due moves on with every line that
    /// comes, and a timer that goes off too early costs less than one that is always reset.
    fn poll_timer(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        if at < self.timer.deadline() {
            self.timer.as_mut().reset(at);
        }
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if Instant::now() >= at {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever sends a thousand small records has no thousand turns at once.
    #[tokio::test(start_paused = true)]
    async fn a_turn_s_time_runs_on_over_all_that_comes_in_it() {
        let begun = Instant::now();
        let mut turn = Turn::default();
        assert_eq!(turn.ends(), begun + TURN_TIME);
        tokio::time::advance(TURN_TIME / 2).await;
        assert_eq!(turn.ends(), begun + TURN_TIME);
        turn = Turn::default();
        assert_eq!(turn.ends(), begun + TURN_TIME + TURN_TIME / 2);
    }
}
