//! Tokens: a second proof of identity beside the certificate, if the server requires one.
//!
//! Owns how a token is verified at authentication and again after a reload, and the file of
//! `tidings token`. Knows nothing about connections. It has no clock: callers pass the time.
//!
//! A token is bound to the identity of a certificate, so a token alone is worthless. A client with a
//! wrong secret learns only that it is wrong: the owner and the expiry of a token are revealed only
//! with the right secret. No secret is kept: the store holds hashes, and a verified token holds none.

mod file_error;
#[cfg(test)]
mod issuer;
mod key_set;
mod secret;
mod signed;
mod store;
mod token_file;

use std::{borrow::Cow, fmt, sync::Arc};

use chrono::{DateTime, Utc};

pub use file_error::TokenFileError;
pub use secret::{NewToken, is_token_id};
pub use signed::SignedTokenKeys;
pub use store::{TokenEntry, TokenStore};
pub use token_file::{Changed, TokenFile};

use crate::protocol::{Code, CodedError};
use crate::{access::TokenScope, identity::Identity};

/// The maximum length of a token in bytes. A line before authentication can hardly be longer.
const TOKEN_BYTES_MAX: usize = 4096;

/// Which tokens are valid. By default no token is required.
#[derive(Debug, Default)]
pub struct TokenPolicy {
    store: Option<TokenStore>,
    signed: Option<SignedTokenKeys>,
}

/// A token that was verified, without its secret.
#[derive(Clone)]
pub struct VerifiedToken {
    token_id: String,
    identity: Identity,
    expires: Option<DateTime<Utc>>,
    scope: Option<Arc<TokenScope>>,
    origin: Origin,
}

/// Where the token came from. A verified token stays valid as long as this exists.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// An entry of the store: the hash of the token.
    Store([u8; 32]),
    /// A key of the key set: the digest of the key that signed the token.
    Signed([u8; 32]),
}

/// Why a token is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenError {
    /// `token_missing`, `token_invalid`, `token_expired` or `token_identity_mismatch`.
    pub code: Code,
    /// The reason for the client.
    pub reason: Cow<'static, str>,
    /// The id of the token if it is known, escaped for the log.
    pub token_id: Option<String>,
}

impl TokenPolicy {
    /// Accepts the tokens of `store`, and tokens that a key of `signed` has signed.
    #[must_use]
    pub const fn new(store: Option<TokenStore>, signed: Option<SignedTokenKeys>) -> Self {
        Self { store, signed }
    }

    /// The same policy with another store.
    #[must_use]
    pub fn with_store(&self, store: Option<TokenStore>) -> Self {
        Self::new(store, self.signed.clone())
    }

    /// The same policy with other keys.
    #[must_use]
    pub fn with_signed(&self, signed: Option<SignedTokenKeys>) -> Self {
        Self::new(self.store.clone(), signed)
    }

    /// Whether a client must have a token.
    #[must_use]
    pub const fn is_required(&self) -> bool {
        self.store.is_some() || self.signed.is_some()
    }

    /// The number of tokens in the store, expired ones included.
    #[must_use]
    pub fn token_count(&self) -> usize {
        self.store.as_ref().map_or(0, |store| store.entries().len())
    }

    /// Verifies the token of a client with this identity. Returns `None` if no token is required:
    /// then whatever the client sent is ignored.
    ///
    /// # Errors
    ///
    /// When a token is required and this one is missing or not valid.
    pub fn verify(
        &self,
        token: Option<&str>,
        identity: &Identity,
        now: DateTime<Utc>,
    ) -> Result<Option<VerifiedToken>, TokenError> {
        if !self.is_required() {
            return Ok(None);
        }
        // A script with an unset variable sends an empty token.
        let token = token.filter(|token| !token.is_empty());
        let token = token.ok_or_else(TokenError::missing)?;
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::unknown(None));
        }
        let verified = match (&self.store, &self.signed) {
            (Some(store), _) if secret::is_store_token(token) => store.verify(token, identity, now),
            (_, Some(signed)) => signed.verify(token, identity, now),
            _ => Err(TokenError::unknown(None)),
        };
        verified.map(Some)
    }

    /// Verifies a session's token again after a reload.
    ///
    /// # Errors
    ///
    /// When the token or its key is gone, when it has expired, or when it now belongs to another
    /// identity.
    pub fn reverify(
        &self,
        verified: &VerifiedToken,
        identity: &Identity,
        now: DateTime<Utc>,
    ) -> Result<VerifiedToken, TokenError> {
        if verified.identity != *identity {
            return Err(TokenError::identity_mismatch(&verified.token_id));
        }
        match (verified.origin, &self.store, &self.signed) {
            (Origin::Store(hash), Some(store), _) => store.reverify(verified, &hash, now),
            (Origin::Signed(key), _, Some(signed)) if signed.has_key(&key) => {
                verified.clone().unexpired(now)
            }
            _ => Err(TokenError::withdrawn(&verified.token_id)),
        }
    }
}

impl VerifiedToken {
    /// The name of the token in the log: its id in the store, or the `jti` or key of a signed token.
    #[must_use]
    pub fn token_id(&self) -> &str {
        &self.token_id
    }

    /// When it expires; `None` if it does not.
    #[must_use]
    pub const fn expires(&self) -> Option<DateTime<Utc>> {
        self.expires
    }

    /// What the token restricts its session to, within what the access rules allow.
    #[must_use]
    pub const fn scope(&self) -> Option<&Arc<TokenScope>> {
        self.scope.as_ref()
    }

    /// The same token, unless it has expired.
    fn unexpired(self, now: DateTime<Utc>) -> Result<Self, TokenError> {
        if self.expires.is_some_and(|expires| expires <= now) {
            return Err(TokenError::expired(&self.token_id));
        }
        Ok(self)
    }
}

impl fmt::Debug for VerifiedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedToken")
            .field("token_id", &self.token_id)
            .field("identity", &self.identity)
            .field("expires", &self.expires)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl TokenError {
    fn new(code: Code, reason: impl Into<Cow<'static, str>>, token_id: Option<&str>) -> Self {
        Self {
            code,
            reason: reason.into(),
            token_id: token_id.map(str::to_owned),
        }
    }

    fn missing() -> Self {
        let reason = "this server requires a token: send it as `token` in `request_authentication`";
        Self::new(Code::TokenMissing, reason, None)
    }

    /// The same sentence for an unknown id, a wrong secret, a bad signature and a malformed token.
    fn unknown(token_id: Option<&str>) -> Self {
        let reason = "the token is not one that this server knows or can verify";
        Self::new(Code::TokenInvalid, reason, token_id)
    }

    fn withdrawn(token_id: &str) -> Self {
        let reason = "the token, or the key that signed it, was withdrawn";
        Self::new(Code::TokenInvalid, reason, Some(token_id))
    }

    fn expired(token_id: &str) -> Self {
        Self::new(
            Code::TokenExpired,
            "the token has expired: a new one is required",
            Some(token_id),
        )
    }

    fn identity_mismatch(token_id: &str) -> Self {
        let reason = "the token belongs to another identity than the certificate's";
        Self::new(Code::TokenIdentityMismatch, reason, Some(token_id))
    }
}

impl From<TokenError> for CodedError {
    fn from(fault: TokenError) -> Self {
        Self::new(fault.code, fault.reason)
    }
}

#[cfg(test)]
mod tests;
