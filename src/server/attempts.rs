use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
};

use tokio::time::Instant;

use super::rate::{Meter, Rate};

/// Addresses that are remembered before those that have kept quiet are forgotten.
const ADDRESSES_MAX: usize = 64 * 1024;

/// Holds the connection attempts of each address against a rate, before they cost a handshake.
#[derive(Debug)]
pub(super) struct Attempts {
    /// `None` where attempts are not limited.
    rate: Option<Rate>,
    addresses: Mutex<HashMap<IpAddr, Address>>,
}

#[derive(Debug)]
struct Address {
    meter: Meter,
    is_refused: bool,
}

/// What becomes of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    Taken,
    /// `first`: since the address last kept quiet.
    Refused {
        first: bool,
    },
}

impl Attempts {
    /// `per_minute`: of one address; 0 = no limit.
    pub(super) fn new(per_minute: u32) -> Self {
        Self {
            rate: Rate::per_minute(per_minute.into()),
            addresses: Mutex::default(),
        }
    }

    /// Judges one attempt. Those that are refused count for nothing: an address that goes on trying
    /// still gets its rate.
    pub(super) fn judge(&self, address: IpAddr, now: Instant) -> Attempt {
        let Some(rate) = self.rate else {
            return Attempt::Taken;
        };
        let mut addresses = self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if addresses.len() >= ADDRESSES_MAX {
            addresses.retain(|_, address| address.meter.is_running(now));
            // So many at once are no crowd of clients. To begin anew is better than to search all
            // of them for each that comes.
            if addresses.len() > ADDRESSES_MAX / 2 {
                addresses.clear();
            }
        }
        let address = addresses
            .entry(network(address))
            .or_insert_with(|| Address {
                meter: Meter::new(rate, now),
                is_refused: false,
            });
        let mut with_this = address.meter;
        with_this.count(1, now);
        if with_this.over_until(now).is_some() {
            let first = !address.is_refused;
            address.is_refused = true;
            return Attempt::Refused { first };
        }
        // Told of once, until it has kept quiet.
        address.is_refused &= address.meter.is_running(now);
        address.meter = with_this;
        Attempt::Taken
    }
}

/// What one peer can choose its addresses from: for IPv6, whole networks of 64 bits are given away.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            Ipv6Addr::from_bits(network).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn each_address_has_its_own_rate() {
        let attempts = Attempts::new(2);
        let now = Instant::now();
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        assert_eq!(attempts.judge(one, now), Attempt::Taken);
        assert_eq!(attempts.judge(one, now), Attempt::Taken);
        assert_eq!(attempts.judge(one, now), Attempt::Refused { first: true });
        assert_eq!(attempts.judge(one, now), Attempt::Refused { first: false });
        assert_eq!(attempts.judge(other, now), Attempt::Taken);
        let later = now + Duration::from_secs(30);
        assert_eq!(attempts.judge(one, later), Attempt::Taken);
        assert_eq!(
            attempts.judge(one, later),
            Attempt::Refused { first: false }
        );
        let much_later = later + Duration::from_secs(90);
        for _ in 0..2 {
            assert_eq!(attempts.judge(one, much_later), Attempt::Taken);
        }
        assert_eq!(
            attempts.judge(one, much_later),
            Attempt::Refused { first: true }
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_of_ipv6_counts_as_one_address() {
        let attempts = Attempts::new(1);
        let now = Instant::now();
        assert_eq!(attempts.judge(address("2001:db8::1"), now), Attempt::Taken);
        assert_eq!(
            attempts.judge(address("2001:db8::ffff:2"), now),
            Attempt::Refused { first: true }
        );
        assert_eq!(
            attempts.judge(address("2001:db8:0:1::1"), now),
            Attempt::Taken
        );
        assert_eq!(
            attempts.judge(address("::ffff:192.0.2.1"), now),
            Attempt::Taken
        );
        assert_eq!(
            attempts.judge(address("192.0.2.1"), now),
            Attempt::Refused { first: true }
        );
    }

    #[tokio::test(start_paused = true)]
    async fn forgets_those_that_keep_quiet_and_never_grows_beyond_its_bound() {
        let attempts = Attempts::new(1);
        let start = Instant::now();
        let known = || attempts.addresses.lock().unwrap().len();
        let come = |numbers: std::ops::Range<u32>, now| {
            for number in numbers {
                attempts.judge(IpAddr::V4(number.into()), now);
            }
        };
        let (most, later) = (
            u32::try_from(ADDRESSES_MAX).unwrap(),
            start + Duration::from_secs(90),
        );
        come(0..most - 2, start);
        come(most..most + 2, later);
        assert_eq!(known(), ADDRESSES_MAX);
        come(most + 2..most + 3, later);
        assert_eq!(known(), 3, "those of late");
        let knocks_again = attempts.judge(IpAddr::V4(most.into()), later);
        assert_eq!(knocks_again, Attempt::Refused { first: true });
        come(0..3 * most, later);
        assert!(known() <= ADDRESSES_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_nobody_is_remembered() {
        let attempts = Attempts::new(0);
        for _ in 0..100 {
            let attempt = attempts.judge(address("192.0.2.1"), Instant::now());
            assert_eq!(attempt, Attempt::Taken);
        }
        assert!(attempts.addresses.lock().unwrap().is_empty());
    }
}
