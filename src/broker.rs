//! The broker itself: which clients are here, what each of them receives, and the queues in between.
//!
//! Two planes. The control plane is one [`Registry`] actor around a pure `State`: it alone assigns
//! client ids, tracks which clients are authenticated, owns subscriptions and sends presence. The
//! data plane never passes through it: the `Publisher` of a [`Session`] routes its messages by the
//! `RoutingTable` that the registry published last, straight into the recipients' [`Outbox`]es.
//!
//! Knows nothing of sockets, TLS or time-outs of connections.
//!
//! **Invariants:** nothing here ever waits for a client; every queue is bounded; a client that was
//! admitted departs exactly once, whatever ends its connection.

mod admission;
mod answers;
mod client_handle;
mod command;
mod outbox;
mod outgoing;
mod presence;
mod publisher;
mod registry;
mod request_error;
mod routes;
mod session;
mod state;
#[cfg(test)]
pub(crate) mod test_support;

pub use admission::{Admission, Authentication};
pub use answers::{Answers, FailedRequest, FollowingLines, PendingAnswer};
pub use command::{DisconnectGuard, Reevaluated, Withdrawn};
pub use outbox::{Interrupt, Outbox, OutboxEntry, OutboxLimits};
pub use registry::Registry;
pub use request_error::{RegistryGone, RequestError};
pub use session::Session;
pub use state::Limits;

#[doc(hidden)]
pub use {
    client_handle::ClientHandle,
    routes::{Recipient, Route, RoutingTable},
};
