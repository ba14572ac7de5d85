use std::{fmt, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Demands of a client's certificate, beside all that the verifier inside demands, that it says it
/// is for client use.
///
/// WebPKI takes a certificate that states no use at all for any use. A CA that also makes
/// certificates for other ends would thereby let their holders in.
#[derive(Debug)]
pub(super) struct ForClientUse(pub(super) Arc<dyn ClientCertVerifier>);

/// The certificate has no extended key usage at all.
#[derive(thiserror::Error)]
#[error("it does not state that it is for client use (extended key usage clientAuth)")]
struct NoStatedUse;

impl fmt::Debug for NoStatedUse {
    /// In words: of an error that is not its own, rustls prints this into the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl ClientCertVerifier for ForClientUse {
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.0.verify_client_cert(end_entity, intermediates, now)?;
        if states_client_use(end_entity) {
            return Ok(verified);
        }
        Err(CertificateError::Other(OtherError(Arc::new(NoStatedUse))).into())
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

fn states_client_use(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, certificate)| {
        certificate
            .extended_key_usage()
            .is_ok_and(|usage| usage.is_some_and(|usage| usage.value.client_auth))
    })
}
