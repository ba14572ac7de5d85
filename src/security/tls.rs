//! TLS configurations out of files, each fault told with the file and its remedy.
//!
//! Every file is read once: what is checked is what is used.

mod error;

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{
        CertificateDer, PrivateKeyDer, UnixTime,
        pem::{self, PemObject},
    },
    server::NoServerSessionStorage,
    sign::CertifiedKey,
    time_provider::TimeProvider,
    version::{TLS12, TLS13},
};
use tracing::warn;
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

pub(super) use error::Problem;
pub use error::TlsError;

use super::{
    crl::{RevocationLists, system_time},
    deadline::Deadline,
    fault_text::GARBLED,
    handshake_text::certificate_fault,
    inspect::escaped,
    source::{Contents, Sources},
    verify::{ClientVerifier, unix_time},
};

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
    fn and_newer(self) -> &'static [&'static SupportedProtocolVersion] {
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
    pub deadlines: Vec<Deadline>,
    /// When the first of the authorities in use ends: verifiers do not look at that themselves, so
    /// from then on the files are to be read anew.
    pub authorities_end: Option<SystemTime>,
}

impl ServerTls {
    /// Reads all files and checks them.
    ///
    /// # Errors
    ///
    /// When one of them cannot be used.
    pub fn read(files: &ServerTlsFiles, sources: &mut Sources) -> Result<Self, TlsError> {
        let ServerTlsFiles {
            credentials,
            oldest,
            record_bytes_max,
            crls,
        } = files;
        let provider = provider();
        let authorities = credentials.authorities(sources)?;
        let (chain, key) = credentials.chain_and_key(&provider, sources)?;
        credentials.check_server_use(&chain)?;
        let lists =
            RevocationLists::read(crls, &authorities, &provider, sources, SystemTime::now())?;
        let authorities_end = authorities
            .deadlines
            .iter()
            .map(|deadline| deadline.end)
            .min();
        let mut deadlines = credentials.chain_deadlines(&chain)?;
        deadlines.extend(authorities.deadlines);
        deadlines.extend(lists.deadlines.iter().cloned());
        let clients = ClientVerifier::new(authorities.roots, lists, Arc::clone(&provider))
            .map_err(|error| TlsError::unusable(&credentials.ca, error))?;
        let mut config = ServerConfig::builder_with_details(provider, Arc::new(Clock))
            .with_protocol_versions(oldest.and_newer())
            .map_err(|error| credentials.unusable(&error))?
            .with_client_cert_verifier(clients.of_handshakes())
            .with_single_cert(chain, key)
            .map_err(|error| credentials.unusable(&error))?;
        // A resumed session brings the peer's certificate back without asking the verifier again,
        // so a client revoked since then would still get in (CVE-2025-23419 is of this kind).
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // rustls counts the header of a record.
        config.max_fragment_size = Some(record_bytes_max + 5);
        Ok(Self {
            config: Arc::new(config),
            clients,
            deadlines,
            authorities_end,
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
    let mut sources = Sources::default();
    let authorities = credentials.authorities(&mut sources)?;
    let (chain, key) = credentials.chain_and_key(&provider, &mut sources)?;
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(Clock))
        .with_protocol_versions(TlsVersion::V1_2.and_newer())
        .map_err(|error| credentials.unusable(&error))?
        .with_root_certificates(authorities.roots)
        .with_client_auth_cert(chain, key)
        .map_err(|error| credentials.unusable(&error))?;
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// aws-lc-rs with X25519MLKEM768 first among the key exchanges.
fn provider() -> Arc<CryptoProvider> {
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
    fn authorities(&self, sources: &mut Sources) -> Result<Authorities, TlsError> {
        let certificates = read_certificates(&self.ca, sources)?;
        let now = SystemTime::now();
        let (mut roots, mut expired) = (RootCertStore::empty(), Vec::new());
        let (mut subjects, mut deadlines) = (HashSet::new(), Vec::new());
        for (index, der) in certificates.into_iter().enumerate() {
            let certificate = parsed(&der, &self.ca)?;
            let subject = escaped(&certificate.subject().to_string());
            if !is_authority(&certificate) {
                let problem = Problem::NotAuthority(index + 1, subject);
                return Err(TlsError::new(&self.ca, problem));
            }
            // WebPKI does not look at an authority's dates: whom it vouches for would still get in.
            let (begin, end) = times(&certificate);
            if end <= now {
                expired.push(index + 1);
                continue;
            }
            subjects.insert(certificate.subject().as_raw().to_vec());
            let what = format!("the authority \"{subject}\"");
            deadlines.push(Deadline::of_certificate(what, &self.ca, begin, end));
            roots
                .add(der.clone())
                .map_err(|error| TlsError::unusable(&self.ca, error))?;
        }
        if roots.is_empty() {
            return Err(TlsError::new(&self.ca, Problem::Expired));
        }
        for number in expired {
            let file = self.ca.display();
            warn!(%file, number, "an authority has expired and is left out");
        }
        Ok(Authorities {
            file: self.ca.clone(),
            roots: Arc::new(roots),
            subjects,
            deadlines,
        })
    }

    fn chain_and_key(
        &self,
        provider: &CryptoProvider,
        sources: &mut Sources,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let chain = read_certificates(&self.certificate, sources)?;
        if let Some(own) = chain.first() {
            let now = SystemTime::now();
            let (begin, end) = times(&parsed(own, &self.certificate)?);
            if end <= now {
                return Err(TlsError::new(&self.certificate, Problem::Expired));
            }
            if begin > now {
                return Err(TlsError::new(&self.certificate, Problem::NotYetValid));
            }
        }
        let key = self.read_key(sources)?;
        let signing_key = provider
            .key_provider
            .load_private_key(key.clone_key())
            .map_err(|_| TlsError::new(&self.key, Problem::KeyKind))?;
        match CertifiedKey::new(chain.clone(), signing_key).keys_match() {
            Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => Err(
                TlsError::new(&self.key, Problem::Mismatch(self.certificate.clone())),
            ),
            // What else can go wrong with the pair is told when the configuration is built.
            _ => Ok((chain, key)),
        }
    }

    fn chain_deadlines(&self, chain: &[CertificateDer<'_>]) -> Result<Vec<Deadline>, TlsError> {
        let file = &self.certificate;
        let deadlines = chain.iter().enumerate().map(|(index, der)| {
            let certificate = parsed(der, file)?;
            let (begin, end) = times(&certificate);
            let what = match index {
                0 => "the server's certificate".to_owned(),
                _ => format!(
                    "the certificate \"{}\" in the server's chain",
                    escaped(&certificate.subject().to_string())
                ),
            };
            Ok(Deadline::of_certificate(what, file, begin, end))
        });
        deadlines.collect()
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

    fn read_key(&self, sources: &mut Sources) -> Result<PrivateKeyDer<'static>, TlsError> {
        let contents = read(&self.key, sources)?;
        if contents.is_open_to_others() && !self.allow_loose_key_permissions {
            return Err(TlsError::new(
                &self.key,
                Problem::LoosePermissions(contents.mode & 0o777),
            ));
        }
        if is_encrypted(&contents.bytes) {
            return Err(TlsError::new(&self.key, Problem::EncryptedKey));
        }
        PrivateKeyDer::from_pem_slice(&contents.bytes).map_err(|error| match error {
            pem::Error::NoItemsFound => TlsError::new(&self.key, Problem::NoKey),
            _ => TlsError::new(&self.key, Problem::Garbled),
        })
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

/// Whether a PEM file has a key with a password, as PKCS#8 or in OpenSSL's older way.
fn is_encrypted(pem: &[u8]) -> bool {
    [
        &b"BEGIN ENCRYPTED PRIVATE KEY"[..],
        b"Proc-Type: 4,ENCRYPTED",
    ]
    .iter()
    .any(|mark| memchr::memmem::find(pem, mark).is_some())
}

fn read(path: &Path, sources: &mut Sources) -> Result<Contents, TlsError> {
    sources
        .read(path)
        .map_err(|error| TlsError::new(path, Problem::Read(error)))
}

fn read_certificates(
    path: &Path,
    sources: &mut Sources,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&read(path, sources)?.bytes)
        .collect::<Result<_, _>>()
        .map_err(|_| TlsError::new(path, Problem::Garbled))?;
    if certificates.is_empty() {
        return Err(TlsError::new(path, Problem::NoCertificate));
    }
    Ok(certificates)
}

/// The authorities of a file that are in use.
#[derive(Debug)]
pub(super) struct Authorities {
    pub(super) file: PathBuf,
    pub(super) roots: Arc<RootCertStore>,
    /// As they stand in certificates and lists.
    subjects: HashSet<Vec<u8>>,
    deadlines: Vec<Deadline>,
}

impl Authorities {
    pub(super) fn has_subject(&self, subject: &[u8]) -> bool {
        self.subjects.contains(subject)
    }
}

/// Whether it may vouch for others. WebPKI takes whatever it is told to trust: here that would make
/// a CA out of a client whose certificate somebody put into the file.
///
/// A root of version 1 cannot say what it is, as it has no extensions. One that names itself as its
/// issuer is taken on the word of who put it there (RFC 5280 §6.1.1 asks of a trust anchor no more
/// than name and key); one that another CA issued is not.
fn is_authority(certificate: &X509Certificate<'_>) -> bool {
    if certificate.version() == X509Version::V1 {
        return certificate.subject().as_raw() == certificate.issuer().as_raw();
    }
    matches!(certificate.basic_constraints(), Ok(Some(constraints)) if constraints.value.ca)
}

fn parsed<'a>(der: &'a CertificateDer<'_>, path: &Path) -> Result<X509Certificate<'a>, TlsError> {
    X509Certificate::from_der(der)
        .map(|(_, certificate)| certificate)
        .map_err(|_| TlsError::unusable(path, GARBLED))
}

/// When it begins to be good, and from when on it is good no more: its last second is whole part of
/// its time (RFC 5280 §4.1.2.5).
pub(super) fn times(certificate: &X509Certificate<'_>) -> (SystemTime, SystemTime) {
    let validity = certificate.validity();
    (
        system_time(validity.not_before.timestamp()),
        system_time(validity.not_after.timestamp().saturating_add(1)),
    )
}

#[cfg(test)]
mod tests;
