//! The departure of a client: who is told of it.

use std::io;

use tracing::debug;

use super::{Conversation, end::ConnectionEnd, stage::Stage};
use crate::protocol::CloseReason;

impl Conversation {
    /// How the stream ended, if no last line says more.
    pub(in crate::server) fn note_end(&self, end: &io::Result<()>) {
        debug!(
            client_id = %self.client_id, identity = self.identity.as_str(), address = %self.address,
            ?end, "the stream ended"
        );
    }

    /// Reports the departure to the others. Answers that are still outstanding are forgotten.
    pub(in crate::server) fn depart(self, end: &ConnectionEnd) {
        let ConnectionEnd::Closing { reason, cause, .. } = end else {
            // Nobody was told of its coming.
            return;
        };
        let reason = *reason;
        let is_for_audit = match reason {
            CloseReason::CertificateRevoked
            | CloseReason::CertificateExpired
            | CloseReason::TokenExpired
            | CloseReason::TooManyErrors => true,
            // What the rules withdrew is told where the rules were taken.
            CloseReason::PermissionWithdrawn => cause.is_some(),
            _ => false,
        };
        if is_for_audit {
            self.audit.closed(self.who(), reason, cause.as_deref());
        } else {
            self.audit.gone(self.who(), reason);
        }
        match self.stage {
            Stage::Admitted(admission) => admission.depart(reason),
            Stage::Authenticating(authenticating) => authenticating.authentication.depart(reason),
            Stage::Authenticated(session) => session.depart(reason),
            Stage::Broken => {}
        }
    }
}
