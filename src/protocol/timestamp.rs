//! Times as the wire shows them.

use std::{fmt, time::SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

use crate::clock;

/// The server's clock as the wire shows it: RFC 3339, UTC, microseconds, `Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    /// The current time of day. For display: deadlines use the monotonic clock.
    #[must_use]
    pub fn now() -> Self {
        Self(clock::now())
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self(clock::date_time(time))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn always_shows_six_digits_and_z() {
        let whole_second = DateTime::from_timestamp(1_769_860_800, 0).unwrap();
        assert_eq!(
            Timestamp::from(whole_second).to_string(),
            "2026-01-31T12:00:00.000000Z"
        );
    }
}
