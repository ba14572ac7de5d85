use std::path::{Path, PathBuf};

/// A file of tokens or of their keys cannot be used.
///
/// One line, which quotes nothing of the file's values: one of them may be a secret that stands in
/// the wrong place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {reason}", path.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct TokenFileError {
    path: PathBuf,
    line: Option<usize>,
    reason: String,
}

impl TokenFileError {
    /// Of the file as a whole.
    pub(super) fn new(path: &Path, reason: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line: None,
            reason: reason.into(),
        }
    }

    /// Of one line, counted from 1.
    pub(super) fn in_line(path: &Path, line: usize, reason: impl Into<String>) -> Self {
        Self {
            line: Some(line),
            ..Self::new(path, reason)
        }
    }

    /// Of the line in which the byte number `offset` stands.
    pub(super) fn at(
        path: &Path,
        contents: &[u8],
        offset: usize,
        reason: impl Into<String>,
    ) -> Self {
        let before = &contents[..offset.min(contents.len())];
        let line = 1 + memchr::memchr_iter(b'\n', before).count();
        Self::in_line(path, line, reason)
    }
}

/// What a parser has to say, without the value that it quotes: such a sentence ends with what was
/// expected in the value's place.
pub(super) fn without_values(message: &str) -> String {
    match message.rfind("expected ") {
        Some(start) => message[start..].replace('\n', " "),
        None => message.replace('\n', " "),
    }
}

/// The same of a parser of JSON, which adds where in the text it was.
pub(super) fn json_fault(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let end = message.rfind(" at line ").unwrap_or(message.len());
    without_values(&message[..end])
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
    fn counts_lines_from_one() {
        let told = |offset| TokenFileError::at(Path::new("t"), b"a\nb\n", offset, "x").to_string();
        assert_eq!(told(0), "t:1: x");
        assert_eq!(told(1), "t:1: x");
        assert_eq!(told(2), "t:2: x");
        assert_eq!(told(99), "t:3: x");
        let whole = TokenFileError::new(Path::new("t"), "x");
        assert_eq!(whole.to_string(), "t: x");
    }
}
