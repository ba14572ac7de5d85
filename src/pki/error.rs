use std::{io, path::PathBuf};

use chrono::{DateTime, Utc};

use super::inspect::InspectError;
use crate::identity::IdentityError;

/// Why a certificate was not made. One line each: what is wrong with which file, and what helps.
///
/// The texts hold their cause already, so none is repeated as a `source`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// A file or folder that cannot be read.
    #[error("cannot read {}: {reason}; see that it is there and that you may read it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// A file or folder that cannot be made.
    #[error("cannot write {}: {reason}; make its folder writable, or choose another with --dir", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// What would have been written over.
    #[error(
        "{} is already there and is never overwritten: choose another name, or move it away first",
        path.display()
    )]
    AlreadyThere {
        /// The file.
        path: PathBuf,
    },
    /// Left behind when something was interrupted half-way.
    #[error(
        "{} is there without {}: put the certificate back, or remove the key and try again",
        key.display(),
        certificate.display()
    )]
    KeyWithoutCertificate {
        /// The file that is there.
        key: PathBuf,
        /// The file that is not.
        certificate: PathBuf,
    },
    /// No CA to sign with.
    #[error(
        "there is no CA in {0}: make one with `tidings certs init --dir {0}`",
        folder.display()
    )]
    NoAuthority {
        /// Where one was looked for.
        folder: PathBuf,
    },
    /// A CA that can be trusted, but not sign.
    #[error(
        "{} is there without {}, and nothing can be signed without it: put the key back, \
         or choose another folder with --dir",
        certificate.display(),
        key.display()
    )]
    AuthorityKeyMissing {
        /// The file that is there.
        certificate: PathBuf,
        /// The file that is not.
        key: PathBuf,
    },
    /// A new CA beside a certificate that an older one signed would only seem to work.
    #[error(
        "{} is there without {}, the CA that signed it: put the CA back, or move the certificate \
         and its key away",
        certificate.display(),
        authority.display()
    )]
    AuthorityMissing {
        /// The file that is there.
        certificate: PathBuf,
        /// The file that is not.
        authority: PathBuf,
    },
    /// A private key that is not private.
    #[error("{0} can be read by others (mode {mode:03o}): run `chmod 600 {0}`", path.display())]
    KeyExposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// No certificate where one should be.
    #[error("{} holds no usable certificate ({reason}): give the CA's certificate as PEM", path.display())]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No key where one should be.
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
    /// A certificate that may not sign others.
    #[error(
        "{} is not the certificate of a CA: it takes one with CA:TRUE that may sign certificates",
        path.display()
    )]
    NotAuthority {
        /// The file.
        path: PathBuf,
    },
    /// Two files that do not belong together.
    #[error(
        "{} is not the key of {}: give the two that belong together",
        key.display(),
        certificate.display()
    )]
    KeyMismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// Verifiers would refuse the certificate from the CA's end on, whatever it says itself.
    #[error(
        "{} ends on {}, and a certificate cannot outlive its CA: ask for fewer days, \
         or make a new CA in another folder",
        path.display(),
        not_after.format("%Y-%m-%d")
    )]
    OutlivesAuthority {
        /// The CA's file.
        path: PathBuf,
        /// The CA's end.
        not_after: DateTime<Utc>,
    },
    /// A name that can be no file's.
    #[error("{0}")]
    Name(NameError),
    /// A name in a certificate that no verifier would take.
    #[error("{text:?} is not {kind}: {remedy}")]
    AlternativeName {
        /// The text.
        text: String,
        /// What it should have been.
        kind: &'static str,
        /// What helps.
        remedy: &'static str,
    },
    /// Clients look for the server's name among the alternative names, and there only.
    #[error("a server's certificate needs the names that clients call it by: give --dns or --ip")]
    ServerWithoutName,
    /// Years outside what a certificate can hold, or an end before the beginning.
    #[error(
        "a certificate cannot be valid from {not_before} to {not_after}: give times from 1970 to 9999, and check this machine's clock"
    )]
    Validity {
        /// The beginning.
        not_before: DateTime<Utc>,
        /// The end.
        not_after: DateTime<Utc>,
    },
    /// More than can be written into one subject.
    #[error("a certificate made here has at most two common names: give fewer")]
    TooManyCommonNames,
    /// The path length of the CA is used up.
    #[error(
        "the CA {authority} may not sign another CA: make the root with room for intermediates"
    )]
    NoIntermediates {
        /// The CA's subject.
        authority: String,
    },
    /// A subject with parts that the signing code would leave out: the chain would not hold.
    #[error(
        "the subject of the CA {authority} cannot be copied faithfully into a certificate: \
         sign with openssl instead, as certs/README.md shows"
    )]
    AuthoritySubject {
        /// The CA's subject.
        authority: String,
    },
    /// A certificate that is to be revoked or renewed cannot be read.
    #[error("{0}")]
    Certificate(InspectError),
    /// A certificate of another CA: only that one can revoke or renew it.
    #[error(
        "{} is not from the CA {}: give a certificate that it signed, or its folder with --dir",
        certificate.display(),
        authority.display()
    )]
    NotIssuedHere {
        /// The certificate's file.
        certificate: PathBuf,
        /// The CA's file.
        authority: PathBuf,
    },
    /// Nobody would look for a CA on a list that it signed itself.
    #[error(
        "{} is the CA itself, and cannot revoke itself: take it out of --ca wherever it is trusted, \
         and make a new one in another folder",
        path.display()
    )]
    RevokesAuthority {
        /// The CA's file.
        path: PathBuf,
    },
    /// A list that cannot be continued without losing what is on it.
    #[error(
        "{} cannot be continued ({reason}): bring back the last good one; without it those that are \
         on it are revoked no more",
        path.display()
    )]
    BadRevocationList {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A CA whose lists nobody would take.
    #[error(
        "the CA {authority} may not sign revocation lists (no key usage cRLSign): \
         make a new CA in another folder"
    )]
    NotListSigner {
        /// The CA's subject.
        authority: String,
    },
    /// Nothing that it signs is good any more.
    #[error(
        "{} ended on {}: make a new CA in another folder",
        path.display(),
        not_after.format("%Y-%m-%d")
    )]
    AuthorityEnded {
        /// The CA's file.
        path: PathBuf,
        /// The CA's end.
        not_after: DateTime<Utc>,
    },
    /// A certificate made elsewhere, with what is not made here.
    #[error(
        "{} cannot be made again as it is ({what}): renew it with what it was made with",
        path.display()
    )]
    CannotRepeat {
        /// The file.
        path: PathBuf,
        /// What would be lost.
        what: &'static str,
    },
    /// A certificate under the same name would undo what the revocation was for.
    #[error(
        "{} is revoked since {}: issue a certificate under another name, or, to let this name in \
         again, renew it with --even-if-revoked",
        path.display(),
        since.format("%Y-%m-%d")
    )]
    IsRevoked {
        /// The certificate's file.
        path: PathBuf,
        /// Since when.
        since: DateTime<Utc>,
    },
    /// A renewal would lose what somebody may still use.
    #[error(
        "{path} from an earlier renewal is good until {end}, and is kept: revoke it with \
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
        /// Its end.
        not_after: DateTime<Utc>,
    },
    /// The cryptography refused.
    #[error("cannot sign: {0}")]
    Signing(String),
}

/// Why a text cannot name the files of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing in it.
    #[error("a certificate's name cannot be empty: give one, such as `alice`")]
    Empty,
    /// Over 64 bytes, which is also all that a common name can hold.
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
    /// Control characters, and others that do not show.
    #[error("a certificate's name has only characters that can be seen: give another")]
    Unprintable,
    /// No client can be called so.
    #[error("the broker would not take that name for an identity: {0}; give another")]
    NoIdentity(#[from] IdentityError),
    /// `ca`
    #[error("`ca` names the CA itself: give another name")]
    Reserved,
}
