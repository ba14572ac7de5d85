//! What one address and one identity may do in a time.
//!
//! Owns the rates and what was made use of. Knows nothing of connections: they ask, and act on what
//! they are told.

mod address;
mod gcra;
mod identities;
mod identity;

pub(super) use address::ConnectionRateLimiter;
pub(super) use identities::{IdentityRateLimiters, SharedRateLimiter};
