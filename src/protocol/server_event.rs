//! What the server says, typed: the broker writes these, the client library reads them.

use std::{borrow::Cow, fmt::Display};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{ClientId, Code, EventName, Fault, Frame, LineBuffer, Timestamp};

/// Declares [`ServerEvent`] from one table of names and contents.
macro_rules! server_events {
    ($($(#[$doc:meta])+ $variant:ident($content:ty) = $name:literal;)+) => {
        /// An event from the server.
        #[derive(Clone, Debug)]
        pub enum ServerEvent<'a> {
            $($(#[$doc])+ $variant($content),)+
        }

        impl<'a> ServerEvent<'a> {
            /// Every event's name, in the order of the documents.
            pub const NAMES: &'static [&'static str] = &[$($name,)+];

            /// The name on the wire.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)+ }
            }

            fn write_content(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
                match self { $(Self::$variant(content) => serde_json::to_writer(out, content),)+ }
            }

            fn read(name: &str, content: &'a RawValue) -> serde_json::Result<Option<Self>> {
                Ok(Some(match name {
                    $($name => Self::$variant(serde_json::from_str(content.get())?),)+
                    _ => return Ok(None),
                }))
            }
        }
    };
}

server_events! {
    /// The greeting: TLS is done and the client is admitted.
    ConnectionAccepted(ConnectionAccepted<'a>) = "connection_accepted";
    /// TLS is done and the client is not admitted; the connection closes.
    ConnectionRefused(Refused<'a>) = "connection_refused";
    /// The client is authenticated.
    AuthenticationAccepted(AuthenticationAccepted<'a>) = "authentication_accepted";
    /// The client is not authenticated; the connection closes.
    AuthenticationRefused(Refused<'a>) = "authentication_refused";
    /// Another client was authenticated.
    ClientAuthenticated(ClientAuthenticated<'a>) = "client_authenticated";
    /// Another authenticated client is gone.
    ClientDisconnected(ClientDisconnected<'a>) = "client_disconnected";
    /// The subscription is in force.
    Subscribed(Subscription<'a>) = "subscribed";
    /// The subscription has ended.
    Unsubscribed(Subscription<'a>) = "unsubscribed";
    /// The publish with this `ref` was accepted.
    Published(Published<'a>) = "published";
    /// A message on a topic that the client subscribed to.
    Message(Message<'a>) = "message";
    /// The server ended one subscription.
    SubscriptionClosed(SubscriptionClosed<'a>) = "subscription_closed";
    /// Who is here.
    Clients(Clients<'a>) = "clients";
    /// Asks for a sign of life.
    Ping(Empty) = "ping";
    /// Answers the client's `ping`.
    Pong(Reference<'a>) = "pong";
    /// What a client can say.
    Help(Help<'a>) = "help";
    /// A line failed.
    Error(ErrorContent<'a>) = "error";
    /// The last line before the server closes.
    ConnectionClosing(Refused<'a>) = "connection_closing";
}

/// Content of `connection_accepted`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConnectionAccepted<'a> {
    /// The id that the registry gave this connection.
    pub client_id: ClientId,
    /// Read from the certificate.
    #[serde(borrow)]
    pub identity: Cow<'a, str>,
    /// [`PROTOCOL_VERSION`](super::PROTOCOL_VERSION).
    pub protocol: u32,
    /// Who speaks.
    #[serde(borrow)]
    pub server: ServerName<'a>,
    /// Whether `request_authentication` must carry a token.
    pub token_required: bool,
    /// What this connection must keep to.
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

/// What a connection must keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionLimits {
    /// Bytes of a line once authenticated.
    pub line_bytes_max: usize,
    /// Milliseconds from the greeting to `request_authentication`.
    pub authentication_timeout_ms: u64,
    /// Milliseconds of silence after which the server sends `ping`; 0 when it never does.
    pub ping_interval_ms: u64,
}

/// Content of `connection_refused`, `authentication_refused` and `connection_closing`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refused<'a> {
    /// The stable word.
    #[serde(borrow)]
    pub code: Cow<'a, str>,
    /// The sentence.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
    /// Whether the same may succeed later.
    pub retryable: bool,
    /// The request that this answers: a `request_authentication` or a `disconnecting` with a `ref`.
    #[serde(
        borrow,
        rename = "ref",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub reference: Option<Cow<'a, str>>,
}

impl<'a> Refused<'a> {
    /// A code and its sentence.
    pub fn new(code: Code, reason: impl Into<Cow<'a, str>>) -> Self {
        Self {
            code: code.as_str().into(),
            reason: reason.into(),
            retryable: code.retryable(),
            reference: None,
        }
    }
}

/// Content of `authentication_accepted`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuthenticationAccepted<'a> {
    /// The client's own id.
    pub client_id: ClientId,
    /// Its identity.
    #[serde(borrow)]
    pub identity: Cow<'a, str>,
    /// The request that this answers.
    #[serde(
        borrow,
        rename = "ref",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub reference: Option<Cow<'a, str>>,
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

/// Content of `subscribed` and `unsubscribed`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Subscription<'a> {
    /// The filter.
    #[serde(borrow)]
    pub topic: Cow<'a, str>,
    /// The request that this answers.
    #[serde(
        borrow,
        rename = "ref",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub reference: Option<Cow<'a, str>>,
}

/// Content of `published`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Published<'a> {
    /// The topic.
    #[serde(borrow)]
    pub topic: Cow<'a, str>,
    /// How many clients it was queued for on this server.
    pub receivers: usize,
    /// The request that this answers.
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
    /// The stable word.
    #[serde(borrow)]
    pub code: Cow<'a, str>,
    /// The sentence.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
}

/// Content of `clients`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Clients<'a> {
    /// Every authenticated client, the asking one included, oldest first.
    #[serde(borrow)]
    pub clients: Vec<ClientEntry<'a>>,
    /// The request that this answers.
    #[serde(
        borrow,
        rename = "ref",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub reference: Option<Cow<'a, str>>,
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

/// Content with nothing in it.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Empty {}

/// Content with nothing but the `ref` of what it answers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Reference<'a> {
    /// The request that this answers.
    #[serde(
        borrow,
        rename = "ref",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub reference: Option<Cow<'a, str>>,
}

/// Content of `help`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Help<'a> {
    /// The client events.
    #[serde(borrow)]
    pub events: Vec<HelpEntry<'a>>,
    /// The request that this answers.
    #[serde(
        borrow,
        rename = "ref",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub reference: Option<Cow<'a, str>>,
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

/// Content of `error`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorContent<'a> {
    /// The stable word.
    #[serde(borrow)]
    pub code: Cow<'a, str>,
    /// The sentence.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
    /// Whether the same may succeed later.
    pub retryable: bool,
    /// The event of the line at fault, where it could be read.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Cow<'a, str>>,
    /// The `ref` of the line at fault, where it could be read.
    #[serde(
        borrow,
        rename = "ref",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub reference: Option<Cow<'a, str>>,
}

impl<'a> ErrorContent<'a> {
    /// Tells a fault of a line.
    #[must_use]
    pub fn new(fault: Fault, event: Option<Cow<'a, str>>, reference: Option<Cow<'a, str>>) -> Self {
        Self {
            code: fault.code.as_str().into(),
            reason: fault.reason,
            retryable: fault.code.retryable(),
            event,
            reference,
        }
    }
}

/// Appends one line: the four members of the envelope in their order.
pub fn encode_into(
    event: &ServerEvent<'_>,
    id: &impl Display,
    at: Timestamp,
    lines: &mut LineBuffer,
) {
    let line = lines.begin_line();
    line.extend_from_slice(
        format!(r#"{{"event":"{}","id":"{id}","content":"#, event.name()).as_bytes(),
    );
    #[expect(
        clippy::expect_used,
        reason = "writing to memory cannot fail, and no content has a map with keys other than strings"
    )]
    event.write_content(line).expect("content is plain JSON");
    line.extend_from_slice(format!(",\"timestamp\":\"{at}\"}}\n").as_bytes());
}

/// One line as a frame of its own.
#[must_use]
pub fn encode(event: &ServerEvent<'_>, id: &impl Display, at: Timestamp) -> Frame {
    let mut line = LineBuffer::default();
    line.reserve_exact(256);
    encode_into(event, id, at, &mut line);
    line.into()
}

/// A line from the server as a client reads it.
#[derive(Clone, Debug)]
pub struct ServerLine<'a> {
    /// Who speaks: the server, or the publishing client of a `message`.
    pub id: Cow<'a, str>,
    /// The server's clock.
    pub timestamp: Cow<'a, str>,
    /// `None` for an event that this version does not know, which a client passes over.
    pub event: Option<ServerEvent<'a>>,
}

impl<'a> ServerLine<'a> {
    /// Reads one line, its end already taken off.
    ///
    /// # Errors
    ///
    /// When the line is not an envelope, or the content is not that of its event.
    pub fn parse(line: &'a [u8]) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Envelope<'a> {
            #[serde(borrow)]
            event: Cow<'a, str>,
            #[serde(borrow)]
            id: Cow<'a, str>,
            #[serde(borrow)]
            content: &'a RawValue,
            #[serde(borrow)]
            timestamp: Cow<'a, str>,
        }
        let envelope: Envelope<'a> = serde_json::from_slice(line)?;
        Ok(Self {
            event: ServerEvent::read(&envelope.event, envelope.content)?,
            id: envelope.id,
            timestamp: envelope.timestamp,
        })
    }
}
