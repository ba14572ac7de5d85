//! Which client subscribes to what, and how much of it counts for whom.
//!
//! Owns the routing table that is published next, and the limits of subscriptions.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use super::limits::{Limits, count_down, is_reached};
use crate::{
    broker::{ClientHandle, routes::RoutingTable},
    identity::Identity,
    protocol::{ClientId, Code, CodedError},
    topic::{FilterShape, TopicFilter},
};

/// All subscriptions, and how many each identity has.
///
/// A subscription enters the routing table and the counts together, and leaves both together.
#[derive(Default)]
pub(super) struct Subscriptions {
    table: RoutingTable,
    total: usize,
    by_identity: HashMap<Identity, Holding>,
}

/// What the clients of one identity hold together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Holding {
    pub(super) subscriptions: usize,
    pub(super) by_shape: HashMap<FilterShape, usize>,
}

impl Subscriptions {
    /// Checks that the limits of identity and server leave room for one more.
    pub(super) fn has_room(
        &self,
        filter: &TopicFilter,
        identity: &Identity,
        limits: &Limits,
    ) -> Result<(), CodedError> {
        let full = |reason: String| Err(CodedError::new(Code::TooManySubscriptions, reason));
        if is_reached(limits.subscriptions_total, self.total) {
            let limit = limits.subscriptions_total;
            return full(format!("the server holds its {limit} subscriptions"));
        }
        let Some(holding) = self.by_identity.get(identity) else {
            return Ok(());
        };
        if is_reached(limits.subscriptions_per_identity, holding.subscriptions) {
            let limit = limits.subscriptions_per_identity;
            return full(format!("this identity holds its {limit} subscriptions"));
        }
        let is_new_shape = filter
            .shape()
            .is_some_and(|shape| !holding.by_shape.contains_key(&shape));
        let limit = limits.filter_shapes_per_identity;
        if is_new_shape && is_reached(limit, holding.by_shape.len()) {
            return full(format!(
                "the filters of this identity have their {limit} shapes: numbers of levels and places of wildcards"
            ));
        }
        Ok(())
    }

    pub(super) fn insert(
        &mut self,
        filter: &TopicFilter,
        client_id: ClientId,
        identity: &Identity,
        handle: Arc<ClientHandle>,
    ) {
        self.table.insert(filter, client_id, handle);
        self.total += 1;
        let holding = self.by_identity.entry(identity.clone()).or_default();
        holding.subscriptions += 1;
        if let Some(shape) = filter.shape() {
            *holding.by_shape.entry(shape).or_default() += 1;
        }
    }

    /// Removes one that is there.
    pub(super) fn remove(
        &mut self,
        filter: &TopicFilter,
        client_id: ClientId,
        identity: &Identity,
    ) {
        self.table.remove(filter, client_id);
        self.total -= 1;
        if let Entry::Occupied(mut entry) = self.by_identity.entry(identity.clone()) {
            let holding = entry.get_mut();
            holding.subscriptions -= 1;
            if let Some(shape) = filter.shape() {
                count_down(&mut holding.by_shape, shape);
            }
            if holding.subscriptions == 0 {
                entry.remove();
            }
        }
    }

    /// The table, as the next generation.
    pub(super) fn next_generation(&mut self) -> Arc<RoutingTable> {
        self.table.next_generation()
    }

    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, &HashMap<Identity, Holding>) {
        (self.total, &self.by_identity)
    }
}
