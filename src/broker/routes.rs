use std::sync::Arc;

use super::{ClientHandle, Outbox, client_handle::Gate};
use crate::{
    protocol::ClientId,
    topic::{FilterTree, Subscribers, Topic, TopicFilter},
};

/// Who subscribes to what, as of one generation.
///
/// Immutable once published. The registry changes its own copy, which shares nearly all with those
/// that are in use, and publishes that as the next generation.
#[derive(Clone, Debug, Default)]
pub struct RoutingTable {
    generation: u64,
    filters: FilterTree<ClientId, Arc<ClientHandle>>,
}

/// Those of them who may have a message on `topic`.
fn let_through<'a>(
    topic: &Topic<'_>,
    found: impl Iterator<Item = (&'a ClientId, &'a Arc<ClientHandle>)>,
) -> Vec<Recipient> {
    let mut gate = Gate::new(topic);
    let (_, found_max) = found.size_hint();
    let mut receivers = Vec::with_capacity(found_max.unwrap_or_default());
    let let_through = found.filter(|(_, handle)| gate.lets_through(handle));
    receivers.extend(let_through.map(|(client_id, handle)| Recipient {
        client_id: *client_id,
        outbox: Arc::clone(handle.outbox()),
    }));
    receivers.shrink_to_fit();
    receivers
}

#[cfg(test)]
thread_local! {
    /// How often a table was asked where a topic goes.
    pub(super) static LOOK_UPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// One who receives.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// Which client.
    pub client_id: ClientId,
    /// Where its messages go.
    pub outbox: Arc<Outbox>,
}

impl RoutingTable {
    /// Notes a subscription.
    pub fn insert(&mut self, filter: &TopicFilter, client_id: ClientId, handle: Arc<ClientHandle>) {
        self.filters.insert(filter, client_id, handle);
    }

    /// Forgets a subscription.
    pub fn remove(&mut self, filter: &TopicFilter, client_id: ClientId) {
        self.filters.remove(filter, &client_id);
    }

    /// Everyone who receives a message on `topic`, each once however many of its filters match:
    /// those who may have it of those who asked for it.
    #[must_use]
    pub fn route(&self, topic: &Topic<'_>) -> Vec<Recipient> {
        #[cfg(test)]
        LOOK_UPS.set(LOOK_UPS.get() + 1);
        let filters = self.filters.matching(topic);
        if let [filter] = filters.as_slice() {
            return let_through(topic, filter.iter());
        }
        // Before anything more is done for them: many filters of one client are to cost little more
        // than one.
        let mut found: Vec<_> = filters.iter().flat_map(Subscribers::iter).collect();
        found.sort_unstable_by_key(|(client_id, _)| *client_id);
        found.dedup_by_key(|(client_id, _)| *client_id);
        let_through(topic, found.into_iter())
    }

    /// Counts the publications of changed tables: equal generations are equal tables.
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
