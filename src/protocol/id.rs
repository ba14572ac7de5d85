//! The ids of connections and of runs of the broker: version 7 UUIDs.

use std::{fmt, sync::Mutex, time::SystemTime};

use serde::{Deserialize, Deserializer, Serialize, de::Error};
use uuid::{Timestamp, Uuid, timestamp::context::ContextV7};

use crate::clock;

/// A version 7 UUID. It sorts after those made before it.
fn fresh() -> Uuid {
    static LAST: Mutex<ContextV7> = Mutex::new(ContextV7::new());
    let now = clock::since_1970(SystemTime::now());
    Uuid::new_v7(Timestamp::from_unix(
        &LAST,
        now.as_secs(),
        now.subsec_nanos(),
    ))
}

/// Identifies one connection of a client, for as long as it lasts. Only the registry makes ids.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ClientId(Uuid);

impl ClientId {
    /// Sorts before every id.
    pub(crate) const FIRST: Self = Self(Uuid::nil());

    /// A new id. Ids sort by the time at which they were made.
    #[must_use]
    pub fn fresh() -> Self {
        Self(fresh())
    }

    /// Whether `text` is the canonical form of this id.
    #[must_use]
    pub fn is(self, text: &str) -> bool {
        let mut buffer = Uuid::encode_buffer();
        &*self.0.as_hyphenated().encode_lower(&mut buffer) == text
    }

    #[cfg(test)]
    pub(crate) const fn from_number(number: u128) -> Self {
        Self(Uuid::from_u128(number))
    }
}

impl<'de> Deserialize<'de> for ClientId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The parser's own message quotes a character of a bad UUID as it is, even a control character.
        Uuid::deserialize(deserializer)
            .map(Self)
            .map_err(|_| D::Error::custom("expected a client's id, which is a UUID"))
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Identifies one run of the broker: the `id` of every event that the server itself sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServerId(Uuid);

impl ServerId {
    /// A new id, made once at start.
    #[must_use]
    pub fn fresh() -> Self {
        Self(fresh())
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_id_is_refused_without_showing_any_of_it() {
        let text = r#""\u001b190d5a8-3c4e-7b6f-8a1d-2e3f4a5b6c7d""#;
        let error = serde_json::from_str::<ClientId>(text)
            .unwrap_err()
            .to_string();
        assert!(!error.contains(char::is_control), "{error:?}");
    }
}
