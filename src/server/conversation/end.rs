//! How a conversation ends, and who is told what of it.

use crate::{
    protocol::{CloseReason, CodedError, ServerEvent, server_event::Refused},
    server::credentials::CredentialsInvalid,
};

/// How a conversation ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) enum ConnectionEnd {
    /// It closes, which the others are told of where they were told of its beginning.
    Closing {
        reason: CloseReason,
        /// The reason in full, for the log alone.
        cause: Option<String>,
        /// The `ref` of the `disconnecting` that asked for it.
        reference: Option<String>,
    },
    /// It is not authenticated, and so has never begun for the others.
    NotAuthenticated {
        fault: CodedError,
        /// The `ref` of the `request_authentication`.
        reference: Option<String>,
    },
}

impl From<CloseReason> for ConnectionEnd {
    fn from(reason: CloseReason) -> Self {
        Self::Closing {
            reason,
            cause: None,
            reference: None,
        }
    }
}

impl From<CredentialsInvalid> for ConnectionEnd {
    fn from(CredentialsInvalid { reason, cause }: CredentialsInvalid) -> Self {
        Self::Closing {
            reason,
            cause: Some(cause),
            reference: None,
        }
    }
}

impl ConnectionEnd {
    pub(in crate::server) fn is_for(&self, wanted: CloseReason) -> bool {
        matches!(self, Self::Closing { reason, .. } if *reason == wanted)
    }

    /// See [`CloseReason::forfeits_queued`].
    pub(in crate::server) fn forfeits_queued(&self) -> bool {
        matches!(self, Self::Closing { reason, .. } if reason.forfeits_queued())
    }
}

/// The last line that a client is told, where the way its connection ends lets it be told any.
pub(in crate::server) fn closing_event(end: &ConnectionEnd) -> Option<ServerEvent<'_>> {
    let (refused, reference) = match end {
        ConnectionEnd::Closing {
            reason: CloseReason::ConnectionLost,
            ..
        }
        | ConnectionEnd::Closing {
            reason: CloseReason::ClientDisconnecting,
            reference: None,
            ..
        } => return None,
        ConnectionEnd::Closing {
            reason, reference, ..
        } => (Refused::new(reason.code(), reason.sentence()), reference),
        ConnectionEnd::NotAuthenticated { fault, reference } => {
            (Refused::new(fault.code, &*fault.reason), reference)
        }
    };
    let refused = Refused {
        reference: reference.as_deref().map(Into::into),
        ..refused
    };
    Some(match end {
        ConnectionEnd::Closing { .. } => ServerEvent::ConnectionClosing(refused),
        ConnectionEnd::NotAuthenticated { .. } => ServerEvent::AuthenticationRefused(refused),
    })
}
