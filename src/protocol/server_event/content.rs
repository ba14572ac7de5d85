//! What stands in the `content` of the server's events.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::protocol::{
    ClientId, Code, CodedError, EventName, client_event::LineError, reference::with_reference,
};

/// Content of `connection_accepted`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConnectionAccepted<'a> {
    /// The id that the registry gave this connection.
    pub client_id: ClientId,
    /// The name in the client's certificate.
    #[serde(borrow)]
    pub identity: Cow<'a, str>,
    /// [`PROTOCOL_VERSION`](crate::protocol::PROTOCOL_VERSION).
    pub protocol: u32,
    /// The server's software.
    #[serde(borrow)]
    pub server: ServerName<'a>,
    /// Whether `request_authentication` must carry a token.
    pub token_required: bool,
    /// The limits of this connection.
    pub limits: ConnectionLimits,
}

/// The server's software.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServerName<'a> {
    /// `tidings`.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// Its version.
    #[serde(borrow)]
    pub version: Cow<'a, str>,
}

/// The limits of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionLimits {
    /// Bytes of a line once authenticated.
    pub line_bytes_max: usize,
    /// Milliseconds from `connection_accepted` to `request_authentication`.
    pub authentication_timeout_ms: u64,
    /// Milliseconds of silence after which the server sends `ping`; 0 when it never does.
    pub ping_interval_ms: u64,
}

/// An error as every event that reports one shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorBody<'a> {
    /// The stable word, for programs.
    #[serde(borrow)]
    pub code: Cow<'a, str>,
    /// A sentence for people, which may change between versions.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
    /// Whether the same may succeed later.
    pub retryable: bool,
}

impl<'a> ErrorBody<'a> {
    /// A code and its sentence.
    pub fn new(code: Code, reason: impl Into<Cow<'a, str>>) -> Self {
        Self {
            code: code.as_str().into(),
            reason: reason.into(),
            retryable: code.retryable(),
        }
    }
}

impl From<CodedError> for ErrorBody<'_> {
    fn from(CodedError { code, reason }: CodedError) -> Self {
        Self::new(code, reason)
    }
}

with_reference! {
    /// Content of `connection_refused`, `authentication_refused` and `connection_closing`.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct Refused<'a> {
        /// Why.
        #[serde(flatten, borrow)]
        pub error: ErrorBody<'a>,
    }

    /// Content of `authentication_accepted`.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct AuthenticationAccepted<'a> {
        /// The client's own id.
        pub client_id: ClientId,
        /// The client's identity.
        #[serde(borrow)]
        pub identity: Cow<'a, str>,
    }

    /// Content of `subscribed` and `unsubscribed`.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct Subscription<'a> {
        /// The filter.
        #[serde(borrow)]
        pub topic: Cow<'a, str>,
    }

    /// Content of `clients`.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct Clients<'a> {
        /// Every authenticated client, the asking one included, oldest first.
        #[serde(borrow)]
        pub clients: Vec<ClientEntry<'a>>,
    }

    /// Content of `help`.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct Help<'a> {
        /// The events that a client may send.
        #[serde(borrow)]
        pub events: Vec<HelpEntry<'a>>,
    }

    /// Content of `error`.
    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub struct ErrorContent<'a> {
        /// What is wrong with the line.
        #[serde(flatten, borrow)]
        pub error: ErrorBody<'a>,
        /// The event of the line, when it could be read.
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        pub event: Option<Cow<'a, str>>,
    }
}

impl<'a> Refused<'a> {
    /// A code and its sentence.
    pub fn new(code: Code, reason: impl Into<Cow<'a, str>>) -> Self {
        Self {
            error: ErrorBody::new(code, reason),
            reference: None,
        }
    }
}

impl<'a> From<LineError<'a>> for ErrorContent<'a> {
    fn from(error: LineError<'a>) -> Self {
        Self {
            error: error.cause.into(),
            event: error.event,
            reference: error.reference,
        }
    }
}

impl<'a> Help<'a> {
    /// Every event that a client may send.
    #[must_use]
    pub fn new(reference: Option<Cow<'a, str>>) -> Self {
        let entry = |name: &EventName| HelpEntry {
            event: name.as_str().into(),
            example: name.example().into(),
        };
        Self {
            events: EventName::ALL.iter().map(entry).collect(),
            reference,
        }
    }
}

/// One event in `help`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HelpEntry<'a> {
    /// Its name.
    #[serde(borrow)]
    pub event: Cow<'a, str>,
    /// A line that can be sent as it is.
    #[serde(borrow)]
    pub example: Cow<'a, str>,
}

/// One client in `clients`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClientEntry<'a> {
    /// Its id.
    pub client_id: ClientId,
    /// Its identity.
    #[serde(borrow)]
    pub identity: Cow<'a, str>,
    /// When it was authenticated.
    #[serde(borrow)]
    pub since: Cow<'a, str>,
}

/// Content of `client_authenticated`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClientAuthenticated<'a> {
    /// The other client.
    pub client_id: ClientId,
    /// Its identity.
    #[serde(borrow)]
    pub identity: Cow<'a, str>,
}

/// Content of `client_disconnected`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClientDisconnected<'a> {
    /// The other client.
    pub client_id: ClientId,
    /// Its identity.
    #[serde(borrow)]
    pub identity: Cow<'a, str>,
    /// A code.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
}

/// Content of `published`. It is sent only for a publish with a `ref`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Published<'a> {
    /// The topic.
    #[serde(borrow)]
    pub topic: Cow<'a, str>,
    /// How many clients it was queued for on this server.
    pub receivers: usize,
    /// The `ref` of the publish.
    #[serde(borrow, rename = "ref")]
    pub reference: Cow<'a, str>,
}

/// Content of `message`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Message<'a> {
    /// The topic that it was published to.
    #[serde(borrow)]
    pub topic: Cow<'a, str>,
    /// The publisher's bytes, unchanged.
    #[serde(borrow)]
    pub payload: &'a RawValue,
    /// The publisher's identity, as the server knows it.
    #[serde(borrow)]
    pub sender: Cow<'a, str>,
}

/// Content of `subscription_closed`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SubscriptionClosed<'a> {
    /// The filter.
    #[serde(borrow)]
    pub topic: Cow<'a, str>,
    /// The stable word, for programs.
    #[serde(borrow)]
    pub code: Cow<'a, str>,
    /// A sentence for people.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
}

/// Content with nothing in it.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Empty {}
