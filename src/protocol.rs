//! What is said on the wire: lines, envelopes, events, codes.
//!
//! Owns protocol 1 as `docs/events.md` tells it. Knows nothing of sockets, clients or
//! routing: bytes go in, typed events come out, and the other way round.
//!
//! **Invariant:** every byte that comes from outside passes through [`LineSplitter`] and
//! [`client_event::decode`] and nothing else; neither panics, whatever the bytes are.

pub mod client_event;
mod code;
mod frame;
mod id;
mod json_fault;
mod line;
pub mod server_event;
mod timestamp;

pub use client_event::{ClientEvent, EventName};
pub use code::{CloseReason, Code, Fault};
pub use frame::{Frame, LineBuffer, MessageTemplate};
pub use id::{ClientId, ServerId};
pub(crate) use json_fault::{json_fault, without_values};
pub use line::{LineSplitter, LineTooLong};
pub use server_event::ServerEvent;
pub use timestamp::Timestamp;

/// The version of the protocol that this broker speaks, told in `connection_accepted`.
pub const PROTOCOL_VERSION: u32 = 1;

/// What a client writes as its `id` when it means itself: all it can write before it knows its id.
pub const SELF_ID: &str = "__";
