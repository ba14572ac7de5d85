//! The judging of client certificates, at the handshake and again while the client is there.
//!
//! Owns the one verifier that both use, and the words in which a refusal is told. Knows nothing of
//! connections or of what comes of a verdict.

use std::{
    fmt, io,
    sync::{Arc, LazyLock},
    time::{SystemTime, UNIX_EPOCH},
};

use rustls::{
    CertRevocationListError, CertificateError, Error,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime},
    server::{VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{
    client_use::{ForClientUse, Unfit},
    crl::{ListIndex, RevocationLists, system_time},
    deadline::Deadline,
    inspect::{day_and_time, escaped},
    tls::{Authorities, times},
    trust::{Anchor, AuthorityEnded, Trust},
};
use crate::protocol::Code;

/// Judges client certificates just as the handshake does: it is the same verifier.
#[derive(Clone)]
pub struct ClientVerifier {
    verifier: Arc<ForClientUse>,
    /// The same without the lists.
    of_chains: Arc<ForClientUse>,
    /// The same with lists that count after their end. Large, and hardly ever needed.
    of_known: Arc<LazyLock<Made, Box<dyn FnOnce() -> Made + Send>>>,
    index: Arc<ListIndex>,
    lists: Lists,
    deadlines: Arc<[Deadline]>,
}

type Lists = Arc<[CertificateRevocationListDer<'static>]>;
type Made = Result<ForClientUse, VerifierBuilderError>;

/// Whether a revocation list counts after its end.
#[derive(Clone, Copy)]
enum ListEnds {
    Enforced,
    Ignored,
}

fn made(anchors: Vec<Anchor>, lists: Lists, ends: ListEnds, provider: Arc<CryptoProvider>) -> Made {
    // With a list at hand, a certificate that no list speaks of is refused, anywhere in the chain:
    // that is what WebPKI does when it is not told otherwise.
    let build = move |roots| {
        let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
            .with_crls(lists.iter().cloned());
        match ends {
            ListEnds::Enforced => builder.enforce_revocation_expiration().build(),
            ListEnds::Ignored => builder.build(),
        }
    };
    Trust::new(anchors, build).map(ForClientUse)
}

/// Why a client would not be let in now, sorted by what that means to one that is in already.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateRefusal {
    /// Its certificate, or one between that and the root, is on a revocation list.
    #[error("the client's certificate, or one in its chain, has been revoked")]
    Revoked,
    /// Its certificate, or one between that and the root, has reached its end.
    #[error("the client's certificate, or one in its chain, has expired")]
    Expired,
    /// A revocation list for it has ended, in a sentence: nothing newer is known against it.
    #[error("{0}")]
    StaleList(String),
    /// Anything else, in a sentence: nobody vouches for it any more, or a revocation list is
    /// missing.
    #[error("{0}")]
    Other(String),
}

impl CertificateRefusal {
    fn of(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(CertificateError::Revoked) => Self::Revoked,
            Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            ) => Self::Expired,
            Error::InvalidCertificate(
                CertificateError::ExpiredRevocationList
                | CertificateError::ExpiredRevocationListContext { .. },
            ) => Self::StaleList(reason_of(error)),
            other => Self::Other(reason_of(other)),
        }
    }

    /// The code for it, where it has one of its own.
    #[must_use]
    pub const fn code(&self) -> Option<Code> {
        match self {
            Self::Revoked => Some(Code::CertificateRevoked),
            Self::Expired => Some(Code::CertificateExpired),
            Self::StaleList(_) | Self::Other(_) => None,
        }
    }
}

impl ClientVerifier {
    pub(super) fn new(
        authorities: Authorities,
        lists: RevocationLists,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let (anchors, ders) = (authorities.anchors, Arc::<[_]>::from(lists.ders));
        let verifier = |ders: &Lists, ends| {
            made(
                anchors.clone(),
                Arc::clone(ders),
                ends,
                Arc::clone(provider),
            )
            .map(Arc::new)
        };
        let of_known: Box<dyn FnOnce() -> Made + Send> = {
            let (anchors, ders) = (anchors.clone(), Arc::clone(&ders));
            let provider = Arc::clone(provider);
            Box::new(|| made(anchors, ders, ListEnds::Ignored, provider))
        };
        Ok(Self {
            verifier: verifier(&ders, ListEnds::Enforced)?,
            of_chains: verifier(&Arc::default(), ListEnds::Enforced)?,
            of_known: Arc::new(LazyLock::new(of_known)),
            index: Arc::new(lists.index),
            lists: ders,
            deadlines: [authorities.deadlines, lists.deadlines].concat().into(),
        })
    }

    pub(super) fn of_handshakes(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier) as Arc<dyn ClientCertVerifier>
    }

    /// Whether a client with this chain, its own certificate first, would be let in at `now`.
    ///
    /// Checks signatures, those of the revocation lists among them: nothing to do often on a
    /// thread that others wait for.
    ///
    /// # Errors
    ///
    /// Why it would not.
    pub fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<(), CertificateRefusal> {
        verdict(&self.verifier, chain, now)
    }

    /// Whether the chain still leads to an authority, and nothing in it or above it has ended. Lists
    /// are not looked at: by the passing of time alone they say nothing new.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn judge_time(
        &self,
        chain: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<(), CertificateRefusal> {
        verdict(&self.of_chains, chain, now)
    }

    /// The same as [`judge`](Self::judge) for a client that `before` has let in: what has not changed
    /// since then is not looked at again, so that thousands can be judged at once. A list is
    /// searched, and only for those whom it does not clear is its signature checked; chains are
    /// followed only to other authorities.
    ///
    /// That a list has ended is not held against it; what is on that list is.
    ///
    /// # Errors
    ///
    /// Why it would not be let in.
    pub fn judge_again(
        &self,
        before: &Self,
        chain: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<(), CertificateRefusal> {
        let is_cleared = |certificate: &CertificateDer<'_>| {
            X509Certificate::from_der(certificate)
                .is_ok_and(|(_, certificate)| self.index.clears(&certificate))
        };
        if !chain.iter().all(is_cleared) {
            match self.judge(chain, now) {
                Err(CertificateRefusal::StaleList(_)) => {}
                verdict => return verdict,
            }
            return match &**self.of_known {
                Ok(verifier) => verdict(verifier, chain, now),
                Err(error) => Err(CertificateRefusal::Other(error.to_string())),
            };
        }
        if self.of_chains.0.is_same_as(&before.of_chains.0) {
            return Ok(());
        }
        self.judge_time(chain, now)
    }

    /// Whether this is `other`, and not one made anew.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.verifier, &other.verifier)
    }

    /// Whether any authority is in date.
    pub(super) fn trusts_any(&self, now: SystemTime) -> bool {
        self.of_chains.0.is_any_in_date(now)
    }

    /// The revocation lists that it judges by.
    pub(super) fn lists(&self) -> &[CertificateRevocationListDer<'static>] {
        &self.lists
    }

    /// When the authorities and the lists end.
    pub(super) fn deadlines(&self) -> &[Deadline] {
        &self.deadlines
    }

    /// The next moment at which the verdict on this chain could change by the passing of time:
    /// when the first of its certificates that is still good has ended, or an authority. `None` when
    /// there is none.
    #[must_use]
    pub fn changes_at(&self, chain: &[CertificateDer<'_>], now: SystemTime) -> Option<SystemTime> {
        chain
            .iter()
            .filter_map(|certificate| X509Certificate::from_der(certificate).ok())
            .map(|(_, certificate)| times(&certificate).1)
            .filter(|end| *end > now)
            .chain(self.of_chains.0.changes_at(now))
            .min()
    }

    /// How many certificates are on the revocation lists.
    #[must_use]
    pub fn revoked_count(&self) -> usize {
        self.index.revoked
    }
}

impl fmt::Debug for ClientVerifier {
    /// Without all the lists.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientVerifier")
            .field("revoked", &self.index.revoked)
            .finish_non_exhaustive()
    }
}

fn verdict(
    verifier: &ForClientUse,
    chain: &[CertificateDer<'_>],
    now: SystemTime,
) -> Result<(), CertificateRefusal> {
    let verdict = match chain {
        [] => Err(Error::NoCertificatesPresented),
        [own, others @ ..] => verifier
            .verify_client_cert(own, others, unix_time(now))
            .map(drop),
    };
    verdict.map_err(|error| CertificateRefusal::of(&error))
}

/// Why a handshake failed, as one line for the log, nothing in it that could do harm there.
#[must_use]
pub fn tls_refusal(error: &io::Error) -> String {
    let Some(error) = tls_error(error) else {
        return escaped(&error.to_string());
    };
    let refusal = CertificateRefusal::of(error);
    match error {
        Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }) => {
            format!("{refusal}: it ended on {}", day(*not_after))
        }
        _ => refusal.to_string(),
    }
}

/// The code for a failed handshake, where it is for the client's certificate having been revoked or
/// having ended.
#[must_use]
pub fn refusal_code(error: &io::Error) -> Option<Code> {
    CertificateRefusal::of(tls_error(error)?).code()
}

fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// Of what is neither revoked nor expired.
fn reason_of(error: &Error) -> String {
    match error {
        Error::NoCertificatesPresented => "the client showed no certificate".to_owned(),
        Error::InvalidCertificate(fault) => reason_of_certificate(fault),
        Error::InvalidCertRevocationList(fault) => reason_of_list(fault),
        other => escaped(&other.to_string()),
    }
}

/// Of most kinds rustls has but the bare name.
fn reason_of_certificate(fault: &CertificateError) -> String {
    let text = match fault {
        CertificateError::NotValidYet => {
            "the client's certificate, or one in its chain, is not valid yet".to_owned()
        }
        CertificateError::NotValidYetContext { not_before, .. } => format!(
            "the client's certificate, or one in its chain, is not valid before {}",
            day(*not_before)
        ),
        CertificateError::UnknownIssuer => {
            "the client's certificate is not from a CA that is trusted here".to_owned()
        }
        CertificateError::BadSignature => {
            "the client's certificate, or one in its chain, was not signed by the CA that it names"
                .to_owned()
        }
        CertificateError::BadEncoding => {
            "the client's certificate, or one in its chain, is garbled".to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the client's certificate is not for client use (no extended key usage clientAuth)"
                .to_owned()
        }
        CertificateError::UnknownRevocationStatus => {
            "no revocation list is for the client's certificate, or for one in its chain: each CA of the chain needs its own"
                .to_owned()
        }
        CertificateError::ExpiredRevocationList => {
            "the revocation list for the client's certificate, or for one in its chain, has expired"
                .to_owned()
        }
        CertificateError::ExpiredRevocationListContext { next_update, .. } => format!(
            "the revocation list for the client's certificate, or for one in its chain, has expired: its successor was due on {}",
            day(*next_update)
        ),
        CertificateError::Other(other)
            if other.0.is::<Unfit>() || other.0.is::<AuthorityEnded>() =>
        {
            other.to_string()
        }
        other => format!("the client's certificate cannot be used: {other}"),
    };
    escaped(&text)
}

fn reason_of_list(fault: &CertRevocationListError) -> String {
    match fault {
        CertRevocationListError::BadSignature => {
            "the revocation list for the client's certificate, or for one in its chain, was signed by another CA of the same name".to_owned()
        }
        CertRevocationListError::IssuerInvalidForCrl => {
            "the CA of the client's certificate, or of one in its chain, may not sign revocation lists (no key usage cRLSign)".to_owned()
        }
        other => escaped(&format!(
            "the revocation list for the client's certificate cannot be used: {other:?}"
        )),
    }
}

fn day(moment: UnixTime) -> String {
    day_and_time(system_time(
        i64::try_from(moment.as_secs()).unwrap_or(i64::MAX),
    ))
}

/// A clock before 1970 makes every certificate not yet valid, which is the safe answer.
fn unix_time(moment: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(moment.duration_since(UNIX_EPOCH).unwrap_or_default())
}
