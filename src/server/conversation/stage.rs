//! How far a client has come, from its admission to the last answer it waits for.

use tokio::time::Instant;

use super::end::ConnectionEnd;
use crate::broker::{Admission, Authentication, Session};

#[derive(Debug)]
pub(super) enum Stage {
    Admitted(Admission),
    /// The registry has been asked for a session. No line is handled until it has answered.
    Authenticating(Authenticating),
    Authenticated(Session),
    /// The registry ended while it was asked for a session, or the client has given way by then.
    Broken,
}

/// A client whose authentication the registry is asked for.
#[derive(Debug)]
pub(super) struct Authenticating {
    pub(super) authentication: Authentication,
    pub(super) reference: Option<String>,
}

/// A conversation that takes no more lines.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) end: ConnectionEnd,
    pub(super) until: Instant,
}
