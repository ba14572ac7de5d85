//! Tokens: what a client proves itself with beside its certificate, where the server wants that.
//!
//! Owns the judgement of a token at authentication and again after a reload, and the file of
//! `tidings token`. Knows nothing of connections, and no clock: who asks says what time it is.
//!
//! A token is bound to the identity of a certificate, so that alone it is worth nothing. Who holds
//! a wrong secret learns nothing but that it is wrong; whose a token is, and when it ended, is told
//! only to who has the right one. No secret is kept: the book has hashes, a proof has none.

mod book;
mod file_error;
#[cfg(test)]
mod issuer;
mod key_set;
mod secret;
mod signed;
mod store;

use std::{borrow::Cow, fmt, sync::Arc};

use chrono::{DateTime, Utc};

pub use book::{TokenBook, TokenEntry};
pub use file_error::TokenFileError;
pub use secret::{NewToken, is_token_id};
pub use signed::SignedTokenKeys;
pub use store::{Changed, TokenFile};

use super::{Identity, access::Narrowing};
use crate::protocol::{Code, CodedError};

/// Bytes of a token. A line before authentication has hardly more.
const TOKEN_BYTES_MAX: usize = 4096;

/// Which tokens are taken. By default none is wanted.
#[derive(Debug, Default)]
pub struct TokenPolicy {
    book: Option<TokenBook>,
    signed: Option<SignedTokenKeys>,
}

/// That a client had a good token, and what follows from it. It holds no secret.
#[derive(Clone)]
pub struct Proof {
    token_id: String,
    identity: Identity,
    expires: Option<DateTime<Utc>>,
    narrowing: Option<Arc<Narrowing>>,
    origin: Origin,
}

/// What has to be there still for a proof to hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// In the book: the hash of the token.
    Book([u8; 32]),
    /// In the key set: the digest of the key that signed it.
    Signed([u8; 32]),
}

/// Why a token does not let a client in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFault {
    /// `token_missing`, `token_invalid`, `token_expired` or `token_identity_mismatch`.
    pub code: Code,
    /// What the peer may know.
    pub reason: Cow<'static, str>,
    /// Which token it was, where that is known: for the log, and safe in it.
    pub token_id: Option<String>,
}

impl TokenPolicy {
    /// Takes the tokens of `book`, and those that a key of `signed` has signed.
    #[must_use]
    pub const fn new(book: Option<TokenBook>, signed: Option<SignedTokenKeys>) -> Self {
        Self { book, signed }
    }

    /// The same with another book.
    #[must_use]
    pub fn with_book(&self, book: Option<TokenBook>) -> Self {
        Self::new(book, self.signed.clone())
    }

    /// The same with other keys.
    #[must_use]
    pub fn with_signed(&self, signed: Option<SignedTokenKeys>) -> Self {
        Self::new(self.book.clone(), signed)
    }

    /// Whether a client must have a token.
    #[must_use]
    pub const fn is_required(&self) -> bool {
        self.book.is_some() || self.signed.is_some()
    }

    /// How many tokens the book holds, those included that have expired.
    #[must_use]
    pub fn token_count(&self) -> usize {
        self.book.as_ref().map_or(0, |book| book.entries().len())
    }

    /// Judges what a client with this identity sent. `None` where no token is wanted: what came is
    /// not looked at then.
    ///
    /// # Errors
    ///
    /// When a token is wanted and this is not one that lets the client in.
    pub fn prove(
        &self,
        token: Option<&str>,
        identity: &Identity,
        now: DateTime<Utc>,
    ) -> Result<Option<Proof>, TokenFault> {
        if !self.is_required() {
            return Ok(None);
        }
        // A script whose variable is not set sends an empty one.
        let token = token.filter(|token| !token.is_empty());
        let token = token.ok_or_else(TokenFault::missing)?;
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenFault::unknown(None));
        }
        let proof = match (&self.book, &self.signed) {
            (Some(book), _) if secret::is_from_book(token) => book.prove(token, identity, now),
            (_, Some(signed)) => signed.prove(token, identity, now),
            _ => Err(TokenFault::unknown(None)),
        };
        proof.map(Some)
    }

    /// Judges a session again by what is in force now: whether what proved it is still there.
    ///
    /// # Errors
    ///
    /// When it is gone, has expired, or belongs to another identity by now.
    pub fn prove_again(
        &self,
        proof: &Proof,
        identity: &Identity,
        now: DateTime<Utc>,
    ) -> Result<Proof, TokenFault> {
        if proof.identity != *identity {
            return Err(TokenFault::identity_mismatch(&proof.token_id));
        }
        match (proof.origin, &self.book, &self.signed) {
            (Origin::Book(hash), Some(book), _) => book.prove_again(proof, &hash, now),
            (Origin::Signed(key), _, Some(signed)) if signed.has_key(&key) => {
                proof.clone().unexpired(now)
            }
            _ => Err(TokenFault::withdrawn(&proof.token_id)),
        }
    }
}

impl Proof {
    /// Names the token in a log: its id in the book, or of a signed token the `jti` or the key.
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
    pub const fn narrowing(&self) -> Option<&Arc<Narrowing>> {
        self.narrowing.as_ref()
    }

    /// The same, when its time is not over.
    fn unexpired(self, now: DateTime<Utc>) -> Result<Self, TokenFault> {
        if self.expires.is_some_and(|expires| expires <= now) {
            return Err(TokenFault::expired(&self.token_id));
        }
        Ok(self)
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof")
            .field("token_id", &self.token_id)
            .field("identity", &self.identity)
            .field("expires", &self.expires)
            .field("narrowing", &self.narrowing)
            .finish_non_exhaustive()
    }
}

impl TokenFault {
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

impl From<TokenFault> for CodedError {
    fn from(fault: TokenFault) -> Self {
        Self::new(fault.code, fault.reason)
    }
}

#[cfg(test)]
mod tests;
