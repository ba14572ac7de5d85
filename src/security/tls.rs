//! TLS configurations out of files, each fault told with the file and its remedy.
//!
//! Every file is read once: what is checked is what is used.

mod error;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

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
use tracing::warn;
use webpki::anchor_from_trusted_cert;
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

pub(super) use error::Problem;
pub use error::TlsError;

use super::{
    crl::{RevocationLists, system_time, unix_time},
    deadline::Deadline,
    fault_text::GARBLED,
    handshake_text::certificate_fault,
    inspect::escaped,
    pem,
    source::{Contents, Sources},
    trust::{Anchor, TrustInServers},
    verify::ClientVerifier,
};

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
    pub(super) own: OwnCertificate,
}

/// What the server proves itself with.
#[derive(Clone, Debug)]
pub(super) struct OwnCertificate {
    pair: Arc<CertifiedKey>,
    deadlines: Vec<Deadline>,
}

impl ServerTlsFiles {
    /// Reads what the server proves itself with, and checks it.
    pub(super) fn own_certificate(
        &self,
        sources: &mut Sources,
    ) -> Result<OwnCertificate, TlsError> {
        let (credentials, provider) = (&self.credentials, provider());
        let (chain, key) = credentials.chain_and_key(&provider, sources)?;
        credentials.check_server_use(&chain)?;
        let deadlines = credentials.chain_deadlines(&chain)?;
        let pair = CertifiedKey::from_der(chain, key, &provider)
            .map_err(|error| credentials.unusable(&error))?;
        Ok(OwnCertificate {
            pair: Arc::new(pair),
            deadlines,
        })
    }

    /// Reads what clients are judged by, and checks it. What has ended is told to who starts a
    /// server. `in_force`, what they have been judged by so far, can end under way: then it still
    /// takes in what is newer beside it, and lets nobody in by what has ended.
    pub(super) fn clients(
        &self,
        in_force: Option<&ClientVerifier>,
        sources: &mut Sources,
    ) -> Result<ClientVerifier, TlsError> {
        let (now, provider) = (SystemTime::now(), provider());
        let authorities = self.credentials.authorities(sources)?;
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
    pub(super) fn new(
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
            deadlines: [&own.deadlines, clients.deadlines()].concat(),
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
    let mut sources = Sources::default();
    let authorities = credentials.authorities(&mut sources)?;
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
        let (mut all, mut anchors, mut deadlines) = (Vec::new(), Vec::new(), Vec::new());
        for (index, der) in certificates.into_iter().enumerate() {
            let certificate = parsed(&der, &self.ca)?;
            let subject = escaped(&certificate.subject().to_string());
            if !is_authority(&certificate) {
                let problem = Problem::NotAuthority(index + 1, subject);
                return Err(TlsError::new(&self.ca, problem));
            }
            let (begin, end) = times(&certificate);
            all.push((der.clone(), end > now));
            let what = format!("the authority \"{subject}\"");
            deadlines.push(Deadline::of_certificate(what, &self.ca, begin, end));
            let anchor = anchor_from_trusted_cert(&der)
                .map_err(|error| TlsError::unusable(&self.ca, error))?;
            anchors.push((anchor.to_owned(), end));
        }
        let is_good = |deadline: &Deadline| deadline.end > now;
        if deadlines.iter().any(is_good) {
            // Beside others, one that has ended is not missed: it is told of now and not again.
            let over = deadlines
                .iter()
                .enumerate()
                .filter(|(_, one)| !is_good(one));
            for (index, Deadline { file, .. }) in over {
                let (file, number) = (file.display(), index + 1);
                warn!(%file, number, "an authority has expired and is left out");
            }
            deadlines.retain(is_good);
        }
        Ok(Authorities {
            file: self.ca.clone(),
            anchors,
            certificates: all,
            deadlines,
        })
    }

    fn chain_and_key(
        &self,
        provider: &CryptoProvider,
        sources: &mut Sources,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let chain = read_certificates(&self.certificate, sources)?;
        if chain.iter().map(|der| der.len()).sum::<usize>() > CHAIN_BYTES_MAX {
            return Err(TlsError::new(&self.certificate, Problem::LargeChain));
        }
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
            Err(error @ rustls::Error::InvalidCertificate(_)) => Err(self.unusable(&error)),
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
        let contents = open(&self.key, sources)?;
        if contents.is_open_to_others() && !self.allow_loose_key_permissions {
            return Err(TlsError::new(
                &self.key,
                Problem::LoosePermissions(contents.mode & 0o777),
            ));
        }
        check_writers(&self.key, &contents)?;
        pem::private_key(&contents.bytes).map_err(|fault| TlsError::unusable(&self.key, fault))
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

/// A file that decides who is trusted, which is not for everyone to write.
pub(super) fn read(path: &Path, sources: &mut Sources) -> Result<Contents, TlsError> {
    let contents = open(path, sources)?;
    check_writers(path, &contents)?;
    Ok(contents)
}

fn open(path: &Path, sources: &mut Sources) -> Result<Contents, TlsError> {
    sources
        .read(path)
        .map_err(|error| TlsError::new(path, Problem::Read(error)))
}

fn check_writers(path: &Path, contents: &Contents) -> Result<(), TlsError> {
    if contents.is_writable_by_others() {
        return Err(TlsError::new(
            path,
            Problem::WritableByOthers(contents.mode),
        ));
    }
    Ok(())
}

fn read_certificates(
    path: &Path,
    sources: &mut Sources,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    pem::certificates(&read(path, sources)?.bytes).map_err(|fault| TlsError::unusable(path, fault))
}

/// The authorities of a file, ended ones too.
#[derive(Debug)]
pub(super) struct Authorities {
    pub(super) file: PathBuf,
    pub(super) anchors: Vec<Anchor>,
    /// And whether each is in date.
    pub(super) certificates: Vec<(CertificateDer<'static>, bool)>,
    /// Of those that are to be renewed.
    pub(super) deadlines: Vec<Deadline>,
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
