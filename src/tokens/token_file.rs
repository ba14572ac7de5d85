//! The file of `tidings token` on the disk: changed as a whole, by one at a time.
//!
//! Owns that two who write at once lose nothing. Knows nothing of the format.

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

/// Of a new file: the owner writes, the group reads, and nobody else.
const NEW_FILE_MODE: u32 = 0o640;

/// Where a store of tokens is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFile {
    path: PathBuf,
}

/// What came of a change.
#[derive(Debug)]
pub struct Changed<T> {
    /// The outcome.
    pub outcome: T,
    /// Why the file does not belong to whom it belonged to before, where that is so.
    pub owner_lost: Option<io::Error>,
}

impl TokenFile {
    /// The file at `path`, which need not exist yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it.
    ///
    /// # Errors
    ///
    /// When it cannot be read or is broken.
    pub fn read(&self) -> Result<TokenStore, TokenFileError> {
        self.read_at(&self.path)
    }

    /// Makes a token for `identity`, and the file where there is none.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written; then no token was made.
    pub fn issue(
        &self,
        identity: Identity,
        now: DateTime<Utc>,
        expires: Option<DateTime<Utc>>,
    ) -> Result<Changed<NewToken>, TokenFileError> {
        let (target, is_there) = match fs::canonicalize(&self.path) {
            Ok(target) => (target, true),
            // A link that points to nothing is left to be mended.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.path.is_symlink() => {
                (self.path.clone(), false)
            }
            Err(error) => return Err(self.unusable("read", &error)),
        };
        let folder = self.lock_folder_of(&target)?;
        // Another may have made it while this one waited.
        let is_there = is_there || target.exists();
        let mut store = if is_there {
            self.read_at(&target)?
        } else {
            TokenStore::default()
        };
        let token = store
            .issue(identity, now, expires)
            .map_err(|_| TokenFileError::new(&self.path, "the system gives no random numbers"))?;
        let owner_lost = self.replace(&target, &folder, &store)?;
        Ok(Changed {
            outcome: token,
            owner_lost,
        })
    }

    /// Takes the token with this id out; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written; then it stays as it was.
    pub fn revoke(&self, id: &str) -> Result<Option<Changed<TokenEntry>>, TokenFileError> {
        self.take_out(|store| store.revoke(id))
    }

    /// Takes out all tokens that have expired by `now`; `None` when there are none.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written; then it stays as it was.
    pub fn revoke_expired(
        &self,
        now: DateTime<Utc>,
    ) -> Result<Option<Changed<Vec<TokenEntry>>>, TokenFileError> {
        self.take_out(|store| Some(store.revoke_expired(now)).filter(|entries| !entries.is_empty()))
    }

    /// Whether every user of this machine can write to it; no where that cannot be told.
    #[must_use]
    pub fn is_writable_by_others(&self) -> bool {
        let contents = TrackedFiles::default().read(&self.path);
        contents.is_ok_and(|file| file.is_writable_by_others())
    }

    fn take_out<T>(
        &self,
        take: impl FnOnce(&mut TokenStore) -> Option<T>,
    ) -> Result<Option<Changed<T>>, TokenFileError> {
        let target = fs::canonicalize(&self.path).map_err(|error| self.unusable("read", &error))?;
        let folder = self.lock_folder_of(&target)?;
        let mut store = self.read_at(&target)?;
        let Some(outcome) = take(&mut store) else {
            return Ok(None);
        };
        let owner_lost = self.replace(&target, &folder, &store)?;
        Ok(Some(Changed {
            outcome,
            owner_lost,
        }))
    }

    /// Messages name the file as it was named to us, whatever links it is reached by.
    fn read_at(&self, target: &Path) -> Result<TokenStore, TokenFileError> {
        let contents = TrackedFiles::default().read(target);
        let contents = contents.map_err(|error| self.unusable("read", &error))?;
        TokenStore::parse(&self.path, &contents.bytes)
    }

    /// Waits until nobody else changes files of this folder. The file itself cannot be locked: each
    /// change puts another in its place.
    fn lock_folder_of(&self, target: &Path) -> Result<File, TokenFileError> {
        let folder = match target.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        files::lock(folder).map_err(|error| self.unusable("lock the folder of", &error))
    }

    /// Puts `store` in the place of what is there, mode and owner kept.
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
