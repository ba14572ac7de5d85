//! Why something could not be done, in words for a person, and whether trying again may help.

use std::{borrow::Cow, io, time::Duration};

use chrono::DateTime;
use rustls::{AlertDescription as Alert, CertificateError, pki_types::UnixTime};

use crate::{
    protocol::{
        Code, CodedError,
        server_event::{ErrorBody, SubscriptionClosed},
    },
    text::{day_and_time, escaped, harmless},
    tls::certificate_fault,
    topic::{FilterError, TopicError},
};

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not `host:port`.
    #[error("{0:?} is not a server's address: it must be host:port, like localhost:4433")]
    Address(String),
    /// TCP or TLS failed.
    #[error("cannot connect to {server}: {}", connect_reason(.cause))]
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
    /// Whether trying again with the same [`Options`](super::Options) may help.
    ///
    /// What is wrong at the broker's end can be mended there: it restarts, and gets another
    /// certificate, another list of CAs or another revocation list. So an expired certificate of the
    /// broker is retryable, and so is the alert `unknown_ca`, with which a broker whose revocation list
    /// is out of date refuses everyone.
    ///
    /// What the options hold stays as it is: the name of the broker, the CAs that this client trusts,
    /// and its own certificate. So a broker's certificate with another name or from another CA is not
    /// retryable, nor is this client's own if it has expired, is revoked or is not for clients. That
    /// takes a new [`Client`](super::Client) with other options.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(fault) | Self::Rejected(fault) | Self::Closed(fault) => fault.retryable,
            Self::Connect { cause, .. } => !needs_other_options(cause),
            Self::ConnectTimeout { .. }
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

fn needs_other_options(error: &io::Error) -> bool {
    match tls_error(error) {
        Some(rustls::Error::AlertReceived(alert)) => matches!(
            alert,
            Alert::CertificateExpired
                | Alert::CertificateRevoked
                | Alert::CertificateRequired
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
        ),
        Some(rustls::Error::InvalidCertificate(fault)) => !matches!(
            fault,
            CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }
        ),
        _ => false,
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// What the terse words of TCP and TLS mean, for the person who reads them.
fn connect_reason(error: &io::Error) -> String {
    use rustls::{Error as Tls, InvalidMessage};
    if error.kind() == io::ErrorKind::ConnectionRefused {
        return format!(
            "{error} (nothing listens there: does the broker run on that host and port?)"
        );
    }
    let told = match tls_error(error) {
        Some(Tls::AlertReceived(alert)) => alert_reason(*alert)
            .map(|reason| format!("{reason} (the server refused with alert {alert:?})")),
        Some(Tls::InvalidCertificate(fault)) => certificate_reason(fault),
        Some(Tls::InvalidMessage(InvalidMessage::InvalidContentType)) => Some(
            "what answers there speaks no TLS: is it the broker, and this its port?".to_owned(),
        ),
        _ => None,
    };
    told.unwrap_or_else(|| error.to_string())
}

fn alert_reason(alert: Alert) -> Option<&'static str> {
    Some(match alert {
        Alert::UnknownCA => {
            "this client's certificate is not from a CA that the server trusts, or a revocation list is missing there: the server's log says which"
        }
        Alert::BadCertificate
        | Alert::CertificateUnknown
        | Alert::UnsupportedCertificate
        | Alert::DecryptError => {
            "the server does not take this client's certificate, and its log says why: often it is not for client use (extended key usage clientAuth), or one in its chain is not"
        }
        Alert::CertificateExpired => "this client's certificate has expired, or is not valid yet",
        Alert::CertificateRevoked => "this client's certificate has been revoked",
        Alert::CertificateRequired => "the server wants a client certificate",
        _ => return None,
    })
}

/// What is wrong with the server's certificate.
fn certificate_reason(fault: &CertificateError) -> Option<String> {
    let day = |moment: UnixTime| {
        let moment = i64::try_from(moment.as_secs()).ok()?;
        DateTime::from_timestamp(moment, 0).map(day_and_time)
    };
    Some(match fault {
        // With a bad signature it is from a CA that only has the name of one that is trusted.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the server's certificate is not from a CA that this client trusts".to_owned()
        }
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => wrong_name(&expected.to_str(), presented),
        CertificateError::ExpiredContext { not_after, .. } => format!(
            "the server's certificate, or one in its chain, ended on {}: it must be renewed there",
            day(*not_after)?
        ),
        CertificateError::NotValidYetContext { not_before, .. } => format!(
            "the server's certificate, or one in its chain, is not valid before {}: check the clocks",
            day(*not_before)?
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the server's certificate, or one in its chain, is not for servers (extended key usage serverAuth)".to_owned()
        }
        other => format!(
            "the server's certificate, or one in its chain, {}",
            certificate_fault(other)?
        ),
    })
}

/// Names of a certificate that are shown.
const NAMES_MAX: usize = 8;

fn wrong_name(wanted: &str, presented: &[String]) -> String {
    // As WebPKI writes them: `DnsName("localhost")`, `IpAddress(127.0.0.1)`.
    let bare = |name: &String| {
        let inner = name
            .split_once('(')
            .and_then(|(_, rest)| rest.strip_suffix(')'));
        escaped(inner.unwrap_or(name).trim_matches('"'))
    };
    let names: Vec<_> = presented.iter().take(NAMES_MAX).map(bare).collect();
    let more = match presented.len().saturating_sub(NAMES_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    if names.is_empty() {
        return format!(
            "the server's certificate names no host at all (subject alternative names): it must be issued anew, for {wanted}"
        );
    }
    format!(
        "the server's certificate is for {}{more}, and not for {wanted}: connect by a name that it has, or have it issued anew with {wanted} (tidings certs issue --server --dns or --ip)",
        names.join(", ")
    )
}

/// Characters of a server's text that are shown: more than any sentence of the broker has.
const SHOWN_CHARS_MAX: usize = 4096;

/// What a server says, for a person: whoever answers may say anything.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        None => harmless(text),
        Some((end, _)) => format!("{}…", harmless(&text[..end])).into(),
    }
}

/// What the broker said was wrong. As text it commands no terminal; the fields are as they came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} ({})", shown(reason), shown(code))]
pub struct ServerFault {
    /// The stable word.
    pub code: String,
    /// The sentence.
    pub reason: String,
    /// Whether the same may succeed later.
    pub retryable: bool,
}

impl From<ErrorBody<'_>> for ServerFault {
    fn from(error: ErrorBody<'_>) -> Self {
        Self {
            code: error.code.into_owned(),
            reason: error.reason.into_owned(),
            retryable: error.retryable,
        }
    }
}

impl From<CodedError> for ServerFault {
    fn from(fault: CodedError) -> Self {
        ErrorBody::from(fault).into()
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
    fn a_wrong_name_is_told_with_the_right_ones() {
        let certificate = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            wrong_name("broker", &names)
        };
        let told = certificate(&[r#"DnsName("localhost")"#, "IpAddress(127.0.0.1)"]);
        let expected = "the server's certificate is for localhost, 127.0.0.1, and not for broker: ";
        assert!(told.starts_with(expected), "{told}");
        let told = certificate(&[r#"DnsName("a")"#; 11]);
        assert!(told.contains("a, a and 3 more, and not"), "{told}");
        let told = certificate(&[]);
        assert!(told.contains("names no host at all"), "{told}");
    }

    #[test]
    fn what_a_server_says_commands_no_terminal_and_has_an_end() {
        let fault = |reason: &str| ServerFault {
            code: "c\u{9b}".to_owned(),
            reason: reason.to_owned(),
            retryable: false,
        };
        let told = fault("\u{1b}[2J\n\u{202e}\u{61c}\"").to_string();
        assert_eq!(told, r#"\u001b[2J\u000a\u202e\u061c" (c\u009b)"#);
        let told = fault(&"ü".repeat(100_000)).to_string();
        assert!(told.chars().count() < 5000 && told.contains("ü… (c"));
    }

    #[test]
    fn what_only_other_options_can_mend_is_not_tried_again() {
        use rustls::Error as Tls;
        let is_retryable = |cause: Tls| {
            let (server, cause) = ("localhost:4433".to_owned(), io::Error::other(cause));
            Error::Connect { server, cause }.is_retryable()
        };
        for (alert, expected) in [
            (Alert::CertificateExpired, false),
            (Alert::CertificateRevoked, false),
            (Alert::CertificateRequired, false),
            (Alert::BadCertificate, false),
            (Alert::UnsupportedCertificate, false),
            // Also of a broker whose revocation list is out of date.
            (Alert::UnknownCA, true),
            (Alert::InternalError, true),
        ] {
            assert_eq!(
                is_retryable(Tls::AlertReceived(alert)),
                expected,
                "{alert:?}"
            );
        }
        for (fault, expected) in [
            (CertificateError::UnknownIssuer, false),
            (CertificateError::NotValidForName, false),
            (CertificateError::InvalidPurpose, false),
            (CertificateError::Expired, true),
            (CertificateError::NotValidYet, true),
        ] {
            let error = Tls::InvalidCertificate(fault.clone());
            assert_eq!(is_retryable(error), expected, "{fault:?}");
        }
    }

    #[test]
    fn no_fault_of_a_token_is_tried_again() {
        for code in [
            Code::TokenMissing,
            Code::TokenInvalid,
            Code::TokenExpired,
            Code::TokenIdentityMismatch,
        ] {
            let refused = || ErrorBody::new(code, "a sentence").into();
            assert!(!Error::Refused(refused()).is_retryable(), "{code}");
            assert!(!Error::Closed(refused()).is_retryable(), "{code}");
        }
    }
}
