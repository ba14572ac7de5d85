//! A certificate authority (CA): made, loaded from files, and used to sign.
//!
//! Owns that what a CA signs verifies: that its key fits its certificate, that it may sign, and that
//! its name can be copied exactly. It also signs odd requests, for tests; [`CertificateFolder`] is
//! what keeps people from making certificates that do not work.
//!
//! [`CertificateFolder`]: super::CertificateFolder

mod crl;

use std::{fmt, path::Path};

use chrono::{DateTime, Utc};
use rcgen::{CertificateParams, Issuer, KeyIdMethod, KeyPair};
use rustls::{crypto::aws_lc_rs, pki_types::CertificateDer};
use x509_parser::{
    certificate::X509Certificate, extensions::ParsedExtension, prelude::FromDer, x509::X509Name,
};

use super::{
    AUTHORITY_DAYS, CertificateRequest, IssueError, Serial, Validity, files::IssuedCertificate,
    keys, profiles,
};
use crate::{
    files::{self, GARBLED},
    text::escaped,
    tls::{
        pem,
        x509::{is_signed_by, utc},
    },
};

/// A CA: a certificate that others trust, and the key that signs in its name.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// The subject as it is encoded in the certificate. What is signed must name the same bytes.
    subject_der: Vec<u8>,
    /// The subject for messages, escaped.
    subject: String,
    der: CertificateDer<'static>,
    serial: Serial,
    /// Distinguishes its key from other keys of a CA with the same name.
    key_identifier: KeyIdMethod,
    certificate_pem: String,
    /// The intermediate CAs that a peer needs to reach the root, this one included. Empty for a root.
    chain_pem: String,
    /// How many CAs may stand between this one and an end entity. `None` is any number.
    path_length: Option<u32>,
    not_after: DateTime<Utc>,
}

impl Authority {
    /// Generates a root CA that signs certificates, but no further CAs.
    ///
    /// # Errors
    ///
    /// When the system's source of randomness fails.
    pub fn generate(common_name: &str) -> Result<Self, IssueError> {
        Self::generate_root(common_name, 0, Validity::days(AUTHORITY_DAYS))
    }

    /// Generates a root CA with room for a chain of `intermediates` CAs below it.
    ///
    /// # Errors
    ///
    /// When `valid` is not a period that a certificate can hold, or the system's source of randomness
    /// fails.
    pub fn generate_root(
        common_name: &str,
        intermediates: u8,
        valid: Validity,
    ) -> Result<Self, IssueError> {
        let key = keys::generate()?;
        let params = profiles::ca(common_name, intermediates, valid)?;
        let certificate = params.self_signed(&key).map_err(IssueError::signing)?;
        Self::new(certificate.der(), certificate.pem(), String::new(), key)
            .map_err(IssueError::signing)
    }

    /// Generates a CA below this one, valid until this one expires.
    ///
    /// # Errors
    ///
    /// When the path length of this CA allows no other below it, or the system's source of randomness
    /// fails.
    pub fn intermediate(&self, common_name: &str) -> Result<Self, IssueError> {
        let intermediates = match self.path_length {
            None => 0,
            Some(path_length) => {
                path_length
                    .checked_sub(1)
                    .ok_or_else(|| IssueError::NoIntermediates {
                        authority: self.subject.clone(),
                    })?
            }
        };
        let valid = Validity {
            not_after: self.not_after,
            ..Validity::default()
        };
        let intermediates = u8::try_from(intermediates).unwrap_or(u8::MAX);
        let params = profiles::ca(common_name, intermediates, valid)?;
        let key = keys::generate()?;
        let certificate = self.sign(&params, &key)?;
        let chain_pem = certificate.pem() + &self.chain_pem;
        Self::new(certificate.der(), certificate.pem(), chain_pem, key).map_err(IssueError::signing)
    }

    /// Loads a CA from its files. The first certificate of the file is the CA's own; the CAs above it
    /// may follow.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or used, when others can read the key, or when the two do not
    /// belong together.
    pub fn load(certificate_path: &Path, key_path: &Path) -> Result<Self, IssueError> {
        let key = keys::load(key_path)?;
        let contents = files::read(certificate_path)
            .map_err(|reason| IssueError::unreadable(certificate_path, reason))?;
        let unusable = |reason: String| IssueError::BadCertificate {
            path: certificate_path.to_owned(),
            reason,
        };
        let broken = |error: pem::PemError| unusable(error.to_string());
        let blocks = pem::certificate_blocks(&contents.bytes).map_err(broken)?;
        let chain_pem = chain_of(&blocks).map_err(unusable)?;
        let first = blocks
            .into_iter()
            .next()
            .ok_or_else(|| unusable("it holds none".to_owned()))?;
        let der = first.certificate().map_err(broken)?;
        Self::new(&der, first.text(), chain_pem, key).map_err(|error| match error {
            AuthorityError::Unusable(reason) => unusable(reason),
            AuthorityError::Subject(authority) => IssueError::AuthoritySubject { authority },
            AuthorityError::NotAuthority => IssueError::NotAuthority {
                path: certificate_path.to_owned(),
            },
            AuthorityError::KeyMismatch => IssueError::KeyMismatch {
                key: key_path.to_owned(),
                certificate: certificate_path.to_owned(),
            },
        })
    }

    fn new(
        der: &CertificateDer<'_>,
        certificate_pem: String,
        chain_pem: String,
        key: KeyPair,
    ) -> Result<Self, AuthorityError> {
        let (_, parsed) =
            X509Certificate::from_der(der).map_err(|_| AuthorityError::unusable(GARBLED))?;
        let path_length = path_length(&parsed)?;
        if !keys::matches(&key, &parsed) {
            return Err(AuthorityError::KeyMismatch);
        }
        let subject = escaped(&parsed.subject().to_string());
        let mut parts = parsed.subject().iter_rdn();
        if parts.any(|part| part.iter().count() != 1) {
            return Err(AuthorityError::Subject(subject));
        }
        let serial = Serial::from_der(parsed.raw_serial())
            .ok_or_else(|| AuthorityError::unusable("its serial number is negative"))?;
        Ok(Self {
            der: der.clone().into_owned(),
            serial,
            key_identifier: key_identifier(&parsed),
            subject_der: parsed.subject().as_raw().to_vec(),
            certificate_pem,
            chain_pem,
            path_length,
            not_after: utc(parsed.validity().not_after),
            issuer: Issuer::from_ca_cert_der(der, key)
                .map_err(|_| AuthorityError::Subject(subject.clone()))?,
            subject,
        })
    }

    /// Generates a key and signs a certificate for it.
    ///
    /// # Errors
    ///
    /// When a certificate cannot hold what the request asks for, or the CA's subject cannot be
    /// copied.
    pub fn issue(&self, request: &CertificateRequest) -> Result<IssuedCertificate, IssueError> {
        let key = keys::generate()?;
        let certificate = self.sign(&profiles::end_entity(request)?, &key)?;
        Ok(IssuedCertificate {
            certificate_pem: certificate.pem() + &self.chain_pem,
            key_pem: key.serialize_pem(),
        })
    }

    /// Whether the key of this CA has signed the certificate. A CA of the same name does not count.
    pub(super) fn has_issued(&self, certificate: &CertificateDer<'_>) -> bool {
        X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| {
            self.has_signed(
                parsed.issuer(),
                parsed.tbs_certificate.as_ref(),
                &parsed.signature_value.data,
            )
        })
    }

    fn has_signed(&self, issuer: &X509Name<'_>, content: &[u8], signature: &[u8]) -> bool {
        let public_key = self.issuer.key().public_key_raw();
        let provider = aws_lc_rs::default_provider();
        issuer.as_raw() == self.subject_der
            && is_signed_by(public_key, content, signature, &provider)
    }

    pub(super) fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    pub(super) fn serial(&self) -> &Serial {
        &self.serial
    }

    /// The certificate: what others trust when this is a root.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key, as it was loaded or as PKCS#8.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// When this CA expires, and with it whatever it signed.
    #[must_use]
    pub fn not_after(&self) -> DateTime<Utc> {
        self.not_after
    }

    fn sign(
        &self,
        params: &CertificateParams,
        key: &KeyPair,
    ) -> Result<rcgen::Certificate, IssueError> {
        let certificate = params
            .signed_by(key, &self.issuer)
            .map_err(IssueError::signing)?;
        let (_, parsed) =
            X509Certificate::from_der(certificate.der()).map_err(IssueError::signing)?;
        self.check_issuer(parsed.issuer())?;
        Ok(certificate)
    }

    /// Checks that what was signed names this CA. rcgen keeps one value of each attribute, so it
    /// misnames a CA that has two (`DC=example, DC=org`), and no verifier would find that CA.
    fn check_issuer(&self, issuer: &X509Name<'_>) -> Result<(), IssueError> {
        if issuer.as_raw() == self.subject_der {
            return Ok(());
        }
        Err(IssueError::AuthoritySubject {
            authority: self.subject.clone(),
        })
    }
}

impl fmt::Debug for Authority {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("subject", &self.subject)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// Why a certificate and a key are no CA that can sign, whatever files they are from.
#[derive(Debug, thiserror::Error)]
enum AuthorityError {
    #[error("{0}")]
    Unusable(String),
    #[error("the subject {0} cannot be copied")]
    Subject(String),
    #[error("it is not a CA")]
    NotAuthority,
    #[error("the key is not the certificate's")]
    KeyMismatch,
}

impl AuthorityError {
    fn unusable(reason: impl fmt::Display) -> Self {
        Self::Unusable(reason.to_string())
    }
}

/// The path length constraint of a certificate that may sign others.
fn path_length(certificate: &X509Certificate<'_>) -> Result<Option<u32>, AuthorityError> {
    let constraints = certificate
        .basic_constraints()
        .map_err(AuthorityError::unusable)?
        .map(|extension| extension.value);
    let key_usage = certificate.key_usage().map_err(AuthorityError::unusable)?;
    let may_sign = key_usage.is_none_or(|extension| extension.value.key_cert_sign());
    match constraints {
        Some(constraints) if constraints.ca && may_sign => Ok(constraints.path_len_constraint),
        _ => Err(AuthorityError::NotAuthority),
    }
}

/// The subject key identifier of a certificate. Without one, the identifier is made as RFC 7093 says.
fn key_identifier(certificate: &X509Certificate<'_>) -> KeyIdMethod {
    certificate
        .iter_extensions()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => {
                Some(KeyIdMethod::PreSpecified(id.0.to_vec()))
            }
            _ => None,
        })
        .unwrap_or(KeyIdMethod::Sha256)
}

/// The CAs of a file that a peer does not have: from the first up to the root, which it trusts
/// already. The chain ends at a certificate that did not issue the one before it.
fn chain_of(blocks: &[pem::Block<'_>]) -> Result<String, String> {
    let mut chain = String::new();
    let mut wanted: Option<Vec<u8>> = None;
    for block in blocks {
        let der = block.certificate().map_err(|error| error.to_string())?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| GARBLED.to_owned())?;
        let (subject, issuer) = (parsed.subject().as_raw(), parsed.issuer().as_raw());
        if subject == issuer || wanted.is_some_and(|wanted| wanted != subject) {
            break;
        }
        chain.push_str(&block.text());
        wanted = Some(issuer.to_vec());
    }
    Ok(chain)
}

#[cfg(test)]
mod tests;
