//! Who is who, proven by certificates: TLS, identities, and the making of certificates.
//!
//! Knows nothing of clients or of what they say.

mod aside;
mod client_use;
mod crl;
mod deadline;
mod digest;
mod fault_text;
mod handshake_text;
mod identity;
mod network;
mod pem;
mod policy;
mod revocation;
mod signature;
mod source;
mod tls;
mod trust;
mod verify;

pub(crate) use aside::Aside;
pub use deadline::Deadline;
pub(crate) use fault_text::{Unreadable, remedy};
pub use handshake_text::NotTls;
pub(crate) use handshake_text::certificate_fault;
pub use identity::{Identity, IdentityError, IdentitySource, identity_of, turns_direction};
pub use network::{Network, canonical};
pub use policy::{Group, Policy, PolicyError, PolicyFiles, Reading, Seen, TokenKeysFile};
pub use source::{Contents, FILE_BYTES_MAX, Sources};
pub use tls::{Credentials, ServerTls, ServerTlsFiles, TlsError, TlsVersion, client_config};
pub use verify::{CertificateRefusal, ClientVerifier, refusal_code, tls_refusal};

pub mod access;
pub mod inspect;
pub mod issue;
pub mod tokens;
