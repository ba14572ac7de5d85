use std::{io, time::Duration};

use crate::{
    protocol::{
        Code, Fault,
        server_event::{ErrorContent, Refused, SubscriptionClosed},
    },
    topic::{FilterError, TopicError},
};

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not `host:port`.
    #[error("{0:?} is not a server's address: it must be host:port, like localhost:4433")]
    Address(String),
    /// TCP or TLS failed.
    #[error("cannot connect to {server}: {cause}{}", hint(.cause))]
    Connect {
        /// Where.
        server: String,
        /// Why.
        cause: io::Error,
    },
    /// TCP, TLS and authentication took too long together.
    #[error("cannot connect to {server}: no answer within {} s", .timeout.as_secs_f32())]
    ConnectTimeout {
        /// Where.
        server: String,
        /// How long was waited.
        timeout: Duration,
    },
    /// The broker does not let this client in.
    #[error("the server refused the connection: {0}")]
    Refused(ServerFault),
    /// The broker refused one request.
    #[error("{0}")]
    Rejected(ServerFault),
    /// The broker closed the connection, and said why.
    #[error("the server closed the connection: {0}")]
    Closed(ServerFault),
    /// The connection broke.
    #[error("the connection was lost: {0}")]
    Lost(io::Error),
    /// The broker said something that this client cannot make sense of.
    #[error("the server said what is not protocol 1: {0}")]
    Protocol(String),
    /// The answer did not come in time.
    #[error("no answer within {} s", .0.as_secs_f32())]
    NoAnswer(Duration),
    /// The connection ended before the answer came: it may have been done or not.
    #[error("no answer came: {0}")]
    Unanswered(String),
    /// Not a topic.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// Not a filter.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The message makes a line that the server does not take. It was not sent.
    #[error("the message makes a line of {bytes} bytes, and the server takes {limit}")]
    LineTooLong {
        /// Of the line.
        bytes: usize,
        /// The server's.
        limit: usize,
    },
    /// There is nothing to subscribe to.
    #[error("a subscription needs at least one filter")]
    NoFilter,
    /// The payload cannot be written as JSON.
    #[error("the payload cannot be written as JSON: {0}")]
    Payload(serde_json::Error),
    /// The connection has ended; [`Client::ended`](super::Client::ended) tells why.
    #[error("the connection has ended")]
    Ended,
}

impl Error {
    /// Whether trying again may help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(fault) | Self::Rejected(fault) | Self::Closed(fault) => fault.retryable,
            Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Lost(_)
            | Self::Unanswered(_)
            | Self::NoAnswer(_) => true,
            Self::Address(_)
            | Self::Protocol(_)
            | Self::Topic(_)
            | Self::Filter(_)
            | Self::LineTooLong { .. }
            | Self::NoFilter
            | Self::Payload(_)
            | Self::Ended => false,
        }
    }
}

/// What the terse words of TCP and TLS most often mean, for the person who reads them.
fn hint(error: &io::Error) -> &'static str {
    use rustls::{AlertDescription as Alert, CertificateError, Error as Tls};
    if error.kind() == io::ErrorKind::ConnectionRefused {
        return " (nothing listens there: does the broker run on that host and port?)";
    }
    let Some(tls) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Tls>())
    else {
        return "";
    };
    match tls {
        Tls::AlertReceived(
            Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::CertificateUnknown
            | Alert::UnsupportedCertificate
            | Alert::DecryptError,
        ) => {
            " (the server does not take this client's certificate: is it from the server's CA, and for client use?)"
        }
        Tls::AlertReceived(Alert::CertificateExpired) => {
            " (this client's certificate has expired, or is not valid yet)"
        }
        Tls::AlertReceived(Alert::CertificateRevoked) => {
            " (this client's certificate has been revoked)"
        }
        Tls::AlertReceived(Alert::CertificateRequired) => {
            " (the server wants a client certificate)"
        }
        Tls::InvalidCertificate(CertificateError::UnknownIssuer) => {
            " (the server's certificate is not from a CA that this client trusts)"
        }
        Tls::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => " (the server's certificate is for another host name)",
        _ => "",
    }
}

/// What the broker said was wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} ({code})")]
pub struct ServerFault {
    /// The stable word.
    pub code: String,
    /// The sentence.
    pub reason: String,
    /// Whether the same may succeed later.
    pub retryable: bool,
}

impl From<Refused<'_>> for ServerFault {
    fn from(refused: Refused<'_>) -> Self {
        Self {
            code: refused.code.into_owned(),
            reason: refused.reason.into_owned(),
            retryable: refused.retryable,
        }
    }
}

impl From<Fault> for ServerFault {
    fn from(fault: Fault) -> Self {
        Self {
            code: fault.code.as_str().to_owned(),
            reason: fault.reason.into_owned(),
            retryable: fault.code.retryable(),
        }
    }
}

impl From<ErrorContent<'_>> for ServerFault {
    fn from(error: ErrorContent<'_>) -> Self {
        Self {
            code: error.code.into_owned(),
            reason: error.reason.into_owned(),
            retryable: error.retryable,
        }
    }
}

impl From<&SubscriptionClosed<'_>> for ServerFault {
    /// The event does not say whether it can succeed later: the code does.
    fn from(closed: &SubscriptionClosed<'_>) -> Self {
        let code = Code::ALL.iter().find(|code| code.as_str() == closed.code);
        Self {
            code: closed.code.clone().into_owned(),
            reason: closed.reason.clone().into_owned(),
            retryable: code.is_some_and(|code| code.retryable()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_fault_of_a_token_is_tried_again() {
        for code in [
            Code::TokenMissing,
            Code::TokenInvalid,
            Code::TokenExpired,
            Code::TokenIdentityMismatch,
        ] {
            let refused = || Refused::new(code, "a sentence").into();
            assert!(!Error::Refused(refused()).is_retryable(), "{code}");
            assert!(!Error::Closed(refused()).is_retryable(), "{code}");
        }
    }
}
