//! What expires: certificates, CAs and revocation lists.
//!
//! Owns from when something should be renewed. The server logs it.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// When something that a server presents, or verifies clients by, expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// What expires, as part of a sentence, escaped: `the server's certificate`.
    pub what: String,
    /// The file that holds it.
    pub file: PathBuf,
    /// When it should be renewed.
    pub renew_from: SystemTime,
    /// From when it is no longer valid.
    pub end: SystemTime,
}

impl Expiry {
    /// For a certificate, which should be renewed when a quarter of its time is left, or 30 days if
    /// that is less.
    pub(super) fn of_certificate(
        what: String,
        file: &Path,
        begin: SystemTime,
        end: SystemTime,
    ) -> Self {
        Self::new(what, file, begin, end, 30 * DAY)
    }

    /// For a revocation list: when a quarter of its time is left, or a day if that is less.
    pub(super) fn of_crl(what: String, file: &Path, begin: SystemTime, end: SystemTime) -> Self {
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
        assert_eq!(notice(Expiry::of_crl, 2), DAY / 2);
        assert_eq!(notice(Expiry::of_crl, 30), DAY);
        assert_eq!(notice(Expiry::of_certificate, 8), 2 * DAY);
        assert_eq!(notice(Expiry::of_certificate, 397), 30 * DAY);
        // An end before the beginning leaves no time.
        let backwards = Expiry::of_crl(String::new(), Path::new("f"), UNIX_EPOCH + DAY, UNIX_EPOCH);
        assert_eq!(backwards.renew_from, UNIX_EPOCH);
    }
}
