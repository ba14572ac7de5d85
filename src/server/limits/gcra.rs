//! How fast something may come, and how that is measured.

use std::{num::NonZeroU64, time::Duration};

use tokio::time::Instant;

/// So many units in a time, and as many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    units: NonZeroU64,
    time: Duration,
}

impl Rate {
    /// `None` for 0, which stands for no limit.
    pub(super) fn per_second(units: u64) -> Option<Self> {
        let units = NonZeroU64::new(units)?;
        let time = Duration::from_secs(1);
        Some(Self { units, time })
    }

    /// `None` for 0, which stands for no limit.
    pub(super) fn per_minute(units: u64) -> Option<Self> {
        let units = NonZeroU64::new(units)?;
        let time = Duration::from_secs(60);
        Some(Self { units, time })
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate of over 2^52 units is no limit that anyone would notice"
    )]
    fn time_for(self, units: u64) -> Duration {
        self.time.mul_f64(units as f64 / self.units.get() as f64)
    }
}

/// Holds what comes against a rate. The generic cell rate algorithm (ITU-T I.371): one time says
/// all, the time until which what came is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meter {
    rate: Rate,
    paid_until: Instant,
}

impl Meter {
    /// One that nothing has come to.
    pub(super) const fn new(rate: Rate, now: Instant) -> Self {
        let paid_until = now;
        Self { rate, paid_until }
    }

    pub(super) const fn rate(&self) -> Rate {
        self.rate
    }

    /// Notes that `units` came.
    pub(super) fn count(&mut self, units: u64, now: Instant) {
        self.paid_until = self.paid_until.max(now) + self.rate.time_for(units);
    }

    /// Notes that `units` came, unless that is more than the rate allows: whether it was not.
    pub(super) fn count_within(&mut self, units: u64, now: Instant) -> bool {
        let mut with_these = *self;
        with_these.count(units, now);
        let is_within = with_these.over_until(now).is_none();
        if is_within {
            *self = with_these;
        }
        is_within
    }

    /// When what came is all paid for.
    pub(super) const fn paid_until(&self) -> Instant {
        self.paid_until
    }

    /// Whether what came is not all paid for yet.
    pub(super) fn is_running(&self, now: Instant) -> bool {
        self.paid_until > now
    }

    /// Until when more came than the rate allows; `None` when it is within it.
    pub(super) fn over_until(&self, now: Instant) -> Option<Instant> {
        let back_within = self.paid_until.checked_sub(self.rate.time)?;
        (back_within > now).then_some(back_within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lets_a_burst_through_and_then_the_rate() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut meter = Meter::new(Rate::per_second(10).unwrap(), start);
        meter.count(10, start);
        assert_eq!(meter.over_until(start), None);
        meter.count(1, start);
        assert_eq!(meter.over_until(start), Some(after(100)));
        assert_eq!(meter.over_until(after(100)), None);
        meter.count(20, after(100));
        assert_eq!(meter.over_until(after(100)), Some(after(2100)));
        meter.count(10, after(9000));
        assert_eq!(meter.over_until(after(9000)), None, "rest pays it all");
    }

    #[test]
    fn nothing_is_no_limit() {
        assert_eq!(Rate::per_second(0), None);
        assert_eq!(Rate::per_minute(0), None);
    }
}
