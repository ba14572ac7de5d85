use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    net::IpAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{
    Authority, CertificateRequest, IssueError, NameError, Validity, authority::random_bytes,
};
use crate::{files, identity::Identity, text::escaped};

/// Bytes of a name: as many as X.509 allows characters in a common name.
const NAME_BYTES_MAX: usize = 64;

const AUTHORITY_NAME: &str = "ca";
const SERVER_NAME: &str = "server";
const CLIENT_NAMES: [&str; 2] = ["alice", "bob"];

pub(super) const KEY_MODE: u32 = 0o600;
pub(super) const CERTIFICATE_MODE: u32 = 0o644;

/// Keeps what is made here out of a repository that the folder happens to lie in.
const GITIGNORE: &str =
    "# Private keys never go into a repository.\n*.key\n*.crt\n*.crl\n.gitignore\n";

/// A folder of certificates: `ca.crt`, `ca.key` and `ca.crl`, and a pair of files for each name.
#[derive(Clone, Debug)]
pub struct CertificateFolder {
    path: PathBuf,
}

/// What [`CertificateFolder::init`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InitReport {
    /// The files that it made.
    pub made: Vec<PathBuf>,
    /// The files that were there, and are as they were.
    pub left: Vec<PathBuf>,
}

/// How clients reach a development server beside `localhost`, `127.0.0.1` and `::1`.
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
        request.dns.extend(self.dns.iter().cloned());
        request.ips.extend(&self.ips);
        request
    }
}

/// The files of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedFiles {
    /// The certificate, with its chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl CertificateFolder {
    /// The folder at `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
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

    /// Makes what development needs and is not there yet: the folder, a CA, a server certificate
    /// for this machine, the clients alice and bob, and an empty revocation list where the CA can
    /// sign one. The certificates other than the CA's are good for `valid`, and the server's is for
    /// `names` too.
    ///
    /// # Errors
    ///
    /// When what is there does not fit together, so that adding to it would not give something
    /// that works; or when a file cannot be written. What was made until then stays, and the next
    /// call goes on from there.
    pub fn init(&self, valid: Validity, names: &ServerNames) -> Result<InitReport, IssueError> {
        let server = names.request();
        server.check()?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&self.path)
            .map_err(|reason| self.unwritable(reason))?;
        let _lock = self.lock()?;
        let mut report = InitReport::default();

        let wanted = self.wanted(server, valid, &mut report)?;
        let gitignore = self.path.join(".gitignore");
        if exists(&gitignore)? {
            report.left.push(gitignore);
        } else {
            write_new(&gitignore, GITIGNORE, CERTIFICATE_MODE)?;
            report.made.push(gitignore);
        }
        let has_list = exists(&self.crl())?;
        if has_list {
            report.left.push(self.crl());
        }
        let can_sign_list = !exists(&self.ca())? || exists(&self.key(AUTHORITY_NAME))?;
        if wanted.is_empty() && (has_list || !can_sign_list) && exists(&self.ca())? {
            return Ok(report);
        }
        let authority = self.authority_to_sign_with(&mut report)?;
        if !has_list && self.init_crl(&authority)? {
            report.made.push(self.crl());
        }
        for (name, request) in wanted {
            let files = self.sign(&authority, name, &request)?;
            report.made.extend([files.key, files.certificate]);
        }
        Ok(report)
    }

    /// Makes a key and a certificate, signed by the folder's CA.
    ///
    /// # Errors
    ///
    /// When `name` cannot name files or has some already, when the request would make a
    /// certificate that does not work, when there is no CA to sign, or when a file cannot be
    /// written.
    pub fn issue(
        &self,
        name: &str,
        request: &CertificateRequest,
    ) -> Result<IssuedFiles, IssueError> {
        check_name(name).map_err(IssueError::Name)?;
        request.check()?;
        let _lock = self.lock_what_is_there()?;
        let authority = self.authority()?;
        match self.state_of(name)? {
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

    /// The CA of the folder, for certificates that [`Self::issue`] would refuse to make.
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

    /// What is missing besides the CA. Looks at everything before anything is made.
    fn wanted(
        &self,
        server: CertificateRequest,
        valid: Validity,
        report: &mut InitReport,
    ) -> Result<Vec<(&'static str, CertificateRequest)>, IssueError> {
        let has_authority = match self.state_of(AUTHORITY_NAME)? {
            PairState::Present => true,
            PairState::Absent => false,
            PairState::KeyOnly => return Err(self.key_without_certificate(AUTHORITY_NAME)),
        };
        let clients = CLIENT_NAMES.map(|name| (name, CertificateRequest::client(name)));
        let server = (SERVER_NAME, server);
        let mut wanted = Vec::new();
        if has_authority {
            self.report_left(AUTHORITY_NAME, report)?;
        }
        for (name, request) in [server].into_iter().chain(clients) {
            match self.state_of(name)? {
                PairState::Absent => wanted.push((name, CertificateRequest { valid, ..request })),
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
        Ok(wanted)
    }

    fn authority_to_sign_with(&self, report: &mut InitReport) -> Result<Authority, IssueError> {
        if exists(&self.ca())? {
            return self.authority();
        }
        // No two CAs of one name: a certificate of the other one would be refused for a bad
        // signature, which sends people looking in the wrong place, not for an unknown issuer.
        let number = u32::from_be_bytes(random_bytes()?);
        let authority = Authority::generate(&format!("tidings development CA {number:08x}"))?;
        let files = self.files(AUTHORITY_NAME);
        write_pair(&files, authority.certificate_pem(), &authority.key_pem())?;
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

    pub(super) fn files(&self, name: &str) -> IssuedFiles {
        IssuedFiles {
            certificate: self.certificate(name),
            key: self.key(name),
        }
    }

    fn state_of(&self, name: &str) -> Result<PairState, IssueError> {
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

    /// Keeps two processes from making the same files, each seeing half of the other's. Held until
    /// the file is dropped.
    fn lock(&self) -> Result<File, IssueError> {
        match files::lock(&self.path) {
            // Some network file systems have no locks for folders. Nothing is overwritten even so.
            Err(fault) if fault.kind() != io::ErrorKind::TimedOut => File::open(&self.path),
            locked => locked,
        }
        .map_err(|reason| IssueError::Read {
            path: self.path.clone(),
            reason,
        })
    }

    /// For what needs a CA, so that a folder that is not there is told as having none.
    pub(super) fn lock_what_is_there(&self) -> Result<File, IssueError> {
        if !exists(&self.path)? {
            return Err(self.no_authority());
        }
        self.lock()
    }

    pub(super) fn authority_ended(&self, authority: &Authority) -> IssueError {
        IssueError::AuthorityEnded {
            path: self.ca(),
            not_after: authority.not_after(),
        }
    }

    fn unwritable(&self, reason: io::Error) -> IssueError {
        IssueError::Write {
            path: self.path.clone(),
            reason,
        }
    }
}

/// Which of a pair of files are there.
enum PairState {
    Absent,
    /// Something was interrupted between the two.
    KeyOnly,
    /// The certificate, as a rule with its key. A client's key may have been moved to where the
    /// client runs.
    Present,
}

pub(super) fn check_name(name: &str) -> Result<(), NameError> {
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
    // It is the identity of a client, unless the broker takes that from another field.
    Identity::parse(name)?;
    // Some file systems do not tell capitals from small letters.
    if name.eq_ignore_ascii_case(AUTHORITY_NAME) {
        return Err(NameError::Reserved);
    }
    Ok(())
}

/// Whether something is there, be it a link that leads nowhere.
pub(super) fn exists(path: &Path) -> Result<bool, IssueError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(reason) if reason.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(reason) => Err(IssueError::Read {
            path: path.to_owned(),
            reason,
        }),
    }
}

/// The key is written first: a certificate that is there has its key, wherever this stops.
pub(super) fn write_pair(
    files: &IssuedFiles,
    certificate_pem: &str,
    key_pem: &str,
) -> Result<(), IssueError> {
    write_new(&files.key, key_pem, KEY_MODE)?;
    write_new(&files.certificate, certificate_pem, CERTIFICATE_MODE).inspect_err(|_| {
        // A key of no certificate would be in the way of the next call. It is ours: it was made above.
        let _ = fs::remove_file(&files.key);
    })
}

/// Writes a file that must not exist yet, with its permissions from the first moment on, and down
/// to the disk.
pub(super) fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), IssueError> {
    let unwritable = |reason| IssueError::Write {
        path: path.to_owned(),
        reason,
    };
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    let mut file = opened.map_err(|reason| match reason.kind() {
        io::ErrorKind::AlreadyExists => IssueError::AlreadyThere {
            path: path.to_owned(),
        },
        _ => unwritable(reason),
    })?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|reason| {
            // Half a file would only be taken for a whole one later. It is ours: it was made above.
            let _ = fs::remove_file(path);
            unwritable(reason)
        })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, os::unix::fs::PermissionsExt};

    use tempfile::TempDir;

    use super::*;
    use crate::identity::IdentityError;

    fn folder() -> (TempDir, CertificateFolder) {
        let temporary = tempfile::tempdir().unwrap();
        let folder = CertificateFolder::new(temporary.path().join("deep/certs"));
        (temporary, folder)
    }

    fn contents(folder: &CertificateFolder) -> BTreeMap<PathBuf, Vec<u8>> {
        fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect()
    }

    #[test]
    fn a_key_whose_certificate_cannot_be_written_is_in_nobodys_way() {
        let temporary = tempfile::tempdir().unwrap();
        let files = IssuedFiles {
            certificate: temporary.path().join("missing/a.crt"),
            key: temporary.path().join("a.key"),
        };
        assert!(write_pair(&files, "certificate", "key").is_err());
        assert!(!files.key.exists());
    }

    #[test]
    fn init_makes_what_is_missing_and_overwrites_nothing() {
        let (_temporary, folder) = folder();
        let first = folder
            .init(Validity::default(), &ServerNames::default())
            .unwrap();
        assert!(first.left.is_empty());
        let before = contents(&folder);
        let mut made = first.made.clone();
        made.sort();
        assert!(before.keys().eq(&made), "{made:?}");
        assert_eq!(made.len(), 10);

        let second = folder
            .init(Validity::default(), &ServerNames::default())
            .unwrap();
        assert!(second.made.is_empty());
        assert_eq!(second.left.len(), 10);
        assert_eq!(contents(&folder), before);

        fs::remove_file(folder.key("bob")).unwrap();
        fs::remove_file(folder.certificate("bob")).unwrap();
        let third = folder
            .init(Validity::default(), &ServerNames::default())
            .unwrap();
        assert_eq!(third.made, [folder.key("bob"), folder.certificate("bob")]);
        assert_eq!(
            contents(&folder).get(&folder.ca()),
            before.get(&folder.ca())
        );
    }

    #[test]
    fn many_at_once_make_each_file_once() {
        let (_temporary, folder) = folder();
        let made: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        folder
                            .init(Validity::default(), &ServerNames::default())
                            .unwrap()
                            .made
                            .len()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(made, 10);
    }

    #[test]
    fn keys_are_private_and_certificates_are_not() {
        let (_temporary, folder) = folder();
        for path in folder
            .init(Validity::default(), &ServerNames::default())
            .unwrap()
            .made
        {
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            let is_key = path.extension().is_some_and(|extension| extension == "key");
            // A stricter umask may take more away from a certificate.
            let expected = if is_key {
                mode == 0o600
            } else {
                mode & !0o644 == 0
            };
            assert!(expected, "{} has mode {mode:o}", path.display());
        }
    }

    #[test]
    fn issue_overwrites_nothing() {
        let (_temporary, folder) = folder();
        let request = CertificateRequest::client("carol");
        assert!(matches!(
            folder.issue("carol", &request),
            Err(IssueError::NoAuthority { .. })
        ));
        folder
            .init(Validity::default(), &ServerNames::default())
            .unwrap();
        let files = folder.issue("carol", &request).unwrap();
        assert_eq!(files.certificate, folder.certificate("carol"));
        let before = contents(&folder);
        assert!(matches!(
            folder.issue("carol", &request),
            Err(IssueError::AlreadyThere { path }) if path == files.certificate
        ));
        assert_eq!(contents(&folder), before);
    }

    #[test]
    fn half_a_pair_is_told_and_left_alone() {
        let (_temporary, folder) = folder();
        folder
            .init(Validity::default(), &ServerNames::default())
            .unwrap();

        // A client's key may have gone to the client.
        fs::remove_file(folder.key("alice")).unwrap();
        assert!(
            folder
                .init(Validity::default(), &ServerNames::default())
                .unwrap()
                .made
                .is_empty()
        );

        fs::remove_file(folder.certificate("bob")).unwrap();
        for fault in [
            folder
                .init(Validity::default(), &ServerNames::default())
                .map(drop),
            folder
                .issue("bob", &CertificateRequest::client("bob"))
                .map(drop),
        ] {
            let fault = fault.unwrap_err();
            assert!(
                matches!(fault, IssueError::KeyWithoutCertificate { .. }),
                "{fault}"
            );
        }
        fs::remove_file(folder.key("bob")).unwrap();

        fs::remove_file(folder.key("ca")).unwrap();
        let fault = folder
            .init(Validity::default(), &ServerNames::default())
            .unwrap_err();
        assert!(
            matches!(fault, IssueError::AuthorityKeyMissing { .. }),
            "{fault}"
        );

        fs::remove_file(folder.ca()).unwrap();
        let before = contents(&folder);
        let fault = folder
            .init(Validity::default(), &ServerNames::default())
            .unwrap_err();
        assert!(
            matches!(fault, IssueError::AuthorityMissing { .. }),
            "{fault}"
        );
        assert_eq!(contents(&folder), before);
    }

    #[test]
    fn a_dangling_link_is_not_written_through() {
        let (temporary, folder) = folder();
        folder
            .init(Validity::default(), &ServerNames::default())
            .unwrap();
        let target = temporary.path().join("elsewhere");
        std::os::unix::fs::symlink(&target, folder.key("carol")).unwrap();
        assert!(
            folder
                .issue("carol", &CertificateRequest::client("carol"))
                .is_err()
        );
        assert!(!target.exists());
    }

    #[test]
    fn a_certificate_does_not_outlive_its_ca() {
        let (_temporary, folder) = folder();
        folder
            .init(Validity::default(), &ServerNames::default())
            .unwrap();
        let mut request = CertificateRequest::client("carol");
        request.valid = Validity::days(5_000);
        let fault = folder.issue("carol", &request).unwrap_err();
        assert!(
            matches!(fault, IssueError::OutlivesAuthority { .. }),
            "{fault}"
        );
        assert!(!folder.key("carol").exists());
    }

    #[test]
    fn refuses_names_that_are_no_file_names() {
        let (_temporary, folder) = folder();
        folder
            .init(Validity::default(), &ServerNames::default())
            .unwrap();
        let before = contents(&folder);
        let long = "x".repeat(65);
        for (name, fault) in [
            ("", NameError::Empty),
            (long.as_str(), NameError::TooLong),
            ("a/b", NameError::Separator),
            ("a\\b", NameError::Separator),
            ("..", NameError::Beginning),
            (".hidden", NameError::Beginning),
            ("-x", NameError::Beginning),
            ("a\nb", NameError::Unprintable),
            ("a\u{202e}b", NameError::Unprintable),
            (
                "alice ",
                NameError::NoIdentity(IdentityError::LooseSpace { position: 6 }),
            ),
            (
                "a\u{2800}",
                NameError::NoIdentity(IdentityError::UnseenCharacter {
                    character: '\u{2800}',
                    position: 2,
                }),
            ),
            ("ca", NameError::Reserved),
            ("CA", NameError::Reserved),
        ] {
            match folder.issue(name, &CertificateRequest::client("x")) {
                Err(IssueError::Name(told)) => assert_eq!(told, fault, "{name:?}"),
                other => panic!("{name:?}: {other:?}"),
            }
        }
        assert_eq!(contents(&folder), before);
        for name in [
            "sensor 7",
            "o'brien",
            "alice@example.org",
            "j\u{fc}rgen",
            &long[1..],
        ] {
            folder
                .issue(name, &CertificateRequest::client(name))
                .unwrap();
        }
    }
}
