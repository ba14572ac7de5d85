//! The codes of errors and closed connections, and the types that carry one.
//!
//! Owns the closed list of codes, each with whether a retry can succeed.

use std::{borrow::Cow, fmt};

use serde::{Serialize, Serializer};

/// Declares [`Code`] from one table, so that no code lacks its word or whether it is retryable.
macro_rules! codes {
    ($($(#[$doc:meta])+ $variant:ident = $text:literal, $retryable:ident;)+) => {
        /// Why something was refused, closed or failed: the stable word in `code`.
        ///
        /// A closed set. `docs/error_codes.md` explains each of them to users.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])+ $variant,)+
        }

        impl Code {
            /// Every code, in the order of the documents.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Whether the same request can succeed later.
            #[must_use]
            pub const fn retryable(self) -> bool {
                match self { $(Self::$variant => codes!(@ $retryable),)+ }
            }
        }
    };
    (@ retryable) => { true };
    (@ final) => { false };
}

codes! {
    /// The broker holds as many connections as it may.
    ServerFull = "server_full", retryable;
    /// This identity holds as many connections as it may.
    TooManyConnections = "too_many_connections", retryable;
    /// This address holds as many connections as it may.
    TooManyConnectionsFromAddress = "too_many_connections_from_address", retryable;
    /// The broker is shutting down and accepts no new client.
    ServerDraining = "server_draining", retryable;
    /// The certificate holds no usable name, or more than one.
    IdentityMissing = "identity_missing", final;
    /// No access rule admits this identity.
    IdentityDenied = "identity_denied", final;
    /// The server requires a token, and the client sent none.
    TokenMissing = "token_missing", final;
    /// The server does not know the token or cannot verify it.
    TokenInvalid = "token_invalid", final;
    /// The token has expired.
    TokenExpired = "token_expired", final;
    /// The token belongs to another identity than the certificate's.
    TokenIdentityMismatch = "token_identity_mismatch", final;
    /// No `request_authentication` arrived in time.
    AuthenticationTimeout = "authentication_timeout", retryable;
    /// The event needs authentication, and the client is not authenticated.
    NotAuthenticated = "not_authenticated", final;
    /// The client is authenticated already.
    AlreadyAuthenticated = "already_authenticated", final;
    /// The line is not one JSON object in UTF-8 as the protocol defines it.
    MalformedEvent = "malformed_event", final;
    /// No event that a client may send has this name.
    UnknownEvent = "unknown_event", final;
    /// `id` is neither `"__"` nor the client's own id.
    IdMismatch = "id_mismatch", final;
    /// A member that the event needs is missing.
    MissingField = "missing_field", final;
    /// A member has the wrong type or value, or is not supported.
    InvalidField = "invalid_field", final;
    /// The line is longer than the limit.
    LineTooLong = "line_too_long", final;
    /// The text is not a topic that can be published to.
    InvalidTopic = "invalid_topic", final;
    /// The text is not a filter that can be subscribed to.
    InvalidFilter = "invalid_filter", final;
    /// Topics that begin with `$` belong to the server.
    ReservedTopic = "reserved_topic", final;
    /// The access rules do not allow this client to publish to the topic.
    PublishDenied = "publish_denied", final;
    /// The access rules do not allow this client to subscribe to the filter.
    SubscribeDenied = "subscribe_denied", final;
    /// The client has no such subscription.
    NotSubscribed = "not_subscribed", final;
    /// The client holds as many subscriptions as it may.
    TooManySubscriptions = "too_many_subscriptions", final;
    /// The client did not read fast enough.
    SlowConsumer = "slow_consumer", retryable;
    /// The client did not answer the server's pings.
    KeepaliveTimeout = "keepalive_timeout", retryable;
    /// The client sent `disconnecting`.
    ClientDisconnecting = "client_disconnecting", retryable;
    /// The broker is shutting down.
    ServerShuttingDown = "server_shutting_down", retryable;
    /// The client's certificate was revoked.
    CertificateRevoked = "certificate_revoked", final;
    /// The client's certificate has expired.
    CertificateExpired = "certificate_expired", final;
    /// The rule, token or CA that admitted the client, or let it subscribe, is no longer valid.
    PermissionWithdrawn = "permission_withdrawn", final;
    /// The client caused too many errors, or asked for too much before it authenticated.
    TooManyErrors = "too_many_errors", final;
    /// The connection ended without `disconnecting`.
    ConnectionLost = "connection_lost", retryable;
    /// The fault is the broker's, not the client's.
    InternalError = "internal_error", retryable;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// An error as a peer sees it: a [`Code`] for programs and a sentence for people. Details that only the
/// operator may see go to the log instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} ({code})")]
pub struct CodedError {
    /// The stable word.
    pub code: Code,
    /// A sentence that may change between versions.
    pub reason: Cow<'static, str>,
}

impl CodedError {
    /// Pairs a code with a sentence about this case.
    pub fn new(code: Code, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }
}

/// Why an admitted connection ended: the `reason` that others see in `client_disconnected`, and
/// the `code` of the client's own `connection_closing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client sent `disconnecting`.
    ClientDisconnecting,
    /// The socket ended or failed without `disconnecting`.
    ConnectionLost,
    /// The outbox exceeded its limit.
    SlowConsumer,
    /// Two pings went unanswered.
    KeepaliveTimeout,
    /// The client did not authenticate in time.
    AuthenticationTimeout,
    /// The broker is shutting down.
    ServerShuttingDown,
    /// The client's certificate was revoked.
    CertificateRevoked,
    /// The client's certificate has expired.
    CertificateExpired,
    /// The client's token has expired.
    TokenExpired,
    /// The rule, token or CA that admitted the client is no longer valid.
    PermissionWithdrawn,
    /// The client caused too many errors, or asked for too much before it authenticated.
    TooManyErrors,
    /// The fault is the broker's.
    InternalError,
}

impl CloseReason {
    /// The word on the wire.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::ClientDisconnecting => Code::ClientDisconnecting,
            Self::ConnectionLost => Code::ConnectionLost,
            Self::SlowConsumer => Code::SlowConsumer,
            Self::KeepaliveTimeout => Code::KeepaliveTimeout,
            Self::AuthenticationTimeout => Code::AuthenticationTimeout,
            Self::ServerShuttingDown => Code::ServerShuttingDown,
            Self::CertificateRevoked => Code::CertificateRevoked,
            Self::CertificateExpired => Code::CertificateExpired,
            Self::TokenExpired => Code::TokenExpired,
            Self::PermissionWithdrawn => Code::PermissionWithdrawn,
            Self::TooManyErrors => Code::TooManyErrors,
            Self::InternalError => Code::InternalError,
        }
    }

    /// Whether what is still queued for the client is dropped: it does not read it, or has lost the
    /// right to it.
    #[must_use]
    pub const fn forfeits_queued(self) -> bool {
        matches!(
            self,
            Self::SlowConsumer | Self::CertificateRevoked | Self::PermissionWithdrawn
        )
    }

    /// The sentence for people.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::ClientDisconnecting => "the client asked to disconnect",
            Self::ConnectionLost => "the connection ended without `disconnecting`",
            Self::SlowConsumer => "the client did not read fast enough what was queued for it",
            Self::KeepaliveTimeout => "nothing was heard from the client, not even a `pong`",
            Self::AuthenticationTimeout => "no `request_authentication` came in time",
            Self::ServerShuttingDown => "the server is shutting down",
            Self::CertificateRevoked => "the client's certificate was revoked",
            Self::CertificateExpired => "the client's certificate has expired",
            Self::TokenExpired => "the client's token has expired",
            Self::PermissionWithdrawn => {
                "what admitted the client was withdrawn: its access rule, its token or its authority"
            }
            Self::TooManyErrors => "too many mistakes, or too much asked for before authenticating",
            Self::InternalError => "the server failed; its log says more",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_word_is_unique_and_lower_case() {
        let words: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), Code::ALL.len());
        assert!(
            words
                .iter()
                .all(|w| w.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        );
    }
}
