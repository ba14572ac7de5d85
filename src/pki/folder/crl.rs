//! The revocation list of a folder's CA: revoking certificates, and signing the list anew.
//!
//! Owns that a new list replaces the old one only with all of its entries.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use chrono::{SubsecRound, TimeDelta};

use super::CertificateFolder;
use crate::{
    clock,
    files::AtomicFile,
    pki::{
        Authority, CERTIFICATE_DAYS, IssueError, Revocation, RevocationList, RevocationReason,
        Serial,
        files::{CERTIFICATE_MODE, exists},
        inspect::CertificateSummary,
    },
};

/// What to revoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevocationTarget {
    /// The first certificate of a file.
    Certificate(PathBuf),
    /// The certificate with this serial number, when its file is gone.
    Serial(Serial),
}

/// What [`CertificateFolder::revoke`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokeReport {
    /// The entry on the list.
    pub revocation: Revocation,
    /// Whether it was on the list already, and nothing was changed.
    pub was_there: bool,
    /// The list as it is now.
    pub list: RevocationList,
    /// Why the file has another owner than before, if it has.
    pub owner_lost: Option<String>,
}

/// What [`CertificateFolder::renew_crl`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenCrl {
    /// The list as it is now.
    pub list: RevocationList,
    /// Why the file has another owner than before, if it has.
    pub owner_lost: Option<String>,
}

impl CertificateFolder {
    /// Adds a certificate to the folder's revocation list, and signs the list anew. A missing list is
    /// created.
    ///
    /// # Errors
    ///
    /// When the certificate cannot be read, was not signed by the folder's CA or is the CA's own;
    /// when there is no CA to sign with; or when the list cannot be continued or written.
    pub fn revoke(
        &self,
        target: &RevocationTarget,
        reason: RevocationReason,
    ) -> Result<RevokeReport, IssueError> {
        let _lock = self.lock_existing()?;
        let authority = self.authority()?;
        let serial = match target {
            RevocationTarget::Certificate(path) => self.serial_of(path, &authority)?,
            RevocationTarget::Serial(serial) => serial.clone(),
        };
        if serial == *authority.serial() {
            return Err(IssueError::RevokesAuthority { path: self.ca() });
        }
        let list = self.read_crl(&authority)?;
        if let Some(revocation) = list.revocation_of(&serial) {
            return Ok(RevokeReport {
                revocation: revocation.clone(),
                was_there: true,
                list,
                owner_lost: None,
            });
        }
        let revocation = Revocation {
            serial,
            since: clock::now().trunc_subsecs(0),
            reason,
            invalid_since: None,
        };
        let mut revocations = list.revocations;
        revocations.push(revocation.clone());
        let WrittenCrl { list, owner_lost } =
            self.write_crl(&authority, list.number, revocations)?;
        Ok(RevokeReport {
            revocation,
            was_there: false,
            list,
            owner_lost,
        })
    }

    /// Signs the folder's revocation list anew with the same entries, so that it expires later. A
    /// missing list is created.
    ///
    /// # Errors
    ///
    /// When there is no CA to sign with, or the list cannot be continued or written.
    pub fn renew_crl(&self) -> Result<WrittenCrl, IssueError> {
        let _lock = self.lock_existing()?;
        let authority = self.authority()?;
        let list = self.read_crl(&authority)?;
        self.write_crl(&authority, list.number, list.revocations)
    }

    /// Writes an empty list. `false` when the CA cannot sign one: it can still issue certificates.
    pub(super) fn init_crl(&self, authority: &Authority) -> Result<bool, IssueError> {
        match self.write_crl(authority, 0, Vec::new()) {
            Ok(_) => Ok(true),
            Err(IssueError::NotCrlSigner { .. } | IssueError::AuthoritySubject { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The folder's list, or an empty one where there is none.
    pub(super) fn read_crl(&self, authority: &Authority) -> Result<RevocationList, IssueError> {
        if exists(&self.crl())? {
            return authority.read_crl(&self.crl());
        }
        let now = clock::now().trunc_subsecs(0);
        Ok(RevocationList {
            number: 0,
            this_update: now,
            next_update: now,
            revocations: Vec::new(),
        })
    }

    fn write_crl(
        &self,
        authority: &Authority,
        number_before: u64,
        revocations: Vec<Revocation>,
    ) -> Result<WrittenCrl, IssueError> {
        let this_update = clock::now().trunc_subsecs(0);
        let next_update = this_update + TimeDelta::days(CERTIFICATE_DAYS.into());
        let list = RevocationList {
            number: number_before.saturating_add(1),
            this_update,
            next_update: next_update.min(authority.not_after()),
            revocations,
        };
        if list.next_update <= list.this_update {
            return Err(IssueError::AuthorityEnded {
                path: self.ca(),
                not_after: authority.not_after(),
            });
        }
        let pem = authority.sign_crl(&list)?;
        let owner_lost = replace_crl(&self.crl(), &pem)
            .map_err(|reason| IssueError::unwritable(&self.crl(), reason))?
            .map(|reason| reason.to_string());
        self.sync();
        Ok(WrittenCrl { list, owner_lost })
    }

    fn serial_of(&self, path: &Path, authority: &Authority) -> Result<Serial, IssueError> {
        let certificate = CertificateSummary::read_first(path)?;
        if certificate.is_ca && certificate.der() == authority.der() {
            return Err(IssueError::RevokesAuthority { path: self.ca() });
        }
        self.check_issued_here(&certificate, path, authority)?;
        certificate
            .serial
            .parse()
            .map_err(|_| IssueError::CannotRepeat {
                path: path.to_owned(),
                what: "its serial number",
            })
    }

    /// Checks that the folder's CA signed a certificate.
    pub(super) fn check_issued_here(
        &self,
        certificate: &CertificateSummary,
        path: &Path,
        authority: &Authority,
    ) -> Result<(), IssueError> {
        if authority.has_issued(certificate.der()) {
            return Ok(());
        }
        Err(IssueError::NotIssuedHere {
            certificate: path.to_owned(),
            authority: self.ca(),
        })
    }

    /// Makes the names of new files as durable as their contents.
    pub(super) fn sync(&self) {
        // Some file systems cannot sync a folder. The files are in place even so, unless the power
        // fails at this moment.
        let _ = File::open(self.path()).and_then(|folder| folder.sync_all());
    }
}

/// Replaces a list, which everyone may read whatever the umask says, unless somebody changed its
/// mode. Returns why its owner could not be kept, if it could not.
fn replace_crl(path: &Path, pem: &str) -> io::Result<Option<io::Error>> {
    let mut new = AtomicFile::create(path, CERTIFICATE_MODE)?;
    new.set_mode(CERTIFICATE_MODE)?;
    let owner_lost = new.take_after(path)?;
    new.write(pem)?;
    new.move_to(path)?;
    Ok(owner_lost)
}

#[cfg(test)]
mod tests;
