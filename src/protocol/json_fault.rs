//! What a parser complains of, without the values in it: one may be a secret in the wrong place, and
//! as long as its sender likes.

/// What a parser has to say, without the value that it quotes: such a sentence ends with what was
/// expected in the value's place.
pub(crate) fn without_values(message: &str) -> String {
    match message.rfind("expected ") {
        Some(start) => message[start..].replace('\n', " "),
        None => message.replace('\n', " "),
    }
}

/// The same of a parser of JSON, which adds where in the text it was. Of what is not JSON at all it
/// quotes nothing.
pub(crate) fn json_fault(error: &serde_json::Error) -> String {
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
    fn tells_what_was_expected_and_never_the_value() {
        for (message, told) in [
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
            assert_eq!(without_values(message), told);
        }
    }

    #[test]
    fn tells_of_json_what_is_wrong_and_not_where() {
        for (text, told) in [
            (r#""tdg_a at line 1""#, "expected a sequence"),
            (r#"["tdg_a"]"#, "expected u8"),
            (r#"["\ud800\n"]"#, "unexpected end of hex escape"),
            ("[1", "EOF while parsing a list"),
            ("tdg_a", "expected ident"),
        ] {
            let error = serde_json::from_str::<Vec<u8>>(text).unwrap_err();
            assert_eq!(json_fault(&error), told, "{text}");
        }
    }
}
