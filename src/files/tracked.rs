use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::sha256;

/// Bytes of any file that is read: room for thousands of authorities, rules or tokens.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

#[expect(
    clippy::cast_possible_wrap,
    reason = "one bit, and not the highest one"
)]
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits() as i32;

/// Reads files, and remembers what was in each: what is checked, what is used and what a later look
/// is compared with are the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackedFiles {
    digests: BTreeMap<PathBuf, Digest>,
}

/// SHA-256 of a file's content; `None` where it could not be read.
type Digest = Option<[u8; 32]>;

/// A file as it was read.
pub struct Contents {
    /// All that is in it.
    pub bytes: Vec<u8>,
    /// The permission bits of its mode.
    pub mode: u32,
}

impl Contents {
    /// Whether every user of this machine can get at the file in any way: too many for a secret.
    #[must_use]
    pub const fn is_open_to_others(&self) -> bool {
        self.mode & 0o007 != 0
    }

    /// Whether every user of this machine can change the file: too many for what decides.
    #[must_use]
    pub const fn is_writable_by_others(&self) -> bool {
        self.mode & 0o002 != 0
    }
}

impl fmt::Debug for Contents {
    /// Without the bytes: they may be a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contents")
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl TrackedFiles {
    /// Reads a file, whole; a link is followed.
    ///
    /// # Errors
    ///
    /// When it cannot be read or is larger than [`FILE_BYTES_MAX`].
    pub fn read(&mut self, path: &Path) -> io::Result<Contents> {
        let contents = read(path);
        let digest = contents.as_ref().ok().map(|read| sha256(&read.bytes));
        self.digests.insert(path.to_owned(), digest);
        contents
    }

    /// The same files as they are now.
    #[must_use]
    pub fn reread(&self) -> Self {
        let mut now = Self::default();
        for path in self.digests.keys() {
            // What cannot be read is told when it is read to be used.
            drop(now.read(path));
        }
        now
    }

    /// Of these files those with another content than in `before`.
    pub fn changed_since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = &'a Path> {
        let is_changed =
            |(path, digest): &(&PathBuf, &Digest)| before.digests.get(*path) != Some(*digest);
        self.digests
            .iter()
            .filter(is_changed)
            .map(|(path, _)| path.as_path())
    }
}

/// Reads a file, whole; a link is followed.
///
/// # Errors
///
/// When it cannot be read, is no regular file or is larger than [`FILE_BYTES_MAX`].
pub(crate) fn read(path: &Path) -> io::Result<Contents> {
    let check = |metadata: &Metadata| {
        let fault = || io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
        metadata.is_file().then_some(()).ok_or_else(fault)
    };
    // Some devices do something when they are opened.
    check(&fs::metadata(path)?)?;
    // To open a pipe would wait for someone to write to it, and one may be there by now.
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(NONBLOCK);
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    check(&metadata)?;
    let mode = metadata.permissions().mode() & 0o7777;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {FILE_BYTES_MAX} bytes"),
        ));
    }
    Ok(Contents { bytes, mode })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_which_files_changed_by_their_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["a", "b", "c"] {
            fs::write(path(name), name).unwrap();
        }
        let mut first = TrackedFiles::default();
        for name in ["a", "b", "c", "missing"] {
            drop(first.read(&path(name)));
        }
        let changed = || {
            let now = first.reread();
            now.changed_since(&first)
                .map(Path::to_owned)
                .collect::<Vec<_>>()
        };
        assert!(changed().is_empty());
        fs::write(path("a"), "a").unwrap();
        fs::write(path("b"), "other").unwrap();
        fs::remove_file(path("c")).unwrap();
        fs::write(path("missing"), "").unwrap();
        assert_eq!(changed(), [path("b"), path("c"), path("missing")]);
    }

    #[test]
    fn follows_a_link_that_is_swapped() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("old"), "old").unwrap();
        fs::write(path("new"), "new").unwrap();
        std::os::unix::fs::symlink(path("old"), path("link")).unwrap();
        let mut first = TrackedFiles::default();
        assert_eq!(first.read(&path("link")).unwrap().bytes, b"old");
        std::os::unix::fs::symlink(path("new"), path("aside")).unwrap();
        fs::rename(path("aside"), path("link")).unwrap();
        assert_eq!(first.reread().changed_since(&first).count(), 1);
    }

    #[test]
    fn refuses_what_could_keep_it_waiting() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path(), Path::new("/dev/zero")] {
            let fault = TrackedFiles::default().read(path).unwrap_err();
            assert_eq!(fault.kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn refuses_what_is_too_large() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large");
        fs::File::create(&path)
            .unwrap()
            .set_len(FILE_BYTES_MAX + 1)
            .unwrap();
        let fault = TrackedFiles::default().read(&path).unwrap_err();
        assert_eq!(fault.kind(), io::ErrorKind::FileTooLarge);
    }
}
