//! Tokens: what a client proves itself with beside its certificate, where the server wants that.
//!
//! Owns the judgement of a token at authentication and again after a reload, and the file of
//! `tidings token`. Knows nothing of connections, and no clock: who asks says what time it is.
//!
//! A token is bound to the identity of a certificate, so that alone it is worth nothing. Who holds
//! a wrong secret learns nothing but that it is wrong; whose a token is, and when it ended, is told
//! only to who has the right one. No secret is kept: the store has hashes, a verified token has none.

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

/// Bytes of a token. A line before authentication has hardly more.
const TOKEN_BYTES_MAX: usize = 4096;

/// Which tokens are taken. By default none is wanted.
#[derive(Debug, Default)]
pub struct TokenPolicy {
    store: Option<TokenStore>,
    signed: Option<SignedTokenKeys>,
}

/// That a client had a good token, and what follows from it. It holds no secret.
#[derive(Clone)]
pub struct VerifiedToken {
    token_id: String,
    identity: Identity,
    expires: Option<DateTime<Utc>>,
    scope: Option<Arc<TokenScope>>,
    origin: Origin,
}

/// What has to be there still for a verified token to stay so.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// In the store: the hash of the token.
    Book([u8; 32]),
    /// In the key set: the digest of the key that signed it.
    Signed([u8; 32]),
}

/// Why a token does not let a client in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenError {
    /// `token_missing`, `token_invalid`, `token_expired` or `token_identity_mismatch`.
    pub code: Code,
    /// What the peer may know.
    pub reason: Cow<'static, str>,
    /// Which token it was, where that is known: for the log, and safe in it.
    pub token_id: Option<String>,
}

impl TokenPolicy {
    /// Takes the tokens of `store`, and those that a key of `signed` has signed.
    #[must_use]
    pub const fn new(store: Option<TokenStore>, signed: Option<SignedTokenKeys>) -> Self {
        Self { store, signed }
    }

    /// The same with another store.
    #[must_use]
    pub fn with_store(&self, store: Option<TokenStore>) -> Self {
        Self::new(store, self.signed.clone())
    }

    /// The same with other keys.
    #[must_use]
    pub fn with_signed(&self, signed: Option<SignedTokenKeys>) -> Self {
        Self::new(self.store.clone(), signed)
    }

    /// Whether a client must have a token.
    #[must_use]
    pub const fn is_required(&self) -> bool {
        self.store.is_some() || self.signed.is_some()
    }

    /// How many tokens the store holds, those included that have expired.
    #[must_use]
    pub fn token_count(&self) -> usize {
        self.store.as_ref().map_or(0, |store| store.entries().len())
    }

    /// Judges what a client with this identity sent. `None` where no token is wanted: what came is
    /// not looked at then.
    ///
    /// # Errors
    ///
    /// When a token is wanted and this is not one that lets the client in.
    pub fn verify(
        &self,
        token: Option<&str>,
        identity: &Identity,
        now: DateTime<Utc>,
    ) -> Result<Option<VerifiedToken>, TokenError> {
        if !self.is_required() {
            return Ok(None);
        }
        // A script whose variable is not set sends an empty one.
        let token = token.filter(|token| !token.is_empty());
        let token = token.ok_or_else(TokenError::missing)?;
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::unknown(None));
        }
        let verified = match (&self.store, &self.signed) {
            (Some(store), _) if secret::is_from_book(token) => store.verify(token, identity, now),
            (_, Some(signed)) => signed.verify(token, identity, now),
            _ => Err(TokenError::unknown(None)),
        };
        verified.map(Some)
    }

    /// Judges a session again by what is in force now: whether what proved it is still there.
    ///
    /// # Errors
    ///
    /// When it is gone, has expired, or belongs to another identity by now.
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
            (Origin::Book(hash), Some(store), _) => store.reverify(verified, &hash, now),
            (Origin::Signed(key), _, Some(signed)) if signed.has_key(&key) => {
                verified.clone().unexpired(now)
            }
            _ => Err(TokenError::withdrawn(&verified.token_id)),
        }
    }
}

impl VerifiedToken {
    /// Names the token in a log: its id in the store, or of a signed token the `jti` or the key.
    #[must_use]
    pub fn token_id(&self) -> &str {
        &self.token_id
    }

    /// From when on it is worth nothing; `None` for one that does not end.
    #[must_use]
    pub const fn expires(&self) -> Option<DateTime<Utc>> {
        self.expires
    }

    /// What the token takes away of what the access rules allow.
    #[must_use]
    pub const fn scope(&self) -> Option<&Arc<TokenScope>> {
        self.scope.as_ref()
    }

    /// The same, when its time is not over.
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
        let reason = "this server wants a token: `token` in `request_authentication`";
        Self::new(Code::TokenMissing, reason, None)
    }

    /// One sentence for an unknown id, a wrong secret, a bad signature and a bad form.
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
            "the token has expired: a new one is needed",
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
