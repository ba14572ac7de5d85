//! The store of tokens: what `tidings token` writes and the server reads.
//!
//! Owns the file's format. Holds hashes, never a token. A file that is empty or broken is refused as
//! a whole; one that says its version and lists no token is good, and lets nobody in.

use std::{collections::HashMap, fmt, path::Path};

use aws_lc_rs::{constant_time, error::Unspecified};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use toml::{Spanned, Value};

use super::{
    NewToken, Origin, TokenError, TokenFileError, VerifiedToken,
    secret::{claimed_id, from_hex, is_token_id},
};
use crate::{
    files::sha256,
    identity::Identity,
    protocol::without_values,
    text::{day_and_time, hex},
};

const VERSION: i64 = 1;

const HEADING: &str = "\
# Tokens of a tidings broker, kept by `tidings token`, which writes this file anew: other comments
# are lost. It holds hashes only, but whoever can write here decides who gets in.

";

const HEADLESS: &str = "it lacks `version = 1`, so it is empty or cut off: bring back the last good one, \
                        or remove it and make tokens anew with `tidings token new`";

/// All tokens that a server takes, in the order in which they were made.
#[derive(Clone, Debug, Default)]
pub struct TokenStore {
    entries: Vec<TokenEntry>,
    /// Where in `entries` an id stands.
    places: HashMap<String, usize>,
}

/// One token of the store, without its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenEntry {
    /// Names it: 12 hexadecimal characters.
    pub id: String,
    /// Whose certificate it goes with.
    pub identity: Identity,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// From when on it is worth nothing; `None` for one that does not end.
    pub expires: Option<DateTime<Utc>>,
    /// SHA-256 of the whole token.
    hash: [u8; 32],
}

impl fmt::Debug for TokenEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenEntry")
            .field("id", &self.id)
            .field("identity", &self.identity)
            .field("created", &self.created)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl TokenStore {
    /// Reads `contents`; `path` is for messages.
    ///
    /// # Errors
    ///
    /// When anything in it is not as it must be.
    pub fn parse(path: &Path, contents: &[u8]) -> Result<Self, TokenFileError> {
        let at = |offset, reason: String| TokenFileError::at(path, contents, offset, reason);
        let text = std::str::from_utf8(contents)
            .map_err(|error| at(error.valid_up_to(), "it is not UTF-8".to_owned()))?;
        let read: ReadStore = toml::from_str(text).map_err(|error| {
            if !text.contains("version") {
                return TokenFileError::new(path, HEADLESS);
            }
            let reason = without_values(error.message());
            match error.span().filter(|span| span.start > 0) {
                Some(span) => at(span.start, reason),
                None => TokenFileError::new(path, reason),
            }
        })?;
        if *read.version.get_ref() != VERSION {
            let reason = format!("only version {VERSION} of this file is known");
            return Err(at(read.version.span().start, reason));
        }
        let mut store = Self::default();
        for token in read.token {
            let start = token.span().start;
            let entry = token.into_inner().checked().map_err(|(o, r)| at(o, r))?;
            let id = entry.id.clone();
            if !store.insert(entry) {
                return Err(at(start, format!("the id {id} stands here a second time")));
            }
        }
        Ok(store)
    }

    /// The tokens, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[TokenEntry] {
        &self.entries
    }

    /// As [`parse`](Self::parse) reads it.
    pub(super) fn to_text(&self) -> Result<String, toml::ser::Error> {
        let token = self.entries.iter().map(|entry| WrittenToken {
            id: &entry.id,
            identity: entry.identity.as_str(),
            created: day_and_time(entry.created),
            expires: entry.expires.map(day_and_time),
            sha256: hex(&entry.hash),
        });
        let store = WrittenStore {
            version: VERSION,
            token: token.collect(),
        };
        Ok(format!("{HEADING}{}", toml::to_string(&store)?))
    }

    /// Makes a token and notes its hash.
    pub(super) fn issue(
        &mut self,
        identity: Identity,
        created: DateTime<Utc>,
        expires: Option<DateTime<Utc>>,
    ) -> Result<NewToken, Unspecified> {
        loop {
            let token = NewToken::generate()?;
            let is_new = self.insert(TokenEntry {
                id: token.id().to_owned(),
                identity: identity.clone(),
                created,
                expires,
                hash: sha256(token.secret().as_bytes()),
            });
            if is_new {
                return Ok(token);
            }
        }
    }

    /// Takes a token out.
    pub(super) fn revoke(&mut self, id: &str) -> Option<TokenEntry> {
        let place = self.places.remove(id)?;
        for later in self.places.values_mut().filter(|later| **later > place) {
            *later -= 1;
        }
        Some(self.entries.remove(place))
    }

    /// Takes out all that have expired.
    pub(super) fn revoke_expired(&mut self, now: DateTime<Utc>) -> Vec<TokenEntry> {
        let entries = std::mem::take(&mut self.entries);
        self.places.clear();
        let (expired, kept) = entries.into_iter().partition(|entry| entry.is_expired(now));
        for entry in kept {
            self.insert(entry);
        }
        expired
    }

    pub(super) fn verify(
        &self,
        token: &str,
        identity: &Identity,
        now: DateTime<Utc>,
    ) -> Result<VerifiedToken, TokenError> {
        /// Of no token.
        const NOBODYS_HASH: [u8; 32] = [0; 32];
        let entry = claimed_id(token).and_then(|id| self.find(id));
        // Hashed and compared for an unknown id too: how long it takes tells nothing.
        let expected = entry.map_or(&NOBODYS_HASH, |entry| &entry.hash);
        let is_equal = are_equal(expected, &sha256(token.as_bytes()));
        match entry {
            Some(entry) if is_equal => entry.verify(identity, now),
            entry => Err(TokenError::unknown(entry.map(|entry| entry.id.as_str()))),
        }
    }

    pub(super) fn reverify(
        &self,
        verified: &VerifiedToken,
        hash: &[u8; 32],
        now: DateTime<Utc>,
    ) -> Result<VerifiedToken, TokenError> {
        match self.find(&verified.token_id) {
            Some(entry) if are_equal(&entry.hash, hash) => entry.verify(&verified.identity, now),
            _ => Err(TokenError::withdrawn(&verified.token_id)),
        }
    }

    fn find(&self, id: &str) -> Option<&TokenEntry> {
        self.entries.get(*self.places.get(id)?)
    }

    /// Whether the id was free.
    fn insert(&mut self, entry: TokenEntry) -> bool {
        let is_new = !self.places.contains_key(&entry.id);
        if is_new {
            self.places.insert(entry.id.clone(), self.entries.len());
            self.entries.push(entry);
        }
        is_new
    }
}

impl TokenEntry {
    /// Whether its time is over.
    #[must_use]
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// For who has shown the secret.
    fn verify(&self, identity: &Identity, now: DateTime<Utc>) -> Result<VerifiedToken, TokenError> {
        if self.identity != *identity {
            return Err(TokenError::identity_mismatch(&self.id));
        }
        let verified = VerifiedToken {
            token_id: self.id.clone(),
            identity: identity.clone(),
            expires: self.expires,
            scope: None,
            origin: Origin::Book(self.hash),
        };
        verified.unexpired(now)
    }
}

fn are_equal(one: &[u8; 32], other: &[u8; 32]) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}

/// The file as it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadStore {
    version: Spanned<i64>,
    #[serde(default)]
    token: Vec<Spanned<ReadToken>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadToken {
    id: Spanned<String>,
    identity: Spanned<String>,
    sha256: Spanned<String>,
    created: Spanned<Value>,
    expires: Option<Spanned<Value>>,
}

impl ReadToken {
    /// A fault comes with the byte at which it stands.
    fn checked(self) -> Result<TokenEntry, (usize, String)> {
        fn fault<T>(value: &Spanned<T>, reason: impl Into<String>) -> (usize, String) {
            (value.span().start, reason.into())
        }
        if !is_token_id(self.id.get_ref()) {
            let reason = "an `id` is 12 characters out of 0-9 and a-f";
            return Err(fault(&self.id, reason));
        }
        let identity = Identity::parse(self.identity.get_ref())
            .map_err(|error| fault(&self.identity, format!("not an identity: {error}")))?;
        let hash = from_hex(self.sha256.get_ref()).ok_or_else(|| {
            let reason = "`sha256` is 64 characters out of 0-9 and a-f: the hash of a token";
            fault(&self.sha256, reason)
        })?;
        let moment = |value: &Spanned<Value>| {
            let reason = "a time is written as in RFC 3339: 2026-01-31T12:00:00Z";
            moment_of(value.get_ref()).ok_or_else(|| fault(value, reason))
        };
        Ok(TokenEntry {
            created: moment(&self.created)?,
            expires: self.expires.as_ref().map(moment).transpose()?,
            id: self.id.into_inner(),
            identity,
            hash,
        })
    }
}

/// The file as it is written.
#[derive(Serialize)]
struct WrittenStore<'a> {
    version: i64,
    token: Vec<WrittenToken<'a>>,
}

#[derive(Serialize)]
struct WrittenToken<'a> {
    id: &'a str,
    identity: &'a str,
    created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    /// Last, and demanded: no token of a file that was cut off loses its end and no more.
    sha256: String,
}

/// A string, or a date of TOML's own, in both cases with an offset from UTC.
fn moment_of(value: &Value) -> Option<DateTime<Utc>> {
    let moment = match value {
        Value::String(text) => DateTime::parse_from_rfc3339(text),
        Value::Datetime(datetime) => DateTime::parse_from_rfc3339(&datetime.to_string()),
        _ => return None,
    };
    moment.ok().map(Into::into)
}

#[cfg(test)]
mod tests;
