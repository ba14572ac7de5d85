//! Putting a file in the place of another, so that whoever reads meanwhile sees the old or the new.
//!
//! Knows nothing of locks and of what is in the files.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use crate::text::hex;

/// A new file beside the one whose place it is to take; removed again when it does not.
#[derive(Debug)]
pub(crate) struct AtomicFile {
    path: PathBuf,
    file: File,
    is_moved: bool,
}

impl AtomicFile {
    /// With no more permissions than `mode` from the first moment on.
    pub(crate) fn create(target: &Path, mode: u32) -> io::Result<Self> {
        let path = target.with_file_name(name_beside(target)?);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)?;
        Ok(Self {
            path,
            file,
            is_moved: false,
        })
    }

    /// Takes on owner and mode of `target`, where there is one. The owner as far as this user may:
    /// tells when not.
    pub(crate) fn take_after(&self, target: &Path) -> io::Result<Option<io::Error>> {
        let old = match fs::metadata(target) {
            Ok(old) => old,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let own = self.file.metadata()?;
        let owner_lost = if (own.uid(), own.gid()) == (old.uid(), old.gid()) {
            None
        } else {
            fchown(&self.file, Some(old.uid()), Some(old.gid())).err()
        };
        self.set_mode(old.permissions().mode() & 0o777)?;
        Ok(owner_lost)
    }

    /// Whatever the umask says.
    pub(crate) fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.file.set_permissions(Permissions::from_mode(mode))
    }

    /// Down to the disk.
    pub(crate) fn write(&mut self, text: &str) -> io::Result<()> {
        self.file.write_all(text.as_bytes())?;
        self.file.sync_all()
    }

    /// The name is as lasting as the content only when the folder is synced.
    pub(crate) fn move_to(&mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.is_moved = true;
        Ok(())
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.is_moved {
            // The fault that led here is the one to tell.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Hidden, not to be guessed, and with the ending of `target`: by that keys are kept out of
/// repositories.
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
    fn leaves_nothing_aside_when_it_cannot_be_moved() {
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
        let mode = aside.file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o137, 0);
        // No umask of a test lets everyone write.
        aside.set_mode(0o666).unwrap();
        let mode = aside.file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o666);
        fs::create_dir(&target).unwrap();
        assert!(aside.move_to(&target).is_err());
        drop(aside);
        assert_eq!(names(folder.path()), ["alice.key"]);
    }

    #[test]
    fn takes_after_what_was_there() {
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
