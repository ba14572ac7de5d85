//! The broker itself: who is here, who gets what, and the queues in between.
//!
//! Two planes. The control plane is one [`Registry`] actor around a pure `State`: it alone
//! assigns client ids, tracks who is authenticated, owns subscriptions and tells presence. The
//! data plane never passes through it: a [`Session`] routes its own messages by the
//! `RoutingTable` that the registry published last, straight into the receivers' [`Outbox`]es.
//!
//! Knows nothing of sockets, TLS or time-outs of connections.
//!
//! **Invariants:** nothing here ever waits for a client; every queue is bounded; a client that was
//! admitted departs exactly once, whatever ends its connection.

mod answers;
mod client_handle;
mod disconnect_guard;
mod outbox;
mod outgoing;
mod presence;
mod recent;
mod registry;
mod request_error;
mod routes;
mod session;
mod state;

pub use answers::{Answers, FailedRequest, FollowingLines, PendingAnswer};
pub use disconnect_guard::DisconnectGuard;
pub use outbox::{Interrupt, Outbox, OutboxLimits};
pub use registry::{Admission, Authentication, Registry};
pub use request_error::{RegistryGone, RequestError};
pub use session::Session;
pub use state::{Limits, Reevaluated, Withdrawn};

#[doc(hidden)]
pub use {
    client_handle::ClientHandle,
    routes::{Recipient, RoutingTable},
};
