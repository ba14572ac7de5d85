//! Why a CA or a folder of certificates refused: typed errors that name the file, the problem and
//! the remedy in one line.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};

use super::inspect::InspectError;
use crate::identity::IdentityError;

/// Why nothing was signed or written.
///
/// Each text includes its cause, so there is no `source` to print after it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// A file or folder that cannot be read.
    #[error("cannot read {}: {reason}; check that it exists and that you may read it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// A file or folder that cannot be written.
    #[error("cannot write {}: {reason}; make its folder writable, or choose another with --dir", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// A file that would have been overwritten.
    #[error(
        "{} exists, and is not overwritten: choose another name, or move it away first",
        path.display()
    )]
    AlreadyThere {
        /// The file.
        path: PathBuf,
    },
    /// A key without a certificate, left behind by an interruption.
    #[error(
        "{} exists without {}: put the certificate back, or remove the key and try again",
        key.display(),
        certificate.display()
    )]
    KeyWithoutCertificate {
        /// The file that exists.
        key: PathBuf,
        /// The file that is missing.
        certificate: PathBuf,
    },
    /// A folder without a CA.
    #[error(
        "there is no CA in {0}: create one with `tidings certs init --dir {0}`",
        folder.display()
    )]
    NoAuthority {
        /// The folder.
        folder: PathBuf,
    },
    /// A CA without its key.
    #[error(
        "{} exists without {}, and nothing can be signed without the key: put the key back, \
         or choose another folder with --dir",
        certificate.display(),
        key.display()
    )]
    AuthorityKeyMissing {
        /// The file that exists.
        certificate: PathBuf,
        /// The file that is missing.
        key: PathBuf,
    },
    /// A certificate without the CA that signed it. A new CA beside it would not fit it.
    #[error(
        "{} exists without {}, the CA that signed it: put the CA back, or move the certificate \
         and its key away",
        certificate.display(),
        authority.display()
    )]
    AuthorityMissing {
        /// The file that exists.
        certificate: PathBuf,
        /// The file that is missing.
        authority: PathBuf,
    },
    /// A private key that others can read.
    #[error("other users can read {0} (mode {mode:03o}): run `chmod 600 {0}`", path.display())]
    KeyExposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A CA's certificate that cannot be used.
    #[error("{} holds no usable certificate ({reason}): give the CA's certificate as PEM", path.display())]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A private key that cannot be used.
    #[error(
        "{} holds no usable private key ({reason}): give an unencrypted PKCS#8, SEC1 or PKCS#1 key as PEM",
        path.display()
    )]
    BadKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate that may not sign certificates.
    #[error(
        "{} is not the certificate of a CA: give one with CA:TRUE that may sign certificates",
        path.display()
    )]
    NotAuthority {
        /// The file.
        path: PathBuf,
    },
    /// A key that is not the certificate's.
    #[error(
        "{} is not the key of {}: give the two files that belong together",
        key.display(),
        certificate.display()
    )]
    KeyMismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// A certificate would be valid for longer than its CA.
    #[error(
        "{} expires on {}, and a certificate cannot outlive its CA: ask for fewer days, \
         or create a new CA in another folder",
        path.display(),
        not_after.format("%Y-%m-%d")
    )]
    OutlivesAuthority {
        /// The CA's file.
        path: PathBuf,
        /// When the CA expires.
        not_after: DateTime<Utc>,
    },
    /// A name that cannot be used for files.
    #[error("{0}")]
    Name(NameError),
    /// An alternative name that no verifier would accept.
    #[error("{text:?} is not {kind}: {remedy}")]
    AlternativeName {
        /// The text.
        text: String,
        /// What it should have been.
        kind: &'static str,
        /// How to fix it.
        remedy: &'static str,
    },
    /// A server certificate without an alternative name. Clients look for the server's name only there.
    #[error("a server certificate needs the names that clients connect to: give --dns or --ip")]
    ServerWithoutName,
    /// A period that a certificate cannot hold, or that ends before it begins.
    #[error(
        "a certificate cannot be valid from {not_before} to {not_after}: give times from 1970 to 9999, and check this machine's clock"
    )]
    Validity {
        /// The beginning.
        not_before: DateTime<Utc>,
        /// The end.
        not_after: DateTime<Utc>,
    },
    /// More common names than rcgen can encode.
    #[error("a certificate made here has at most two common names: give fewer")]
    TooManyCommonNames,
    /// The path length of the CA allows no CA below it.
    #[error(
        "the CA {authority} may not sign another CA: create the root with room for intermediates"
    )]
    NoIntermediates {
        /// The CA's subject.
        authority: String,
    },
    /// A subject that rcgen would not encode exactly, so that the chain would be broken.
    #[error(
        "the subject of the CA {authority} cannot be copied exactly into a certificate: \
         sign with openssl instead, as certs/README.md shows"
    )]
    AuthoritySubject {
        /// The CA's subject.
        authority: String,
    },
    /// A certificate that is to be revoked or renewed cannot be read.
    #[error("{0}")]
    Certificate(InspectError),
    /// A certificate of another CA. Only that CA can revoke or renew it.
    #[error(
        "{} was not signed by the CA {}: give a certificate that it signed, or the folder of its CA with --dir",
        certificate.display(),
        authority.display()
    )]
    NotIssuedHere {
        /// The certificate's file.
        certificate: PathBuf,
        /// The CA's file.
        authority: PathBuf,
    },
    /// A CA cannot revoke itself: no verifier looks for a CA on its own list.
    #[error(
        "{} is the CA itself, which cannot revoke itself: remove it from --ca wherever it is trusted, \
         and create a new CA in another folder",
        path.display()
    )]
    RevokesAuthority {
        /// The CA's file.
        path: PathBuf,
    },
    /// A revocation list that cannot be continued without losing entries.
    #[error(
        "{} cannot be continued ({reason}): restore the last good one; without it, the certificates \
         on it are no longer revoked",
        path.display()
    )]
    BadRevocationList {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A CA that may not sign revocation lists.
    #[error(
        "the CA {authority} may not sign revocation lists (no key usage cRLSign): \
         create a new CA in another folder"
    )]
    NotCrlSigner {
        /// The CA's subject.
        authority: String,
    },
    /// A CA that has expired, or is about to.
    #[error(
        "{} expired on {}: create a new CA in another folder",
        path.display(),
        not_after.format("%Y-%m-%d")
    )]
    AuthorityEnded {
        /// The CA's file.
        path: PathBuf,
        /// When the CA expires.
        not_after: DateTime<Utc>,
    },
    /// A certificate made elsewhere, with contents that cannot be requested here.
    #[error(
        "{} cannot be repeated exactly ({what}): renew it with the tool that made it",
        path.display()
    )]
    CannotRepeat {
        /// The file.
        path: PathBuf,
        /// What would be lost.
        what: &'static str,
    },
    /// A revoked certificate. Renewing it would undo the revocation.
    #[error(
        "{} was revoked on {}: issue a certificate under another name, or, to let this name in \
         again, renew it with --even-if-revoked",
        path.display(),
        since.format("%Y-%m-%d")
    )]
    IsRevoked {
        /// The certificate's file.
        path: PathBuf,
        /// When it was revoked.
        since: DateTime<Utc>,
    },
    /// A renewal would overwrite an old certificate that may still be in use.
    #[error(
        "{path} from an earlier renewal is valid until {end}, and is not overwritten: revoke it with \
         `tidings certs revoke {path} --dir {folder}`, or move it and its key away",
        path = path.display(),
        folder = folder.display(),
        end = not_after.format("%Y-%m-%d")
    )]
    OldIsGood {
        /// The old certificate's file.
        path: PathBuf,
        /// The folder of the CA that issued it.
        folder: PathBuf,
        /// When it expires.
        not_after: DateTime<Utc>,
    },
    /// A key could not be generated, or something could not be signed.
    #[error("cannot sign: {0}")]
    Signing(String),
}

impl IssueError {
    pub(super) fn unreadable(path: &Path, reason: io::Error) -> Self {
        Self::Read {
            path: path.to_owned(),
            reason,
        }
    }

    pub(super) fn unwritable(path: &Path, reason: io::Error) -> Self {
        Self::Write {
            path: path.to_owned(),
            reason,
        }
    }

    pub(super) fn signing(reason: impl fmt::Display) -> Self {
        Self::Signing(reason.to_string())
    }
}

impl From<InspectError> for IssueError {
    fn from(error: InspectError) -> Self {
        Self::Certificate(error)
    }
}

/// Why a text cannot be the name of a certificate's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty.
    #[error("a certificate's name cannot be empty: give one, such as `alice`")]
    Empty,
    /// Over 64 bytes, which is also the limit of a common name.
    #[error("a certificate's name has at most 64 bytes: give a shorter one")]
    TooLong,
    /// `/` or `\`
    #[error(
        "a certificate's name is not a path: leave out `/` and `\\`, and choose the folder with --dir"
    )]
    Separator,
    /// `.hidden`, `..`, `-option`
    #[error("a certificate's name does not begin with `.` or `-`: give another")]
    Beginning,
    /// Control characters and other invisible ones.
    #[error("a certificate's name has visible characters only: give another")]
    Unprintable,
    /// Not usable as an identity.
    #[error("the broker would not accept that name as an identity: {0}; give another")]
    NoIdentity(#[from] IdentityError),
    /// `ca`
    #[error("`ca` names the CA itself: give another name")]
    Reserved,
}
