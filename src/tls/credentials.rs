//! The certificate and key of one side, and what the configurations of both sides share.
//!
//! Owns when they can be used: in date, of a supported kind, and belonging together.

use std::{path::PathBuf, sync::Arc, time::SystemTime};

use rustls::{
    SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime},
    sign::CertifiedKey,
    time_provider::TimeProvider,
    version::{TLS12, TLS13},
};

use super::{
    error::{Problem, TlsError},
    handshake_text::certificate_fault,
    reading::{read_certificates, read_key},
    x509::{check_extensions, parse_certificate, unix_time, validity},
};
use crate::files::TrackedFiles;

/// Most bytes of the own certificates. rustls reads no larger message, and a larger file is usually
/// one of CAs, given by mistake.
const CHAIN_BYTES_MAX: usize = 0xffff;

/// The files by which one side of a connection authenticates itself and verifies the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// PEM: the CAs that are trusted.
    pub ca: PathBuf,
    /// PEM: the own certificate, followed by the intermediate CAs, if any.
    pub certificate: PathBuf,
    /// PEM: the own private key, as PKCS#8, SEC1 or PKCS#1.
    pub key: PathBuf,
    /// Whether to accept a key file that every user of the machine can read.
    pub allow_loose_key_permissions: bool,
}

/// The oldest TLS version that is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2, for clients that do not support 1.3.
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

/// aws-lc-rs, which prefers X25519MLKEM768 for the key exchange.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The machine's clock. That of rustls panics before 1970.
#[derive(Debug)]
pub(super) struct Clock;

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_time(SystemTime::now()))
    }
}

impl Credentials {
    /// Reads and checks the certificate chain and the key of this side.
    pub(super) fn chain_and_key(
        &self,
        provider: &CryptoProvider,
        sources: &mut TrackedFiles,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let chain = read_certificates(&self.certificate, sources)?;
        if chain.iter().map(|der| der.len()).sum::<usize>() > CHAIN_BYTES_MAX {
            return Err(TlsError::new(&self.certificate, Problem::LargeChain));
        }
        for der in &chain {
            check_extensions(&parse_certificate(der, &self.certificate)?)
                .map_err(|fault| TlsError::unusable(&self.certificate, fault))?;
        }
        if let Some(own) = chain.first() {
            let now = SystemTime::now();
            let (begin, end) = validity(&parse_certificate(own, &self.certificate)?);
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
            // Other problems with the pair are reported when the configuration is built.
            _ => Ok((chain, key)),
        }
    }

    /// The error for a certificate that rustls rejects.
    pub(super) fn unusable(&self, error: &rustls::Error) -> TlsError {
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
