//! The broker's side of TLS: its own certificate, and who is let in.

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
    roots::Authorities,
    verify::ClientVerifier,
    x509::{parsed_in, times},
};
use crate::{files::TrackedFiles, text::escaped};

/// The files of the server's side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTlsFiles {
    /// What the server proves itself with, and the authorities of its clients.
    pub credentials: Credentials,
    /// The oldest version that clients may speak.
    pub oldest: TlsVersion,
    /// Bytes of content in a record that the server sends: from 512 to 16,384.
    pub record_bytes_max: usize,
    /// PEM or DER: the revocation lists of those authorities. Without any, nobody is revoked; with
    /// one, every authority that a client's chain passes needs its own.
    pub crls: Vec<PathBuf>,
}

/// The server's side: a client certificate is demanded, and every connection proves itself afresh.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// For handshakes.
    pub config: Arc<ServerConfig>,
    /// The verifier of those handshakes, to judge clients again that are in already.
    pub clients: ClientVerifier,
    /// What of this ends: the own certificate and those that link it to an authority, the
    /// authorities in use, the revocation lists.
    pub expiries: Vec<Expiry>,
    pub(crate) own: OwnCertificate,
}

/// What the server proves itself with.
#[derive(Clone, Debug)]
pub(crate) struct OwnCertificate {
    pair: Arc<CertifiedKey>,
    expiries: Vec<Expiry>,
}

impl ServerTlsFiles {
    /// Reads what the server proves itself with, and checks it.
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

    /// Reads what clients are judged by, and checks it. What has ended is told to who starts a
    /// server. `in_force`, what they have been judged by so far, can end under way: then it still
    /// takes in what is newer beside it, and lets nobody in by what has ended.
    pub(crate) fn clients(
        &self,
        in_force: Option<&ClientVerifier>,
        sources: &mut TrackedFiles,
    ) -> Result<ClientVerifier, TlsError> {
        let (now, provider) = (SystemTime::now(), provider());
        let authorities = Authorities::read(&self.credentials.ca, sources)?;
        let lists = match self.crls.as_slice() {
            [] => None,
            crls => Some(RevocationLists::read(
                crls,
                &authorities,
                &provider,
                sources,
                now,
                in_force.and_then(ClientVerifier::lists),
            )?),
        };
        let ca = &self.credentials.ca;
        let clients = ClientVerifier::new(authorities, lists, &provider)
            .map_err(|error| TlsError::unusable(ca, error))?;
        if in_force.is_none() && !clients.trusts_any(now) {
            return Err(TlsError::new(ca, Problem::Expired));
        }
        Ok(clients)
    }
}

impl ServerTls {
    /// Of both its halves.
    ///
    /// # Errors
    ///
    /// When they make no configuration.
    pub(crate) fn new(
        files: &ServerTlsFiles,
        own: OwnCertificate,
        clients: ClientVerifier,
    ) -> Result<Self, TlsError> {
        let mut config = ServerConfig::builder_with_details(provider(), Arc::new(Clock))
            .with_protocol_versions(files.oldest.and_newer())
            .map_err(|error| files.credentials.unusable(&error))?
            .with_client_cert_verifier(clients.of_handshakes())
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&own.pair))));
        // A resumed session brings the peer's certificate back without asking the verifier again,
        // so a client revoked since then would still get in (CVE-2025-23419 is of this kind).
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // rustls counts the header of a record.
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
            let certificate = parsed_in(der, file)?;
            let (begin, end) = times(&certificate);
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

    /// No client would take a certificate that is for other uses alone.
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
