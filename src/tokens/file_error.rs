//! The error of a file of tokens or keys.

use std::path::{Path, PathBuf};

use crate::text::LineIndex;

/// A file of tokens or keys that cannot be used.
///
/// The message is one line. It quotes no value of the file, because a value may be a misplaced secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {reason}", path.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct TokenFileError {
    path: PathBuf,
    line: Option<usize>,
    reason: String,
}

impl TokenFileError {
    /// An error of the file as a whole.
    pub(super) fn new(path: &Path, reason: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line: None,
            reason: reason.into(),
        }
    }

    /// An error in one line, counted from 1.
    pub(super) fn in_line(path: &Path, line: usize, reason: impl Into<String>) -> Self {
        Self {
            line: Some(line),
            ..Self::new(path, reason)
        }
    }

    /// An error in the line that holds the byte at `offset`.
    pub(super) fn at(
        path: &Path,
        contents: &[u8],
        offset: usize,
        reason: impl Into<String>,
    ) -> Self {
        Self::in_line(path, LineIndex::new(contents).line_of(offset), reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_line_if_there_is_one() {
        let in_line = TokenFileError::at(Path::new("t"), b"a\nb\n", 2, "x");
        assert_eq!(in_line.to_string(), "t:2: x");
        let whole = TokenFileError::new(Path::new("t"), "x");
        assert_eq!(whole.to_string(), "t: x");
    }
}
