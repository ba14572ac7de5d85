//! Signs certificates and revocation lists: for `tidings certs`, for `serve --dev`, and for tests.
//!
//! Owns what the certificates made here contain, and how they are stored in a folder. It serves no
//! client and verifies none. [`Authority`] signs what it is asked to, odd requests included, so that
//! tests can try the broker with them; [`CertificateFolder`] is for people and makes only what works.
//!
//! Invariants: no file is overwritten, except the revocation list by one with all of its entries, and
//! a pair that is renewed, of which a copy is kept. No other user can read a private key at any time.

mod authority;
mod error;
mod files;
mod folder;
pub mod inspect;
mod keys;
mod names;
mod profiles;
mod request;
mod revocation;

pub use authority::Authority;
pub use error::{IssueError, NameError};
pub use files::{IssuedCertificate, IssuedFiles};
pub use folder::{
    CertificateFolder, IfRevoked, InitReport, RenewReport, RevocationTarget, RevokeReport,
    ServerNames, WrittenCrl,
};
pub use names::SubjectNames;
pub use request::{CertificateRequest, Purpose, Validity};
pub use revocation::{Revocation, RevocationList, RevocationReason, Serial, SerialError};

/// Days for which a certificate is valid by default: a year and a month, so that a yearly renewal can
/// be late. It is also the most that browsers accept.
pub const CERTIFICATE_DAYS: u32 = 397;

/// Days for which a CA is valid: ten years, including leap days.
pub const AUTHORITY_DAYS: u32 = 3_653;
