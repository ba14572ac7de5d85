//! Private keys and randomness for what is signed here.
//!
//! Owns that a key is read only from a file that its owner alone can read.

use std::path::Path;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::{crypto::aws_lc_rs, pki_types::CertificateDer};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::IssueError;
use crate::{files, tls::pem};

pub(super) fn generate() -> Result<KeyPair, IssueError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(IssueError::signing)
}

pub(super) fn load(path: &Path) -> Result<KeyPair, IssueError> {
    let contents = files::read(path).map_err(|reason| IssueError::unreadable(path, reason))?;
    let mode = contents.mode & 0o777;
    if mode & 0o077 != 0 {
        return Err(IssueError::KeyExposed {
            path: path.to_owned(),
            mode,
        });
    }
    let unusable = |reason: String| IssueError::BadKey {
        path: path.to_owned(),
        reason,
    };
    let der = pem::private_key(&contents.bytes).map_err(|error| unusable(error.to_string()))?;
    KeyPair::try_from(&der).map_err(|error| unusable(error.to_string()))
}

/// Whether the key in a file is the one that this certificate is for.
pub(super) fn is_for(certificate: &CertificateDer<'_>, path: &Path) -> Result<bool, IssueError> {
    let key = load(path)?;
    Ok(X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| matches(&key, &parsed)))
}

pub(super) fn matches(key: &KeyPair, certificate: &X509Certificate<'_>) -> bool {
    *certificate.public_key().subject_public_key.data == *key.public_key_raw()
}

pub(super) fn random_bytes<const LENGTH: usize>() -> Result<[u8; LENGTH], IssueError> {
    let mut bytes = [0; LENGTH];
    aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| IssueError::signing("the system's random number generator failed"))?;
    Ok(bytes)
}
