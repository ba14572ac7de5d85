//! What the server says: one table of events, from which their names, types, encoding and reading come.
//!
//! A new event is a row here, with a content out of `content`. The broker writes these events with
//! [`encode`], and the client library reads them with [`ServerLine::parse`].

mod content;

use std::{borrow::Cow, fmt::Display};

use serde::Deserialize;
use serde_json::value::RawValue;

pub use content::{
    AuthenticationAccepted, ClientAuthenticated, ClientDisconnected, ClientEntry, Clients,
    ConnectionAccepted, ConnectionLimits, Empty, ErrorBody, ErrorContent, Help, HelpEntry, Message,
    Published, Refused, ServerName, Subscription, SubscriptionClosed,
};

use super::{Frame, LineBuffer, OnlyRef, Timestamp};

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
    /// The first line after TLS: the client is admitted.
    ConnectionAccepted(ConnectionAccepted<'a>) = "connection_accepted";
    /// The client is not admitted, although TLS succeeded. The connection closes.
    ConnectionRefused(Refused<'a>) = "connection_refused";
    /// The client is authenticated.
    AuthenticationAccepted(AuthenticationAccepted<'a>) = "authentication_accepted";
    /// The client is not authenticated. The connection closes.
    AuthenticationRefused(Refused<'a>) = "authentication_refused";
    /// Another client was authenticated.
    ClientAuthenticated(ClientAuthenticated<'a>) = "client_authenticated";
    /// Another authenticated client has left.
    ClientDisconnected(ClientDisconnected<'a>) = "client_disconnected";
    /// The subscription is in force.
    Subscribed(Subscription<'a>) = "subscribed";
    /// The subscription has ended.
    Unsubscribed(Subscription<'a>) = "unsubscribed";
    /// The publish with this `ref` was accepted.
    Published(Published<'a>) = "published";
    /// A message on a topic that the client subscribed to.
    Message(Message<'a>) = "message";
    /// The server has ended a subscription.
    SubscriptionClosed(SubscriptionClosed<'a>) = "subscription_closed";
    /// The authenticated clients.
    Clients(Clients<'a>) = "clients";
    /// Asks the client for a `pong`.
    Ping(Empty) = "ping";
    /// Answers the client's `ping`.
    Pong(OnlyRef<'a>) = "pong";
    /// The events that a client may send.
    Help(Help<'a>) = "help";
    /// A line of the client was not accepted.
    Error(ErrorContent<'a>) = "error";
    /// The last line before the server closes the connection.
    ConnectionClosing(Refused<'a>) = "connection_closing";
}

/// Appends one line: the four members of the envelope, in their order.
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

/// One line in a frame of its own.
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
    /// The sender: the server, or the publishing client of a `message`.
    pub id: Cow<'a, str>,
    /// The server's clock.
    pub timestamp: Cow<'a, str>,
    /// `None` for an event that this version does not know, which a client ignores.
    pub event: Option<ServerEvent<'a>>,
}

impl<'a> ServerLine<'a> {
    /// Reads one line, without its end.
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
