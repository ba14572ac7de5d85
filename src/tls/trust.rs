//! Trust in authorities that ends when they do.
//!
//! WebPKI never looks at a trust anchor's dates: an authority that has ended would go on vouching.
//! So a verifier is asked for as of a time, and knows only the authorities that are in date then.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime},
    server::VerifierBuilderError,
};

use super::x509::issuer_that_may_not_sign;

/// An authority, and from when on it is good no more.
pub(super) type Anchor = (TrustAnchor<'static>, SystemTime);

/// Makes a verifier that trusts these authorities.
type Build<V> =
    dyn Fn(Arc<RootCertStore>) -> Result<Arc<V>, VerifierBuilderError> + Send + Sync + 'static;

/// Verifiers of one kind, for the authorities that are in date.
pub(super) struct Trust<V: ?Sized> {
    /// The last to end comes first: those in date are always the first so many.
    authorities: Vec<Anchor>,
    /// Trusts them all, ended ones too.
    of_all: Arc<V>,
    build: Box<Build<V>>,
    /// Trusts the first so many. Building one reads all revocation lists.
    of_some: Mutex<Option<(usize, Arc<V>)>>,
}

/// Only an authority that has ended vouches for this certificate.
#[derive(thiserror::Error)]
#[error("the certificate is from a CA that has expired")]
pub(super) struct AuthorityEnded;

/// A CA that the server brought, counted from 1 for the server's own certificate.
#[derive(thiserror::Error)]
#[error(
    "certificate {0} of the server's chain is of a CA that may not sign certificates (its key usage has no keyCertSign)"
)]
struct IssuerMayNotSign(usize);

impl fmt::Debug for IssuerMayNotSign {
    /// In words, likewise.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for AuthorityEnded {
    /// In words: of an error that is not its own, rustls prints this.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<V: ?Sized> Trust<V> {
    /// In these authorities, each until its end.
    pub(super) fn new(
        mut authorities: Vec<Anchor>,
        build: impl Fn(Arc<RootCertStore>) -> Result<Arc<V>, VerifierBuilderError>
        + Send
        + Sync
        + 'static,
    ) -> Result<Self, VerifierBuilderError> {
        authorities.sort_by_key(|(_, end)| std::cmp::Reverse(*end));
        Ok(Self {
            of_all: build(roots_of(&authorities))?,
            authorities,
            build: Box::new(build),
            of_some: Mutex::default(),
        })
    }

    /// For what does not depend on who is trusted.
    pub(super) const fn of_all(&self) -> &Arc<V> {
        &self.of_all
    }

    /// Whether any authority is in date.
    pub(super) fn is_any_in_date(&self, now: SystemTime) -> bool {
        self.count_at(now) > 0
    }

    /// When the next authority ends.
    pub(super) fn changes_at(&self, now: SystemTime) -> Option<SystemTime> {
        let last = self.count_at(now).checked_sub(1)?;
        self.authorities.get(last).map(|(_, end)| *end)
    }

    /// Whether these are the authorities that `other` trusts.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.authorities == other.authorities
    }

    /// Has the verifier of those in date judge.
    pub(super) fn verify<T>(
        &self,
        now: UnixTime,
        verify: impl Fn(&V) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let count = self.count_at(UNIX_EPOCH + Duration::from_secs(now.as_secs()));
        if count == self.authorities.len() {
            return verify(&self.of_all);
        }
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let verdict = match count {
            0 => Err(unknown.clone()),
            _ => verify(&*self.of_first(count)?),
        };
        match verdict {
            Err(error) if error == unknown && verify(&self.of_all).is_ok() => {
                let ended = OtherError(Arc::new(AuthorityEnded));
                Err(CertificateError::Other(ended).into())
            }
            verdict => verdict,
        }
    }

    fn count_at(&self, now: SystemTime) -> usize {
        self.authorities.partition_point(|(_, end)| *end > now)
    }

    fn of_first(&self, count: usize) -> Result<Arc<V>, Error> {
        let mut of_some = self.of_some.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, verifier)) = &*of_some
            && *of == count
        {
            return Ok(Arc::clone(verifier));
        }
        let in_date = self.authorities.get(..count).unwrap_or_default();
        let verifier =
            (self.build)(roots_of(in_date)).map_err(|error| Error::General(error.to_string()))?;
        *of_some = Some((count, Arc::clone(&verifier)));
        Ok(verifier)
    }
}

impl<V: ?Sized> fmt::Debug for Trust<V> {
    /// Without all the revocation lists.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("authorities", &self.authorities.len())
            .finish_non_exhaustive()
    }
}

pub(super) fn roots_of(authorities: &[Anchor]) -> Arc<RootCertStore> {
    let anchors = authorities.iter().map(|(anchor, _)| anchor.clone());
    Arc::new(anchors.collect())
}

/// A client's trust in the authorities of servers.
#[derive(Debug)]
pub(super) struct TrustInServers(Trust<WebPkiServerVerifier>);

impl TrustInServers {
    pub(super) fn new(
        authorities: Vec<Anchor>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        Trust::new(authorities, move |roots| {
            WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build()
        })
        .map(Self)
    }
}

impl ServerCertVerifier for TrustInServers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.0.verify(now, |verifier| {
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        })?;
        match issuer_that_may_not_sign(end_entity, intermediates) {
            Some(index) => {
                let fault = OtherError(Arc::new(IssuerMayNotSign(index + 2)));
                Err(CertificateError::Other(fault).into())
            }
            None => Ok(verified),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.of_all().verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.of_all().verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.of_all().supported_verify_schemes()
    }
}
