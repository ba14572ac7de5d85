//! Mutual TLS: configurations out of files, and the verifying of client certificates.
//!
//! Owns which certificates are trusted, until when, and why one is not. Knows nothing of clients
//! that are here, nor of what they say.
//!
//! Each file of certificates is read once: what is checked is what is used.

mod client_use;
mod config;
mod crl;
mod error;
mod expiry;
mod handshake_text;
pub(crate) mod pem;
mod reading;
mod revocation;
mod roots;
mod trust;
mod verify;
pub(crate) mod x509;

pub use config::{Credentials, ServerTls, ServerTlsFiles, TlsVersion, client_config};
pub use error::TlsError;
pub use expiry::Expiry;
pub use handshake_text::NotTls;
pub(crate) use handshake_text::certificate_fault;
pub use verify::{ClientCertificateError, ClientVerifier, refusal_code, tls_refusal};

#[cfg(test)]
mod tests;
