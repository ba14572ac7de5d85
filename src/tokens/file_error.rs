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

#[cfg(test)]
mod tests {
    use super::*;

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
