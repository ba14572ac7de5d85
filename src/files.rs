//! Files that decide who may be here and do what.
//!
//! Owns how they are read (whole, bounded, and remembered by digest), how one is put in the place of
//! another, by one program at a time, and the words for those that cannot be used. Knows nothing of what is in them.

#[cfg(feature = "broker")]
mod atomic;
mod digest;
mod lock;
mod tracked;
mod words;

#[cfg(feature = "broker")]
pub(crate) use atomic::AtomicFile;
pub(crate) use digest::sha256;
pub(crate) use lock::lock;
pub(crate) use tracked::read;
pub use tracked::{Contents, FILE_BYTES_MAX, TrackedFiles};
#[cfg(feature = "broker")]
pub(crate) use words::remedy;
pub(crate) use words::{GARBLED, Unreadable, WritableByOthers};
