//! The judging of client certificates, at the handshake and again while the client is there.
//!
//! Owns the one verifier that both use, and the words in which a refusal is told. Knows nothing of
//! connections or of what comes of a verdict.

use std::{fmt, io, sync::Arc, time::SystemTime};

use rustls::{
    CertRevocationListError, CertificateError, Error, RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, UnixTime},
    server::{VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{
    client_use::{ForClientUse, Unfit},
    crl::{ListIndex, RevocationLists, system_time},
    handshake_text::{KEY_KINDS, certificate_fault, handshake_fault},
    inspect::{day_and_time, escaped},
    tls::times,
};
use crate::{clock, protocol::Code};

/// Judges client certificates just as the handshake does: it is the same verifier.
#[derive(Clone)]
pub struct ClientVerifier {
    verifier: Arc<ForClientUse>,
    /// The same without the lists.
    of_chains: Arc<ForClientUse>,
    roots: Arc<RootCertStore>,
    lists: Arc<ListIndex>,
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
    /// Anything else, in a sentence: nobody vouches for it any more, or a revocation list is
    /// missing or has ended.
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
            other => Self::Other(reason_of(other)),
        }
    }

    /// The code for it, where it has one of its own.
    #[must_use]
    pub const fn code(&self) -> Option<Code> {
        match self {
            Self::Revoked => Some(Code::CertificateRevoked),
            Self::Expired => Some(Code::CertificateExpired),
            Self::Other(_) => None,
        }
    }
}

impl ClientVerifier {
    pub(super) fn new(
        roots: Arc<RootCertStore>,
        lists: RevocationLists,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let builder =
            || WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider.clone());
        // With a list at hand, a certificate that no list speaks of is refused, anywhere in the
        // chain: that is what WebPKI does when it is not told otherwise.
        let verifier = builder()
            .with_crls(lists.ders)
            .enforce_revocation_expiration()
            .build()?;
        Ok(Self {
            verifier: Arc::new(ForClientUse(verifier)),
            of_chains: Arc::new(ForClientUse(builder().build()?)),
            roots,
            lists: Arc::new(lists.index),
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

    /// The same for a client that `before` has let in: what has not changed since then is not looked
    /// at again, so that thousands can be judged at once. A list is searched, and only for those
    /// whom it does not clear is its signature checked; chains are followed only to other roots.
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
                .is_ok_and(|(_, certificate)| self.lists.clears(&certificate))
        };
        if !chain.iter().all(is_cleared) {
            return self.judge(chain, now);
        }
        if self.roots.roots == before.roots.roots {
            return Ok(());
        }
        verdict(&self.of_chains, chain, now)
    }

    /// The next moment at which the verdict on this chain could change by the passing of time:
    /// when the first of its certificates that is still good has ended. `None` when there is none.
    #[must_use]
    pub fn changes_at(&self, chain: &[CertificateDer<'_>], now: SystemTime) -> Option<SystemTime> {
        chain
            .iter()
            .filter_map(|certificate| X509Certificate::from_der(certificate).ok())
            .map(|(_, certificate)| times(&certificate).1)
            .filter(|end| *end > now)
            .min()
    }

    /// How many certificates are on the revocation lists.
    #[must_use]
    pub fn revoked_count(&self) -> usize {
        self.lists.revoked
    }
}

impl fmt::Debug for ClientVerifier {
    /// Without all the lists.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientVerifier")
            .field("revoked", &self.lists.revoked)
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
        Error::NoCertificatesPresented => format!(
            "the client showed no certificate: it has none, or its key is of a kind that is not taken here ({KEY_KINDS})"
        ),
        Error::InvalidCertificate(fault) => reason_of_certificate(fault),
        Error::InvalidCertRevocationList(fault) => reason_of_list(fault),
        other => handshake_fault(other).unwrap_or_else(|| escaped(&other.to_string())),
    }
}

/// Of most kinds rustls has but the bare name.
fn reason_of_certificate(fault: &CertificateError) -> String {
    let text = match fault {
        CertificateError::NotValidYet => {
            "the client's certificate, or one in its chain, is not valid yet".to_owned()
        }
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "the client's certificate, or one in its chain, is not valid before {}{}",
            day(*not_before),
            match time.as_secs() {
                0 => ": this machine's clock stands before 1970, set it",
                _ => "",
            }
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
        CertificateError::Other(other) if other.0.is::<Unfit>() => other.to_string(),
        other => match certificate_fault(other) {
            Some(fault) => format!("the client's certificate, or one in its chain, {fault}"),
            None => format!("the client's certificate cannot be used: {other}"),
        },
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
pub(super) fn unix_time(moment: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(clock::since_1970(moment))
}
