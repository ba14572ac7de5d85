//! The registry actor and the way to it: requests go in by the batch, tables and answers come out.
//!
//! Owns the order in which the effects of a batch are carried out. What they are is for [`State`] to
//! decide.

use std::{net::SocketAddr, sync::Arc};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};

use super::{
    Limits, Outbox, Reevaluated, RegistryGone, RequestError,
    command::{Admitted, Candidate, Command},
    routes::RoutingTable,
    state::State,
};
use crate::{
    access::{AccessRules, TokenScope},
    identity::Identity,
    protocol::{ClientId, Frame, ServerId, Timestamp},
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
    /// Why it gets none, in the words that the client receives.
    pub(super) async fn admit(
        &self,
        identity: Identity,
        address: SocketAddr,
        outbox: Arc<Outbox>,
    ) -> Result<Admitted, RequestError> {
        // The place for its departure comes first: from here on it can always be reported.
        let permit = self.commands.clone().reserve_owned().await;
        let candidate = Candidate {
            identity,
            address,
            outbox,
            permit: permit.map_err(|_| RegistryGone)?,
        };
        self.ask(|reply| Command::Admit { candidate, reply })
            .await?
    }

    /// Makes a client a session. See [`Admission::authenticate`](super::Admission::authenticate).
    pub(super) async fn authenticate(
        self,
        client_id: ClientId,
        presence: bool,
        scope: Option<Arc<TokenScope>>,
        welcome: Frame,
    ) -> Result<(), RegistryGone> {
        self.ask(|reply| Command::Authenticate {
            client_id,
            presence,
            scope,
            welcome,
            reply,
        })
        .await
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
