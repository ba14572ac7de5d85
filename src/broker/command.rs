//! What is asked of the registry, and what a batch of it brings about.

use std::{net::SocketAddr, sync::Arc};

use tokio::sync::{mpsc::OwnedPermit, oneshot};

use super::{
    ClientHandle, DisconnectGuard, Outbox, Reevaluated, RequestError, outgoing::Outgoing,
    routes::RoutingTable,
};
use crate::{
    access::{AccessRules, Permissions, TokenScope},
    identity::Identity,
    protocol::{ClientId, CloseReason, Frame},
    topic::TopicFilter,
};

/// A request to the registry, with where its reply goes.
#[derive(Debug)]
pub(super) enum Command {
    Admit {
        candidate: Candidate,
        reply: oneshot::Sender<Result<Admitted, RequestError>>,
    },
    Authenticate {
        client_id: ClientId,
        presence: bool,
        /// What its token leaves of the permissions that the rules give it.
        scope: Option<Arc<TokenScope>>,
        /// The client's first line, before any about others.
        welcome: Frame,
        reply: oneshot::Sender<()>,
    },
    Subscribe {
        client_id: ClientId,
        filter: TopicFilter,
        /// The line for the client once it has the subscription.
        answer: Frame,
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    Unsubscribe {
        client_id: ClientId,
        filter: TopicFilter,
        /// The line for the client once the subscription has ended.
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
    /// Apply these rules from now on, also to the clients that are here.
    Reevaluate {
        access: Arc<AccessRules>,
        reply: oneshot::Sender<Reevaluated>,
    },
    /// Admit no more clients, and end every connection.
    Drain,
}

/// A connection that asks to be admitted.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) identity: Identity,
    pub(super) address: SocketAddr,
    pub(super) outbox: Arc<Outbox>,
    pub(super) permit: OwnedPermit<Command>,
}

/// A client that was admitted. Dropping this reports its departure.
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
    /// Sends it to the task that asked. A task that no longer waits has gone, and its client's
    /// departure is on the way.
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
    /// Permissions that change. In force before the table that goes with them.
    pub(super) permissions: Vec<(Arc<ClientHandle>, Arc<Permissions>)>,
    /// The table to publish, when it changed.
    pub(super) routes: Option<Arc<RoutingTable>>,
    /// What goes to clients.
    pub(super) outgoing: Outgoing,
    pub(super) replies: Vec<Reply>,
}
