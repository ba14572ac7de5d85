//! How often one network may connect.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use tokio::time::Instant;

use super::gcra::{Meter, Rate};
use crate::network::Network;

/// Networks that are remembered.
const NETWORKS_MAX: usize = 64 * 1024;

/// How many of them are forgotten at least when there are too many: so many newcomers share the cost
/// of looking for them.
const FORGOTTEN_AT_ONCE: usize = NETWORKS_MAX / 4;

/// Holds the connection attempts of each network against a rate, before they cost a handshake.
#[derive(Debug)]
pub(in crate::server) struct ConnectionRateLimiter {
    /// `None` where attempts are not limited.
    rate: Option<Rate>,
    networks: Mutex<HashMap<Network, Meter>>,
}

impl ConnectionRateLimiter {
    /// `per_minute`: of one network; 0 = no limit.
    pub(in crate::server) fn new(per_minute: u32) -> Self {
        Self {
            rate: Rate::per_minute(per_minute.into()),
            networks: Mutex::default(),
        }
    }

    /// Whether one more attempt is within the rate. Those that are not count for nothing: a network
    /// that goes on trying still gets its rate.
    pub(in crate::server) fn is_taken(&self, network: Network, now: Instant) -> bool {
        let Some(rate) = self.rate else {
            return true;
        };
        let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        if networks.len() >= NETWORKS_MAX && !networks.contains_key(&network) {
            make_room(&mut networks, now);
        }
        let new = || Meter::new(rate, now);
        let meter = networks.entry(network).or_insert_with(new);
        meter.count_within(1, now)
    }
}

/// Forgets those that have kept quiet, and where that is not enough those that come closest to it:
/// whoever is at its rate stays.
fn make_room(networks: &mut HashMap<Network, Meter>, now: Instant) {
    networks.retain(|_, meter| meter.is_running(now));
    let left = NETWORKS_MAX - FORGOTTEN_AT_ONCE;
    let Some(too_many @ 1..) = networks.len().checked_sub(left) else {
        return;
    };
    let mut paid_until: Vec<Instant> = networks.values().map(Meter::paid_until).collect();
    let (_, last, _) = paid_until.select_nth_unstable(too_many - 1);
    let (last, mut forgotten) = (*last, 0);
    networks.retain(|_, meter| {
        let stays = meter.paid_until() > last || forgotten == too_many;
        forgotten += usize::from(!stays);
        stays
    });
}

#[cfg(test)]
mod tests {
    use std::{
        net::{IpAddr, Ipv4Addr},
        time::Duration,
    };

    use super::*;

    fn network(number: u32) -> Network {
        IpAddr::from(Ipv4Addr::from_bits(number)).into()
    }

    #[tokio::test(start_paused = true)]
    async fn each_address_has_its_own_rate() {
        let connection_rate = ConnectionRateLimiter::new(2);
        let now = Instant::now();
        let taken = |of: u32, now| connection_rate.is_taken(network(of), now);
        assert_eq!([(); 3].map(|()| taken(1, now)), [true, true, false]);
        assert!(taken(2, now));
        let later = now + Duration::from_secs(30);
        assert_eq!([(); 2].map(|()| taken(1, later)), [true, false]);
        let much_later = later + Duration::from_secs(90);
        assert_eq!([(); 3].map(|()| taken(1, much_later)), [true, true, false]);
    }

    /// Its bound is reached again and again; who is over its rate is never let go by it.
    #[tokio::test(start_paused = true)]
    async fn a_crowd_makes_nobody_forgotten_that_is_over_its_rate() {
        let connection_rate = ConnectionRateLimiter::new(2);
        let now = Instant::now();
        let most = u32::try_from(NETWORKS_MAX).unwrap();
        for number in 0..1000 {
            let number = network(number);
            assert!(connection_rate.is_taken(number, now) && connection_rate.is_taken(number, now));
        }
        for number in 1000..4 * most {
            assert!(connection_rate.is_taken(network(number), now));
            if number % 10_000 == 0 {
                assert!((0..1000).all(|old| !connection_rate.is_taken(network(old), now)));
            }
        }
        assert!((0..1000).all(|old| !connection_rate.is_taken(network(old), now)));
        let known = connection_rate.networks.lock().unwrap().len();
        assert!(known <= NETWORKS_MAX, "{known}");
    }

    #[tokio::test(start_paused = true)]
    async fn forgets_first_those_that_have_kept_quiet() {
        let connection_rate = ConnectionRateLimiter::new(1);
        let start = Instant::now();
        let later = start + Duration::from_secs(90);
        let most = u32::try_from(NETWORKS_MAX).unwrap();
        for number in 0..most {
            let of_late = number % 3 == 0;
            connection_rate.is_taken(network(number), if of_late { later } else { start });
        }
        assert!(connection_rate.is_taken(network(most), later));
        let of_late = (0..most).filter(|number| number % 3 == 0).count();
        assert_eq!(connection_rate.networks.lock().unwrap().len(), of_late + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_nobody_is_remembered() {
        let connection_rate = ConnectionRateLimiter::new(0);
        for _ in 0..100 {
            assert!(connection_rate.is_taken(network(1), Instant::now()));
        }
        assert!(connection_rate.networks.lock().unwrap().is_empty());
    }
}
