//! The types of values that are neither numbers nor paths.

use std::time::Duration;

use clap::ValueEnum;

use crate::{identity::IdentitySource, tls::TlsVersion};

/// `--tls-min`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TlsMin {
    /// TLS 1.2
    #[value(name = "1.2")]
    V1_2,
    /// TLS 1.3
    #[value(name = "1.3")]
    V1_3,
}

impl From<TlsMin> for TlsVersion {
    fn from(min: TlsMin) -> Self {
        match min {
            TlsMin::V1_2 => Self::V1_2,
            TlsMin::V1_3 => Self::V1_3,
        }
    }
}

/// `--identity-from`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum IdentityFrom {
    /// The common name
    Cn,
    /// The DNS subject alternative name
    SanDns,
    /// The URI subject alternative name (SPIFFE)
    SanUri,
    /// The e-mail subject alternative name
    SanEmail,
}

impl From<IdentityFrom> for IdentitySource {
    fn from(from: IdentityFrom) -> Self {
        match from {
            IdentityFrom::Cn => Self::CommonName,
            IdentityFrom::SanDns => Self::SanDns,
            IdentityFrom::SanUri => Self::SanUri,
            IdentityFrom::SanEmail => Self::SanEmail,
        }
    }
}

/// `--log-format`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Human,
    /// One JSON object per line
    Json,
}

/// `500ms`, `30s`, `5m`, `1h`, or a bare number of seconds.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    const UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = &text[digits.len()..];
    let millis = match unit {
        "" => Some(1000),
        unit => UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, millis)| *millis),
    };
    digits
        .parse::<u64>()
        .ok()
        .zip(millis)
        .and_then(|(number, millis)| number.checked_mul(millis))
        // A year. Anything longer is a mistake.
        .filter(|millis| *millis <= 365 * 24 * 3_600_000)
        .map(Duration::from_millis)
        .ok_or_else(|| "a time is a number with ms, s, m or h, like 500ms or 30s".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times() {
        let millis = |text| parse_duration(text).map(|time| time.as_millis()).ok();
        assert_eq!(millis("500ms"), Some(500));
        assert_eq!(millis("30s"), Some(30_000));
        assert_eq!(millis("5m"), Some(300_000));
        assert_eq!(millis("1h"), Some(3_600_000));
        assert_eq!(millis("7"), Some(7_000));
        assert_eq!(millis("0"), Some(0));
        for text in ["", "s", "-1s", "1.5s", "1d", "99999999999h", "1 s"] {
            assert_eq!(millis(text), None, "{text}");
        }
    }
}
