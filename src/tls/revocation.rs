//! Adds revocation to the judging of chains.
//!
//! WebPKI's own finds a list by its issuer's name alone, so that a CA that gets a new key, and has
//! two lists for a time, would lock out the clients of one of them; and it checks the signature of a
//! whole list at each handshake. Here lists are checked when they are read.

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

/// Demands of a chain that another verifier has found good that nothing in it is revoked.
#[derive(Debug)]
pub(super) struct Unrevoked {
    pub(super) chains: Arc<dyn ClientCertVerifier>,
    /// Those of `chains`.
    pub(super) roots: Arc<RootCertStore>,
    pub(super) lists: Arc<RevocationLists>,
    pub(super) provider: Arc<CryptoProvider>,
}

impl Unrevoked {
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
                Some(&|path| self.lists.check(path, now)),
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
        // What else can be wrong with a chain has been looked at before.
        other => CertificateError::Other(OtherError(Arc::new(other))),
    };
    fault.into()
}

impl ClientCertVerifier for Unrevoked {
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // Its faults are told by rustls in kinds that peers and the log understand.
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
