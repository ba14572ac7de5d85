//! Adds revocation lists (CRLs) to the verification of chains.
//!
//! WebPKI can do that itself, but finds a list by the name of its issuer alone. A CA that gets a new
//! key has two lists for a time, and the clients of one of them would be locked out. WebPKI also
//! verifies the signature of a whole list at each handshake; here that is done when a list is read.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use webpki::{EndEntityCert, KeyUsage};

use super::crl::RevocationLists;

/// Requires that no certificate is revoked in a chain that another verifier accepts.
#[derive(Debug)]
pub(super) struct RequireUnrevoked {
    pub(super) chains: Arc<dyn ClientCertVerifier>,
    /// The roots of `chains`.
    pub(super) roots: Arc<RootCertStore>,
    pub(super) crls: Arc<RevocationLists>,
    pub(super) provider: Arc<CryptoProvider>,
}

impl RequireUnrevoked {
    fn check(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), webpki::Error> {
        EndEntityCert::try_from(end_entity)?
            .verify_for_usage(
                self.provider.signature_verification_algorithms.all,
                &self.roots.roots,
                intermediates,
                now,
                KeyUsage::client_auth(),
                None,
                Some(&|path| self.crls.check(path, now)),
            )
            .map(drop)
    }
}

fn refused(error: webpki::Error) -> Error {
    use webpki::Error::{CertRevoked, CrlExpired, UnknownRevocationStatus};
    let fault = match error {
        CertRevoked => CertificateError::Revoked,
        UnknownRevocationStatus => CertificateError::UnknownRevocationStatus,
        CrlExpired { time, next_update } => {
            CertificateError::ExpiredRevocationListContext { time, next_update }
        }
        // The other verifier has found everything else.
        other => CertificateError::Other(OtherError(Arc::new(other))),
    };
    fault.into()
}

impl ClientCertVerifier for RequireUnrevoked {
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // First, since rustls maps its errors to alerts and to kinds with details.
        let verified = self
            .chains
            .verify_client_cert(end_entity, intermediates, now)?;
        self.check(end_entity, intermediates, now)
            .map_err(refused)?;
        Ok(verified)
    }

    fn offer_client_auth(&self) -> bool {
        self.chains.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.chains.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chains.root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}
