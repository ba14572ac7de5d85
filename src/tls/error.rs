//! Why the files of TLS cannot be used: the file, the problem and the remedy, in one line.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::handshake_text::KEY_KINDS;
use crate::{
    files::{Unreadable, WritableByOthers},
    text::day_and_time,
};

/// A file that TLS needs cannot be used. In one line: the file, the problem, the remedy.
#[derive(Debug)]
pub struct TlsError {
    path: PathBuf,
    problem: Problem,
}

#[derive(Debug)]
pub(super) enum Problem {
    Read(io::Error),
    KeyKind,
    Expired,
    NotYetValid,
    NotForServers,
    LargeChain,
    Mismatch(PathBuf),
    LoosePermissions(u32),
    WritableByOthers(u32),
    Unusable(String),
    UnusableCrl(String),
    CrlWithoutNextUpdate,
    CrlExpired(SystemTime),
    /// A second list of the same issuer, whose name this is, escaped.
    DuplicateCrl(String),
    /// A list of an unknown issuer, by its number in the file, counted from 1. Here and below, names
    /// are escaped.
    ForeignCrl {
        number: usize,
        issuer: String,
        ca: PathBuf,
    },
    /// A list that the CA of its issuer's name did not sign.
    ForgedCrl {
        number: usize,
        issuer: String,
        ca: PathBuf,
    },
    /// A list of a CA that may not sign lists.
    NotCrlSigner {
        number: usize,
        issuer: String,
    },
    /// A certificate beside the lists that does not lead to a trusted CA.
    ForeignIssuer {
        subject: String,
        ca: PathBuf,
    },
    /// The certificate with this number, counted from 1, and its subject, escaped.
    NotAuthority(usize, String),
}

impl TlsError {
    pub(super) fn new(path: &Path, problem: Problem) -> Self {
        Self {
            path: path.to_owned(),
            problem,
        }
    }

    pub(super) fn unusable(path: &Path, error: impl fmt::Display) -> Self {
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
            Problem::KeyKind => write!(
                f,
                "cannot use the private key in {path}: it is garbled, or of a kind that is not accepted ({KEY_KINDS}); create another, and have a certificate issued for it"
            ),
            Problem::Expired => write!(
                f,
                "the certificate in {path} has expired: put a renewed one in its place (`tidings certs show {path}` prints its dates)"
            ),
            Problem::NotYetValid => write!(
                f,
                "the certificate in {path} is not valid yet: check this machine's clock (`tidings certs show {path}` prints its dates)"
            ),
            Problem::NotForServers => write!(
                f,
                "the certificate in {path} is not for servers (extended key usage serverAuth is missing): no client would accept it; `tidings certs issue NAME --server` makes one that is"
            ),
            Problem::LargeChain => write!(
                f,
                "the certificates in {path} are together larger than 64 KiB, which no peer accepts: give the own certificate first, then only those that link it to its CA"
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
            Problem::WritableByOthers(mode) => WritableByOthers(&self.path, *mode).fmt(f),
            Problem::Unusable(reason) => write!(f, "cannot use {path}: {reason}"),
            Problem::UnusableCrl(reason) => write!(
                f,
                "{path} holds no usable revocation list ({reason}): give the CA's CRL, whole, as PEM or DER"
            ),
            Problem::CrlWithoutNextUpdate => write!(
                f,
                "the revocation list in {path} does not say when the next one is due (nextUpdate), so the broker cannot tell when it expires: get one that does from its CA"
            ),
            Problem::CrlExpired(next_update) => write!(
                f,
                "the revocation list in {path} has expired, its successor was due on {}: get a new one from its CA (the development CA's: `tidings certs renew`)",
                day_and_time(*next_update)
            ),
            Problem::DuplicateCrl(issuer) => write!(
                f,
                "{path} holds another revocation list of the CA {issuer}, and only one of them can count: give the newest alone"
            ),
            Problem::ForeignCrl { number, issuer, ca } => write!(
                f,
                "revocation list {number} in {path} is of \"{issuer}\", and no CA of that name is in {}, so its signature cannot be checked: remove it, or, if one of those CAs signed the certificate of this one, add that certificate to the file",
                ca.display()
            ),
            Problem::ForgedCrl { number, issuer, ca } => write!(
                f,
                "revocation list {number} in {path} is in the name of \"{issuer}\", but was altered, or signed by another key than that of this CA in {}: get it again from the CA; if the CA has a new key, give its new certificate too",
                ca.display()
            ),
            Problem::NotCrlSigner { number, issuer } => write!(
                f,
                "revocation list {number} in {path} is of \"{issuer}\", which may not sign lists (no cRLSign among its key usages): give a certificate of that CA that allows it"
            ),
            Problem::ForeignIssuer { subject, ca } => write!(
                f,
                "the certificate of \"{subject}\" in {path} is of no CA that one in {} vouches for, so no revocation list of it counts: remove it, or add the certificates in between to the file",
                ca.display()
            ),
            Problem::NotAuthority(number, subject) => write!(
                f,
                "certificate {number} in {path}, \"{subject}\", is not a CA (no basic constraint CA:TRUE), and cannot be trusted as one: remove it, and give the certificate of the CA that signed it"
            ),
        }
    }
}
