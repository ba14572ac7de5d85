//! The registry actor and the way to it: requests go in by the batch, tables and answers come out.
//!
//! Owns the order in which the effects of a batch are carried out. What they are is for [`State`] to
//! decide.

use std::{
    fmt,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};

use super::{
    ClientHandle, DisconnectGuard, Limits, Outbox, Reevaluated, RegistryGone, RequestError,
    Session,
    command::{Admitted, Candidate, Command},
    routes::RoutingTable,
    state::State,
};
use crate::{
    access::{AccessRules, TokenScope},
    identity::Identity,
    protocol::{ClientId, CloseReason, Frame, ServerId, Timestamp},
    topic::TopicFilter,
};

/// Commands that may wait beside the departures, which have their places from admission on.
const QUEUE_LEN: usize = 1024;

/// Commands taken at once: one routing table and one presence frame for all of them.
const BATCH_LEN_MAX: usize = 1024;

/// The way to the registry actor. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Registry {
    commands: mpsc::Sender<Command>,
    routes: Arc<ArcSwap<RoutingTable>>,
    server_id: ServerId,
}

impl Registry {
    /// A handle, and the actor behind it for the caller to run.
    ///
    /// `connections_max` is how many clients can be between admission and departure at once, those
    /// that are about to be refused included.
    pub fn new(
        server_id: ServerId,
        limits: Limits,
        access: Arc<AccessRules>,
        connections_max: usize,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (commands, queue) = mpsc::channel(connections_max + QUEUE_LEN);
        let routes = Arc::<ArcSwap<RoutingTable>>::default();
        let registry = Self {
            commands,
            routes: Arc::clone(&routes),
            server_id,
        };
        let state = State::new(limits, access, ClientId::fresh);
        (registry, run(queue, state, routes, server_id))
    }

    /// Asks for a place for a client that came through TLS.
    ///
    /// # Errors
    ///
    /// Why it gets none, as the client is told.
    pub async fn admit(
        &self,
        identity: Identity,
        address: SocketAddr,
        outbox: Arc<Outbox>,
    ) -> Result<Admission, RequestError> {
        // The place for its departure comes first: from here on it can always be reported.
        let permit = self.commands.clone().reserve_owned().await;
        let candidate = Candidate {
            identity: identity.clone(),
            address,
            outbox,
            permit: permit.map_err(|_| RegistryGone)?,
        };
        let admitted = self
            .ask(|reply| Command::Admit { candidate, reply })
            .await??;
        let Admitted {
            client_id,
            handle,
            guard,
        } = admitted;
        Ok(Admission {
            registry: self.clone(),
            client_id,
            identity,
            handle,
            guard,
        })
    }

    /// Applies `access` from now on, also to the clients that are here: a client that no rule admits is
    /// closed, what is no longer allowed is withdrawn, and each client's own task is asked to check
    /// the rest again. In force when this returns.
    ///
    /// # Errors
    ///
    /// When the actor has ended.
    pub async fn reevaluate(&self, access: Arc<AccessRules>) -> Result<Reevaluated, RegistryGone> {
        self.ask(|reply| Command::Reevaluate { access, reply })
            .await
    }

    /// Admits no more clients, and ends every connection with `server_shutting_down`.
    ///
    /// # Errors
    ///
    /// When the actor has ended.
    pub async fn drain(&self) -> Result<(), RegistryGone> {
        self.commands
            .send(Command::Drain)
            .await
            .map_err(|_| RegistryGone)
    }

    /// The id of the server in its events.
    #[must_use]
    pub const fn server_id(&self) -> ServerId {
        self.server_id
    }

    /// The routing table that is in force.
    pub(super) const fn routes(&self) -> &Arc<ArcSwap<RoutingTable>> {
        &self.routes
    }

    /// `answer` is queued for the client when it has the subscription.
    pub(super) async fn subscribe(
        self,
        client_id: ClientId,
        filter: TopicFilter,
        answer: Frame,
    ) -> Result<(), RequestError> {
        self.ask(|reply| Command::Subscribe {
            client_id,
            filter,
            answer,
            reply,
        })
        .await?
    }

    /// `answer` is queued for the client when the subscription has ended.
    pub(super) async fn unsubscribe(
        self,
        client_id: ClientId,
        filter: TopicFilter,
        answer: Frame,
    ) -> Result<(), RequestError> {
        self.ask(|reply| Command::Unsubscribe {
            client_id,
            filter,
            answer,
            reply,
        })
        .await?
    }

    /// Has `clients` queued for the client that asks.
    pub(super) async fn list_clients(
        self,
        client_id: ClientId,
        reference: Option<String>,
    ) -> Result<(), RequestError> {
        let asked = self.ask(|reply| Command::ListClients {
            client_id,
            reference,
            reply,
        });
        Ok(asked.await?)
    }

    /// Sends a command when it is first polled, and waits for the reply.
    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, RegistryGone> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(command(reply))
            .await
            .map_err(|_| RegistryGone)?;
        answer.await.map_err(|_| RegistryGone)
    }
}

/// The actor: takes what has come, applies it as one batch, carries out what that brings about.
///
/// The table is published before anything is sent or answered, so that a message accepted after
/// `subscribed` is routed to the new subscriber.
async fn run(
    mut queue: mpsc::Receiver<Command>,
    mut state: State,
    routes: Arc<ArcSwap<RoutingTable>>,
    server_id: ServerId,
) {
    let mut commands = Vec::with_capacity(BATCH_LEN_MAX);
    while queue.recv_many(&mut commands, BATCH_LEN_MAX).await > 0 {
        let now = Timestamp::now();
        let effects = state.apply(commands.drain(..), now);
        for (handle, permissions) in effects.permissions {
            handle.set_permissions(permissions);
        }
        if let Some(table) = effects.routes {
            routes.store(table);
        }
        effects.outgoing.deliver(server_id, now);
        for reply in effects.replies {
            reply.send();
        }
    }
}

/// A client that was admitted and has not authenticated: it can do that, or go.
#[derive(Debug)]
pub struct Admission {
    registry: Registry,
    client_id: ClientId,
    identity: Identity,
    handle: Arc<ClientHandle>,
    guard: DisconnectGuard,
}

impl Admission {
    /// The id that the registry gave it.
    #[must_use]
    pub const fn client_id(&self) -> ClientId {
        self.client_id
    }

    /// Makes it a session, which is shown to others. `presence`: whether it wants to be told of them.
    /// `scope`: what its token leaves of the permissions that the rules give it. `welcome` is queued
    /// for it before anything about others.
    #[must_use]
    pub fn authenticate(
        self,
        presence: bool,
        scope: Option<Arc<TokenScope>>,
        welcome: Frame,
    ) -> Authentication {
        let (registry, client_id) = (self.registry.clone(), self.client_id);
        let request = async move {
            let asked = registry.ask(|reply| Command::Authenticate {
                client_id,
                presence,
                scope,
                welcome,
                reply,
            });
            asked.await
        };
        Authentication {
            admission: Some(self),
            request: Box::pin(request),
        }
    }

    fn into_session(self) -> Session {
        let Self {
            registry,
            client_id,
            identity,
            handle,
            guard,
        } = self;
        Session::new(registry, client_id, identity, handle, guard)
    }

    /// Reports the departure, with its reason.
    pub fn depart(self, reason: CloseReason) {
        self.guard.report(reason);
    }
}

/// A client that is about to become a [`Session`]: a future that gives it, once.
pub struct Authentication {
    admission: Option<Admission>,
    request: Pin<Box<dyn Future<Output = Result<(), RegistryGone>> + Send>>,
}

impl Authentication {
    /// Reports the departure, with its reason.
    pub fn depart(self, reason: CloseReason) {
        if let Some(admission) = self.admission {
            admission.depart(reason);
        }
    }
}

impl Future for Authentication {
    type Output = Result<Session, RegistryGone>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.request.as_mut().poll(cx))?;
        let admission = self.admission.take().ok_or(RegistryGone)?;
        Poll::Ready(Ok(admission.into_session()))
    }
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authentication")
            .field("admission", &self.admission)
            .finish_non_exhaustive()
    }
}
