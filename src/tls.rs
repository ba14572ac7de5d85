//! Mutual TLS: configurations from files, and the verification of client certificates.
//!
//! Owns which certificates are trusted, until when, and why one is not. Knows nothing of connected
//! clients or of the protocol.
//!
//! Each file is read once, so that what was checked is what is used.

mod anchors;
mod client;
#[cfg(feature = "broker")]
mod client_use;
mod credentials;
#[cfg(feature = "broker")]
mod crl;
mod error;
mod expiry;
mod handshake_text;
pub(crate) mod pem;
mod reading;
#[cfg(feature = "broker")]
mod revocation;
mod roots;
#[cfg(feature = "broker")]
mod server;
#[cfg(feature = "broker")]
mod verify;
pub(crate) mod x509;

pub use client::client_config;
pub use credentials::{Credentials, TlsVersion};
pub use error::TlsError;
pub use expiry::Expiry;
pub use handshake_text::NotTls;
pub(crate) use handshake_text::certificate_fault;
#[cfg(feature = "broker")]
pub use server::{ServerTls, ServerTlsFiles};
#[cfg(feature = "broker")]
pub use verify::{ClientCertificateError, ClientVerifier, refusal_code, tls_refusal};

#[cfg(test)]
#[cfg(feature = "broker")]
mod tests;
