//! Untrusted text made safe to show, and values written for people.
//!
//! Owns how a text from outside is shown on a terminal or in a log, and how moments and bytes are
//! written there.

use std::{borrow::Cow, path::Path};

use chrono::{DateTime, SecondsFormat, Utc};

/// Characters of a text that [`quoted`] shows.
const QUOTED_CHARS_MAX: usize = 64;

/// A stranger's text so that it can do no harm on a terminal or in a log: control characters,
/// line ends, characters that turn the direction of writing or do not show are spelled out
/// (`\n`, `\u{202e}`), and `\` and `"` have a `\` before them.
#[must_use]
pub fn escaped(text: &str) -> String {
    let quoted = format!("{text:?}");
    quoted
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or_default()
        .to_owned()
}

/// The beginning of a stranger's text, [`escaped`] and in quotes: for a sentence, however long it is.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

/// A text that reads as it is, except that characters that command a terminal, end a line or turn
/// the direction of writing are spelled as JSON spells them (`\u001b`).
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

/// The same of a path: who makes a file chooses its name.
#[must_use]
pub fn harmless_path(path: &Path) -> String {
    harmless(&path.to_string_lossy()).into_owned()
}

/// The characters with which one text can be made to look like another (Unicode TR 36, 3.1): those
/// with the property `Bidi_Control`.
#[must_use]
pub const fn turns_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A moment as all that people read shows it: RFC 3339, UTC, whole seconds.
#[must_use]
pub fn day_and_time(moment: impl Into<DateTime<Utc>>) -> String {
    moment.into().to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Two lower-case hexadecimal characters for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_no_more_than_the_beginning() {
        let (short, long) = ("ü".repeat(64), "ü".repeat(65));
        assert_eq!(quoted(&short), format!("\"{short}\""));
        assert_eq!(quoted(&long), format!("\"{short}\"…"));
        assert_eq!(quoted("a\u{202e}\n\""), r#""a\u{202e}\n\"""#);
    }

    #[test]
    fn spells_out_what_would_do_harm() {
        assert_eq!(escaped("al\u{ee}ce"), "al\u{ee}ce");
        assert_eq!(
            escaped("a\nb\u{1b}[2J\u{202e}\u{200b}"),
            r"a\nb\u{1b}[2J\u{202e}\u{200b}"
        );
        assert_eq!(escaped(r#"a"\"#), r#"a\"\\"#);
    }

    #[test]
    fn spells_out_what_commands_a_terminal() {
        assert_eq!(harmless("{\"a\":\"ü 🦀\"}"), "{\"a\":\"ü 🦀\"}");
        assert_eq!(
            harmless("a\u{9b}31m\n\u{202e}\u{61c}\u{7f}"),
            "a\\u009b31m\\u000a\\u202e\\u061c\\u007f"
        );
    }
}
