//! Holds what the state did against what the model expects.

use std::collections::{BTreeSet, HashMap};

use tokio::sync::oneshot::error::TryRecvError;

use super::*;
use crate::broker::state::subscriptions::Holding;

impl Model {
    /// Applies the batch, and holds every answer against what was expected, in order.
    pub(super) fn deliver(&mut self) {
        let generation = self.world.table.generation();
        let commands = std::mem::take(&mut self.commands);
        let replies = self.world.apply(commands);
        let changed = self.world.table.generation() != generation;
        assert_eq!(
            changed,
            std::mem::take(&mut self.routes_change),
            "a table is published when it changed"
        );
        let expected = std::mem::take(&mut self.expected);
        assert_eq!(replies.len(), expected.len());
        let mut left = Vec::new();
        for (reply, expected) in replies.into_iter().zip(expected) {
            match expected {
                Expected::Admitted(mut received, client_id) => {
                    assert!(matches!(received.try_recv(), Err(TryRecvError::Empty)));
                    reply.send();
                    let admitted = received.try_recv().unwrap().unwrap();
                    assert_eq!(admitted.client_id, client_id);
                    match self.members.get_mut(&client_id) {
                        Some(member) => member.guard = Some(admitted.guard),
                        // It gave way in the same batch.
                        None => left.push((client_id, CloseReason::ConnectionLost)),
                    }
                }
                Expected::AdmittedAndLeft(client_id) => {
                    assert!(matches!(reply, Reply::Admit(_, Ok(_))));
                    reply.send();
                    left.push((client_id, CloseReason::ConnectionLost));
                }
                Expected::Refused(mut received, code) => {
                    assert!(matches!(received.try_recv(), Err(TryRecvError::Empty)));
                    reply.send();
                    assert_eq!(received.try_recv().unwrap().unwrap_err().code(), code);
                }
                Expected::RefusedAndLeft => {
                    assert!(matches!(reply, Reply::Admit(_, Err(_))));
                    reply.send();
                }
                Expected::Done(mut received) => {
                    assert_eq!(received.try_recv(), Err(TryRecvError::Empty));
                    reply.send();
                    assert_eq!(received.try_recv(), Ok(()));
                }
                Expected::Reevaluated(mut received, clients, lost) => {
                    reply.send();
                    let reevaluated = received.try_recv().unwrap();
                    assert_eq!(reevaluated.clients, clients);
                    let withdrawn = reevaluated.withdrawn.into_iter();
                    let withdrawn = withdrawn.map(|w| (w.client_id, w.subscription));
                    assert_eq!(sorted(withdrawn.collect()), sorted(lost));
                }
                Expected::Subscription(mut received, result) => {
                    assert_eq!(received.try_recv(), Err(TryRecvError::Empty));
                    reply.send();
                    assert_eq!(
                        received
                            .try_recv()
                            .unwrap()
                            .map_err(|refusal| refusal.code()),
                        result
                    );
                }
            }
        }
        // An answer that nobody took departs its client again, once.
        let reported = self.world.reported();
        assert_eq!(reported, left);
        self.left_behind = reported;
    }

    pub(super) fn check(&mut self) {
        self.check_told();
        self.check_counts();
        self.check_routes();
    }

    /// Each client is told what it is to be told, and in this order.
    fn check_told(&mut self) {
        for gone in self.gone.drain(..) {
            assert_eq!(heard(&gone.outbox), gone.told);
        }
        for member in self.members.values_mut() {
            assert_eq!(heard(&member.outbox), std::mem::take(&mut member.told));
        }
    }

    fn check_counts(&self) {
        let state = &self.world.state;
        let ids: BTreeSet<_> = state.clients.keys().copied().collect();
        assert!(ids.iter().eq(self.members.keys()));
        let (mut identities, mut networks) = (HashMap::new(), HashMap::new());
        for member in self.members.values() {
            *identities.entry(member.identity.clone()).or_default() += 1;
            *networks.entry(member.address.ip().into()).or_default() += 1;
        }
        assert_eq!(state.by_identity, identities);
        assert_eq!(state.by_network, networks);
        let not_in = self.members.iter().filter(|(_, m)| m.session.is_none());
        let not_in = not_in.map(|(client_id, m)| (m.identity.clone(), *client_id));
        assert_eq!(state.unauthenticated, not_in.collect());
        let (mut total, mut holdings) = (0, HashMap::<_, Holding>::new());
        for member in self.members.values() {
            for text in member.session.iter().flat_map(|session| &session.filters) {
                total += 1;
                let holding = holdings.entry(member.identity.clone()).or_default();
                holding.subscriptions += 1;
                if let Some(shape) = filter(text).shape() {
                    *holding.by_shape.entry(shape).or_default() += 1;
                }
            }
        }
        assert_eq!(state.subscriptions.counts(), (total, &holdings));
        let roster: Vec<_> = state
            .roster
            .iter()
            .map(|(id, member)| (*id, member.identity.clone(), member.since))
            .collect();
        assert_eq!(roster, self.roster());
        // Each holds the place of its departure, those in the queue included, and nobody else.
        let left_behind = self.left_behind.iter();
        let in_queue = left_behind
            .filter(|(client_id, _)| self.members.contains_key(client_id))
            .count();
        let held = self
            .members
            .values()
            .filter(|member| member.guard.is_some())
            .count();
        assert_eq!(held + in_queue, self.members.len());
        assert_eq!(self.world.commands.capacity(), QUEUE_LEN - held);
    }

    fn check_routes(&mut self) {
        let expected: Vec<BTreeSet<ClientId>> = TOPICS
            .iter()
            .map(|topic| {
                let matches = |filter: &&str| naive_match(filter, topic);
                let receives = |member: &Member| {
                    let session = member.session.as_ref();
                    session.is_some_and(|session| session.filters.iter().any(matches))
                        && self.rules.allow(&member.identity, topic)
                };
                let receivers = self.members.iter().filter(|(_, member)| receives(member));
                receivers.map(|(client_id, _)| *client_id).collect()
            })
            .collect();
        self.kept.push((Arc::clone(&self.world.table), expected));
        // What was published once never changes again.
        for (table, expected) in &self.kept {
            for (topic, expected) in TOPICS.iter().zip(expected) {
                let routed = table.route(&Topic::parse(*topic).unwrap()).recipients;
                let distinct: BTreeSet<_> =
                    routed.iter().map(|receiver| receiver.client_id).collect();
                assert_eq!(distinct.len(), routed.len(), "each receives once");
                assert_eq!(&distinct, expected, "{topic}");
            }
        }
        for receiver in TOPICS.iter().flat_map(|topic| {
            self.world
                .table
                .route(&Topic::parse(*topic).unwrap())
                .recipients
        }) {
            let member = &self.members[&receiver.client_id];
            assert!(Arc::ptr_eq(&member.outbox, &receiver.outbox));
        }
        if self.kept.len() > 3 {
            self.kept.remove(1);
        }
    }
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort();
    items
}

/// The rule of `docs/events.md`, level by level.
fn naive_match(filter: &str, topic: &str) -> bool {
    fn levels(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) | ([], []) => true,
            (["+", filter @ ..], [_, topic @ ..]) => levels(filter, topic),
            ([f, filter @ ..], [t, topic @ ..]) => f == t && levels(filter, topic),
            _ => false,
        }
    }
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let filter: Vec<_> = filter.split('/').collect();
    let topic: Vec<_> = topic.split('/').collect();
    levels(&filter, &topic)
}
