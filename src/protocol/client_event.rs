//! What a client says: one table of events, from which their names, types and decoding come.
//!
//! A new event is a row here, with a content out of `content`, and its handling in the server's
//! conversation. [`decode`] turns a line into a [`ClientEvent`], or into a [`LineError`] with a code;
//! [`encode`] writes the line.

mod content;
mod decode;
mod envelope;
mod fields;
mod form;
mod object;
mod plain;
mod value;

use std::{
    borrow::Cow,
    fmt::{self, Display},
};

pub use content::{Publish, RequestAuthentication, Subscribe, Token};
pub use decode::{LineError, decode};
pub use form::NESTING_MAX;
pub(crate) use form::check_line;

use self::{content::Content, fields::Fields};
use super::{CodedError, OnlyRef, SELF_ID};

/// Declares [`ClientEvent`] and [`EventName`] from one table.
macro_rules! client_events {
    ($(
        $(#[$doc:meta])+
        $variant:ident($content:ty) = $name:literal {
            phase: $phase:ident,
            example: $example:literal,
            unsupported: [$($member:literal),*],
        }
    )+) => {
        /// An event from a client, its content checked.
        #[derive(Clone, Debug)]
        pub enum ClientEvent<'a> {
            $($(#[$doc])+ $variant($content),)+
        }

        impl<'a> ClientEvent<'a> {
            /// Its name.
            #[must_use]
            pub const fn name(&self) -> EventName {
                match self { $(Self::$variant(_) => EventName::$variant,)+ }
            }

            /// The `ref` that its answer must carry.
            #[must_use]
            pub const fn reference(&self) -> Option<&Cow<'a, str>> {
                match self { $(Self::$variant(content) => content.reference.as_ref(),)+ }
            }

            fn write_content(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
                match self { $(Self::$variant(content) => serde_json::to_writer(out, content),)+ }
            }

            fn read(
                name: EventName,
                fields: &Fields<'a>,
                reference: Option<Cow<'a, str>>,
            ) -> Result<Self, CodedError> {
                Ok(match name {
                    $(EventName::$variant => {
                        Self::$variant(<$content>::read(fields, reference)?)
                    })+
                })
            }
        }

        /// The name of an event that a client may send.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum EventName {
            $(#[doc = concat!("`", $name, "`")] $variant,)+
        }

        impl EventName {
            /// Every name, in the order in which a new user needs them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// When a client may send it.
            #[must_use]
            pub const fn phase(self) -> Phase {
                match self { $(Self::$variant => Phase::$phase,)+ }
            }

            /// A line that can be sent as it is.
            #[must_use]
            pub const fn example(self) -> &'static str {
                match self { $(Self::$variant => $example,)+ }
            }

            /// Members of its content that protocol 1 names and this version does not support. To
            /// ignore one would promise something that the server does not do.
            const fn unsupported(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$($member),*],)+ }
            }
        }
    };
}

client_events! {
    /// Asks to become a session.
    RequestAuthentication(RequestAuthentication<'a>) = "request_authentication" {
        phase: BeforeAuthentication,
        example: r#"{"event":"request_authentication","id":"__"}"#,
        unsupported: [],
    }
    /// Asks for the messages of all topics that match.
    Subscribe(Subscribe<'a>) = "subscribe" {
        phase: AfterAuthentication,
        example: r#"{"event":"subscribe","id":"__","content":{"topic":"plant/+/oven"}}"#,
        unsupported: ["group", "from", "overflow"],
    }
    /// Sends a message to every client that subscribes to its topic.
    Publish(Publish<'a>) = "publish" {
        phase: AfterAuthentication,
        example: r#"{"event":"publish","id":"__","content":{"topic":"plant/7/oven","payload":{"celsius":181.5},"ref":"1"}}"#,
        unsupported: ["retain", "reply_to", "expires_in_ms", "message_id"],
    }
    /// Ends a subscription.
    Unsubscribe(Subscribe<'a>) = "unsubscribe" {
        phase: AfterAuthentication,
        example: r#"{"event":"unsubscribe","id":"__","content":{"topic":"plant/+/oven"}}"#,
        unsupported: ["group"],
    }
    /// Asks which clients are connected.
    ListClients(OnlyRef<'a>) = "list_clients" {
        phase: AfterAuthentication,
        example: r#"{"event":"list_clients","id":"__"}"#,
        unsupported: [],
    }
    /// Asks the server for a `pong`.
    Ping(OnlyRef<'a>) = "ping" {
        phase: Always,
        example: r#"{"event":"ping","id":"__"}"#,
        unsupported: [],
    }
    /// Answers the server's `ping`.
    Pong(OnlyRef<'a>) = "pong" {
        phase: AfterAuthentication,
        example: r#"{"event":"pong","id":"__"}"#,
        unsupported: [],
    }
    /// Asks for the list of these events.
    Help(OnlyRef<'a>) = "help" {
        phase: AfterAuthentication,
        example: r#"{"event":"help","id":"__"}"#,
        unsupported: [],
    }
    /// Ends the connection.
    Disconnecting(OnlyRef<'a>) = "disconnecting" {
        phase: Always,
        example: r#"{"event":"disconnecting","id":"__"}"#,
        unsupported: [],
    }
}

/// The part of a connection in which a client may send an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Until the client is authenticated.
    BeforeAuthentication,
    /// Once the client is authenticated.
    AfterAuthentication,
    /// As long as the connection lasts.
    Always,
}

impl EventName {
    fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|name| name.as_str() == text)
    }
}

impl Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The line of an event, with `"__"` as the client's id.
#[must_use]
pub fn encode(event: &ClientEvent<'_>) -> Vec<u8> {
    let mut line = format!(r#"{{"event":"{}","content":"#, event.name()).into_bytes();
    #[expect(
        clippy::expect_used,
        reason = "writing to memory cannot fail, and no content has a map with keys other than strings"
    )]
    event
        .write_content(&mut line)
        .expect("content is plain JSON");
    line.extend_from_slice(format!(",\"id\":\"{SELF_ID}\"}}\n").as_bytes());
    line
}

#[cfg(test)]
mod tests;
