use std::sync::Arc;

use super::{Outbox, Peer, peer::Gate};
use crate::{
    protocol::ClientId,
    topic::{FilterTree, Topic, TopicFilter},
};

/// Who subscribes to what, as of one generation.
///
/// Immutable once published. The registry changes its own copy, which shares nearly all with those
/// that are in use, and publishes that as the next generation.
#[derive(Clone, Debug, Default)]
pub struct RoutingTable {
    generation: u64,
    filters: FilterTree<ClientId, Arc<Peer>>,
}

/// One who receives.
#[derive(Clone, Debug)]
pub struct Subscriber {
    /// Which client.
    pub client_id: ClientId,
    /// Where its messages go.
    pub outbox: Arc<Outbox>,
}

impl RoutingTable {
    /// Notes a subscription.
    pub fn insert(&mut self, filter: &TopicFilter, client_id: ClientId, peer: Arc<Peer>) {
        self.filters.insert(filter, client_id, peer);
    }

    /// Forgets a subscription.
    pub fn remove(&mut self, filter: &TopicFilter, client_id: ClientId) {
        self.filters.remove(filter, &client_id);
    }

    /// Everyone who receives a message on `topic`, each once however many of its filters match:
    /// those who may have it of those who asked for it.
    #[must_use]
    pub fn route(&self, topic: &Topic<'_>) -> Vec<Subscriber> {
        let mut receivers = Vec::new();
        let mut gate = Gate::new(topic);
        let filters = self.filters.each_match(topic, |client_id, peer| {
            if gate.lets_through(peer) {
                receivers.push(Subscriber {
                    client_id: *client_id,
                    outbox: Arc::clone(peer.outbox()),
                });
            }
        });
        if filters > 1 {
            receivers.sort_unstable_by_key(|receiver| receiver.client_id);
            receivers.dedup_by_key(|receiver| receiver.client_id);
        }
        receivers
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
