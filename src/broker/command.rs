//! What is asked of the registry, and what a batch of it brings about. The last that is asked for a
//! client is by a guard, which nothing can prevent.

use std::{net::SocketAddr, sync::Arc, thread};

use tokio::sync::{mpsc::OwnedPermit, oneshot};

use super::{ClientHandle, Outbox, RequestError, outgoing::Outgoing, routes::RoutingTable};
use crate::{
    access::{AccessRules, Denial, Permissions, TokenScope},
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

/// The outcome of applying other rules to everyone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reevaluated {
    /// How many clients they were applied to.
    pub clients: usize,
    /// What the rules no longer allow to some of them. The clients have been told.
    pub withdrawn: Vec<Withdrawn>,
}

/// What a client had and has no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawn {
    /// Its id.
    pub client_id: ClientId,
    /// Its identity.
    pub identity: Identity,
    /// Its address.
    pub address: SocketAddr,
    /// The subscription; `None` when no rule admits the client any longer, and its connection closes.
    pub subscription: Option<TopicFilter>,
    /// By which rule, and why.
    pub denial: Denial,
}

/// Reports a client's departure to the registry, exactly once, whatever ends its connection: a
/// return, an error, a cancelled task or a panic.
///
/// It was given its place in the registry's queue on admission, so [`Drop`] can always report and
/// never waits.
#[derive(Debug)]
pub struct DisconnectGuard {
    client_id: ClientId,
    reason: CloseReason,
    permit: Option<OwnedPermit<Command>>,
}

impl DisconnectGuard {
    pub(super) const fn new(client_id: ClientId, permit: OwnedPermit<Command>) -> Self {
        Self {
            client_id,
            // What it is when the connection's task ends without a better one.
            reason: CloseReason::ConnectionLost,
            permit: Some(permit),
        }
    }

    /// Reports now, with a reason.
    pub fn report(mut self, reason: CloseReason) {
        self.reason = reason;
    }
}

impl Drop for DisconnectGuard {
    fn drop(&mut self) {
        if thread::panicking() {
            self.reason = CloseReason::InternalError;
        }
        if let Some(permit) = self.permit.take() {
            permit.send(Command::Depart {
                client_id: self.client_id,
                reason: self.reason,
            });
        }
    }
}
