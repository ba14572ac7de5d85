//! The server's side of TLS: its own certificate, and which clients are let in.

use std::{path::PathBuf, sync::Arc, time::SystemTime};

use rustls::{
    ServerConfig,
    pki_types::CertificateDer,
    server::NoServerSessionStorage,
    sign::{CertifiedKey, SingleCertAndKey},
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{
    credentials::{Clock, Credentials, TlsVersion, provider},
    crl::RevocationLists,
    error::{Problem, TlsError},
    expiry::Expiry,
    roots::TrustedCas,
    verify::ClientVerifier,
    x509::{parse_certificate, validity},
};
use crate::{files::TrackedFiles, text::escaped};

/// The files of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTlsFiles {
    /// The certificate and key of the server, and the CAs of its clients.
    pub credentials: Credentials,
    /// The oldest version that clients may use.
    pub oldest: TlsVersion,
    /// Most bytes of content in a record that the server sends: from 512 to 16,384.
    pub record_bytes_max: usize,
    /// PEM or DER: the revocation lists of those CAs. Without any, nobody is revoked; with one, every
    /// CA in a client's chain needs its own.
    pub crls: Vec<PathBuf>,
}

/// The TLS of a server. It requires a client certificate, and never resumes a session.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// For handshakes.
    pub config: Arc<ServerConfig>,
    /// The verifier of those handshakes, to verify connected clients again.
    pub clients: ClientVerifier,
    /// What expires: the server's chain, the CAs in use, the revocation lists.
    pub expiries: Vec<Expiry>,
    pub(crate) own: OwnCertificate,
}

/// The server's certificate and key.
#[derive(Clone, Debug)]
pub(crate) struct OwnCertificate {
    pair: Arc<CertifiedKey>,
    expiries: Vec<Expiry>,
}

impl ServerTlsFiles {
    /// Reads and checks the server's certificate and key.
    pub(crate) fn own_certificate(
        &self,
        sources: &mut TrackedFiles,
    ) -> Result<OwnCertificate, TlsError> {
        let (credentials, provider) = (&self.credentials, provider());
        let (chain, key) = credentials.chain_and_key(&provider, sources)?;
        credentials.check_server_use(&chain)?;
        let expiries = credentials.chain_expiries(&chain)?;
        let pair = CertifiedKey::from_der(chain, key, &provider)
            .map_err(|error| credentials.unusable(&error))?;
        Ok(OwnCertificate {
            pair: Arc::new(pair),
            expiries,
        })
    }

    /// Reads and checks what clients are verified by. At the start of a server, expired files are an
    /// error. At a reload, `in_force` is the verifier until now: files that have expired since then
    /// must not keep out newer ones, so they are accepted again, but let nobody in.
    pub(crate) fn clients(
        &self,
        in_force: Option<&ClientVerifier>,
        sources: &mut TrackedFiles,
    ) -> Result<ClientVerifier, TlsError> {
        let (now, provider) = (SystemTime::now(), provider());
        let cas = TrustedCas::read(&self.credentials.ca, sources)?;
        let crls = match self.crls.as_slice() {
            [] => None,
            crls => Some(RevocationLists::read(
                crls,
                &cas,
                &provider,
                sources,
                now,
                in_force.and_then(ClientVerifier::crls),
            )?),
        };
        let ca = &self.credentials.ca;
        let clients = ClientVerifier::new(cas, crls, &provider)
            .map_err(|error| TlsError::unusable(ca, error))?;
        if in_force.is_none() && !clients.trusts_any(now) {
            return Err(TlsError::new(ca, Problem::Expired));
        }
        Ok(clients)
    }
}

impl ServerTls {
    /// Combines both halves.
    ///
    /// # Errors
    ///
    /// When rustls accepts no such configuration.
    pub(crate) fn new(
        files: &ServerTlsFiles,
        own: OwnCertificate,
        clients: ClientVerifier,
    ) -> Result<Self, TlsError> {
        let mut config = ServerConfig::builder_with_details(provider(), Arc::new(Clock))
            .with_protocol_versions(files.oldest.and_newer())
            .map_err(|error| files.credentials.unusable(&error))?
            .with_client_cert_verifier(clients.for_handshakes())
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&own.pair))));
        // A resumed session skips the verifier, so a client that was revoked in the meantime would
        // get in (CVE-2025-23419 is of this kind).
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // rustls includes the header of a record.
        config.max_fragment_size = Some(files.record_bytes_max + 5);
        Ok(Self {
            config: Arc::new(config),
            expiries: [&own.expiries, clients.expiries()].concat(),
            clients,
            own,
        })
    }
}

impl Credentials {
    fn chain_expiries(&self, chain: &[CertificateDer<'_>]) -> Result<Vec<Expiry>, TlsError> {
        let file = &self.certificate;
        let expiries = chain.iter().enumerate().map(|(index, der)| {
            let certificate = parse_certificate(der, file)?;
            let (begin, end) = validity(&certificate);
            let what = match index {
                0 => "the server's certificate".to_owned(),
                _ => format!(
                    "the certificate \"{}\" in the server's chain",
                    escaped(&certificate.subject().to_string())
                ),
            };
            Ok(Expiry::of_certificate(what, file, begin, end))
        });
        expiries.collect()
    }

    /// No client accepts a server certificate that is for other uses only.
    fn check_server_use(&self, chain: &[CertificateDer<'_>]) -> Result<(), TlsError> {
        let own = chain
            .first()
            .and_then(|own| X509Certificate::from_der(own).ok());
        let usage = own
            .as_ref()
            .and_then(|(_, own)| own.extended_key_usage().ok().flatten());
        match usage {
            Some(usage) if !usage.value.server_auth && !usage.value.any => {
                Err(TlsError::new(&self.certificate, Problem::NotForServers))
            }
            _ => Ok(()),
        }
    }
}
