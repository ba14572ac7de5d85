//! Renewing a certificate of the folder: a new key, and a certificate that says the same.
//!
//! Owns that a renewal loses nothing: the old pair is kept until it is of no use, and a certificate
//! that cannot be repeated exactly is left alone.

use std::{
    fs,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};

use super::{CertificateFolder, check_name};
use crate::{
    clock,
    files::AtomicFile,
    pki::{
        Authority, CertificateRequest, IssueError, IssuedFiles, Purpose, Revocation,
        RevocationList, Validity,
        files::{CERTIFICATE_MODE, KEY_MODE, exists},
        inspect::CertificateSummary,
        keys,
    },
};

/// What [`CertificateFolder::renew`] does when the certificate of a name is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfRevoked {
    /// Refuses: a revoked name is expected to stay out.
    Refuse,
    /// Renews: the name is let in again.
    Renew,
}

/// What [`CertificateFolder::renew`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewReport {
    /// The new certificate and key.
    pub files: IssuedFiles,
    /// When the new certificate expires.
    pub not_after: DateTime<Utc>,
    /// Where the old certificate is kept.
    pub old_certificate: PathBuf,
    /// Where the old key is kept, if it was in the folder.
    pub old_key: Option<PathBuf>,
    /// When the old certificate expires.
    pub old_not_after: DateTime<Utc>,
    /// Its entry on the folder's revocation list, if it is revoked.
    pub old_revocation: Option<Revocation>,
}

impl CertificateFolder {
    /// Generates a new key, and a certificate for it with the contents of the one of `name`. It is
    /// valid for as long as that one was, at most until the CA expires. The old pair is kept as
    /// `name.old`, and replaces an earlier one that has expired or is revoked. The old certificate
    /// stays valid.
    ///
    /// # Errors
    ///
    /// When the certificate of `name` is missing, was not signed by the folder's CA, is revoked
    /// (with [`IfRevoked::Refuse`]), holds something that cannot be repeated, or has another key
    /// beside it; when `name.old` is something else, or still valid; when the revocation list cannot
    /// be read; or when a file cannot be written. Only the last can leave changes behind, and the old
    /// key and certificate are never lost.
    pub fn renew(&self, name: &str, if_revoked: IfRevoked) -> Result<RenewReport, IssueError> {
        check_name(name).map_err(IssueError::Name)?;
        let _lock = self.lock_existing()?;
        let authority = self.authority()?;
        let files = self.files(name);
        let old = CertificateSummary::read_first(&files.certificate)?;
        self.check_issued_here(&old, &files.certificate, &authority)?;
        let list = self.read_crl(&authority)?;
        let old_revocation = revocation_of(&old, &list).cloned();
        if let (Some(revocation), IfRevoked::Refuse) = (&old_revocation, if_revoked) {
            return Err(IssueError::IsRevoked {
                path: files.certificate,
                since: revocation.since,
            });
        }
        let request = request_like(&old, &authority, &self.ca())?;
        let issued = authority.issue(&request)?;
        check_is_repeated(&old, &issued.certificate_pem, &files.certificate)?;

        let (old_certificate, old_key) = self.keep_old(name, &old, &list)?;
        // Both are written before either takes its place, so that they change almost at once.
        let key = stage(&files.key, &issued.key_pem, KEY_MODE)?;
        let certificate = stage(
            &files.certificate,
            &issued.certificate_pem,
            CERTIFICATE_MODE,
        )?;
        replace(&files.key, key)?;
        replace(&files.certificate, certificate)?;
        self.sync();
        Ok(RenewReport {
            files,
            not_after: request.valid.not_after,
            old_certificate,
            old_key,
            old_not_after: old.not_after,
            old_revocation,
        })
    }

    /// Copies the pair of `name` to `name.old`. Returns the paths of the copies.
    fn keep_old(
        &self,
        name: &str,
        certificate: &CertificateSummary,
        list: &RevocationList,
    ) -> Result<(PathBuf, Option<PathBuf>), IssueError> {
        let files = self.files(name);
        let old = self.files(&format!("{name}.old"));
        self.check_replaceable(&old, certificate, list)?;
        if exists(&files.key)? && !keys::is_for(certificate.der(), &files.key)? {
            // A renewal was interrupted between its last two steps: the old key is kept already,
            // and the new one was never used.
            if exists(&old.key)? && keys::is_for(certificate.der(), &old.key)? {
                return Ok((old.certificate, Some(old.key)));
            }
            return Err(IssueError::KeyMismatch {
                key: files.key,
                certificate: files.certificate,
            });
        }
        let has_old_key = copy(&files.key, &old.key, KEY_MODE)?;
        copy(&files.certificate, &old.certificate, CERTIFICATE_MODE)?;
        if !has_old_key && exists(&old.key)? {
            fs::remove_file(&old.key).map_err(|reason| IssueError::unwritable(&old.key, reason))?;
        }
        self.sync();
        Ok((old.certificate, has_old_key.then_some(old.key)))
    }

    /// Checks that a pair named `name.old` is from an earlier renewal and of no use any more. One
    /// that is valid may be in use, and without its file could be revoked by serial number only.
    fn check_replaceable(
        &self,
        old: &IssuedFiles,
        certificate: &CertificateSummary,
        list: &RevocationList,
    ) -> Result<(), IssueError> {
        match (exists(&old.certificate)?, exists(&old.key)?) {
            (false, false) => Ok(()),
            (false, true) => Err(IssueError::KeyWithoutCertificate {
                key: old.key.clone(),
                certificate: old.certificate.clone(),
            }),
            (true, _) => {
                let kept = CertificateSummary::read_first(&old.certificate)?;
                if kept.subject != certificate.subject {
                    return Err(IssueError::AlreadyThere {
                        path: old.certificate.clone(),
                    });
                }
                // An interrupted renewal has kept it, and continues now.
                let is_same = kept.der() == certificate.der();
                if is_same || kept.not_after < clock::now() || revocation_of(&kept, list).is_some()
                {
                    return Ok(());
                }
                Err(IssueError::OldIsGood {
                    path: old.certificate.clone(),
                    folder: self.path().to_owned(),
                    not_after: kept.not_after,
                })
            }
        }
    }
}

/// Writes a new file beside the one at `path`, to replace it.
fn stage(path: &Path, text: &str, mode: u32) -> Result<AtomicFile, IssueError> {
    let written = AtomicFile::create(path, mode).and_then(|mut new| {
        new.write(text)?;
        Ok(new)
    });
    written.map_err(|reason| IssueError::unwritable(path, reason))
}

fn replace(path: &Path, mut new: AtomicFile) -> Result<(), IssueError> {
    new.move_to(path)
        .map_err(|reason| IssueError::unwritable(path, reason))
}

/// Returns whether there was a file to copy.
fn copy(from: &Path, to: &Path, mode: u32) -> Result<bool, IssueError> {
    if !exists(from)? {
        return Ok(false);
    }
    let text = fs::read_to_string(from).map_err(|reason| IssueError::unreadable(from, reason))?;
    replace(to, stage(to, &text, mode)?)?;
    Ok(true)
}

fn revocation_of<'a>(
    certificate: &CertificateSummary,
    list: &'a RevocationList,
) -> Option<&'a Revocation> {
    // A text that is not a serial number cannot be on a list.
    list.revocation_of(&certificate.serial.parse().ok()?)
}

/// A request for a certificate with the same contents, valid from now on.
fn request_like(
    old: &CertificateSummary,
    authority: &Authority,
    ca: &Path,
) -> Result<CertificateRequest, IssueError> {
    let now = Validity::days(1);
    let not_after = (now.not_before + (old.not_after - old.not_before)).min(authority.not_after());
    if not_after <= clock::now() {
        return Err(IssueError::AuthorityEnded {
            path: ca.to_owned(),
            not_after: authority.not_after(),
        });
    }
    Ok(CertificateRequest {
        names: old.names.clone(),
        purpose: match (old.is_for_clients(), old.is_for_servers()) {
            (true, true) => Purpose::Both,
            (true, false) => Purpose::Client,
            (false, true) => Purpose::Server,
            (false, false) => Purpose::Unstated,
        },
        valid: Validity {
            not_before: now.not_before,
            not_after,
        },
    })
}

/// Checks that a new certificate says what the old one said. One that was made elsewhere may say more
/// than a request can ask for.
fn check_is_repeated(
    old: &CertificateSummary,
    new_pem: &str,
    path: &Path,
) -> Result<(), IssueError> {
    let new = CertificateSummary::first_in(new_pem.as_bytes()).map_err(IssueError::signing)?;
    let what = if new.subject != old.subject {
        "its subject"
    } else if (&new.names, &new.other_names) != (&old.names, &old.other_names) {
        "its alternative names"
    } else if new.is_ca != old.is_ca
        || sorted(&new.key_usages) != sorted(&old.key_usages)
        || sorted(&new.extended_key_usages) != sorted(&old.extended_key_usages)
    {
        "what it may be used for"
    } else {
        return Ok(());
    };
    Err(IssueError::CannotRepeat {
        path: path.to_owned(),
        what,
    })
}

fn sorted(texts: &[String]) -> Vec<&String> {
    let mut texts: Vec<_> = texts.iter().collect();
    texts.sort();
    texts
}

#[cfg(test)]
mod tests;
