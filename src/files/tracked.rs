//! Reading files whole, with a memory of their contents.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::sha256;

/// The maximum size of a file: enough for thousands of CAs, rules or tokens.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

#[expect(
    clippy::cast_possible_wrap,
    reason = "it is one bit, and not the highest"
)]
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits() as i32;

/// Reads files and remembers a digest of each. A file is read only once, so the bytes that are checked,
/// used and later compared are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackedFiles {
    digests: BTreeMap<PathBuf, Digest>,
}

/// SHA-256 of a file's content; `None` if it could not be read.
type Digest = Option<[u8; 32]>;

/// The contents of a file.
pub struct Contents {
    /// All bytes.
    pub bytes: Vec<u8>,
    /// The permission bits of its mode.
    pub mode: u32,
}

impl Contents {
    /// Whether the mode gives every user of this machine any access. Secrets must not.
    #[must_use]
    pub const fn is_open_to_others(&self) -> bool {
        self.mode & 0o007 != 0
    }

    /// Whether every user of this machine can write to the file. Files that decide who gets in must not
    /// allow that.
    #[must_use]
    pub const fn is_writable_by_others(&self) -> bool {
        self.mode & 0o002 != 0
    }
}

impl fmt::Debug for Contents {
    /// Omits the bytes, which may be a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contents")
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl TrackedFiles {
    /// Reads a whole file, and follows links.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is not a regular file, or is larger than [`FILE_BYTES_MAX`].
    pub fn read(&mut self, path: &Path) -> io::Result<Contents> {
        let contents = read(path);
        let digest = contents.as_ref().ok().map(|read| sha256(&read.bytes));
        self.digests.insert(path.to_owned(), digest);
        contents
    }

    /// Reads the same files again.
    #[must_use]
    pub fn reread(&self) -> Self {
        let mut now = Self::default();
        for path in self.digests.keys() {
            // An error is reported when the file is read for use.
            drop(now.read(path));
        }
        now
    }

    /// The files whose content differs from `before`.
    pub fn changed_since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = &'a Path> {
        let is_changed =
            |(path, digest): &(&PathBuf, &Digest)| before.digests.get(*path) != Some(*digest);
        self.digests
            .iter()
            .filter(is_changed)
            .map(|(path, _)| path.as_path())
    }
}

/// Reads a whole file, and follows links.
///
/// # Errors
///
/// When it cannot be read, is not a regular file, or is larger than [`FILE_BYTES_MAX`].
pub(crate) fn read(path: &Path) -> io::Result<Contents> {
    let check = |metadata: &Metadata| {
        let fault = || io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
        metadata.is_file().then_some(()).ok_or_else(fault)
    };
    // Opening a device can have side effects.
    check(&fs::metadata(path)?)?;
    // Opening a pipe would block until a writer comes, and the path may be a pipe by now.
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
    fn compares_files_by_content() {
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
        std::os::unix::fs::symlink(path("new"), path("next")).unwrap();
        fs::rename(path("next"), path("link")).unwrap();
        assert_eq!(first.reread().changed_since(&first).count(), 1);
    }

    #[test]
    fn refuses_what_could_block() {
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
