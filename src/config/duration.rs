//! Durations as text, the same in every flag and variable.

use std::time::Duration;

/// With their milliseconds.
const UNITS: [(&str, u64); 6] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
];

/// `500ms`, `30s`, `5m`, `12h`, `90d`, `4w`, or a bare number of seconds.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match &text[digits.len()..] {
        "" => "s",
        unit => unit,
    };
    let unit = UNITS.iter().find(|(name, _)| *name == unit);
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    unit.filter(|_| is_number)
        .and_then(|(_, millis)| Some(digits.parse::<u64>().ok()?.saturating_mul(*millis)))
        .map(Duration::from_millis)
        .ok_or_else(|| {
            "a duration is a number with ms, s, m, h, d or w, like 500ms or 30s".to_owned()
        })
}

/// For settings, where anything longer is a mistake.
pub(super) fn parse_up_to_a_year(text: &str) -> Result<Duration, String> {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    let duration = Some(parse(text)?).filter(|duration| *duration <= YEAR);
    duration.ok_or_else(|| "it must be at most 365d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        let millis = |text| parse(text).map(|duration| duration.as_millis()).ok();
        assert_eq!(millis("1500ms"), Some(1500));
        assert_eq!(millis("30s"), Some(30_000));
        assert_eq!(millis("5m"), Some(300_000));
        assert_eq!(millis("1h"), Some(3_600_000));
        assert_eq!(millis("90d"), Some(90 * 86_400_000));
        assert_eq!(millis("2w"), Some(14 * 86_400_000));
        assert_eq!(millis("7"), Some(7_000));
        assert_eq!(millis("0"), Some(0));
        for text in [
            "",
            "s",
            "-1s",
            "+1s",
            "1.5s",
            "1y",
            "1 s",
            "1dd",
            "\u{ff11}d",
            "1\u{e9}",
            "99999999999999999999d",
        ] {
            assert_eq!(millis(text), None, "{text}");
        }
    }

    #[test]
    fn a_setting_is_a_year_at_most() {
        assert!(parse_up_to_a_year("365d").is_ok());
        assert!(parse_up_to_a_year("366d").is_err());
    }
}
