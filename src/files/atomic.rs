//! New files, and files that replace another one at once.
//!
//! Owns that no reader sees half a file, and that nothing is left behind after an error. Knows nothing
//! about locks and contents.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use crate::text::hex;

/// A file that did not exist before. Removed again unless it is kept.
#[derive(Debug)]
pub(crate) struct NewFile {
    path: PathBuf,
    file: File,
    is_kept: bool,
}

impl NewFile {
    /// Creates the file with no more permissions than `mode` from the first moment on.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` when something is at `path`, even a dangling link.
    pub(crate) fn create(path: &Path, mode: u32) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(mode);
        Ok(Self {
            path: path.to_owned(),
            file: options.open(path)?,
            is_kept: false,
        })
    }

    /// Writes `text` and syncs it to the disk.
    pub(crate) fn write(&mut self, text: &str) -> io::Result<()> {
        self.file.write_all(text.as_bytes())?;
        self.file.sync_all()
    }

    /// Leaves the file in its place.
    pub(crate) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_kept {
            // The error that led here is the one to report.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A new file beside the one that it will replace. Removed again unless it does.
#[derive(Debug)]
pub(crate) struct AtomicFile(NewFile);

impl AtomicFile {
    /// Creates the file with no more permissions than `mode` from the first moment on.
    pub(crate) fn create(target: &Path, mode: u32) -> io::Result<Self> {
        let path = target.with_file_name(name_beside(target)?);
        NewFile::create(&path, mode).map(Self)
    }

    /// Copies owner and mode of `target` if it exists. Returns the error if this user may not set the
    /// owner.
    pub(crate) fn take_after(&self, target: &Path) -> io::Result<Option<io::Error>> {
        let old = match fs::metadata(target) {
            Ok(old) => old,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let own = self.0.file.metadata()?;
        let owner_lost = if (own.uid(), own.gid()) == (old.uid(), old.gid()) {
            None
        } else {
            fchown(&self.0.file, Some(old.uid()), Some(old.gid())).err()
        };
        self.set_mode(old.permissions().mode() & 0o777)?;
        Ok(owner_lost)
    }

    /// Sets the mode whatever the umask.
    pub(crate) fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.0.file.set_permissions(Permissions::from_mode(mode))
    }

    /// Writes `text` and syncs it to the disk.
    pub(crate) fn write(&mut self, text: &str) -> io::Result<()> {
        self.0.write(text)
    }

    /// Renames the file to `target`. The name is durable only once the folder is synced.
    pub(crate) fn move_to(&mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.0.path, target)?;
        self.0.is_kept = true;
        Ok(())
    }
}

/// A name that is hidden and unpredictable, and has the extension of `target`: `.gitignore` keeps keys
/// out of repositories by their extension.
fn name_beside(target: &Path) -> io::Result<OsString> {
    let stem = target.file_stem().ok_or(io::ErrorKind::IsADirectory)?;
    let mut chance = [0; 8];
    aws_lc_rs::rand::fill(&mut chance).map_err(io::Error::other)?;
    let mut name = OsString::from(".");
    name.push(stem);
    name.push(format!(".{}.new", hex(&chance)));
    if let Some(extension) = target.extension() {
        name.push(".");
        name.push(extension);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<OsString> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn a_new_file_replaces_nothing_and_stays_only_if_it_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new");
        drop(NewFile::create(&path, 0o600).unwrap());
        assert!(!path.exists());
        let mut file = NewFile::create(&path, 0o600).unwrap();
        file.write("text").unwrap();
        file.keep();
        assert_eq!(fs::read(&path).unwrap(), b"text");
        let fault = NewFile::create(&path, 0o600).unwrap_err();
        assert_eq!(fault.kind(), io::ErrorKind::AlreadyExists);
        assert!(path.exists());
    }

    #[test]
    fn leaves_nothing_behind_when_it_cannot_be_moved() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("alice.key");
        let mut aside = AtomicFile::create(&target, 0o640).unwrap();
        let [name] = &names(folder.path())[..] else {
            panic!("one file");
        };
        let name = name.to_str().unwrap();
        assert!(
            name.starts_with(".alice.") && name.ends_with(".new.key"),
            "{name}"
        );
        let mode = aside.0.file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o137, 0);
        // No umask leaves this mode by chance.
        aside.set_mode(0o666).unwrap();
        let mode = aside.0.file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o666);
        fs::create_dir(&target).unwrap();
        assert!(aside.move_to(&target).is_err());
        drop(aside);
        assert_eq!(names(folder.path()), ["alice.key"]);
    }

    #[test]
    fn copies_the_mode_of_what_it_replaces() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("list");
        fs::write(&target, "old").unwrap();
        fs::set_permissions(&target, Permissions::from_mode(0o604)).unwrap();
        let mut aside = AtomicFile::create(&target, 0o600).unwrap();
        assert!(aside.take_after(&target).unwrap().is_none());
        aside.write("new").unwrap();
        aside.move_to(&target).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(
            fs::metadata(&target).unwrap().permissions().mode() & 0o777,
            0o604
        );
    }
}
