//! The wire protocol: lines, envelopes, events, codes.
//!
//! Owns protocol 1 as `docs/events.md` describes it. Knows nothing of sockets, clients or routing:
//! bytes go in and typed events come out, and the other way round.
//!
//! **Invariant:** every byte that comes from outside passes through [`LineSplitter`] and
//! [`client_event::decode`] and nothing else. Neither panics, whatever the bytes are.

pub mod client_event;
mod code;
mod frame;
mod id;
mod line;
mod parser_error;
mod reference;
pub mod server_event;
mod timestamp;

pub use client_event::{ClientEvent, EventName};
pub use code::{CloseReason, Code, CodedError};
pub use frame::{Frame, LineBuffer, MessageTemplate};
pub use id::{ClientId, ServerId};
pub use line::{LineSplitter, LineTooLong};
pub(crate) use parser_error::{describe_json_error, without_values};
pub use reference::{OnlyRef, REFERENCE_BYTES_MAX};
pub use server_event::ServerEvent;
pub use timestamp::Timestamp;

/// The version of the protocol, as `connection_accepted` states it.
pub const PROTOCOL_VERSION: u32 = 1;

/// What a client may write as its own `id`. Before it knows its id it can write nothing else.
pub const SELF_ID: &str = "__";
