//! What of the policy ends by the passing of time alone.
//!
//! Owns when it is time to renew something. Tells nobody: that is for the server.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The end of something that a server proves itself with or judges by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// What ends, as part of a sentence, escaped: `the server's certificate`.
    pub what: String,
    /// The file that it stands in.
    pub file: PathBuf,
    /// From when on it should be renewed.
    pub renew_from: SystemTime,
    /// From when on it is good no more.
    pub end: SystemTime,
}

impl Expiry {
    /// Of a certificate: it should be renewed when a quarter of its time is left, or 30 days where
    /// that is less.
    pub(super) fn of_certificate(
        what: String,
        file: &Path,
        begin: SystemTime,
        end: SystemTime,
    ) -> Self {
        Self::new(what, file, begin, end, 30 * DAY)
    }

    /// Of a revocation list: when a quarter of its time is left, or a day where that is less.
    pub(super) fn of_list(what: String, file: &Path, begin: SystemTime, end: SystemTime) -> Self {
        Self::new(what, file, begin, end, DAY)
    }

    fn new(
        what: String,
        file: &Path,
        begin: SystemTime,
        end: SystemTime,
        notice_max: Duration,
    ) -> Self {
        let time = end.duration_since(begin).unwrap_or_default();
        Self {
            what,
            file: file.to_owned(),
            renew_from: end.checked_sub(notice_max.min(time / 4)).unwrap_or(end),
            end,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn notice_is_a_quarter_of_the_time_and_bounded() {
        let notice = |make: fn(String, &Path, SystemTime, SystemTime) -> Expiry, days: u32| {
            let end = UNIX_EPOCH + days * DAY;
            let expiry = make(String::new(), Path::new("f"), UNIX_EPOCH, end);
            expiry.end.duration_since(expiry.renew_from).unwrap()
        };
        assert_eq!(notice(Expiry::of_list, 2), DAY / 2);
        assert_eq!(notice(Expiry::of_list, 30), DAY);
        assert_eq!(notice(Expiry::of_certificate, 8), 2 * DAY);
        assert_eq!(notice(Expiry::of_certificate, 397), 30 * DAY);
        // What ends before it begins has no time at all.
        let backwards =
            Expiry::of_list(String::new(), Path::new("f"), UNIX_EPOCH + DAY, UNIX_EPOCH);
        assert_eq!(backwards.renew_from, UNIX_EPOCH);
    }
}
