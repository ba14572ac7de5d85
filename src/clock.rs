//! The time of day, even if the machine's clock is wrong.
//!
//! Owns all access to the clock. The functions of the libraries panic when the clock is before 1970, as
//! on a board with an empty battery.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, TimeDelta, Utc};

/// The first and the last second that RFC 3339 can write.
const FIRST: i64 = -62_167_219_200;
const LAST: i64 = 253_402_300_799;

/// The time of day now.
#[must_use]
pub fn now() -> DateTime<Utc> {
    date_time(SystemTime::now())
}

/// Converts to a date, clamped to the years that RFC 3339 can write.
#[must_use]
pub fn date_time(time: SystemTime) -> DateTime<Utc> {
    let epoch = DateTime::UNIX_EPOCH;
    let (date, bound) = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => {
            let after = TimeDelta::from_std(after).ok();
            (after.and_then(|by| epoch.checked_add_signed(by)), LAST)
        }
        Err(before) => {
            let before = TimeDelta::from_std(before.duration()).ok();
            (before.and_then(|by| epoch.checked_sub_signed(by)), FIRST)
        }
    };
    date.filter(|date| (FIRST..=LAST).contains(&date.timestamp()))
        .or_else(|| DateTime::from_timestamp(bound, 0))
        .unwrap_or(epoch)
}

/// The time since 1970; zero before that.
#[must_use]
pub fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_has_a_date() {
        let (second, century) = (Duration::from_secs(1), Duration::from_secs(3_155_760_000));
        let longest = Duration::from_secs(i64::MAX.unsigned_abs());
        let written = |time: Option<SystemTime>| date_time(time.unwrap()).to_rfc3339();
        for (time, date) in [
            (UNIX_EPOCH.checked_add(second), "1970-01-01T00:00:01+00:00"),
            (UNIX_EPOCH.checked_sub(second), "1969-12-31T23:59:59+00:00"),
            (
                UNIX_EPOCH.checked_sub(second / 4),
                "1969-12-31T23:59:59.750+00:00",
            ),
            (
                UNIX_EPOCH.checked_add(century * 100),
                "9999-12-31T23:59:59+00:00",
            ),
            (
                UNIX_EPOCH.checked_sub(century * 100),
                "0000-01-01T00:00:00+00:00",
            ),
            (UNIX_EPOCH.checked_add(longest), "9999-12-31T23:59:59+00:00"),
            (UNIX_EPOCH.checked_sub(longest), "0000-01-01T00:00:00+00:00"),
        ] {
            assert_eq!(written(time), date);
        }
        assert_eq!(since_1970(UNIX_EPOCH + second), second);
        assert_eq!(since_1970(UNIX_EPOCH - second), Duration::ZERO);
    }
}
