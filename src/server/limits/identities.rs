//! The rate limiters of all identities, each shared by all connections of its identity.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

use super::identity::IdentityRateLimiter;
use crate::{access::ClientLimits, identity::Identity};

/// Identities that are remembered before those that make use of nothing are looked for.
const IDENTITIES_MAX: usize = 64 * 1024;

/// The allowance of every identity: all its connections share it, and it outlives them. Neither many
/// connections nor a new one is a way around it.
#[derive(Debug, Default)]
pub(in crate::server) struct IdentityRateLimiters(Mutex<Known>);

#[derive(Debug)]
struct Known {
    rate_limiters: HashMap<Identity, SharedRateLimiter>,
    /// At so many it is looked for those to forget. At twice as many as are left then, again: not at
    /// every connection where all are in use.
    look_at: usize,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            rate_limiters: HashMap::new(),
            look_at: IDENTITIES_MAX,
        }
    }
}

/// One identity's. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::server) struct SharedRateLimiter(Arc<Mutex<IdentityRateLimiter>>);

impl IdentityRateLimiters {
    /// That of `identity`, with `limits` where it is new.
    pub(in crate::server) fn of(
        &self,
        identity: &Identity,
        limits: &ClientLimits,
        now: Instant,
    ) -> SharedRateLimiter {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.rate_limiters.len() >= known.look_at {
            known
                .rate_limiters
                .retain(|_, rate_limiter| rate_limiter.is_in_use(now));
            known.look_at = IDENTITIES_MAX.max(known.rate_limiters.len() * 2);
        }
        let rate_limiter = known.rate_limiters.entry(identity.clone());
        let new = || SharedRateLimiter(Arc::new(Mutex::new(IdentityRateLimiter::new(limits, now))));
        rate_limiter.or_insert_with(new).clone()
    }
}

impl SharedRateLimiter {
    pub(in crate::server) fn lock(&self) -> MutexGuard<'_, IdentityRateLimiter> {
        // No code between lock and unlock panics half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_in_use(&self, now: Instant) -> bool {
        Arc::strong_count(&self.0) > 1 || self.lock().is_running(now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ONE_A_SECOND: ClientLimits = ClientLimits {
        publish_messages_per_second: Some(1),
        publish_bytes_per_second: None,
        errors_per_minute: None,
    };

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_is_no_way_around_what_was_used_up() {
        let (rate_limiters, now) = (IdentityRateLimiters::default(), Instant::now());
        let of = |name: &str| {
            let identity = Identity::parse(name).unwrap();
            rate_limiters.of(&identity, &ONE_A_SECOND, now)
        };
        let first = of("alice");
        (0..3).for_each(|_| first.lock().count_publish(10));
        drop(first);
        assert!(of("alice").lock().too_fast_until(now).is_some());
        assert!(of("bob").lock().too_fast_until(now).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn forgets_those_that_make_use_of_nothing() {
        let (rate_limiters, start) = (IdentityRateLimiters::default(), Instant::now());
        let later = start + Duration::from_secs(10);
        let of = |number: usize, now| {
            let identity = Identity::parse(&number.to_string()).unwrap();
            rate_limiters.of(&identity, &ONE_A_SECOND, now)
        };
        let held = of(0, start);
        (0..20).for_each(|_| of(1, start).lock().count_publish(1));
        (2..IDENTITIES_MAX).for_each(|number| drop(of(number, start)));
        of(IDENTITIES_MAX, later);
        assert_eq!(rate_limiters.0.lock().unwrap().rate_limiters.len(), 3);
        assert!(of(1, later).lock().is_running(later));
        drop(held);
    }
}
