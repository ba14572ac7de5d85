//! The files of a certificate and its key.
//!
//! Owns how new ones are written: the key first, each with its permissions from the start, and never
//! over a file that exists.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use super::IssueError;
use crate::files::NewFile;

pub(super) const KEY_MODE: u32 = 0o600;
pub(super) const CERTIFICATE_MODE: u32 = 0o644;

/// The files of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedFiles {
    /// The certificate, with its chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct IssuedCertificate {
    /// The certificate, followed by the intermediate CAs between it and the root, if there are any.
    pub certificate_pem: String,
    /// The private key, as PKCS#8.
    pub key_pem: String,
}

impl IssuedCertificate {
    /// Writes two new files: the key, readable by its owner alone, then the certificate. So a
    /// certificate that exists has its key, even if the program stops in between.
    ///
    /// # Errors
    ///
    /// When one of them exists or cannot be written.
    pub fn write(&self, files: &IssuedFiles) -> Result<(), IssueError> {
        write_new(&files.key, &self.key_pem, KEY_MODE)?;
        write_new(&files.certificate, &self.certificate_pem, CERTIFICATE_MODE).inspect_err(|_| {
            // A key without a certificate would block the next attempt. It was created above.
            let _ = fs::remove_file(&files.key);
        })
    }
}

impl fmt::Debug for IssuedCertificate {
    /// Without the key, which must not get into logs or failed assertions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedCertificate")
            .field("certificate_pem", &self.certificate_pem)
            .finish_non_exhaustive()
    }
}

/// Writes a file that must not exist yet and syncs it to disk. It has its permissions from the start.
pub(super) fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), IssueError> {
    let mut file = NewFile::create(path, mode).map_err(|reason| match reason.kind() {
        io::ErrorKind::AlreadyExists => IssueError::AlreadyThere {
            path: path.to_owned(),
        },
        _ => IssueError::unwritable(path, reason),
    })?;
    file.write(text)
        .map_err(|reason| IssueError::unwritable(path, reason))?;
    file.keep();
    Ok(())
}

/// Whether something exists at `path`, including a dangling symbolic link.
pub(super) fn exists(path: &Path) -> Result<bool, IssueError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(reason) if reason.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(reason) => Err(IssueError::unreadable(path, reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_whose_certificate_cannot_be_written_is_in_nobodys_way() {
        let temporary = tempfile::tempdir().unwrap();
        let files = IssuedFiles {
            certificate: temporary.path().join("missing/a.crt"),
            key: temporary.path().join("a.key"),
        };
        let issued = IssuedCertificate {
            certificate_pem: "certificate".to_owned(),
            key_pem: "key".to_owned(),
        };
        assert!(issued.write(&files).is_err());
        assert!(!files.key.exists());
    }
}
