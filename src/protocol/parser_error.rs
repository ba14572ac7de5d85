//! What a parser complains of, in words that are safe to log and to send.
//!
//! Parsers quote the value that they stumble over. It may be a secret in the wrong place, and as long
//! as its sender likes, so it is cut out here.

/// A parser's message without the value that it quotes. Such a message ends with what the parser
/// expected instead.
pub(crate) fn without_values(message: &str) -> String {
    match message.rfind("expected ") {
        Some(start) => message[start..].replace('\n', " "),
        None => message.replace('\n', " "),
    }
}

/// What a JSON parser found wrong, without values and without the position. When the text is not
/// JSON at all, the parser quotes nothing.
pub(crate) fn describe_json_error(error: &serde_json::Error) -> String {
    let mut message = error.to_string();
    message.truncate(message.rfind(" at line ").unwrap_or(message.len()));
    if error.is_data() {
        without_values(&message)
    } else {
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_was_expected_and_never_the_value() {
        for (message, expected) in [
            (
                "invalid type: string \"tdg_a\", expected a sequence",
                "expected a sequence",
            ),
            (
                "invalid type: string \", expected tdg_a\", expected a sequence",
                "expected a sequence",
            ),
            ("missing field `id`", "missing field `id`"),
        ] {
            assert_eq!(without_values(message), expected);
        }
    }

    #[test]
    fn says_what_is_wrong_in_json_and_not_where() {
        for (text, expected) in [
            (r#""tdg_a at line 1""#, "expected a sequence"),
            (r#"["tdg_a"]"#, "expected u8"),
            (r#"["\ud800\n"]"#, "unexpected end of hex escape"),
            ("[1", "EOF while parsing a list"),
            ("tdg_a", "expected ident"),
        ] {
            let error = serde_json::from_str::<Vec<u8>>(text).unwrap_err();
            assert_eq!(describe_json_error(&error), expected, "{text}");
        }
    }
}
