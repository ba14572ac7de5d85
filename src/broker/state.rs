//! What the registry knows, and how each command changes it.
//!
//! Pure: no clock, no socket, no await. Commands go in by the batch, effects come out, and the
//! actor around it carries them out.

mod reevaluation;
mod subscriptions;

use std::{
    collections::{BTreeSet, HashMap, HashSet, hash_map::Entry},
    net::SocketAddr,
    sync::Arc,
};

use tokio::sync::{mpsc::OwnedPermit, oneshot};

pub use reevaluation::{Reevaluated, Withdrawn};
use subscriptions::Subscriptions;

use super::{
    ClientHandle, DisconnectGuard, Outbox, RequestError,
    outgoing::{Outgoing, Told},
    presence::{ClientList, Member, PresenceChange, PresenceEvent, Roster},
    routes::RoutingTable,
};
use crate::{
    access::{AccessRules, Permissions, TokenScope},
    identity::Identity,
    network::Network,
    protocol::{ClientId, CloseReason, Code, CodedError, Frame, Timestamp},
    topic::TopicFilter,
};

/// What the registry holds everyone to. 0 stands for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Admitted connections, all in all.
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

/// Something asked of the registry, with where the answer goes.
#[derive(Debug)]
pub(super) enum Command {
    Admit {
        candidate: Candidate,
        reply: oneshot::Sender<Result<Admitted, RequestError>>,
    },
    Authenticate {
        client_id: ClientId,
        presence: bool,
        /// What its token leaves it of what the rules give it.
        scope: Option<Arc<TokenScope>>,
        /// What the client is told, before it is told of anyone else.
        welcome: Frame,
        reply: oneshot::Sender<()>,
    },
    Subscribe {
        client_id: ClientId,
        filter: TopicFilter,
        /// What the client is told when it has the subscription.
        answer: Frame,
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    Unsubscribe {
        client_id: ClientId,
        filter: TopicFilter,
        /// What the client is told when it has it no longer.
        answer: Frame,
        reply: oneshot::Sender<Result<(), RequestError>>,
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
    /// Reevaluate everyone by these rules from now on, those who are here included.
    Reevaluate {
        access: Arc<AccessRules>,
        reply: oneshot::Sender<Reevaluated>,
    },
    /// Admit nobody more, and end every connection.
    Drain,
}

/// One who asks to be admitted.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) identity: Identity,
    pub(super) address: SocketAddr,
    pub(super) outbox: Arc<Outbox>,
    pub(super) permit: OwnedPermit<Command>,
}

/// One who was. Dropping it unseen departs it again.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) client_id: ClientId,
    pub(super) handle: Arc<ClientHandle>,
    pub(super) guard: DisconnectGuard,
}

/// A reply to a task that waits until what it asked for is in force.
#[derive(Debug)]
pub(super) enum Reply {
    Admit(
        oneshot::Sender<Result<Admitted, RequestError>>,
        Result<Admitted, RequestError>,
    ),
    Done(oneshot::Sender<()>),
    Subscription(
        oneshot::Sender<Result<(), RequestError>>,
        Result<(), RequestError>,
    ),
    Reevaluate(oneshot::Sender<Reevaluated>, Reevaluated),
}

impl Reply {
    /// Gives it to who asked. Who no longer waits for it has gone, and its departure is on the way.
    pub(super) fn send(self) {
        match self {
            Self::Admit(reply, answer) => drop(reply.send(answer)),
            Self::Done(reply) => drop(reply.send(())),
            Self::Subscription(reply, answer) => drop(reply.send(answer)),
            Self::Reevaluate(reply, answer) => drop(reply.send(answer)),
        }
    }
}

/// What a batch of commands brings about, to be carried out in this order.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// Clients that may do other things from now on. In force before the table that goes with them.
    pub(super) permissions: Vec<(Arc<ClientHandle>, Arc<Permissions>)>,
    /// The table to publish, when it changed.
    pub(super) routes: Option<Arc<RoutingTable>>,
    /// What clients are told.
    pub(super) outgoing: Outgoing,
    pub(super) replies: Vec<Reply>,
}

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
    /// Those of the roster that want to be told.
    audience: HashMap<ClientId, Arc<Outbox>>,
    subscriptions: Subscriptions,
}

/// One admitted connection.
struct Client {
    identity: Identity,
    address: SocketAddr,
    handle: Arc<ClientHandle>,
    /// As its peer has them, or is about to have them.
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

    /// As others may know it.
    fn member(&self, since: Timestamp) -> Member {
        Member {
            identity: self.identity.clone(),
            since,
        }
    }
}

/// What of a batch is not yet an effect.
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
                effects.outgoing.catch_up(*client_id, outbox);
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
                    self.tell(client_id, Told::Answer(answer), batch);
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
                    self.tell(client_id, Told::Answer(answer), batch);
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

    /// Tells a client something, behind all that happened before it.
    fn tell(&self, client_id: ClientId, told: Told, batch: &mut Batch) {
        let Some(client) = self.clients.get(&client_id) else {
            return;
        };
        let outgoing = &mut batch.effects.outgoing;
        if let Some(outbox) = self.audience.get(&client_id) {
            outgoing.catch_up(client_id, outbox);
        }
        outgoing.tell(client.outbox(), told);
    }

    fn admit(&mut self, candidate: Candidate, batch: &mut Batch) -> Result<Admitted, RequestError> {
        let Candidate {
            identity,
            address,
            outbox,
            permit,
        } = candidate;
        let client_id = (self.new_client_id)();
        let permissions = self.access.permissions(&identity, client_id)?;
        let network = Network::from(address.ip());
        if let Some(oldest) = self.may_admit(&identity, network)? {
            self.depart(oldest, CloseReason::AuthenticationTimeout, batch);
        }
        let handle = Arc::new(ClientHandle::new(outbox, Arc::clone(&permissions)));
        *self.by_identity.entry(identity.clone()).or_default() += 1;
        *self.by_network.entry(network).or_default() += 1;
        self.unauthenticated.insert((identity.clone(), client_id));
        self.clients.insert(
            client_id,
            Client {
                identity,
                address,
                handle: Arc::clone(&handle),
                permissions,
                authenticated: None,
            },
        );
        Ok(Admitted {
            client_id,
            handle,
            guard: DisconnectGuard::new(client_id, permit),
        })
    }

    /// Whether there is a place for one more; with it comes the client that has to give way.
    fn may_admit(
        &self,
        identity: &Identity,
        network: Network,
    ) -> Result<Option<ClientId>, CodedError> {
        let limits = &self.limits;
        let held = |count: Option<&usize>| count.copied().unwrap_or(0);
        let identity_is_full = is_reached(
            limits.connections_per_identity,
            held(self.by_identity.get(identity)),
        );
        // Whoever has the certificate and not the token would keep its owner out otherwise.
        let gives_way = self
            .oldest_unauthenticated(identity)
            .filter(|_| identity_is_full);
        if self.draining {
            Err(CodedError::new(
                Code::ServerDraining,
                "the server is shutting down",
            ))
        } else if is_reached(limits.connections, self.clients.len()) {
            Err(CodedError::new(
                Code::ServerFull,
                format!("the server holds its {} connections", limits.connections),
            ))
        } else if identity_is_full && gives_way.is_none() {
            Err(CodedError::new(
                Code::TooManyConnections,
                format!(
                    "this identity holds its {} connections",
                    limits.connections_per_identity
                ),
            ))
        } else if is_reached(
            limits.connections_per_address,
            held(self.by_network.get(&network)),
        ) {
            Err(CodedError::new(
                Code::TooManyConnectionsFromAddress,
                format!(
                    "this address holds its {} connections",
                    limits.connections_per_address
                ),
            ))
        } else {
            Ok(gives_way)
        }
    }

    fn oldest_unauthenticated(&self, identity: &Identity) -> Option<ClientId> {
        let from = (identity.clone(), ClientId::FIRST);
        let (of, oldest) = self.unauthenticated.range(from..).next()?;
        (of == identity).then_some(*oldest)
    }

    /// Whether the client is still there.
    fn authenticate(
        &mut self,
        client_id: ClientId,
        authenticated: Authenticated,
        welcome: Frame,
        batch: &mut Batch,
    ) -> bool {
        let Some(client) = self.clients.get_mut(&client_id) else {
            return false;
        };
        let key = (client.identity.clone(), client_id);
        self.unauthenticated.remove(&key);
        if let Some(scope) = &authenticated.scope {
            let narrowed = Arc::clone(&client.permissions).narrowed_to(scope);
            client.permit(narrowed, batch);
        }
        client.authenticated = Some(authenticated);
        let is_shown = client.permissions.presence();
        self.tell(client_id, Told::Answer(welcome), batch);
        if is_shown {
            self.appear(client_id, batch);
        }
        true
    }

    /// Shows a client to the others; from here on it hears of them too, where it wants that.
    fn appear(&mut self, client_id: ClientId, batch: &mut Batch) {
        let Some((client, authenticated)) = self.clients.get(&client_id).and_then(|client| {
            let authenticated = client.authenticated.as_ref()?;
            Some((client, authenticated))
        }) else {
            return;
        };
        self.roster
            .insert(client_id, client.member(authenticated.since));
        if !self.limits.presence {
            return;
        }
        if authenticated.wants_presence {
            self.audience.insert(client_id, client.outbox());
        }
        let outgoing = &mut batch.effects.outgoing;
        outgoing.presence.push(PresenceEvent {
            client_id,
            identity: client.identity.clone(),
            change: PresenceChange::Authenticated,
        });
        outgoing.begin_hearing(client_id);
    }

    /// From here on a client is told nothing of the others.
    fn stop_hearing(&mut self, client_id: ClientId, batch: &mut Batch) {
        if let Some(outbox) = self.audience.remove(&client_id) {
            batch.effects.outgoing.catch_up(client_id, &outbox);
        }
    }

    /// Takes a client that was shown out of the others' sight.
    fn disappear(
        &mut self,
        client_id: ClientId,
        identity: &Identity,
        reason: CloseReason,
        batch: &mut Batch,
    ) {
        if self.roster.remove(&client_id).is_some() && self.limits.presence {
            batch.effects.outgoing.presence.push(PresenceEvent {
                client_id,
                identity: identity.clone(),
                change: PresenceChange::Disconnected(reason),
            });
        }
    }

    fn subscribe(
        &mut self,
        client_id: ClientId,
        filter: TopicFilter,
        batch: &mut Batch,
    ) -> Result<(), RequestError> {
        let limits = &self.limits;
        let client = session(&mut self.clients, client_id)?;
        client.permissions.may_subscribe(&filter)?;
        if client.subscriptions.contains(&filter) {
            return Ok(());
        }
        let limit = limits.subscriptions_per_client;
        if is_reached(limit, client.subscriptions.len()) {
            return Err(RequestError::Fault(CodedError::new(
                Code::TooManySubscriptions,
                format!("this client holds its {limit} subscriptions"),
            )));
        }
        let all = &mut self.subscriptions;
        all.has_room(&filter, client.identity, limits)?;
        all.insert(
            &filter,
            client_id,
            client.identity,
            Arc::clone(client.handle),
        );
        client.subscriptions.insert(filter);
        batch.routes_changed = true;
        Ok(())
    }

    fn unsubscribe(
        &mut self,
        client_id: ClientId,
        filter: &TopicFilter,
        batch: &mut Batch,
    ) -> Result<(), RequestError> {
        let client = session(&mut self.clients, client_id)?;
        if !client.subscriptions.remove(filter) {
            return Err(RequestError::Fault(CodedError::new(
                Code::NotSubscribed,
                "this client has no subscription with exactly this filter",
            )));
        }
        self.subscriptions
            .remove(filter, client_id, client.identity);
        batch.routes_changed = true;
        Ok(())
    }

    fn list_clients(&self, client_id: ClientId, reference: Option<String>, batch: &mut Batch) {
        let Some(client) = self.clients.get(&client_id) else {
            return;
        };
        // Whom the others may not see does not see them: it is alone here.
        let roster = match &client.authenticated {
            Some(authenticated) if !client.permissions.presence() => {
                Roster::unit(client_id, client.member(authenticated.since))
            }
            _ => self.roster.clone(),
        };
        let list = ClientList { roster, reference };
        self.tell(client_id, Told::Clients(list), batch);
    }

    fn depart(&mut self, client_id: ClientId, reason: CloseReason, batch: &mut Batch) {
        let Some(client) = self.clients.remove(&client_id) else {
            return;
        };
        count_down(&mut self.by_identity, client.identity.clone());
        count_down(&mut self.by_network, client.address.ip().into());
        self.stop_hearing(client_id, batch);
        // Whoever still routes by an older table pushes into a closed outbox.
        let closed = Told::Close(reason);
        batch.effects.outgoing.tell(client.outbox(), closed);
        let Some(authenticated) = client.authenticated else {
            self.unauthenticated.remove(&(client.identity, client_id));
            return;
        };
        for filter in &authenticated.subscriptions {
            self.subscriptions
                .remove(filter, client_id, &client.identity);
        }
        batch.routes_changed |= !authenticated.subscriptions.is_empty();
        self.disappear(client_id, &client.identity, reason, batch);
    }

    fn drain(&mut self, batch: &mut Batch) {
        self.draining = true;
        // Everyone is told that the server ends: that all the others go too is no news then.
        for (client_id, outbox) in self.audience.drain() {
            batch.effects.outgoing.catch_up(client_id, &outbox);
        }
        for client in self.clients.values() {
            let closed = Told::Close(CloseReason::ServerShuttingDown);
            batch.effects.outgoing.tell(client.outbox(), closed);
        }
    }
}

/// What there is to a client's subscriptions.
struct Session<'a> {
    identity: &'a Identity,
    handle: &'a Arc<ClientHandle>,
    permissions: &'a Permissions,
    subscriptions: &'a mut HashSet<TopicFilter>,
}

/// Of an authenticated client.
fn session(
    clients: &mut HashMap<ClientId, Client>,
    client_id: ClientId,
) -> Result<Session<'_>, CodedError> {
    clients
        .get_mut(&client_id)
        .and_then(|client| {
            Some(Session {
                identity: &client.identity,
                handle: &client.handle,
                permissions: &client.permissions,
                subscriptions: &mut client.authenticated.as_mut()?.subscriptions,
            })
        })
        .ok_or_else(|| CodedError::new(Code::InternalError, "the server has lost this client"))
}

/// Whether so many are as many as there may be.
const fn is_reached(limit: usize, count: usize) -> bool {
    limit > 0 && count >= limit
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
