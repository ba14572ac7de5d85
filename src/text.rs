//! Makes untrusted text safe to show, and formats values for people.
//!
//! Owns how text from outside, times, bytes and places in files appear on a terminal or in a log.

use std::{borrow::Cow, path::Path};

use chrono::{DateTime, SecondsFormat, Utc};

/// The characters that [`quoted`] shows of a text.
const QUOTED_CHARS_MAX: usize = 64;

/// Escapes untrusted text for a terminal or a log: control characters, line ends, direction marks and
/// invisible characters become `\n`, `\u{202e}` and so on, and `\` and `"` get a `\` before them.
#[must_use]
pub fn escaped(text: &str) -> String {
    let quoted = format!("{text:?}");
    quoted
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or_default()
        .to_owned()
}

/// The beginning of an untrusted text, [`escaped`] and in quotes, for use in a sentence.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

/// The text as it is, except that control characters and direction marks are escaped as in JSON
/// (`\u001b`).
#[must_use]
pub fn harmless(text: &str) -> Cow<'_, str> {
    let is_harmful = |c: char| c.is_control() || turns_direction(c);
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut spelled = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_harmful(c) {
            spelled.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            spelled.push(c);
        }
    }
    Cow::Owned(spelled)
}

/// [`harmless`] for a path, because whoever creates a file chooses its name.
#[must_use]
pub fn harmless_path(path: &Path) -> String {
    harmless(&path.to_string_lossy()).into_owned()
}

/// Whether `c` has the Unicode property `Bidi_Control`: such characters can make one text look like
/// another (Unicode TR 36, 3.1).
#[must_use]
pub const fn turns_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A time as people see it everywhere: RFC 3339, UTC, whole seconds.
#[must_use]
pub fn day_and_time(moment: impl Into<DateTime<Utc>>) -> String {
    moment.into().to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Two lower-case hexadecimal characters for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Two upper-case hexadecimal characters for each byte, with `separator` between bytes: the way that
/// serial numbers and fingerprints are written.
#[cfg(feature = "broker")]
pub(crate) fn upper_hex(bytes: &[u8], separator: &str) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(separator)
}

/// Finds the line of a byte offset, for error messages.
#[cfg(feature = "broker")]
pub(crate) struct LineIndex {
    /// The offset of each line feed.
    line_ends: Vec<usize>,
}

#[cfg(feature = "broker")]
impl LineIndex {
    pub(crate) fn new(contents: &[u8]) -> Self {
        Self {
            line_ends: memchr::memchr_iter(b'\n', contents).collect(),
        }
    }

    /// The line that holds the byte at `offset`, counted from 1.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        1 + self.line_ends.partition_point(|end| *end < offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "broker")]
    #[test]
    fn counts_lines_from_one() {
        let lines = LineIndex::new(b"a\nb\n");
        for (offset, line) in [(0, 1), (1, 1), (2, 2), (3, 2), (99, 3)] {
            assert_eq!(lines.line_of(offset), line, "{offset}");
        }
    }

    #[test]
    fn quotes_no_more_than_the_beginning() {
        let (short, long) = ("ü".repeat(64), "ü".repeat(65));
        assert_eq!(quoted(&short), format!("\"{short}\""));
        assert_eq!(quoted(&long), format!("\"{short}\"…"));
        assert_eq!(quoted("a\u{202e}\n\""), r#""a\u{202e}\n\"""#);
    }

    #[test]
    fn escapes_what_could_do_harm() {
        assert_eq!(escaped("al\u{ee}ce"), "al\u{ee}ce");
        assert_eq!(
            escaped("a\nb\u{1b}[2J\u{202e}\u{200b}"),
            r"a\nb\u{1b}[2J\u{202e}\u{200b}"
        );
        assert_eq!(escaped(r#"a"\"#), r#"a\"\\"#);
    }

    #[test]
    fn escapes_what_controls_a_terminal() {
        assert_eq!(harmless("{\"a\":\"ü 🦀\"}"), "{\"a\":\"ü 🦀\"}");
        assert_eq!(
            harmless("a\u{9b}31m\n\u{202e}\u{61c}\u{7f}"),
            "a\\u009b31m\\u000a\\u202e\\u061c\\u007f"
        );
    }
}
