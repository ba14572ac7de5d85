//! A folder with a CA, and the certificates that it issues: `ca.crt`, `ca.key` and `ca.crl`, and a pair
//! of files for each name.
//!
//! Owns what the files are called, and that a folder holds only what works together: what is missing
//! is made, nothing is overwritten, and one process at a time changes it.

mod crl;
mod renewal;

use std::{
    fs::{DirBuilder, File},
    io,
    net::IpAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::{
    Authority, CertificateRequest, IssueError, IssuedCertificate, IssuedFiles, NameError, Validity,
    files::{CERTIFICATE_MODE, exists, write_new},
    keys::random_bytes,
};
use crate::{files, identity::Identity, text::escaped};

pub use crl::{RevocationTarget, RevokeReport, WrittenCrl};
pub use renewal::{IfRevoked, RenewReport};

/// Most bytes of a name: X.509 allows as many characters in a common name.
const NAME_BYTES_MAX: usize = 64;

const AUTHORITY_NAME: &str = "ca";
const SERVER_NAME: &str = "server";
const CLIENT_NAMES: [&str; 2] = ["alice", "bob"];

/// Keeps the files out of a Git repository that the folder may be in.
const GITIGNORE: &str =
    "# Private keys never go into a repository.\n*.key\n*.crt\n*.crl\n.gitignore\n";

/// A folder with a CA and its certificates.
#[derive(Clone, Debug)]
pub struct CertificateFolder {
    path: PathBuf,
}

/// What [`CertificateFolder::init`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InitReport {
    /// The files that it created.
    pub made: Vec<PathBuf>,
    /// The files that existed, and are unchanged.
    pub left: Vec<PathBuf>,
}

/// What else clients call a development server: it always has `localhost`, `127.0.0.1` and `::1`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerNames {
    /// Its names.
    pub dns: Vec<String>,
    /// Its addresses.
    pub ips: Vec<IpAddr>,
}

impl ServerNames {
    fn request(&self) -> CertificateRequest {
        let mut request = CertificateRequest::localhost();
        request.names.dns.extend(self.dns.iter().cloned());
        request.names.ips.extend(&self.ips);
        request
    }
}

impl CertificateFolder {
    /// The folder at `path`. It need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The CA's certificate: what both sides trust.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.certificate(AUTHORITY_NAME)
    }

    /// The CA's revocation list.
    #[must_use]
    pub fn crl(&self) -> PathBuf {
        self.path.join(format!("{AUTHORITY_NAME}.crl"))
    }

    /// The certificate of `name`, such as `server` or `alice`.
    #[must_use]
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.crt"))
    }

    /// The private key of `name`.
    #[must_use]
    pub fn key(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.key"))
    }

    /// Creates what development needs and does not exist yet: the folder, a CA, a server certificate
    /// for this machine and for `names`, the clients alice and bob, and an empty revocation list if
    /// the CA can sign one. The certificates other than the CA's are valid for `valid`.
    ///
    /// # Errors
    ///
    /// When the existing files do not belong together, so that adding to them would give something
    /// that does not work, or when a file cannot be written. Files created before the error stay, and
    /// the next call continues from there.
    pub fn init(&self, valid: Validity, names: &ServerNames) -> Result<InitReport, IssueError> {
        let server = names.request();
        server.check()?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&self.path)
            .map_err(|reason| IssueError::unwritable(&self.path, reason))?;
        let _lock = self.lock()?;
        let mut report = InitReport::default();

        let missing = self.missing(server, valid, &mut report)?;
        let gitignore = self.path.join(".gitignore");
        if exists(&gitignore)? {
            report.left.push(gitignore);
        } else {
            write_new(&gitignore, GITIGNORE, CERTIFICATE_MODE)?;
            report.made.push(gitignore);
        }
        let has_crl = exists(&self.crl())?;
        if has_crl {
            report.left.push(self.crl());
        }
        let can_sign_crl = !exists(&self.ca())? || exists(&self.key(AUTHORITY_NAME))?;
        if missing.is_empty() && (has_crl || !can_sign_crl) && exists(&self.ca())? {
            return Ok(report);
        }
        let authority = self.authority_or_new(&mut report)?;
        if !has_crl && self.init_crl(&authority)? {
            report.made.push(self.crl());
        }
        for (name, request) in missing {
            let files = self.sign(&authority, name, &request)?;
            report.made.extend([files.key, files.certificate]);
        }
        Ok(report)
    }

    /// Generates a key and a certificate, signed by the folder's CA.
    ///
    /// # Errors
    ///
    /// When `name` cannot be used for files or has files already, when the certificate would not work,
    /// when there is no CA to sign with, or when a file cannot be written.
    pub fn issue(
        &self,
        name: &str,
        request: &CertificateRequest,
    ) -> Result<IssuedFiles, IssueError> {
        check_name(name).map_err(IssueError::Name)?;
        request.check()?;
        let _lock = self.lock_existing()?;
        let authority = self.authority()?;
        match self.pair_state(name)? {
            PairState::Absent => {}
            PairState::KeyOnly => return Err(self.key_without_certificate(name)),
            PairState::Present => {
                return Err(IssueError::AlreadyThere {
                    path: self.certificate(name),
                });
            }
        }
        self.sign(&authority, name, request)
    }

    /// The folder's CA, for certificates that [`Self::issue`] refuses.
    ///
    /// # Errors
    ///
    /// When one of its two files is missing or cannot be used.
    pub fn authority(&self) -> Result<Authority, IssueError> {
        let (certificate, key) = (self.ca(), self.key(AUTHORITY_NAME));
        match (exists(&certificate)?, exists(&key)?) {
            (true, true) => Authority::load(&certificate, &key),
            (true, false) => Err(IssueError::AuthorityKeyMissing { certificate, key }),
            (false, true) => Err(self.key_without_certificate(AUTHORITY_NAME)),
            (false, false) => Err(self.no_authority()),
        }
    }

    /// The certificates other than the CA's that do not exist yet. Everything is checked before
    /// anything is created.
    fn missing(
        &self,
        server: CertificateRequest,
        valid: Validity,
        report: &mut InitReport,
    ) -> Result<Vec<(&'static str, CertificateRequest)>, IssueError> {
        let has_authority = match self.pair_state(AUTHORITY_NAME)? {
            PairState::Present => true,
            PairState::Absent => false,
            PairState::KeyOnly => return Err(self.key_without_certificate(AUTHORITY_NAME)),
        };
        let clients = CLIENT_NAMES.map(|name| (name, CertificateRequest::client(name)));
        let server = (SERVER_NAME, server);
        let mut missing = Vec::new();
        if has_authority {
            self.report_left(AUTHORITY_NAME, report)?;
        }
        for (name, request) in [server].into_iter().chain(clients) {
            match self.pair_state(name)? {
                PairState::Absent => missing.push((name, CertificateRequest { valid, ..request })),
                PairState::KeyOnly => return Err(self.key_without_certificate(name)),
                PairState::Present if has_authority => self.report_left(name, report)?,
                PairState::Present => {
                    return Err(IssueError::AuthorityMissing {
                        certificate: self.certificate(name),
                        authority: self.ca(),
                    });
                }
            }
        }
        Ok(missing)
    }

    fn authority_or_new(&self, report: &mut InitReport) -> Result<Authority, IssueError> {
        if exists(&self.ca())? {
            return self.authority();
        }
        // CAs get different names. If two had the same, a certificate of the wrong one would be
        // rejected for a bad signature, which is misleading, and not for an unknown issuer.
        let number = u32::from_be_bytes(random_bytes()?);
        let authority = Authority::generate(&format!("tidings development CA {number:08x}"))?;
        let files = self.files(AUTHORITY_NAME);
        let issued = IssuedCertificate {
            certificate_pem: authority.certificate_pem().to_owned(),
            key_pem: authority.key_pem(),
        };
        issued.write(&files)?;
        report.made.extend([files.key, files.certificate]);
        Ok(authority)
    }

    fn sign(
        &self,
        authority: &Authority,
        name: &str,
        request: &CertificateRequest,
    ) -> Result<IssuedFiles, IssueError> {
        if request.valid.not_after > authority.not_after() {
            return Err(IssueError::OutlivesAuthority {
                path: self.ca(),
                not_after: authority.not_after(),
            });
        }
        let issued = authority.issue(request)?;
        let files = self.files(name);
        issued.write(&files)?;
        Ok(files)
    }

    fn files(&self, name: &str) -> IssuedFiles {
        IssuedFiles {
            certificate: self.certificate(name),
            key: self.key(name),
        }
    }

    fn pair_state(&self, name: &str) -> Result<PairState, IssueError> {
        Ok(
            match (exists(&self.certificate(name))?, exists(&self.key(name))?) {
                (true, _) => PairState::Present,
                (false, true) => PairState::KeyOnly,
                (false, false) => PairState::Absent,
            },
        )
    }

    fn report_left(&self, name: &str, report: &mut InitReport) -> Result<(), IssueError> {
        let key = self.key(name);
        if exists(&key)? {
            report.left.push(key);
        }
        report.left.push(self.certificate(name));
        Ok(())
    }

    fn no_authority(&self) -> IssueError {
        IssueError::NoAuthority {
            folder: self.path.clone(),
        }
    }

    fn key_without_certificate(&self, name: &str) -> IssueError {
        IssueError::KeyWithoutCertificate {
            key: self.key(name),
            certificate: self.certificate(name),
        }
    }

    /// Keeps two processes from creating the same files, each seeing half of the other's. The lock is
    /// held until the file is dropped.
    fn lock(&self) -> Result<File, IssueError> {
        match files::lock(&self.path) {
            // Some network file systems cannot lock folders. Nothing is overwritten even so.
            Err(error) if error.kind() != io::ErrorKind::TimedOut => File::open(&self.path),
            locked => locked,
        }
        .map_err(|reason| IssueError::unreadable(&self.path, reason))
    }

    /// Locks a folder that needs to hold a CA already: a missing folder is reported as a missing CA.
    fn lock_existing(&self) -> Result<File, IssueError> {
        if !exists(&self.path)? {
            return Err(self.no_authority());
        }
        self.lock()
    }
}

/// Which files of a pair exist.
enum PairState {
    Absent,
    /// The program was interrupted between the two.
    KeyOnly,
    /// The certificate, normally with its key. A client's key may have been moved to the client's
    /// machine.
    Present,
}

fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong);
    }
    if name.contains(['/', '\\']) {
        return Err(NameError::Separator);
    }
    if name.starts_with(['.', '-']) {
        return Err(NameError::Beginning);
    }
    if escaped(name) != name {
        return Err(NameError::Unprintable);
    }
    // The name is the client's identity, unless the broker reads that from another field.
    Identity::parse(name)?;
    // Some file systems ignore case.
    if name.eq_ignore_ascii_case(AUTHORITY_NAME) {
        return Err(NameError::Reserved);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
