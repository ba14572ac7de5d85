use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

use super::allowance::Allowance;
use crate::{access::ClientLimits, identity::Identity};

/// Identities that are remembered before those that make use of nothing are looked for.
const IDENTITIES_MAX: usize = 64 * 1024;

/// The allowance of every identity: all its connections share it, and it outlives them. Neither many
/// connections nor a new one is a way around it.
#[derive(Debug, Default)]
pub(super) struct Allowances(Mutex<Known>);

#[derive(Debug)]
struct Known {
    allowances: HashMap<Identity, SharedAllowance>,
    /// At so many it is looked for those to forget. At twice as many as are left then, again: not at
    /// every connection where all are in use.
    look_at: usize,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            allowances: HashMap::new(),
            look_at: IDENTITIES_MAX,
        }
    }
}

/// One identity's. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct SharedAllowance(Arc<Mutex<Allowance>>);

impl Allowances {
    /// That of `identity`, with `limits` where it is new.
    pub(super) fn of(
        &self,
        identity: &Identity,
        limits: &ClientLimits,
        now: Instant,
    ) -> SharedAllowance {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.allowances.len() >= known.look_at {
            known
                .allowances
                .retain(|_, allowance| allowance.is_in_use(now));
            known.look_at = IDENTITIES_MAX.max(known.allowances.len() * 2);
        }
        let allowance = known.allowances.entry(identity.clone());
        let new = || SharedAllowance(Arc::new(Mutex::new(Allowance::new(limits, now))));
        allowance.or_insert_with(new).clone()
    }
}

impl SharedAllowance {
    pub(super) fn lock(&self) -> MutexGuard<'_, Allowance> {
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
        let (allowances, now) = (Allowances::default(), Instant::now());
        let of = |name: &str| {
            let identity = Identity::parse(name).unwrap();
            allowances.of(&identity, &ONE_A_SECOND, now)
        };
        let first = of("alice");
        (0..3).for_each(|_| first.lock().count_publish(10));
        drop(first);
        assert!(of("alice").lock().too_fast_until(now).is_some());
        assert!(of("bob").lock().too_fast_until(now).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn forgets_those_that_make_use_of_nothing() {
        let (allowances, start) = (Allowances::default(), Instant::now());
        let later = start + Duration::from_secs(10);
        let of = |number: usize, now| {
            let identity = Identity::parse(&number.to_string()).unwrap();
            allowances.of(&identity, &ONE_A_SECOND, now)
        };
        let held = of(0, start);
        (0..20).for_each(|_| of(1, start).lock().count_publish(1));
        (2..IDENTITIES_MAX).for_each(|number| drop(of(number, start)));
        of(IDENTITIES_MAX, later);
        assert_eq!(allowances.0.lock().unwrap().allowances.len(), 3);
        assert!(of(1, later).lock().is_running(later));
        drop(held);
    }
}
