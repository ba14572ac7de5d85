//! The judging of client certificates, at the handshake and again while the client is there.
//!
//! Owns the one verifier that both use, and the words in which a refusal is told. Knows nothing of
//! connections or of what comes of a verdict.

use std::{fmt, io, sync::Arc, time::SystemTime};

use rustls::{
    CertificateError, Error, RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, UnixTime},
    server::{VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{
    client_use::{RequireClientAuth, UnsuitableCertificate},
    crl::RevocationLists,
    expiry::Expiry,
    handshake_text::{KEY_KINDS, certificate_fault, handshake_fault},
    revocation::Unrevoked,
    roots::Authorities,
    trust::{AuthorityEnded, Trust},
    x509::{system_time, unix_time, validity},
};
use crate::{
    protocol::Code,
    text::{day_and_time, escaped},
};

/// Bytes of the authorities' names that are sent to clients, to choose a certificate by. They are a
/// hint alone. TLS has room for 65,535 bytes of them, and Java takes no more than 32 KiB of a whole
/// message: with more names than this, none is sent, and clients show the certificate they have.
const HINT_BYTES_MAX: usize = 16 * 1024;

/// Judges client certificates just as the handshake does: it is the same verifier.
#[derive(Clone)]
pub struct ClientVerifier {
    verifier: Arc<RequireClientAuth>,
    /// The same without the lists.
    of_chains: Arc<RequireClientAuth>,
    lists: Option<Arc<RevocationLists>>,
    expiries: Arc<[Expiry]>,
}

/// Why a client would not be let in now, sorted by what that means to one that is in already.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientCertificateError {
    /// Its certificate, or one between that and the root, is on a revocation list.
    #[error("the client's certificate, or one in its chain, has been revoked")]
    Revoked,
    /// Its certificate, or one between that and the root, has reached its end.
    #[error("the client's certificate, or one in its chain, has expired")]
    Expired,
    /// A revocation list for it has ended, in a sentence: nothing newer is known against it.
    #[error("{0}")]
    StaleCrl(String),
    /// Anything else, in a sentence: nobody vouches for it any more, or a revocation list is
    /// missing.
    #[error("{0}")]
    Other(String),
}

impl ClientCertificateError {
    fn of(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(CertificateError::Revoked) => Self::Revoked,
            Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            ) => Self::Expired,
            Error::InvalidCertificate(
                CertificateError::ExpiredRevocationList
                | CertificateError::ExpiredRevocationListContext { .. },
            ) => Self::StaleCrl(reason_of(error)),
            other => Self::Other(reason_of(other)),
        }
    }

    /// The code for it, where it has one of its own.
    #[must_use]
    pub const fn code(&self) -> Option<Code> {
        match self {
            Self::Revoked => Some(Code::CertificateRevoked),
            Self::Expired => Some(Code::CertificateExpired),
            Self::StaleCrl(_) | Self::Other(_) => None,
        }
    }
}

impl ClientVerifier {
    pub(super) fn new(
        authorities: Authorities,
        lists: Option<RevocationLists>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let of_lists = lists.iter().flat_map(|lists| lists.expiries.clone());
        let expiries = authorities.expiries.into_iter().chain(of_lists).collect();
        let lists = lists.map(Arc::new);
        let by = |lists: Option<Arc<RevocationLists>>| {
            let provider = Arc::clone(provider);
            let build = move |roots| verifier(roots, lists.clone(), &provider);
            let trust = Trust::new(authorities.anchors.clone(), build);
            trust.map(|trust| Arc::new(RequireClientAuth(trust)))
        };
        Ok(Self {
            verifier: by(lists.clone())?,
            of_chains: by(None)?,
            lists,
            expiries,
        })
    }

    pub(super) fn of_handshakes(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier) as Arc<dyn ClientCertVerifier>
    }

    /// Whether a client with this chain, its own certificate first, would be let in at `now`.
    ///
    /// Checks signatures: nothing to do often on a thread that others wait for.
    ///
    /// # Errors
    ///
    /// Why it would not.
    pub fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<(), ClientCertificateError> {
        verdict(&self.verifier, chain, now)
    }

    /// Whether the chain still leads to an authority, and nothing in it or above it has ended. Lists
    /// are not looked at: by the passing of time alone they say nothing new.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn verify_validity(
        &self,
        chain: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<(), ClientCertificateError> {
        verdict(&self.of_chains, chain, now)
    }

    /// The same as [`verify`](Self::verify) for a client that `before` has let in: what has not changed
    /// since then is not looked at again, so that thousands can be judged at once. Lists are
    /// searched, and only those whom they do not clear are judged anew; chains are followed only to
    /// other authorities.
    ///
    /// That a list has ended is not held against it; what is on that list is.
    ///
    /// # Errors
    ///
    /// Why it would not be let in.
    pub fn reverify(
        &self,
        before: &Self,
        chain: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<(), ClientCertificateError> {
        if self.lists.as_ref().is_some_and(|lists| !lists.clear(chain)) {
            match self.verify(chain, now) {
                Err(ClientCertificateError::StaleCrl(_)) => {}
                verdict => return verdict,
            }
        }
        if self.of_chains.0.is_same_as(&before.of_chains.0) {
            return Ok(());
        }
        self.verify_validity(chain, now)
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
    pub(super) fn lists(&self) -> Option<&RevocationLists> {
        self.lists.as_deref()
    }

    /// When the authorities and the lists end.
    pub(super) fn expiries(&self) -> &[Expiry] {
        &self.expiries
    }

    /// The next moment at which the verdict on this chain could change by the passing of time:
    /// when the first of its certificates that is still good has ended, or an authority. `None` when
    /// there is none.
    #[must_use]
    pub fn changes_at(&self, chain: &[CertificateDer<'_>], now: SystemTime) -> Option<SystemTime> {
        chain
            .iter()
            .filter_map(|certificate| X509Certificate::from_der(certificate).ok())
            .map(|(_, certificate)| validity(&certificate).1)
            .filter(|end| *end > now)
            .chain(self.of_chains.0.changes_at(now))
            .min()
    }

    /// How many certificates are on the revocation lists.
    #[must_use]
    pub fn revoked_count(&self) -> usize {
        self.lists.as_ref().map_or(0, |lists| lists.revoked)
    }
}

impl fmt::Debug for ClientVerifier {
    /// Without all the lists.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientVerifier")
            .field("revoked", &self.revoked_count())
            .finish_non_exhaustive()
    }
}

/// Demands a chain to one of these authorities, and that nothing in it is revoked.
fn verifier(
    roots: Arc<RootCertStore>,
    lists: Option<Arc<RevocationLists>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError> {
    let mut builder =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider));
    if hint_bytes(&roots) > HINT_BYTES_MAX {
        builder = builder.clear_root_hint_subjects();
    }
    let chains = builder.build()?;
    Ok(match lists {
        None => chains,
        Some(lists) => Arc::new(Unrevoked {
            chains,
            roots,
            lists,
            provider: Arc::clone(provider),
        }),
    })
}

fn verdict(
    verifier: &RequireClientAuth,
    chain: &[CertificateDer<'_>],
    now: SystemTime,
) -> Result<(), ClientCertificateError> {
    let verdict = match chain {
        [] => Err(Error::NoCertificatesPresented),
        [own, others @ ..] => verifier
            .verify_client_cert(own, others, unix_time(now))
            .map(drop),
    };
    verdict.map_err(|error| ClientCertificateError::of(&error))
}

/// Why a handshake failed, as one line for the log, nothing in it that could do harm there.
#[must_use]
pub fn tls_refusal(error: &io::Error) -> String {
    let Some(error) = tls_error(error) else {
        return escaped(&error.to_string());
    };
    let refusal = ClientCertificateError::of(error);
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
    ClientCertificateError::of(tls_error(error)?).code()
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
        CertificateError::Other(other)
            if other.0.is::<UnsuitableCertificate>() || other.0.is::<AuthorityEnded>() =>
        {
            other.to_string()
        }
        other => match certificate_fault(other) {
            Some(fault) => format!("the client's certificate, or one in its chain, {fault}"),
            None => format!("the client's certificate cannot be used: {other}"),
        },
    };
    escaped(&text)
}

fn day(moment: UnixTime) -> String {
    day_and_time(system_time(moment))
}

/// How large the list of these authorities' names is in a request for a certificate.
fn hint_bytes(roots: &RootCertStore) -> usize {
    let names = roots.subjects();
    names.iter().map(|name| 2 + name.as_ref().len()).sum()
}
