//! How many there may be of what, and counting.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
};

/// The limits that the registry keeps. 0 stands for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Admitted connections in total.
    pub connections: usize,
    /// Admitted connections of one identity.
    pub connections_per_identity: usize,
    /// Admitted connections from one IPv4 address, or one IPv6 /64.
    pub connections_per_address: usize,
    /// Subscriptions of one client.
    pub subscriptions_per_client: usize,
    /// Subscriptions of all clients of one identity together.
    pub subscriptions_per_identity: usize,
    /// Subscriptions of all clients.
    pub subscriptions_total: usize,
    /// Different shapes that the filters of one identity may have: so many of a client's filters, and
    /// one without wildcards, can match one message.
    pub filter_shapes_per_identity: usize,
    /// Whether clients are told of each other's coming and going.
    pub presence: bool,
}

/// Whether `count` is as many as there may be.
pub(super) const fn is_reached(limit: usize, count: usize) -> bool {
    limit > 0 && count >= limit
}

/// Counts one off, and removes what is down to none.
pub(super) fn count_down<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: K) {
    if let Entry::Occupied(mut entry) = counts.entry(key) {
        *entry.get_mut() -= 1;
        if *entry.get() == 0 {
            entry.remove();
        }
    }
}
