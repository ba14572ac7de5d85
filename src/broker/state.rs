//! What the registry knows, and how a batch of commands changes it.
//!
//! Owns every fact about admitted clients. Pure: no clock, no socket, no await. Commands go in,
//! effects come out, and the actor around it carries them out.

mod admission;
mod limits;
mod presence;
mod reevaluation;
mod subscribing;
mod subscriptions;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::SocketAddr,
    sync::Arc,
};

pub use self::limits::Limits;
use self::limits::{count_down, is_reached};
use self::subscriptions::Subscriptions;
use super::{
    ClientHandle, Outbox,
    command::{Command, Effects, Reply},
    outgoing::OutgoingItem,
    presence::{Member, Roster},
};
use crate::{
    access::{AccessRules, Permissions, TokenScope},
    identity::Identity,
    network::Network,
    protocol::{ClientId, Timestamp},
    topic::TopicFilter,
};

/// All that the registry knows.
pub(super) struct State {
    limits: Limits,
    access: Arc<AccessRules>,
    new_client_id: Box<dyn FnMut() -> ClientId + Send>,
    draining: bool,
    clients: HashMap<ClientId, Client>,
    by_identity: HashMap<Identity, usize>,
    /// Those of `clients` that are not authenticated, of each identity the oldest first.
    unauthenticated: BTreeSet<(Identity, ClientId)>,
    by_network: HashMap<Network, usize>,
    roster: Roster,
    /// The clients of the roster that want to be told of the others.
    audience: HashMap<ClientId, Arc<Outbox>>,
    subscriptions: Subscriptions,
}

/// One admitted connection.
struct Client {
    identity: Identity,
    address: SocketAddr,
    handle: Arc<ClientHandle>,
    /// As `handle` has them, or will have once the batch is carried out.
    permissions: Arc<Permissions>,
    /// `Some` once authenticated.
    authenticated: Option<Authenticated>,
}

/// What a client holds once it is authenticated.
struct Authenticated {
    subscriptions: HashSet<TopicFilter>,
    scope: Option<Arc<TokenScope>>,
    since: Timestamp,
    wants_presence: bool,
}

impl Client {
    fn outbox(&self) -> Arc<Outbox> {
        Arc::clone(self.handle.outbox())
    }

    fn permit(&mut self, permissions: Arc<Permissions>, batch: &mut Batch) {
        self.permissions = Arc::clone(&permissions);
        let changed = (Arc::clone(&self.handle), permissions);
        batch.effects.permissions.push(changed);
    }

    /// What others may know of it.
    fn member(&self, since: Timestamp) -> Member {
        Member {
            identity: self.identity.clone(),
            since,
        }
    }
}

/// A batch that is being applied.
#[derive(Default)]
struct Batch {
    effects: Effects,
    routes_changed: bool,
}

impl State {
    pub(super) fn new(
        limits: Limits,
        access: Arc<AccessRules>,
        new_client_id: impl FnMut() -> ClientId + Send + 'static,
    ) -> Self {
        Self {
            limits,
            access,
            new_client_id: Box::new(new_client_id),
            draining: false,
            clients: HashMap::new(),
            by_identity: HashMap::new(),
            unauthenticated: BTreeSet::new(),
            by_network: HashMap::new(),
            roster: Roster::new(),
            audience: HashMap::new(),
            subscriptions: Subscriptions::default(),
        }
    }

    /// Applies a batch. `now` is the time that all of it happens at.
    pub(super) fn apply(
        &mut self,
        commands: impl IntoIterator<Item = Command>,
        now: Timestamp,
    ) -> Effects {
        let mut batch = Batch::default();
        for command in commands {
            self.apply_one(command, now, &mut batch);
        }
        let mut effects = batch.effects;
        if batch.routes_changed {
            effects.routes = Some(self.subscriptions.next_generation());
        }
        if !effects.outgoing.presence.is_empty() {
            for (client_id, outbox) in &self.audience {
                effects.outgoing.push_presence(*client_id, outbox);
            }
        }
        effects
    }

    fn apply_one(&mut self, command: Command, now: Timestamp, batch: &mut Batch) {
        let reply = match command {
            Command::Admit { candidate, reply } => {
                Reply::Admit(reply, self.admit(candidate, batch))
            }
            Command::Authenticate {
                client_id,
                presence,
                scope,
                welcome,
                reply,
            } => {
                let authenticated = Authenticated {
                    subscriptions: HashSet::new(),
                    scope,
                    since: now,
                    wants_presence: presence,
                };
                if !self.authenticate(client_id, authenticated, welcome, batch) {
                    // It has given way meanwhile: without an answer, it is no session.
                    return;
                }
                Reply::Done(reply)
            }
            Command::Subscribe {
                client_id,
                filter,
                answer,
                reply,
            } => {
                let result = self.subscribe(client_id, filter, batch);
                if result.is_ok() {
                    self.send(client_id, OutgoingItem::Answer(answer), batch);
                }
                Reply::Subscription(reply, result)
            }
            Command::Unsubscribe {
                client_id,
                filter,
                answer,
                reply,
            } => {
                let result = self.unsubscribe(client_id, &filter, batch);
                if result.is_ok() {
                    self.send(client_id, OutgoingItem::Answer(answer), batch);
                }
                Reply::Subscription(reply, result)
            }
            Command::ListClients {
                client_id,
                reference,
                reply,
            } => {
                self.list_clients(client_id, reference, batch);
                Reply::Done(reply)
            }
            Command::Depart { client_id, reason } => return self.depart(client_id, reason, batch),
            Command::Reevaluate { access, reply } => {
                Reply::Reevaluate(reply, self.reevaluate(access, batch))
            }
            Command::Drain => return self.drain(batch),
        };
        batch.effects.replies.push(reply);
    }

    /// Sends a client something, behind all that happened before it.
    fn send(&self, client_id: ClientId, item: OutgoingItem, batch: &mut Batch) {
        let Some(client) = self.clients.get(&client_id) else {
            return;
        };
        let outgoing = &mut batch.effects.outgoing;
        if let Some(outbox) = self.audience.get(&client_id) {
            outgoing.push_presence(client_id, outbox);
        }
        outgoing.push(client.outbox(), item);
    }
}

#[cfg(test)]
mod tests;
