//! Verification of client certificates: at the handshake, and again while the client is connected.
//!
//! Owns the one verifier that both use, and the text of each refusal. Closing the connection, or
//! leaving it open, is for the caller.
//!
//! The verifier is built in layers, each of which adds a requirement to the next:
//!
//! 1. `client_use` bounds the chain, and requires the certificate to be for client use.
//! 2. `anchors` leaves out the CAs that have expired.
//! 3. `revocation` checks the chain against the revocation lists (CRLs), if there are any.
//! 4. WebPKI verifies the chain: signatures, dates, constraints.
//!
//! `handshake_text` has the words for what rustls and WebPKI only name.

use std::{fmt, io, sync::Arc, time::SystemTime};

use rustls::{
    CertificateError, Error, RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, UnixTime},
    server::{VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{
    anchors::{CaExpired, CurrentAnchors},
    client_use::{RequireClientAuth, UnsuitableCertificate},
    crl::RevocationLists,
    expiry::Expiry,
    handshake_text::{KEY_KINDS, certificate_fault, handshake_fault},
    revocation::RequireUnrevoked,
    roots::TrustedCas,
    x509::{system_time, unix_time, validity},
};
use crate::{
    protocol::Code,
    text::{day_and_time, escaped},
};

/// Most bytes of CA names that the server sends so that a client can choose among its certificates.
/// TLS allows 65,535 bytes of them, but Java accepts no message over 32 KiB. With more names than
/// this, none is sent, and a client sends the certificate that it has.
const CA_NAMES_BYTES_MAX: usize = 16 * 1024;

/// Verifies client certificates exactly as the handshake does: it is the same verifier.
#[derive(Clone)]
pub struct ClientVerifier {
    /// Verifies everything.
    full: Arc<RequireClientAuth>,
    /// Verifies everything but revocation.
    without_crls: Arc<RequireClientAuth>,
    crls: Option<Arc<RevocationLists>>,
    expiries: Arc<[Expiry]>,
}

/// Why a client's certificate is refused, by what that means for a client that is connected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientCertificateError {
    /// A certificate of the chain is on a revocation list.
    #[error("the client's certificate, or one in its chain, has been revoked")]
    Revoked,
    /// A certificate of the chain has expired.
    #[error("the client's certificate, or one in its chain, has expired")]
    Expired,
    /// A revocation list that the chain needs has expired, in a sentence. Nothing is known against
    /// the client.
    #[error("{0}")]
    StaleCrl(String),
    /// Anything else, in a sentence. For a client that was verified before: its CA is no longer
    /// trusted, or a revocation list is missing.
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

    /// The code for it, if it has one of its own.
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
        cas: TrustedCas,
        crls: Option<RevocationLists>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let crl_expiries = crls.iter().flat_map(|crls| crls.expiries.clone());
        let expiries = cas.expiries.into_iter().chain(crl_expiries).collect();
        let crls = crls.map(Arc::new);
        let layered = |crls: Option<Arc<RevocationLists>>| {
            let provider = Arc::clone(provider);
            let build = move |roots| chain_verifier(roots, crls.clone(), &provider);
            CurrentAnchors::new(cas.anchors.clone(), build)
                .map(|current| Arc::new(RequireClientAuth(current)))
        };
        Ok(Self {
            full: layered(crls.clone())?,
            without_crls: layered(None)?,
            crls,
            expiries,
        })
    }

    pub(super) fn for_handshakes(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.full) as Arc<dyn ClientCertVerifier>
    }

    /// Verifies a chain, the client's own certificate first, as a handshake at `now` would.
    ///
    /// This checks signatures, which takes time: avoid it on a thread that others wait for.
    ///
    /// # Errors
    ///
    /// Why the handshake would fail.
    pub fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<(), ClientCertificateError> {
        verify_chain(&self.full, chain, now)
    }

    /// Verifies all but revocation: that the chain still leads to a trusted CA, and that nothing in it
    /// has expired. As time passes only this can change; a list revokes nobody by getting old.
    ///
    /// # Errors
    ///
    /// Why the chain is no longer valid.
    pub fn verify_validity(
        &self,
        chain: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<(), ClientCertificateError> {
        verify_chain(&self.without_crls, chain, now)
    }

    /// Verifies a chain that `before` has accepted, and repeats only what can have changed since, so
    /// that a reload can verify thousands of clients. Signatures are checked only if a lookup in the
    /// revocation lists leaves a doubt, or if other CAs are trusted now.
    ///
    /// The result is that of [`verify`](Self::verify), except that an expired revocation list is no
    /// reason to refuse. Its entries still count.
    ///
    /// # Errors
    ///
    /// Why the client is no longer accepted.
    pub fn reverify(
        &self,
        before: &Self,
        chain: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<(), ClientCertificateError> {
        if self
            .crls
            .as_ref()
            .is_some_and(|crls| !crls.rule_out_revocation(chain))
        {
            match self.verify(chain, now) {
                Err(ClientCertificateError::StaleCrl(_)) => {}
                verdict => return verdict,
            }
        }
        if self.without_crls.0.has_anchors_of(&before.without_crls.0) {
            return Ok(());
        }
        self.verify_validity(chain, now)
    }

    /// Whether both are the same instance: nothing has been read again in between.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.full, &other.full)
    }

    /// Whether any trusted CA is valid at `now`.
    pub(super) fn trusts_any(&self, now: SystemTime) -> bool {
        self.without_crls.0.is_any_valid(now)
    }

    pub(super) fn crls(&self) -> Option<&RevocationLists> {
        self.crls.as_deref()
    }

    /// When the trusted CAs and the revocation lists expire.
    pub(super) fn expiries(&self) -> &[Expiry] {
        &self.expiries
    }

    /// When the verdict on this chain can next change by the passing of time: when the first of its
    /// certificates, or of the trusted CAs, expires. `None` when all of them have.
    #[must_use]
    pub fn changes_at(&self, chain: &[CertificateDer<'_>], now: SystemTime) -> Option<SystemTime> {
        chain
            .iter()
            .filter_map(|certificate| X509Certificate::from_der(certificate).ok())
            .map(|(_, certificate)| validity(&certificate).1)
            .filter(|end| *end > now)
            .chain(self.without_crls.0.next_expiry(now))
            .min()
    }

    /// How many certificates are on the revocation lists.
    #[must_use]
    pub fn revoked_count(&self) -> usize {
        self.crls.as_ref().map_or(0, |crls| crls.revoked)
    }
}

impl fmt::Debug for ClientVerifier {
    /// Without the revocation lists, which may be large.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientVerifier")
            .field("revoked", &self.revoked_count())
            .finish_non_exhaustive()
    }
}

/// The layers that depend on which CAs are trusted: WebPKI, and revocation where there are lists.
fn chain_verifier(
    roots: Arc<RootCertStore>,
    crls: Option<Arc<RevocationLists>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError> {
    let mut builder =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider));
    if ca_names_bytes(&roots) > CA_NAMES_BYTES_MAX {
        builder = builder.clear_root_hint_subjects();
    }
    let chains = builder.build()?;
    Ok(match crls {
        None => chains,
        Some(crls) => Arc::new(RequireUnrevoked {
            chains,
            roots,
            crls,
            provider: Arc::clone(provider),
        }),
    })
}

/// How many bytes the names of these CAs take in a request for a certificate.
fn ca_names_bytes(roots: &RootCertStore) -> usize {
    let names = roots.subjects();
    names.iter().map(|name| 2 + name.as_ref().len()).sum()
}

fn verify_chain(
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

/// Why a handshake failed, in one line that is safe to log.
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

/// The code for a failed handshake, if the client's certificate has been revoked or has expired.
#[must_use]
pub fn refusal_code(error: &io::Error) -> Option<Code> {
    ClientCertificateError::of(tls_error(error)?).code()
}

fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// The reason in words, for anything but a revoked or expired certificate.
fn reason_of(error: &Error) -> String {
    match error {
        Error::NoCertificatesPresented => format!(
            "the client showed no certificate: it has none, or its key is of a kind that is not accepted here ({KEY_KINDS})"
        ),
        Error::InvalidCertificate(fault) => reason_of_certificate(fault),
        other => handshake_fault(other).unwrap_or_else(|| escaped(&other.to_string())),
    }
}

/// For most of these, rustls has only a name.
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
            if other.0.is::<UnsuitableCertificate>() || other.0.is::<CaExpired>() =>
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

fn day(time: UnixTime) -> String {
    day_and_time(system_time(time))
}
