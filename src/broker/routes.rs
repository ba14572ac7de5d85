//! The routing table: where a message goes, as of one generation.
//!
//! Owns the answer to "who receives this": a [`Route`]. Every recipient in it has passed the gate.

use std::sync::Arc;

use super::{ClientHandle, Outbox, client_handle::Gate};
use crate::{
    protocol::ClientId,
    topic::{FilterTree, Subscribers, Topic, TopicFilter},
};

/// Which client subscribes to what, as of one generation.
///
/// Immutable once published. The registry changes its own copy, which shares nearly everything with
/// the tables in use, and publishes it as the next generation.
#[derive(Clone, Debug, Default)]
pub struct RoutingTable {
    generation: u64,
    filters: FilterTree<ClientId, Arc<ClientHandle>>,
}

#[cfg(test)]
thread_local! {
    /// How often a table was asked where a topic goes.
    pub(super) static LOOK_UPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Where messages to one topic go, as of one generation.
///
/// Both the subscriptions and the permissions may differ in the next generation, so a route is used
/// only while its generation is in force.
#[derive(Debug)]
pub struct Route {
    generation: u64,
    /// Each client that gets its own copy, once however many of its filters match.
    pub recipients: Vec<Recipient>,
}

/// A client that receives a message.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// Its id.
    pub client_id: ClientId,
    /// Where its messages go.
    pub outbox: Arc<Outbox>,
}

impl Route {
    /// The generation of the table that it comes from.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Bytes that it holds beside its own.
    pub(super) const fn heap_bytes(&self) -> usize {
        size_of::<Recipient>() * self.recipients.capacity()
    }
}

impl RoutingTable {
    /// Adds a subscription.
    pub fn insert(&mut self, filter: &TopicFilter, client_id: ClientId, handle: Arc<ClientHandle>) {
        self.filters.insert(filter, client_id, handle);
    }

    /// Removes a subscription.
    pub fn remove(&mut self, filter: &TopicFilter, client_id: ClientId) {
        self.filters.remove(filter, &client_id);
    }

    /// Where a message on `topic` goes: to the subscribers that are allowed to receive it.
    #[must_use]
    pub fn route(&self, topic: &Topic<'_>) -> Route {
        #[cfg(test)]
        LOOK_UPS.set(LOOK_UPS.get() + 1);
        let filters = self.filters.matching(topic);
        let recipients = if let [filter] = filters.as_slice() {
            allowed(topic, filter.iter())
        } else {
            // Duplicates go before anything more is done: many filters of one client are to cost
            // little more than one.
            let mut found: Vec<_> = filters.iter().flat_map(Subscribers::iter).collect();
            found.sort_unstable_by_key(|(client_id, _)| *client_id);
            found.dedup_by_key(|(client_id, _)| *client_id);
            allowed(topic, found.into_iter())
        };
        Route {
            generation: self.generation,
            recipients,
        }
    }

    /// How often a changed table was published: tables of the same generation are equal.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// This table as the next generation.
    pub(super) fn next_generation(&mut self) -> Arc<Self> {
        self.generation += 1;
        Arc::new(self.clone())
    }
}

/// The subscribers that pass the gate for `topic`.
fn allowed<'a>(
    topic: &Topic<'_>,
    found: impl Iterator<Item = (&'a ClientId, &'a Arc<ClientHandle>)>,
) -> Vec<Recipient> {
    let mut gate = Gate::new(topic);
    let (_, found_max) = found.size_hint();
    let mut recipients = Vec::with_capacity(found_max.unwrap_or_default());
    let allowed = found.filter(|(_, handle)| gate.lets_through(handle));
    recipients.extend(allowed.map(|(client_id, handle)| Recipient {
        client_id: *client_id,
        outbox: Arc::clone(handle.outbox()),
    }));
    recipients.shrink_to_fit();
    recipients
}
