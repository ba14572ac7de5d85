use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use super::inspect::CertificateSummary;
use super::{
    Authority, CERTIFICATE_DAYS, CertificateFolder, CertificateRequest, IssueError, IssuedFiles,
    Purpose, Revocation, RevocationList, RevocationReason, Serial, Validity,
    authority::has_key,
    folder::{CERTIFICATE_MODE, KEY_MODE, check_name, exists},
};
use crate::{clock, files::AtomicFile};

/// Which certificate is taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// That of a file, the first one in it.
    Certificate(PathBuf),
    /// The one with this serial number, its file being gone.
    Serial(Serial),
}

/// What [`CertificateFolder::revoke`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokeReport {
    /// The entry on the list.
    pub revocation: Revocation,
    /// Whether it was there already, and nothing was changed.
    pub was_there: bool,
    /// The list as it is now.
    pub list: RevocationList,
    /// Why the file does not belong to whom it belonged to before, where that is so.
    pub owner_lost: Option<String>,
}

/// What [`CertificateFolder::renew_crl`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenList {
    /// The list as it is now.
    pub list: RevocationList,
    /// Why the file does not belong to whom it belonged to before, where that is so.
    pub owner_lost: Option<String>,
}

/// What [`CertificateFolder::renew`] makes of a name whose certificate is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfRevoked {
    /// Nothing: whoever knows that the name was revoked takes it to be out for good.
    Refuse,
    /// A new certificate all the same: the name is let in again.
    Renew,
}

/// What [`CertificateFolder::renew`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewReport {
    /// The new certificate and key.
    pub files: IssuedFiles,
    /// When the new certificate ends.
    pub not_after: DateTime<Utc>,
    /// Where the old certificate is now.
    pub old_certificate: PathBuf,
    /// Where the old key is now, if it was here.
    pub old_key: Option<PathBuf>,
    /// When the old certificate ends.
    pub old_not_after: DateTime<Utc>,
    /// Its entry on the folder's list, where it has one.
    pub old_revocation: Option<Revocation>,
}

impl CertificateFolder {
    /// Puts a certificate on the folder's revocation list, which is signed anew and keeps all that
    /// is on it. The list is made where there is none.
    ///
    /// # Errors
    ///
    /// When the certificate cannot be read, is not from the folder's CA or is the CA's own; when
    /// there is no CA to sign, or the list cannot be continued or written.
    pub fn revoke(
        &self,
        what: &Revoked,
        reason: RevocationReason,
    ) -> Result<RevokeReport, IssueError> {
        let _lock = self.lock_what_is_there()?;
        let authority = self.authority()?;
        let serial = match what {
            Revoked::Certificate(path) => self.serial_of(path, &authority)?,
            Revoked::Serial(serial) => serial.clone(),
        };
        if serial == *authority.serial() {
            return Err(IssueError::RevokesAuthority { path: self.ca() });
        }
        let list = self.list(&authority)?;
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
        let WrittenList { list, owner_lost } =
            self.write_list(&authority, list.number, revocations)?;
        Ok(RevokeReport {
            revocation,
            was_there: false,
            list,
            owner_lost,
        })
    }

    /// Signs the folder's revocation list anew, with what is on it, so that it is good for longer.
    /// The list is made where there is none.
    ///
    /// # Errors
    ///
    /// When there is no CA to sign, or the list cannot be continued or written.
    pub fn renew_crl(&self) -> Result<WrittenList, IssueError> {
        let _lock = self.lock_what_is_there()?;
        let authority = self.authority()?;
        let list = self.list(&authority)?;
        self.write_list(&authority, list.number, list.revocations)
    }

    /// Makes a new key, and a certificate for it that says what that of `name` says and is good
    /// for as long as that was, at most until the CA ends. The old two are kept as `name.old`, in
    /// place of those of an earlier renewal that are good no more. The old certificate stays good.
    ///
    /// # Errors
    ///
    /// When `name` has no certificate, one that is not from the folder's CA, one that is revoked
    /// where that is to be refused, one that says what cannot be said again, or a key that is not
    /// its own; when something else is named `name.old`, or what is there is good still, when the
    /// revocation list cannot be read, or a file cannot be written. Nothing was changed then, except
    /// that in the last case what was written until then stays: the old key and certificate are
    /// never lost.
    pub fn renew(&self, name: &str, if_revoked: IfRevoked) -> Result<RenewReport, IssueError> {
        check_name(name).map_err(IssueError::Name)?;
        let _lock = self.lock_what_is_there()?;
        let authority = self.authority()?;
        let files = self.files(name);
        let old = first_of(&files.certificate)?;
        self.check_issued_here(&old, &files.certificate, &authority)?;
        let list = self.list(&authority)?;
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
        // The two are switched as close to each other as can be.
        let key = write_aside(&files.key, &issued.key_pem, KEY_MODE)?;
        let certificate = write_aside(
            &files.certificate,
            &issued.certificate_pem,
            CERTIFICATE_MODE,
        )?;
        put_in_place(key, &files.key)?;
        put_in_place(certificate, &files.certificate)?;
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

    /// An empty list where there is none, and a CA that may sign one.
    pub(super) fn init_crl(&self, authority: &Authority) -> Result<bool, IssueError> {
        match self.write_list(authority, 0, Vec::new()) {
            Ok(_) => Ok(true),
            // It can do all else that is wanted of it here.
            Err(IssueError::NotListSigner { .. } | IssueError::AuthoritySubject { .. }) => {
                Ok(false)
            }
            Err(fault) => Err(fault),
        }
    }

    fn list(&self, authority: &Authority) -> Result<RevocationList, IssueError> {
        if exists(&self.crl())? {
            return RevocationList::read(&self.crl(), authority);
        }
        let now = clock::now().trunc_subsecs(0);
        Ok(RevocationList {
            number: 0,
            this_update: now,
            next_update: now,
            revocations: Vec::new(),
        })
    }

    fn write_list(
        &self,
        authority: &Authority,
        number_before: u64,
        revocations: Vec<Revocation>,
    ) -> Result<WrittenList, IssueError> {
        let this_update = clock::now().trunc_subsecs(0);
        let next_update = this_update + TimeDelta::days(CERTIFICATE_DAYS.into());
        let list = RevocationList {
            number: number_before.saturating_add(1),
            this_update,
            next_update: next_update.min(authority.not_after()),
            revocations,
        };
        if list.next_update <= list.this_update {
            return Err(self.authority_ended(authority));
        }
        let text = authority.sign_crl(&list)?;
        let owner_lost = replace_list(&self.crl(), &text)
            .map_err(|reason| unwritable(&self.crl(), reason))?
            .map(|reason| reason.to_string());
        self.sync();
        Ok(WrittenList { list, owner_lost })
    }

    fn serial_of(&self, path: &Path, authority: &Authority) -> Result<Serial, IssueError> {
        let certificate = first_of(path)?;
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

    fn check_issued_here(
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

    /// Copies the pair of `name` to `name.old`.
    fn keep_old(
        &self,
        name: &str,
        certificate: &CertificateSummary,
        list: &RevocationList,
    ) -> Result<(PathBuf, Option<PathBuf>), IssueError> {
        let files = self.files(name);
        let old = self.files(&format!("{name}.old"));
        self.check_is_past(&old, certificate, list)?;
        if exists(&files.key)? && !has_key(certificate.der(), &files.key)? {
            // So it is after a renewal that stopped between its two last steps: the old key is
            // kept already, and the one that is here was never of use.
            if exists(&old.key)? && has_key(certificate.der(), &old.key)? {
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
            fs::remove_file(&old.key).map_err(|reason| unwritable(&old.key, reason))?;
        }
        self.sync();
        Ok((old.certificate, has_old_key.then_some(old.key)))
    }

    /// What has the name for the old pair must be one, from an earlier renewal, and good no more:
    /// what is good somebody may use still, and it could be revoked no more by its file.
    fn check_is_past(
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
                let kept = first_of(&old.certificate)?;
                if kept.subject != certificate.subject {
                    return Err(IssueError::AlreadyThere {
                        path: old.certificate.clone(),
                    });
                }
                // A renewal that stopped half-way has kept it, and is taken up again.
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

    /// Names of files are as lasting as their contents only after this.
    fn sync(&self) {
        // Where a folder cannot be synced, all is in place even so, unless the power fails now.
        let _ = File::open(self.path()).and_then(|folder| folder.sync_all());
    }
}

/// Writes a file beside the one that it is to replace.
fn write_aside(to: &Path, text: &str, mode: u32) -> Result<AtomicFile, IssueError> {
    let written = AtomicFile::create(to, mode).and_then(|mut aside| {
        aside.write(text)?;
        Ok(aside)
    });
    written.map_err(|reason| unwritable(to, reason))
}

fn put_in_place(mut aside: AtomicFile, to: &Path) -> Result<(), IssueError> {
    aside.move_to(to).map_err(|reason| unwritable(to, reason))
}

/// Of a list, which everyone may read whatever the umask, unless somebody decided otherwise. Tells
/// why its owner could not be kept, where that is so.
fn replace_list(to: &Path, text: &str) -> io::Result<Option<io::Error>> {
    let mut aside = AtomicFile::create(to, CERTIFICATE_MODE)?;
    aside.set_mode(CERTIFICATE_MODE)?;
    let owner_lost = aside.take_after(to)?;
    aside.write(text)?;
    aside.move_to(to)?;
    Ok(owner_lost)
}

/// Whether there was something to copy.
fn copy(from: &Path, to: &Path, mode: u32) -> Result<bool, IssueError> {
    if !exists(from)? {
        return Ok(false);
    }
    let text = fs::read_to_string(from).map_err(|reason| IssueError::Read {
        path: from.to_owned(),
        reason,
    })?;
    put_in_place(write_aside(to, &text, mode)?, to)?;
    Ok(true)
}

fn unwritable(path: &Path, reason: io::Error) -> IssueError {
    IssueError::Write {
        path: path.to_owned(),
        reason,
    }
}

fn revocation_of<'a>(
    certificate: &CertificateSummary,
    list: &'a RevocationList,
) -> Option<&'a Revocation> {
    // What is no serial number is on no list.
    list.revocation_of(&certificate.serial.parse().ok()?)
}

fn first_of(path: &Path) -> Result<CertificateSummary, IssueError> {
    CertificateSummary::read(path)
        .map(|mut summaries| summaries.swap_remove(0))
        .map_err(IssueError::Certificate)
}

/// A request for a certificate that says the same, from now on.
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
    let uses = |usage: &str| old.extended_key_usages.iter().any(|found| found == usage);
    Ok(CertificateRequest {
        common_names: old.common_names.clone(),
        dns: old.dns.clone(),
        ips: old.ips.clone(),
        uris: old.uris.clone(),
        emails: old.emails.clone(),
        purpose: match (uses("clientAuth"), uses("serverAuth")) {
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

/// A certificate from elsewhere may say more than a request here can ask for.
fn check_is_repeated(
    old: &CertificateSummary,
    new_pem: &str,
    path: &Path,
) -> Result<(), IssueError> {
    let broken = |reason| IssueError::Signing(reason);
    let new = CertificateSummary::first_in(new_pem.as_bytes()).map_err(broken)?;
    let what = if new.subject != old.subject {
        "its subject"
    } else if (&new.dns, &new.ips, &new.uris, &new.emails, &new.other_names)
        != (&old.dns, &old.ips, &old.uris, &old.emails, &old.other_names)
    {
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
