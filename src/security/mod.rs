//! Who is who, proven by certificates: TLS, identities, and the making of certificates.
//!
//! Knows nothing of clients or of what they say.

mod client_use;
mod identity;
mod tls;

pub use identity::{Identity, IdentityError, IdentitySource, identity_of, turns_direction};
pub use tls::{Credentials, TlsError, TlsVersion, client_config, server_config};

pub mod inspect;
pub mod issue;
