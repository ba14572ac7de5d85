//! Files that decide who may connect and do what.
//!
//! Owns how they are read (whole, bounded, and remembered by digest), how they are created and replaced
//! by one program at a time, and the messages about files that cannot be used. Knows nothing about
//! their contents.

#[cfg(feature = "broker")]
mod atomic;
mod digest;
mod lock;
mod tracked;
mod words;

#[cfg(feature = "broker")]
pub(crate) use atomic::{AtomicFile, NewFile};
pub(crate) use digest::sha256;
pub(crate) use lock::lock;
pub(crate) use tracked::read;
pub use tracked::{Contents, FILE_BYTES_MAX, TrackedFiles};
#[cfg(feature = "broker")]
pub(crate) use words::remedy;
pub(crate) use words::{GARBLED, Unreadable, WritableByOthers};
