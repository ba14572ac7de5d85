//! The token store: the file that `tidings token` writes and the server reads.
//!
//! Owns the format of the file, which holds hashes and never a token. An empty or damaged file is
//! refused as a whole. A file with a version but no tokens is valid, and admits no client.

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
# Tokens of a tidings broker. `tidings token` rewrites this file, and other comments are lost.
# It holds only hashes, but whoever can write to it decides who gets in.

";

const HEADLESS: &str = "it has no `version = 1`, so it is empty or cut off: restore the last good copy, \
                        or remove it and create new tokens with `tidings token new`";

/// All tokens of the file, oldest first.
#[derive(Clone, Debug, Default)]
pub struct TokenStore {
    entries: Vec<TokenEntry>,
    /// The index in `entries` of each id.
    places: HashMap<String, usize>,
}

/// One token of the store, without its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenEntry {
    /// The id: 12 hexadecimal characters.
    pub id: String,
    /// The identity of the certificate that it belongs to.
    pub identity: Identity,
    /// When it was created.
    pub created: DateTime<Utc>,
    /// When it expires; `None` if it does not.
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
    /// Parses `contents`. `path` is only for messages.
    ///
    /// # Errors
    ///
    /// The first error in the file.
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
            let reason = format!("only version {VERSION} of this file is supported");
            return Err(at(read.version.span().start, reason));
        }
        let mut store = Self::default();
        for token in read.token {
            let start = token.span().start;
            let entry = token.into_inner().checked().map_err(|(o, r)| at(o, r))?;
            let id = entry.id.clone();
            if !store.insert(entry) {
                return Err(at(start, format!("the id {id} is already used above")));
            }
        }
        Ok(store)
    }

    /// The tokens, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[TokenEntry] {
        &self.entries
    }

    /// The text that [`parse`](Self::parse) reads.
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

    /// Creates a token and stores its hash.
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

    /// Removes a token.
    pub(super) fn revoke(&mut self, id: &str) -> Option<TokenEntry> {
        let place = self.places.remove(id)?;
        for later in self.places.values_mut().filter(|later| **later > place) {
            *later -= 1;
        }
        Some(self.entries.remove(place))
    }

    /// Removes all expired tokens.
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
        /// The hash of no token.
        const NOBODYS_HASH: [u8; 32] = [0; 32];
        let entry = claimed_id(token).and_then(|id| self.find(id));
        // An unknown id is hashed and compared as well, so that timing reveals nothing.
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

    /// Adds an entry unless its id is in use, and returns whether it did.
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
    /// Whether it has expired.
    #[must_use]
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Called only after the secret was found to be right.
    fn verify(&self, identity: &Identity, now: DateTime<Utc>) -> Result<VerifiedToken, TokenError> {
        if self.identity != *identity {
            return Err(TokenError::identity_mismatch(&self.id));
        }
        let verified = VerifiedToken {
            token_id: self.id.clone(),
            identity: identity.clone(),
            expires: self.expires,
            scope: None,
            origin: Origin::Store(self.hash),
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
    /// An error comes with its offset in the file.
    fn checked(self) -> Result<TokenEntry, (usize, String)> {
        fn fault<T>(value: &Spanned<T>, reason: impl Into<String>) -> (usize, String) {
            (value.span().start, reason.into())
        }
        if !is_token_id(self.id.get_ref()) {
            let reason = "an `id` has 12 characters from 0-9 and a-f";
            return Err(fault(&self.id, reason));
        }
        let identity = Identity::parse(self.identity.get_ref())
            .map_err(|error| fault(&self.identity, format!("not an identity: {error}")))?;
        let hash = from_hex(self.sha256.get_ref()).ok_or_else(|| {
            let reason = "`sha256` has 64 characters from 0-9 and a-f: the hash of a token";
            fault(&self.sha256, reason)
        })?;
        let moment = |value: &Spanned<Value>| {
            let reason = "a time must be in the form of RFC 3339: 2026-01-31T12:00:00Z";
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
    /// Required and written last, so that a token in a file that was cut off cannot lose only a part, such
    /// as its expiry.
    sha256: String,
}

/// Reads a string or a TOML date, both with an offset from UTC.
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
