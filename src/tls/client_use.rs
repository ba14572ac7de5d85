//! What a client's certificate must state, beyond what WebPKI verifies.
//!
//! Owns that it is for client use, that the CAs above it may sign certificates, and how long its chain
//! may be.

use std::{fmt, iter, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use webpki::EndEntityCert;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{anchors::CurrentAnchors, handshake_text::KEY_KINDS, x509::issuer_that_may_not_sign};

/// Most certificates beside the client's own. No chain in use is longer, and the work of finding a
/// path through more of them grows quickly.
const CHAIN_MAX: usize = 8;

/// Most pairs of them in which one can have issued the other, by its name: as many as a long chain
/// has, and some more for CAs with two certificates. WebPKI tries every order that the names allow.
/// Eight CAs of one name have tens of thousands, and any client could ask for that work.
const LINKS_MAX: usize = CHAIN_MAX + 4;

/// Requires a client's certificate to state client use, and bounds its chain. The verifier inside does
/// everything else.
///
/// WebPKI accepts a certificate without any extended key usage for every use. A CA that also issues
/// certificates for other purposes would let their holders in.
#[derive(Debug)]
pub(super) struct RequireClientAuth(pub(super) CurrentAnchors<dyn ClientCertVerifier>);

/// Why a certificate is refused here.
#[derive(thiserror::Error)]
pub(super) enum UnsuitableCertificate {
    /// The certificate has no extended key usage at all.
    #[error(
        "the client's certificate does not state that it is for client use (extended key usage clientAuth)"
    )]
    NoStatedUse,
    #[error(
        "the client sent a chain of {0} certificates: at most {CHAIN_MAX} are accepted beside its own"
    )]
    ChainTooLong(usize),
    #[error(
        "the certificates that the client sent fit together in too many ways: it must send only its own chain"
    )]
    TooManyLinks,
    /// A CA in the chain that the client sent, counted from 1 for the client's own certificate.
    #[error(
        "certificate {0} of the client's chain is of a CA for other uses (its extended key usage has no clientAuth): have that CA's certificate issued anew, with clientAuth or without any extended key usage"
    )]
    IssuerForOtherUses(usize),
    /// The same for a CA that may not sign certificates.
    #[error(
        "certificate {0} of the client's chain is of a CA that may not sign certificates (its key usage has no keyCertSign): have that CA's certificate issued anew, with keyCertSign or without any key usage"
    )]
    IssuerMayNotSign(usize),
    /// The certificate is valid, but the client's signature does not prove that it holds the key.
    #[error(
        "the client did not prove that it holds the key of its certificate: it signs with another, or the key is of a kind that is not accepted here ({KEY_KINDS})"
    )]
    Unproven,
}

impl fmt::Debug for UnsuitableCertificate {
    /// The same text: rustls logs errors of other types with `Debug`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl ClientCertVerifier for RequireClientAuth {
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if intermediates.len() > CHAIN_MAX {
            return Err(refused(UnsuitableCertificate::ChainTooLong(
                intermediates.len() + 1,
            )));
        }
        if links(end_entity, intermediates) > LINKS_MAX {
            return Err(refused(UnsuitableCertificate::TooManyLinks));
        }
        let verified = self.0.verify(now, |verifier| {
            verifier.verify_client_cert(end_entity, intermediates, now)
        });
        let verified = verified.map_err(|error| match error {
            Error::InvalidCertificate(
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
            ) if states_client_use(end_entity) => issuer_for_other_uses(intermediates, error),
            other => other,
        })?;
        if !states_client_use(end_entity) {
            return Err(refused(UnsuitableCertificate::NoStatedUse));
        }
        match issuer_that_may_not_sign(end_entity, intermediates) {
            Some(index) => Err(refused(UnsuitableCertificate::IssuerMayNotSign(index + 2))),
            None => Ok(verified),
        }
    }

    fn offer_client_auth(&self) -> bool {
        self.0.unfiltered().offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.unfiltered().client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.unfiltered().root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verifier = self.0.unfiltered();
        let verified = verifier.verify_tls12_signature(message, cert, dss);
        verified.map_err(unproven)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verifier = self.0.unfiltered();
        let verified = verifier.verify_tls13_signature(message, cert, dss);
        verified.map_err(unproven)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.unfiltered().supported_verify_schemes()
    }
}

fn refused(reason: UnsuitableCertificate) -> Error {
    CertificateError::Other(OtherError(Arc::new(reason))).into()
}

/// rustls reports a bad signature in the handshake as if it were one on the certificate.
fn unproven(error: Error) -> Error {
    match error {
        Error::InvalidCertificate(_) => refused(UnsuitableCertificate::Unproven),
        other => other,
    }
}

/// Finds the CA that is for other uses: WebPKI refuses the whole chain, and does not say which
/// certificate is at fault.
fn issuer_for_other_uses(intermediates: &[CertificateDer<'_>], error: Error) -> Error {
    let is_for_other_uses = |issuer: &CertificateDer<'_>| client_use(issuer) == Some(false);
    match intermediates.iter().position(is_for_other_uses) {
        Some(index) => refused(UnsuitableCertificate::IssuerForOtherUses(index + 2)),
        None => error,
    }
}

/// In how many pairs of these certificates one can, by its name, have issued the other.
fn links(end_entity: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> usize {
    let chain: Vec<_> = iter::once(end_entity)
        .chain(intermediates)
        .filter_map(|der| EndEntityCert::try_from(der).ok())
        .collect();
    let pairs = chain
        .iter()
        .flat_map(|issued| chain.iter().map(move |issuer| (issued, issuer)));
    pairs
        .filter(|(issued, issuer)| {
            issued.issuer() == issuer.subject() && issued.der() != issuer.der()
        })
        .count()
}

fn states_client_use(certificate: &CertificateDer<'_>) -> bool {
    client_use(certificate) == Some(true)
}

/// Whether client use is among the extended key usages; `None` where none are stated.
fn client_use(certificate: &CertificateDer<'_>) -> Option<bool> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let usage = certificate.extended_key_usage().ok()??;
    Some(usage.value.client_auth)
}
