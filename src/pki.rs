//! Makes a CA and certificates, and takes certificates back: for `tidings certs`, for `serve --dev`, and for tests.
//!
//! Owns how a certificate of ours looks and how it is laid down in a folder. It serves nobody and
//! judges no peer. [`Authority`] signs what it is asked to, odd things too, so that tests can hold
//! the broker against them; [`CertificateFolder`] is for people and makes only what works.
//!
//! Invariants: no file is ever overwritten, but for the revocation list by one that has all of its
//! entries, and by a renewal, which keeps a copy of what is good still; a private key is never readable by others, not
//! even for a moment.

mod authority;
mod error;
mod folder;
pub mod inspect;
mod renewal;
mod request;
mod revocation;

pub use authority::{Authority, IssuedCertificate};
pub use error::{IssueError, NameError};
pub use folder::{CertificateFolder, InitReport, IssuedFiles, ServerNames};
pub use renewal::{IfRevoked, RenewReport, RevokeReport, Revoked, WrittenList};
pub use request::{CertificateRequest, Purpose, Validity};
pub use revocation::{Revocation, RevocationList, RevocationReason, Serial, SerialError};

/// Days for which a certificate is good when nobody says otherwise: a year and a month, so that
/// a yearly renewal can be late. Also what browsers accept at most.
pub const CERTIFICATE_DAYS: u32 = 397;

/// Days for which a CA is good: ten years, leap days counted.
pub const AUTHORITY_DAYS: u32 = 3_653;
