//! How long the broker may be silent: when the client sends a ping, and when it gives up.
//!
//! The broker pings a client that is silent, after one interval. So an idle connection never gets to
//! a ping of the client. One on which the client keeps sending does: the broker never pings there.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Silent intervals after which the client sends a ping.
const INTERVALS_BEFORE_PING: u32 = 2;

/// Silent intervals after which the connection is lost.
const INTERVALS_MAX: u32 = 3;

/// The interval where the broker never pings.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);

/// The time since something arrived.
#[derive(Debug)]
pub(super) struct Silence {
    since: Instant,
    /// `None` if the client may not send any more.
    ping_after: Option<Duration>,
    is_pinged: bool,
    lost_after: Duration,
}

/// What a silence that lasts calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    Ping,
    Lost,
}

impl Silence {
    /// `interval` is the one after which the broker sends a ping; zero if it sends none.
    pub(super) fn new(interval: Duration) -> Self {
        let interval = if interval.is_zero() {
            DEFAULT_INTERVAL
        } else {
            interval
        };
        Self {
            since: Instant::now(),
            ping_after: Some(interval.saturating_mul(INTERVALS_BEFORE_PING)),
            is_pinged: false,
            lost_after: interval.saturating_mul(INTERVALS_MAX),
        }
    }

    /// After the last line of the client: no ping can follow it.
    pub(super) fn after_last_line(timeout: Duration) -> Self {
        Self {
            since: Instant::now(),
            ping_after: None,
            is_pinged: false,
            lost_after: timeout,
        }
    }

    /// Something arrived. A ping is due again after the next silence.
    pub(super) fn ended(&mut self) {
        self.since = Instant::now();
        self.is_pinged = false;
    }

    /// Waits until the silence has lasted too long, and says what to do. Can be cancelled. Asks for one
    /// ping in each silence.
    pub(super) async fn overdue(&mut self) -> Overdue {
        let ping_after = self.ping_after.filter(|_| !self.is_pinged);
        let after = ping_after.unwrap_or(self.lost_after);
        sleep(after.saturating_sub(self.since.elapsed())).await;
        if ping_after.is_none() {
            return Overdue::Lost;
        }
        self.is_pinged = true;
        Overdue::Ping
    }
}
