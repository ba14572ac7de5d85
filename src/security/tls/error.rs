use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::security::{fault_text::Unreadable, handshake_text::KEY_KINDS, inspect::day_and_time};

/// A file that TLS needs cannot be used. One line: the file, the fault, the remedy.
#[derive(Debug)]
pub struct TlsError {
    path: PathBuf,
    problem: Problem,
}

#[derive(Debug)]
pub(in crate::security) enum Problem {
    Read(io::Error),
    NoCertificate,
    NoKey,
    EncryptedKey,
    KeyKind,
    Expired,
    NotYetValid,
    NotForServers,
    Mismatch(PathBuf),
    LoosePermissions(u32),
    Unusable(String),
    BadList(String),
    ListWithoutEnd,
    ListEnded(SystemTime),
    /// Another file, or this one, has a list of the same issuer, which is named here, escaped.
    SecondList(String),
    /// No list is of an authority; this one's issuer is named here, escaped.
    StrangeList {
        issuer: String,
        ca: PathBuf,
    },
    /// The certificate with this number, counted from 1, and its subject, escaped.
    NotAuthority(usize, String),
    Garbled,
}

impl TlsError {
    pub(in crate::security) fn new(path: &Path, problem: Problem) -> Self {
        Self {
            path: path.to_owned(),
            problem,
        }
    }

    pub(in crate::security) fn unusable(path: &Path, error: impl fmt::Display) -> Self {
        Self::new(path, Problem::Unusable(error.to_string()))
    }

    /// The file at fault.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl std::error::Error for TlsError {}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.problem {
            Problem::Read(error) => Unreadable(&self.path, error).fmt(f),
            Problem::NoCertificate => write!(
                f,
                "{path} holds no certificate: it must be PEM, with a BEGIN CERTIFICATE line"
            ),
            Problem::NoKey => write!(
                f,
                "{path} holds no private key: it must be PEM, with a BEGIN PRIVATE KEY line, and not encrypted"
            ),
            Problem::EncryptedKey => write!(
                f,
                "the private key in {path} is encrypted, and nobody is there to type its password: decrypt it, as with `(umask 077; openssl pkey -in {path} -out NEW.key)`, and name that file"
            ),
            Problem::KeyKind => write!(
                f,
                "the private key in {path} is garbled, or of a kind that is not taken ({KEY_KINDS}): make another, and have a certificate issued for it"
            ),
            Problem::Expired => write!(
                f,
                "the certificate in {path} has expired: put a renewed one in its place (`tidings certs show {path}` tells its dates)"
            ),
            Problem::NotYetValid => write!(
                f,
                "the certificate in {path} is not valid yet: check this machine's clock (`tidings certs show {path}` tells its dates)"
            ),
            Problem::NotForServers => write!(
                f,
                "the certificate in {path} is not for servers (extended key usage serverAuth is missing): no client would take it; `tidings certs issue NAME --server` makes one that is"
            ),
            Problem::Mismatch(certificate) => write!(
                f,
                "the key in {path} is not the key of the certificate in {}: name the two files that were made together",
                certificate.display()
            ),
            Problem::LoosePermissions(mode) => write!(
                f,
                "every user of this machine can reach the private key in {path} (mode {mode:04o}): run `chmod o= {path}`, or pass --allow-loose-key-permissions"
            ),
            Problem::Unusable(reason) => write!(f, "cannot use {path}: {reason}"),
            Problem::BadList(reason) => write!(
                f,
                "{path} holds no usable revocation list ({reason}): give the CA's CRL, whole, as PEM or DER"
            ),
            Problem::ListWithoutEnd => write!(
                f,
                "the revocation list in {path} does not say when the next one is due (nextUpdate), so nobody can tell whether it is stale: get one that does from its CA"
            ),
            Problem::ListEnded(next_update) => write!(
                f,
                "the revocation list in {path} has expired, its successor was due on {}: get a new one from its CA (the development CA's: `tidings certs renew`)",
                day_and_time(*next_update)
            ),
            Problem::SecondList(issuer) => write!(
                f,
                "{path} holds another revocation list of the CA {issuer}, and only one of them would be looked at: give the newest alone"
            ),
            Problem::StrangeList { issuer, ca } => write!(
                f,
                "the revocation list in {path} is of \"{issuer}\", and neither it nor any other that is given is of an authority in {}, so nobody would be let in: give the list of the CA that is there",
                ca.display()
            ),
            Problem::NotAuthority(number, subject) => write!(
                f,
                "certificate {number} in {path}, \"{subject}\", is not a CA (no basic constraint CA:TRUE), and has no place among the authorities: take it out, and give the certificate of the CA that signed it"
            ),
            Problem::Garbled => write!(
                f,
                "{path} is garbled or cut off: put a whole PEM file in its place"
            ),
        }
    }
}
