//! Words for what is wrong with a file, where a library or the system has none that help.

use std::{fmt, io, path::Path};

/// Of data that nobody can make sense of.
pub(crate) const GARBLED: &str = "it is garbled or cut off";

/// Tells in one line that a file cannot be read, and what may help.
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

/// Tells in one line that a file that decides is for everyone to change, and what helps.
#[derive(Debug)]
pub(crate) struct WritableByOthers<'a>(pub(crate) &'a Path, pub(crate) u32);

impl fmt::Display for WritableByOthers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, mode) = (self.0.display(), self.1);
        write!(
            f,
            "every user of this machine can write to {path} (mode {mode:04o}), and so decide who is trusted and who may do what: run `chmod o-w {path}`"
        )
    }
}

/// What may help against a failed reading, to be put behind the system's own words.
pub(crate) fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            ": the user who runs this must be able to read it, and to enter every folder on the way to it"
        }
        io::ErrorKind::NotFound => ": see that it is there, and that its path is typed right",
        io::ErrorKind::IsADirectory => ": name a file in that folder",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_is_told_where_there_is_one() {
        let told = |kind: io::ErrorKind| Unreadable(Path::new("f"), &kind.into()).to_string();
        for (kind, expected) in [
            (io::ErrorKind::PermissionDenied, "able to read it"),
            (io::ErrorKind::NotFound, "typed right"),
            (io::ErrorKind::IsADirectory, "name a file"),
        ] {
            assert!(told(kind).starts_with("cannot read f: "), "{}", told(kind));
            assert!(told(kind).contains(expected), "{}", told(kind));
        }
        assert!(!told(io::ErrorKind::TimedOut).contains(": see"));
    }
}
