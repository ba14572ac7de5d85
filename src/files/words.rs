//! Messages about files, where those of a library or the system do not help.

use std::{fmt, io, path::Path};

/// The message about data that cannot be parsed.
pub(crate) const GARBLED: &str = "it is garbled or cut off";

/// One line that says that a file cannot be read, and what may help.
#[derive(Debug)]
pub(crate) struct Unreadable<'a>(pub(crate) &'a Path, pub(crate) &'a io::Error);

impl fmt::Display for Unreadable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(path, error) = self;
        write!(
            f,
            "cannot read {}: {error}{}",
            path.display(),
            remedy(error)
        )
    }
}

/// One line that says that everyone can write to a file that decides who gets in, and what helps.
#[derive(Debug)]
pub(crate) struct WritableByOthers<'a>(pub(crate) &'a Path, pub(crate) u32);

impl fmt::Display for WritableByOthers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, mode) = (self.0.display(), self.1);
        write!(
            f,
            "every user of this machine can write to {path} (mode {mode:04o}) and thereby decide who is trusted and who may do what: run `chmod o-w {path}`"
        )
    }
}

/// What may help when reading failed, to be appended to the message of the system.
pub(crate) fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            ": the user who runs this must be able to read it and to enter every folder in its path"
        }
        io::ErrorKind::NotFound => ": check that it exists and that its path is right",
        io::ErrorKind::IsADirectory => ": name a file in that folder",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_a_remedy_where_there_is_one() {
        let text = |kind: io::ErrorKind| Unreadable(Path::new("f"), &kind.into()).to_string();
        for (kind, expected) in [
            (io::ErrorKind::PermissionDenied, "able to read it"),
            (io::ErrorKind::NotFound, "check that it exists"),
            (io::ErrorKind::IsADirectory, "name a file"),
        ] {
            assert!(text(kind).starts_with("cannot read f: "), "{}", text(kind));
            assert!(text(kind).contains(expected), "{}", text(kind));
        }
        assert!(text(io::ErrorKind::TimedOut).ends_with("timed out"));
    }
}
