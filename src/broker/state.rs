//! What the registry knows, and how each command changes it.
//!
//! Pure: no clock, no socket, no await. Commands go in by the batch, effects come out, and the
//! actor around it carries them out.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    net::IpAddr,
    sync::Arc,
};

use tokio::sync::{mpsc::OwnedPermit, oneshot};

use super::{
    Departure, Outbox,
    presence::{ClientList, Member, PresenceBatch, PresenceChange, PresenceEvent, Roster},
    routes::{RoutingTable, Subscriber},
};
use crate::{
    protocol::{ClientId, CloseReason, Code, Fault, Frame, Timestamp},
    security::Identity,
    topic::TopicFilter,
};

/// What the registry holds everyone to. 0 stands for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Admitted connections, all in all.
    pub connections: usize,
    /// Admitted connections of one identity.
    pub connections_per_identity: usize,
    /// Admitted connections from one IP address.
    pub connections_per_address: usize,
    /// Subscriptions of one client.
    pub subscriptions_per_client: usize,
    /// Whether clients are told of each other's coming and going.
    pub presence: bool,
}

/// Something asked of the registry, with where the answer goes.
#[derive(Debug)]
pub(super) enum Command {
    Admit {
        candidate: Candidate,
        reply: oneshot::Sender<Result<Admitted, Fault>>,
    },
    Authenticate {
        client_id: ClientId,
        presence: bool,
        /// What the client is told, before it is told of anyone else.
        welcome: Frame,
        reply: oneshot::Sender<()>,
    },
    Subscribe {
        client_id: ClientId,
        filter: TopicFilter,
        reply: oneshot::Sender<Result<(), Fault>>,
    },
    Unsubscribe {
        client_id: ClientId,
        filter: TopicFilter,
        reply: oneshot::Sender<Result<(), Fault>>,
    },
    ListClients {
        client_id: ClientId,
        /// The `ref` of the request.
        reference: Option<String>,
        reply: oneshot::Sender<()>,
    },
    Depart {
        client_id: ClientId,
        reason: CloseReason,
    },
    /// Admit nobody more, and end every connection.
    Drain,
}

/// One who asks to be admitted.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) identity: Identity,
    pub(super) address: IpAddr,
    pub(super) outbox: Arc<Outbox>,
    pub(super) permit: OwnedPermit<Command>,
}

/// One who was. Dropping it unseen departs it again.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) client_id: ClientId,
    pub(super) departure: Departure,
}

/// An answer that waits until the effects it speaks of are in force.
#[derive(Debug)]
pub(super) enum Answer {
    Admit(
        oneshot::Sender<Result<Admitted, Fault>>,
        Result<Admitted, Fault>,
    ),
    Authenticate(oneshot::Sender<()>),
    Subscription(oneshot::Sender<Result<(), Fault>>, Result<(), Fault>),
}

impl Answer {
    /// Gives it to who asked. Who no longer waits for it has gone, and its departure is on the way.
    pub(super) fn send(self) {
        match self {
            Self::Admit(reply, answer) => drop(reply.send(answer)),
            Self::Authenticate(reply) => drop(reply.send(())),
            Self::Subscription(reply, answer) => drop(reply.send(answer)),
        }
    }
}

/// What a batch of commands brings about, to be carried out in this order.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// The table to publish, when it changed.
    pub(super) routes: Option<Arc<RoutingTable>>,
    /// What newcomers are told first.
    pub(super) welcomes: Vec<(Arc<Outbox>, Frame)>,
    pub(super) presence: PresenceBatch,
    /// Who asked who is here. They are told after the presence of the same batch, and of the roster
    /// as it is then: whoever follows both is never left with a client that is gone.
    pub(super) lists: Vec<ClientList>,
    /// Clients whose connection is to end.
    pub(super) closed: Vec<(Arc<Outbox>, CloseReason)>,
    pub(super) answers: Vec<Answer>,
}

/// All that the registry knows.
pub(super) struct State {
    limits: Limits,
    new_client_id: Box<dyn FnMut() -> ClientId + Send>,
    draining: bool,
    clients: HashMap<ClientId, Client>,
    by_identity: HashMap<Identity, usize>,
    by_address: HashMap<IpAddr, usize>,
    roster: Roster,
    /// Those of the roster that want to be told.
    audience: HashMap<ClientId, Arc<Outbox>>,
    routes: RoutingTable,
}

/// One admitted connection.
struct Client {
    identity: Identity,
    address: IpAddr,
    outbox: Arc<Outbox>,
    /// `Some` once authenticated.
    subscriptions: Option<HashSet<TopicFilter>>,
}

/// What of a batch is not yet an effect.
#[derive(Default)]
struct Batch {
    effects: Effects,
    routes_changed: bool,
    /// Who was authenticated in this batch, and after how many of its presence events.
    newcomers: HashMap<ClientId, usize>,
}

impl State {
    pub(super) fn new(
        limits: Limits,
        new_client_id: impl FnMut() -> ClientId + Send + 'static,
    ) -> Self {
        Self {
            limits,
            new_client_id: Box::new(new_client_id),
            draining: false,
            clients: HashMap::new(),
            by_identity: HashMap::new(),
            by_address: HashMap::new(),
            roster: Roster::new(),
            audience: HashMap::new(),
            routes: RoutingTable::default(),
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
        for list in &mut effects.lists {
            list.roster = self.roster.clone();
        }
        if batch.routes_changed {
            effects.routes = Some(self.routes.next_generation());
        }
        if !effects.presence.events.is_empty() {
            effects.presence.audience = self
                .audience
                .iter()
                .map(|(client_id, outbox)| {
                    let first = batch.newcomers.get(client_id).copied().unwrap_or(0);
                    (Arc::clone(outbox), first)
                })
                .collect();
        }
        effects
    }

    fn apply_one(&mut self, command: Command, now: Timestamp, batch: &mut Batch) {
        let answer = match command {
            Command::Admit { candidate, reply } => Answer::Admit(reply, self.admit(candidate)),
            Command::Authenticate {
                client_id,
                presence,
                welcome,
                reply,
            } => {
                self.authenticate(client_id, presence, welcome, now, batch);
                Answer::Authenticate(reply)
            }
            Command::Subscribe {
                client_id,
                filter,
                reply,
            } => Answer::Subscription(reply, self.subscribe(client_id, filter, batch)),
            Command::Unsubscribe {
                client_id,
                filter,
                reply,
            } => Answer::Subscription(reply, self.unsubscribe(client_id, &filter, batch)),
            Command::ListClients {
                client_id,
                reference,
                reply,
            } => return self.list_clients(client_id, reference, reply, batch),
            Command::Depart { client_id, reason } => return self.depart(client_id, reason, batch),
            Command::Drain => return self.drain(batch),
        };
        batch.effects.answers.push(answer);
    }

    fn admit(&mut self, candidate: Candidate) -> Result<Admitted, Fault> {
        let Candidate {
            identity,
            address,
            outbox,
            permit,
        } = candidate;
        self.may_admit(&identity, address)?;
        let client_id = (self.new_client_id)();
        *self.by_identity.entry(identity.clone()).or_default() += 1;
        *self.by_address.entry(address).or_default() += 1;
        self.clients.insert(
            client_id,
            Client {
                identity,
                address,
                outbox,
                subscriptions: None,
            },
        );
        Ok(Admitted {
            client_id,
            departure: Departure::new(client_id, permit),
        })
    }

    fn may_admit(&self, identity: &Identity, address: IpAddr) -> Result<(), Fault> {
        let is_reached = |limit: usize, count: usize| limit > 0 && count >= limit;
        let limits = &self.limits;
        let held = |count: Option<&usize>| count.copied().unwrap_or(0);
        if self.draining {
            Err(Fault::new(
                Code::ServerDraining,
                "the server is shutting down",
            ))
        } else if is_reached(limits.connections, self.clients.len()) {
            Err(Fault::new(
                Code::ServerFull,
                format!("the server holds its {} connections", limits.connections),
            ))
        } else if is_reached(
            limits.connections_per_identity,
            held(self.by_identity.get(identity)),
        ) {
            Err(Fault::new(
                Code::TooManyConnections,
                format!(
                    "this identity holds its {} connections",
                    limits.connections_per_identity
                ),
            ))
        } else if is_reached(
            limits.connections_per_address,
            held(self.by_address.get(&address)),
        ) {
            Err(Fault::new(
                Code::TooManyConnectionsFromAddress,
                format!(
                    "this address holds its {} connections",
                    limits.connections_per_address
                ),
            ))
        } else {
            Ok(())
        }
    }

    fn authenticate(
        &mut self,
        client_id: ClientId,
        presence: bool,
        welcome: Frame,
        now: Timestamp,
        batch: &mut Batch,
    ) {
        let Some(client) = self.clients.get_mut(&client_id) else {
            return;
        };
        client.subscriptions = Some(HashSet::new());
        batch
            .effects
            .welcomes
            .push((Arc::clone(&client.outbox), welcome));
        let identity = client.identity.clone();
        let member = Member {
            identity: identity.clone(),
            since: now,
        };
        self.roster.insert(client_id, member);
        if !self.limits.presence {
            return;
        }
        if presence {
            self.audience.insert(client_id, Arc::clone(&client.outbox));
        }
        let events = &mut batch.effects.presence.events;
        events.push(PresenceEvent {
            client_id,
            identity,
            change: PresenceChange::Authenticated,
        });
        batch.newcomers.insert(client_id, events.len());
    }

    fn subscribe(
        &mut self,
        client_id: ClientId,
        filter: TopicFilter,
        batch: &mut Batch,
    ) -> Result<(), Fault> {
        let limit = self.limits.subscriptions_per_client;
        let (subscriptions, outbox) = self.session(client_id)?;
        if subscriptions.contains(&filter) {
            return Ok(());
        }
        if limit > 0 && subscriptions.len() >= limit {
            return Err(Fault::new(
                Code::TooManySubscriptions,
                format!("this client holds its {limit} subscriptions"),
            ));
        }
        subscriptions.insert(filter.clone());
        self.routes
            .insert(&filter, Subscriber { client_id, outbox });
        batch.routes_changed = true;
        Ok(())
    }

    fn unsubscribe(
        &mut self,
        client_id: ClientId,
        filter: &TopicFilter,
        batch: &mut Batch,
    ) -> Result<(), Fault> {
        let (subscriptions, _) = self.session(client_id)?;
        if !subscriptions.remove(filter) {
            return Err(Fault::new(
                Code::NotSubscribed,
                "this client has no subscription with exactly this filter",
            ));
        }
        self.routes.remove(filter, client_id);
        batch.routes_changed = true;
        Ok(())
    }

    fn list_clients(
        &self,
        client_id: ClientId,
        reference: Option<String>,
        reply: oneshot::Sender<()>,
        batch: &mut Batch,
    ) {
        if let Some(client) = self.clients.get(&client_id) {
            batch.effects.lists.push(ClientList {
                outbox: Arc::clone(&client.outbox),
                roster: Roster::new(),
                reference,
                reply,
            });
        }
    }

    /// What an authenticated client holds.
    fn session(
        &mut self,
        client_id: ClientId,
    ) -> Result<(&mut HashSet<TopicFilter>, Arc<Outbox>), Fault> {
        self.clients
            .get_mut(&client_id)
            .and_then(|client| {
                let outbox = Arc::clone(&client.outbox);
                Some((client.subscriptions.as_mut()?, outbox))
            })
            .ok_or_else(|| Fault::new(Code::InternalError, "the server has lost this client"))
    }

    fn depart(&mut self, client_id: ClientId, reason: CloseReason, batch: &mut Batch) {
        let Some(client) = self.clients.remove(&client_id) else {
            return;
        };
        count_down(&mut self.by_identity, client.identity.clone());
        count_down(&mut self.by_address, client.address);
        // Whoever still routes by an older table pushes into a closed outbox.
        batch.effects.closed.push((client.outbox, reason));
        let Some(subscriptions) = client.subscriptions else {
            return;
        };
        for filter in &subscriptions {
            self.routes.remove(filter, client_id);
        }
        batch.routes_changed |= !subscriptions.is_empty();
        self.roster.remove(&client_id);
        self.audience.remove(&client_id);
        if self.limits.presence {
            batch.effects.presence.events.push(PresenceEvent {
                client_id,
                identity: client.identity,
                change: PresenceChange::Disconnected(reason),
            });
        }
    }

    fn drain(&mut self, batch: &mut Batch) {
        self.draining = true;
        // Everyone is told that the server ends: that all the others go too is no news then.
        self.audience.clear();
        let outboxes = self
            .clients
            .values()
            .map(|client| Arc::clone(&client.outbox));
        let reason = CloseReason::ServerShuttingDown;
        batch
            .effects
            .closed
            .extend(outboxes.map(|outbox| (outbox, reason)));
    }
}

/// Counts one off, and forgets who is down to none.
fn count_down<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: K) {
    if let Entry::Occupied(mut entry) = counts.entry(key) {
        *entry.get_mut() -= 1;
        if *entry.get() == 0 {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests;
