//! The client's side of TLS: its own certificate, and which servers it trusts.

use std::{sync::Arc, time::SystemTime};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
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
        self.0.verify(now, |verifier| {
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        })
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
