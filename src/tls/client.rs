//! The client's side of TLS: its own certificate, and which servers it trusts.

use std::{fmt, sync::Arc, time::SystemTime};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::VerifierBuilderError,
};

use super::{
    anchors::{Anchor, CurrentAnchors},
    credentials::{Clock, Credentials, TlsVersion, provider},
    error::{Problem, TlsError},
    roots::TrustedCas,
    x509::issuer_that_may_not_sign,
};
use crate::files::TrackedFiles;

/// The TLS configuration of a client.
///
/// # Errors
///
/// When a file cannot be used.
pub fn client_config(credentials: &Credentials) -> Result<ClientConfig, TlsError> {
    let provider = provider();
    let mut sources = TrackedFiles::default();
    let cas = TrustedCas::read(&credentials.ca, &mut sources)?;
    let now = SystemTime::now();
    if !cas.anchors.iter().any(|(_, end)| *end > now) {
        return Err(TlsError::new(&credentials.ca, Problem::Expired));
    }
    let servers = ServerVerifier::new(cas.anchors, Arc::clone(&provider))
        .map_err(|error| TlsError::unusable(&credentials.ca, error))?;
    let (chain, key) = credentials.chain_and_key(&provider, &mut sources)?;
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(Clock))
        .with_protocol_versions(TlsVersion::V1_2.and_newer())
        .map_err(|error| credentials.unusable(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(servers))
        .with_client_auth_cert(chain, key)
        .map_err(|error| credentials.unusable(&error))?;
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// A CA in the chain that the server sent, counted from 1 for the server's own certificate.
#[derive(thiserror::Error)]
#[error(
    "certificate {0} of the server's chain is of a CA that may not sign certificates (its key usage has no keyCertSign)"
)]
struct IssuerMayNotSign(usize);

impl fmt::Debug for IssuerMayNotSign {
    /// The same text: rustls prints errors of other types with `Debug`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Verifies servers, by the CAs that are valid.
#[derive(Debug)]
pub(super) struct ServerVerifier(CurrentAnchors<WebPkiServerVerifier>);

impl ServerVerifier {
    pub(super) fn new(
        anchors: Vec<Anchor>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        CurrentAnchors::new(anchors, move |roots| {
            WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build()
        })
        .map(Self)
    }
}

impl ServerCertVerifier for ServerVerifier {
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
        self.0
            .unfiltered()
            .verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .unfiltered()
            .verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.unfiltered().supported_verify_schemes()
    }
}
