//! The report of a client's departure, which nothing can prevent.

use std::thread;

use tokio::sync::mpsc::OwnedPermit;

use super::command::Command;
use crate::protocol::{ClientId, CloseReason};

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
