//! TLS configurations out of files, each fault told with the file and its remedy.
//!
//! Every file is read once: what is checked is what is used.

use std::{path::PathBuf, sync::Arc, time::SystemTime};

use rustls::{
    ClientConfig, ServerConfig, SupportedProtocolVersion,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime},
    server::NoServerSessionStorage,
    sign::{CertifiedKey, SingleCertAndKey},
    time_provider::TimeProvider,
    version::{TLS12, TLS13},
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{
    crl::RevocationLists,
    error::{Problem, TlsError},
    expiry::Expiry,
    handshake_text::certificate_fault,
    reading::{read_certificates, read_key},
    roots::Authorities,
    trust::TrustInServers,
    verify::ClientVerifier,
    x509::{parsed_in, times, unix_time},
};
use crate::{files::TrackedFiles, text::escaped};

/// Bytes of one's own certificates that peers are expected to take: more is most often a file of
/// authorities by mistake, and rustls reads no larger message.
const CHAIN_BYTES_MAX: usize = 0xffff;

/// The files that one side of a connection proves itself and the other side with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// PEM: the authorities whose certificates are taken.
    pub ca: PathBuf,
    /// PEM: the own certificate, followed by what links it to an authority.
    pub certificate: PathBuf,
    /// PEM: the own private key, as PKCS#8, SEC1 or PKCS#1.
    pub key: PathBuf,
    /// Whether a key file that every user of the machine can read is taken all the same.
    pub allow_loose_key_permissions: bool,
}

/// The oldest TLS version that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2, for clients that know no better.
    V1_2,
    /// TLS 1.3.
    #[default]
    V1_3,
}

impl TlsVersion {
    pub(super) fn and_newer(self) -> &'static [&'static SupportedProtocolVersion] {
        const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
        const NEW: &[&SupportedProtocolVersion] = &[&TLS13];
        match self {
            Self::V1_2 => BOTH,
            Self::V1_3 => NEW,
        }
    }
}

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

/// The client's side.
///
/// # Errors
///
/// When a file cannot be used.
pub fn client_config(credentials: &Credentials) -> Result<ClientConfig, TlsError> {
    let provider = provider();
    let mut sources = TrackedFiles::default();
    let authorities = Authorities::read(&credentials.ca, &mut sources)?;
    if !authorities
        .anchors
        .iter()
        .any(|(_, end)| *end > SystemTime::now())
    {
        return Err(TlsError::new(&credentials.ca, Problem::Expired));
    }
    let servers = TrustInServers::new(authorities.anchors, Arc::clone(&provider))
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

/// aws-lc-rs with X25519MLKEM768 first among the key exchanges.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The machine's clock. That of rustls panics when it stands before 1970.
#[derive(Debug)]
struct Clock;

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_time(SystemTime::now()))
    }
}

impl Credentials {
    fn chain_and_key(
        &self,
        provider: &CryptoProvider,
        sources: &mut TrackedFiles,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let chain = read_certificates(&self.certificate, sources)?;
        if chain.iter().map(|der| der.len()).sum::<usize>() > CHAIN_BYTES_MAX {
            return Err(TlsError::new(&self.certificate, Problem::LargeChain));
        }
        if let Some(own) = chain.first() {
            let now = SystemTime::now();
            let (begin, end) = times(&parsed_in(own, &self.certificate)?);
            if end <= now {
                return Err(TlsError::new(&self.certificate, Problem::Expired));
            }
            if begin > now {
                return Err(TlsError::new(&self.certificate, Problem::NotYetValid));
            }
        }
        let key = read_key(&self.key, self.allow_loose_key_permissions, sources)?;
        let signing_key = provider
            .key_provider
            .load_private_key(key.clone_key())
            .map_err(|_| TlsError::new(&self.key, Problem::KeyKind))?;
        match CertifiedKey::new(chain.clone(), signing_key).keys_match() {
            Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => Err(
                TlsError::new(&self.key, Problem::Mismatch(self.certificate.clone())),
            ),
            Err(error @ rustls::Error::InvalidCertificate(_)) => Err(self.unusable(&error)),
            // What else can go wrong with the pair is told when the configuration is built.
            _ => Ok((chain, key)),
        }
    }

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

    fn unusable(&self, error: &rustls::Error) -> TlsError {
        let fault = match error {
            rustls::Error::InvalidCertificate(fault) => certificate_fault(fault),
            _ => None,
        };
        match fault {
            Some(fault) => {
                TlsError::unusable(&self.certificate, format!("the certificate {fault}"))
            }
            None => TlsError::unusable(&self.certificate, error),
        }
    }
}
