//! The token store on disk.
//!
//! Owns how the file is changed: as a whole, and by one program at a time, so that concurrent changes
//! lose nothing. Knows nothing about the format.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};

use super::{NewToken, TokenEntry, TokenFileError, TokenStore};
use crate::{
    files::{self, AtomicFile, TrackedFiles, remedy},
    identity::Identity,
};

/// The mode of a new file: the owner can write, the group can read.
const NEW_FILE_MODE: u32 = 0o640;

/// A token store on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFile {
    path: PathBuf,
}

/// The result of a change.
#[derive(Debug)]
pub struct Changed<T> {
    /// What was created or removed.
    pub outcome: T,
    /// Why the file could not keep its owner, if it could not.
    pub owner_lost: Option<io::Error>,
}

impl TokenFile {
    /// The file at `path`, which need not exist yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file.
    ///
    /// # Errors
    ///
    /// When it cannot be read or parsed.
    pub fn read(&self) -> Result<TokenStore, TokenFileError> {
        self.read_at(&self.path)
    }

    /// Creates a token for `identity`, and the file if there is none.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written. Then no token was created.
    pub fn issue(
        &self,
        identity: Identity,
        now: DateTime<Utc>,
        expires: Option<DateTime<Utc>>,
    ) -> Result<Changed<NewToken>, TokenFileError> {
        let (target, is_there) = match fs::canonicalize(&self.path) {
            Ok(target) => (target, true),
            // A dangling link is an error that its owner has to fix.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.path.is_symlink() => {
                (self.path.clone(), false)
            }
            Err(error) => return Err(self.unusable("read", &error)),
        };
        let folder = self.lock_folder_of(&target)?;
        // Another program may have created the file while this one waited for the lock.
        let is_there = is_there || target.exists();
        let mut store = if is_there {
            self.read_at(&target)?
        } else {
            TokenStore::default()
        };
        let token = store.issue(identity, now, expires).map_err(|_| {
            TokenFileError::new(&self.path, "the system provides no random numbers")
        })?;
        let owner_lost = self.replace(&target, &folder, &store)?;
        Ok(Changed {
            outcome: token,
            owner_lost,
        })
    }

    /// Removes the token with this id. Returns `None` if there is none.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written. Then it is unchanged.
    pub fn revoke(&self, id: &str) -> Result<Option<Changed<TokenEntry>>, TokenFileError> {
        self.remove(|store| store.revoke(id))
    }

    /// Removes all tokens that have expired by `now`. Returns `None` if there are none.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written. Then it is unchanged.
    pub fn revoke_expired(
        &self,
        now: DateTime<Utc>,
    ) -> Result<Option<Changed<Vec<TokenEntry>>>, TokenFileError> {
        self.remove(|store| Some(store.revoke_expired(now)).filter(|entries| !entries.is_empty()))
    }

    /// Whether every user of this machine can write to the file. False if that cannot be determined.
    #[must_use]
    pub fn is_writable_by_others(&self) -> bool {
        let contents = TrackedFiles::default().read(&self.path);
        contents.is_ok_and(|file| file.is_writable_by_others())
    }

    fn remove<T>(
        &self,
        remove: impl FnOnce(&mut TokenStore) -> Option<T>,
    ) -> Result<Option<Changed<T>>, TokenFileError> {
        let target = fs::canonicalize(&self.path).map_err(|error| self.unusable("read", &error))?;
        let folder = self.lock_folder_of(&target)?;
        let mut store = self.read_at(&target)?;
        let Some(outcome) = remove(&mut store) else {
            return Ok(None);
        };
        let owner_lost = self.replace(&target, &folder, &store)?;
        Ok(Some(Changed {
            outcome,
            owner_lost,
        }))
    }

    /// Reads `target`. Messages name the path that was given, whatever links lead to the file.
    fn read_at(&self, target: &Path) -> Result<TokenStore, TokenFileError> {
        let contents = TrackedFiles::default().read(target);
        let contents = contents.map_err(|error| self.unusable("read", &error))?;
        TokenStore::parse(&self.path, &contents.bytes)
    }

    /// Waits until no other program changes files in this folder. Locking the file itself would not
    /// work, because each change replaces it.
    fn lock_folder_of(&self, target: &Path) -> Result<File, TokenFileError> {
        let folder = match target.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        files::lock(folder).map_err(|error| self.unusable("lock the folder of", &error))
    }

    /// Replaces the file with `store`, keeping mode and owner.
    fn replace(
        &self,
        target: &Path,
        folder: &File,
        store: &TokenStore,
    ) -> Result<Option<io::Error>, TokenFileError> {
        let text = store
            .to_text()
            .map_err(|error| TokenFileError::new(&self.path, error.to_string()))?;
        let replaced = AtomicFile::create(target, NEW_FILE_MODE).and_then(|mut aside| {
            let owner_lost = aside.take_after(target)?;
            aside.write(&text)?;
            aside.move_to(target)?;
            folder.sync_all()?;
            Ok(owner_lost)
        });
        replaced.map_err(|error| self.unusable("write", &error))
    }

    fn unusable(&self, what: &str, error: &io::Error) -> TokenFileError {
        let remedy = remedy(error);
        TokenFileError::new(&self.path, format!("cannot {what} it: {error}{remedy}"))
    }
}

#[cfg(test)]
mod tests;
