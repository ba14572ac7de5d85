//! What one identity may do in a time.

use tokio::time::Instant;

use super::gcra::{Meter, Rate};
use crate::access::ClientLimits;

/// What an identity may do in a time, and what it has made use of.
#[derive(Debug)]
pub(in crate::server) struct IdentityRateLimiter {
    messages: Option<Meter>,
    bytes: Option<Meter>,
    errors: Option<Meter>,
}

impl IdentityRateLimiter {
    pub(in crate::server) fn new(limits: &ClientLimits, now: Instant) -> Self {
        let meter = |rate| Some(Meter::new(rate?, now));
        let messages = limits.publish_messages_per_second.unwrap_or(0).into();
        let errors = limits.errors_per_minute.unwrap_or(0).into();
        Self {
            messages: meter(Rate::per_second(messages)),
            bytes: meter(Rate::per_second(
                limits.publish_bytes_per_second.unwrap_or(0),
            )),
            errors: meter(Rate::per_minute(errors)),
        }
    }

    /// Changes to other limits. What was counted against one that stays is still counted.
    pub(in crate::server) fn change(&mut self, limits: &ClientLimits, now: Instant) {
        let new = Self::new(limits, now);
        for (meter, new) in [
            (&mut self.messages, new.messages),
            (&mut self.bytes, new.bytes),
            (&mut self.errors, new.errors),
        ] {
            if meter.map(|meter| meter.rate()) != new.map(|meter| meter.rate()) {
                *meter = new;
            }
        }
    }

    /// Whether there is a rate of publishing to be kept to.
    pub(in crate::server) const fn has_rate(&self) -> bool {
        self.messages.is_some() || self.bytes.is_some()
    }

    /// Whether anything of it is used up.
    pub(in crate::server) fn is_running(&self, now: Instant) -> bool {
        let meters = [self.messages, self.bytes, self.errors];
        meters.iter().flatten().any(|meter| meter.is_running(now))
    }

    /// Notes a message whose line has so many bytes.
    pub(in crate::server) fn count_publish(&mut self, bytes: usize) {
        let now = Instant::now();
        for (meter, units) in [(&mut self.messages, 1), (&mut self.bytes, bytes as u64)] {
            if let Some(meter) = meter {
                meter.count(units, now);
            }
        }
    }

    /// Until when it was published too fast: who does is read more slowly, and nothing of it is
    /// dropped. `None` when it was not.
    pub(in crate::server) fn too_fast_until(&self, now: Instant) -> Option<Instant> {
        let over = |meter: Option<Meter>| meter.and_then(|meter| meter.over_until(now));
        over(self.messages).max(over(self.bytes))
    }

    /// Notes an error: whether it is one too many. Those that are do not add up: whoever makes many
    /// is within the rate again as soon as whoever made one too many.
    pub(in crate::server) fn count_error(&mut self, now: Instant) -> bool {
        self.errors
            .as_mut()
            .is_some_and(|errors| !errors.count_within(1, now))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits(messages: u32, bytes: u64, errors: u32) -> ClientLimits {
        ClientLimits {
            publish_messages_per_second: Some(messages),
            publish_bytes_per_second: Some(bytes),
            errors_per_minute: Some(errors),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_stricter_rate_says_how_long_to_wait() {
        let now = Instant::now();
        let mut rate_limiter = IdentityRateLimiter::new(&limits(10, 1000, 0), now);
        (0..11).for_each(|_| rate_limiter.count_publish(10));
        let wait = Duration::from_millis(100);
        assert_eq!(rate_limiter.too_fast_until(now), Some(now + wait));
        rate_limiter.count_publish(2000);
        let wait = Duration::from_millis(1110);
        assert_eq!(rate_limiter.too_fast_until(now), Some(now + wait));
    }

    #[tokio::test(start_paused = true)]
    async fn errors_beyond_the_limit_leave_no_debt() {
        let start = Instant::now();
        let mut rate_limiter = IdentityRateLimiter::new(&limits(0, 0, 60), start);
        let refused = (0..4000).filter(|_| rate_limiter.count_error(start));
        assert_eq!(refused.count(), 4000 - 60);
        let later = start + Duration::from_secs(1);
        assert!(!rate_limiter.count_error(later), "one a second is free");
        assert!(rate_limiter.count_error(later), "and no more");
        let minute = later + Duration::from_secs(60);
        assert!(
            !rate_limiter.is_running(minute),
            "all of it is over by then"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_forgets_only_what_it_is_about() {
        let now = Instant::now();
        let mut rate_limiter = IdentityRateLimiter::new(&limits(10, 1000, 2), now);
        (0..30).for_each(|_| rate_limiter.count_publish(1));
        assert!(!rate_limiter.count_error(now) && !rate_limiter.count_error(now));
        rate_limiter.change(&limits(10, 5000, 2), now);
        assert!(rate_limiter.too_fast_until(now).is_some(), "the same rate");
        assert!(rate_limiter.count_error(now), "the same errors");
        rate_limiter.change(&limits(0, 5000, 0), now);
        assert_eq!(rate_limiter.too_fast_until(now), None);
        assert!(!rate_limiter.count_error(now), "no limit");
    }
}
