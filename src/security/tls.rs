//! TLS configurations out of PEM files, each fault told with the file and its remedy.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use tracing::warn;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::client_use::ForClientUse;

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

/// The server's side: a client certificate is demanded, and every connection proves itself afresh.
///
/// # Errors
///
/// When a file cannot be used.
pub fn server_config(
    credentials: &Credentials,
    oldest: TlsVersion,
) -> Result<ServerConfig, TlsError> {
    let provider = provider();
    let roots = Arc::new(credentials.roots()?);
    let (chain, key) = credentials.chain_and_key(&provider)?;
    credentials.check_server_use(&chain)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .build()
        .map_err(|error| TlsError::new(&credentials.ca, Problem::Unusable(error.to_string())))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(oldest.and_newer())
        .map_err(|error| credentials.unusable(&error))?
        .with_client_cert_verifier(Arc::new(ForClientUse(verifier)))
        .with_single_cert(chain, key)
        .map_err(|error| credentials.unusable(&error))?;
    // A resumed session brings the peer's certificate back without asking the verifier again, so a
    // client revoked since then would still get in (CVE-2025-23419 is of this kind).
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// The client's side.
///
/// # Errors
///
/// When a file cannot be used.
pub fn client_config(credentials: &Credentials) -> Result<ClientConfig, TlsError> {
    let provider = provider();
    let roots = credentials.roots()?;
    let (chain, key) = credentials.chain_and_key(&provider)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(TlsVersion::V1_2.and_newer())
        .map_err(|error| credentials.unusable(&error))?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|error| credentials.unusable(&error))?;
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// aws-lc-rs with X25519MLKEM768 first among the key exchanges.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

impl Credentials {
    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let authorities = read_certificates(&self.ca)?;
        let now = seconds_now();
        let (mut roots, mut expired) = (RootCertStore::empty(), Vec::new());
        for (index, authority) in authorities.into_iter().enumerate() {
            // WebPKI does not look at an authority's dates: whom it vouches for would still get in.
            if Validity::of(&authority, &self.ca)?.not_after < now {
                expired.push(index + 1);
                continue;
            }
            roots
                .add(authority)
                .map_err(|error| TlsError::new(&self.ca, Problem::Unusable(error.to_string())))?;
        }
        if roots.is_empty() {
            return Err(TlsError::new(&self.ca, Problem::Expired));
        }
        for number in expired {
            let file = self.ca.display();
            warn!(%file, number, "an authority has expired and is left out");
        }
        Ok(roots)
    }

    fn chain_and_key(
        &self,
        provider: &CryptoProvider,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let chain = read_certificates(&self.certificate)?;
        if let Some(own) = chain.first() {
            let (validity, now) = (Validity::of(own, &self.certificate)?, seconds_now());
            if validity.not_after < now {
                return Err(TlsError::new(&self.certificate, Problem::Expired));
            }
            if validity.not_before > now {
                return Err(TlsError::new(&self.certificate, Problem::NotYetValid));
            }
        }
        let key = self.read_key()?;
        let signing_key = provider
            .key_provider
            .load_private_key(key.clone_key())
            .map_err(|error| TlsError::new(&self.key, Problem::Unusable(error.to_string())))?;
        match CertifiedKey::new(chain.clone(), signing_key).keys_match() {
            Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => Err(
                TlsError::new(&self.key, Problem::Mismatch(self.certificate.clone())),
            ),
            // What else can go wrong with the pair is told when the configuration is built.
            _ => Ok((chain, key)),
        }
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

    fn read_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        const READABLE_BY_OTHERS: u32 = 0o007;
        let file = open(&self.key)?;
        let mode = file
            .get_ref()
            .metadata()
            .map_err(|error| TlsError::new(&self.key, Problem::Read(error)))?
            .permissions()
            .mode();
        if mode & READABLE_BY_OTHERS != 0 && !self.allow_loose_key_permissions {
            return Err(TlsError::new(
                &self.key,
                Problem::LoosePermissions(mode & 0o777),
            ));
        }
        PrivateKeyDer::from_pem_reader(io::BufReader::new(file)).map_err(|error| {
            let problem = match error {
                rustls::pki_types::pem::Error::NoItemsFound => Problem::NoKey,
                error => Problem::Unusable(error.to_string()),
            };
            TlsError::new(&self.key, problem)
        })
    }

    fn unusable(&self, error: &rustls::Error) -> TlsError {
        TlsError::new(&self.certificate, Problem::Unusable(error.to_string()))
    }
}

/// Bytes of a PEM file: room for thousands of authorities.
const PEM_BYTES_MAX: u64 = 16 * 1024 * 1024;

fn open(path: &Path) -> Result<io::Take<File>, TlsError> {
    let file = File::open(path).map_err(|error| TlsError::new(path, Problem::Read(error)))?;
    Ok(file.take(PEM_BYTES_MAX))
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let mut pem = Vec::new();
    open(path)?
        .read_to_end(&mut pem)
        .map_err(|error| TlsError::new(path, Problem::Read(error)))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::new(path, Problem::Unusable(error.to_string())))?;
    if certificates.is_empty() {
        return Err(TlsError::new(path, Problem::NoCertificate));
    }
    Ok(certificates)
}

/// Seconds since 1970.
struct Validity {
    not_before: i64,
    not_after: i64,
}

impl Validity {
    fn of(certificate: &CertificateDer<'_>, path: &Path) -> Result<Self, TlsError> {
        let (_, certificate) = X509Certificate::from_der(certificate)
            .map_err(|error| TlsError::new(path, Problem::Unusable(error.to_string())))?;
        Ok(Self {
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
        })
    }
}

fn seconds_now() -> i64 {
    // A clock before 1970 makes every certificate not yet valid, which is the safe answer.
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX)
}

/// A file that TLS needs cannot be used. One line: the file, the fault, the remedy.
#[derive(Debug)]
pub struct TlsError {
    path: PathBuf,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    Read(io::Error),
    NoCertificate,
    NoKey,
    Expired,
    NotYetValid,
    NotForServers,
    Mismatch(PathBuf),
    LoosePermissions(u32),
    Unusable(String),
}

impl TlsError {
    fn new(path: &Path, problem: Problem) -> Self {
        Self {
            path: path.to_owned(),
            problem,
        }
    }

    /// The file at fault.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl std::error::Error for TlsError {}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.problem {
            Problem::Read(error) => write!(f, "cannot read {path}: {error}"),
            Problem::NoCertificate => write!(
                f,
                "{path} holds no certificate: it must be PEM, with a BEGIN CERTIFICATE line"
            ),
            Problem::NoKey => write!(
                f,
                "{path} holds no private key: it must be PEM, with a BEGIN PRIVATE KEY line, and not encrypted"
            ),
            Problem::Expired => write!(
                f,
                "the certificate in {path} has expired: put a renewed one in its place (`tidings certs show {path}` tells its dates)"
            ),
            Problem::NotYetValid => write!(
                f,
                "the certificate in {path} is not valid yet: check this machine's clock (`tidings certs show {path}` tells its dates)"
            ),
            Problem::NotForServers => write!(
                f,
                "the certificate in {path} is not for servers (extended key usage serverAuth is missing): no client would take it; `tidings certs issue NAME --server` makes one that is"
            ),
            Problem::Mismatch(certificate) => write!(
                f,
                "the key in {path} is not the key of the certificate in {}: name the two files that were made together",
                certificate.display()
            ),
            Problem::LoosePermissions(mode) => write!(
                f,
                "every user of this machine can reach the private key in {path} (mode {mode:04o}): run `chmod o= {path}`, or pass --allow-loose-key-permissions"
            ),
            Problem::Unusable(reason) => write!(f, "cannot use {path}: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests;
