//! From text to a payload: JSON as it is, other text as a JSON string.

use serde_json::value::RawValue;

/// One payload, ready to be sent.
pub(super) struct Payload {
    pub(super) json: Box<RawValue>,
    /// The parse error, if the text looks like JSON and is not.
    pub(super) broken: Option<serde_json::Error>,
}

impl Payload {
    pub(super) fn null() -> Self {
        Self {
            json: RawValue::NULL.to_owned(),
            broken: None,
        }
    }

    /// JSON stays as it is, and other text becomes a string. With `as_text`, all text does.
    pub(super) fn of(text: &str, as_text: bool) -> serde_json::Result<Self> {
        let text = without_bom(text);
        if as_text {
            return Self::string(text, None);
        }
        match serde_json::from_str(text) {
            Ok(json) => Ok(Self {
                json: on_one_line(json)?,
                broken: None,
            }),
            Err(fault) => Self::string(text, looks_like_json(text).then_some(fault)),
        }
    }

    fn string(text: &str, broken: Option<serde_json::Error>) -> serde_json::Result<Self> {
        Ok(Self {
            json: serde_json::value::to_raw_value(text)?,
            broken,
        })
    }
}

/// A byte order mark is not part of the content.
fn without_bom(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn looks_like_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}

/// A line of the protocol is one line: JSON that was written over several goes without the white
/// space between its tokens. Nothing else is touched: a parser would round numbers, drop names that
/// come twice and refuse what it cannot represent.
fn on_one_line(json: &RawValue) -> serde_json::Result<Box<RawValue>> {
    if !json.get().contains(['\n', '\r']) {
        return Ok(json.to_owned());
    }
    let (mut in_string, mut is_escaped) = (false, false);
    let is_kept = |c: &char| {
        if in_string {
            in_string = is_escaped || *c != '"';
            is_escaped = !is_escaped && *c == '\\';
            return true;
        }
        in_string = *c == '"';
        !matches!(c, ' ' | '\t' | '\n' | '\r')
    };
    RawValue::from_string(json.get().chars().filter(is_kept).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(text: &str) -> String {
        Payload::of(text, false).unwrap().json.get().to_owned()
    }

    #[test]
    fn json_over_several_lines_loses_the_white_space_between_its_tokens_and_nothing_else() {
        for (typed, expected) in [
            ("{\n  \"a\": [1,\r\n\t2 ]\n}", r#"{"a":[1,2]}"#),
            ("[\n12345678901234567890123]", "[12345678901234567890123]"),
            ("[1.0,\n-0, 1e400, 1E+2]", "[1.0,-0,1e400,1E+2]"),
            ("{\"b\":1,\n\"a\":2,\"b\":3}", r#"{"b":1,"a":2,"b":3}"#),
            ("[\n\"\\ud800\"]", r#"["\ud800"]"#),
            (
                "[\n\" a \\\" b \\\\\", \"\\n c\"]",
                r#"[" a \" b \\","\n c"]"#,
            ),
        ] {
            assert_eq!(sent(typed), expected, "{typed:?}");
        }
    }

    #[test]
    fn json_on_one_line_is_sent_as_typed() {
        for text in [r#"{"a": 1,  "a" : 1e400}"#, r#""\ud800""#, "-0.0"] {
            assert_eq!(sent(text), text);
        }
    }

    #[test]
    fn a_byte_order_mark_is_not_sent() {
        assert_eq!(sent("\u{feff}{\"a\":1}"), r#"{"a":1}"#);
        assert_eq!(sent("\u{feff}open"), r#""open""#);
        assert_eq!(sent("a\u{feff}"), "\"a\u{feff}\"");
    }

    #[test]
    fn broken_json_is_told_from_text() {
        let is_broken = |text, as_text| Payload::of(text, as_text).unwrap().broken.is_some();
        for text in [r#"{"a":1"#, "[1,]", " {a}", "{} {}", "\u{feff}{"] {
            assert!(is_broken(text, false), "{text}");
            assert!(!is_broken(text, true), "{text}");
        }
        for text in ["", "door open", "12 apples", "{}", "[1]", "\"a"] {
            assert!(!is_broken(text, false), "{text}");
        }
    }
}
