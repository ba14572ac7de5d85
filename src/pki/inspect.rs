//! Reads certificates and revocation lists for people: `tidings certs show`.
//!
//! Owns how everything that one states is read. Nothing is verified: what a summary holds is a claim,
//! and its texts are untrusted. Code that shows them passes them through [`escaped`].
//!
//! [`escaped`]: crate::text::escaped

mod crl;

use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use rustls::pki_types::CertificateDer;
use x509_parser::{
    certificate::X509Certificate,
    extensions::{ExtendedKeyUsage, GeneralName, KeyUsage},
    prelude::FromDer,
    x509::AttributeTypeAndValue,
};

use super::SubjectNames;
use crate::{
    files::{self, GARBLED, sha256},
    identity::{Identity, IdentityError, IdentitySource, identity_of},
    text::upper_hex,
    tls::{
        pem::{self, PemError},
        x509::utc,
    },
};

pub use crl::{CrlSummary, RevocationSummary};

/// What one certificate states.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateSummary {
    /// The subject's name, in full.
    pub subject: String,
    /// The name of the CA that signed it, as the certificate states it.
    pub issuer: String,
    /// The serial number in hexadecimal, as `openssl x509 -serial` prints it.
    pub serial: String,
    /// Common names, and alternative names of the usual kinds.
    pub names: SubjectNames,
    /// Alternative names of other kinds, and those that cannot be read.
    pub other_names: Vec<String>,
    /// When it becomes valid.
    pub not_before: DateTime<Utc>,
    /// The last second in which it is valid.
    pub not_after: DateTime<Utc>,
    /// Whether it is a CA.
    pub is_ca: bool,
    /// What its key may do, by the names of RFC 5280: `digitalSignature`, `keyCertSign`.
    pub key_usages: Vec<String>,
    /// What it may be used for: `serverAuth`, `clientAuth`. Empty when it states none.
    pub extended_key_usages: Vec<String>,
    /// SHA-256 over the whole certificate, as `openssl x509 -fingerprint -sha256` prints it.
    pub sha256_fingerprint: String,
    der: CertificateDer<'static>,
}

impl CertificateSummary {
    /// Reads all certificates of a PEM file, in their order: at least one.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or holds no certificate, or a broken one.
    pub fn read(path: &Path) -> Result<Vec<Self>, InspectError> {
        Self::read_by(path, pem::certificates)
    }

    /// Reads the certificates in a file of revocation lists, if there are any.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, holds something else as well, or a broken certificate.
    pub fn read_beside_crls(path: &Path) -> Result<Vec<Self>, InspectError> {
        Self::read_by(path, |file| pem::crls(file).map(|file| file.certificates))
    }

    fn read_by(
        path: &Path,
        reader: fn(&[u8]) -> Result<Vec<CertificateDer<'static>>, PemError>,
    ) -> Result<Vec<Self>, InspectError> {
        let contents = files::read(path).map_err(|reason| InspectError::Read {
            path: path.to_owned(),
            reason,
        })?;
        let broken = |reason: String| InspectError::Broken {
            path: path.to_owned(),
            reason,
        };
        let ders = reader(&contents.bytes).map_err(|fault| match fault {
            PemError::Nothing { .. } | PemError::Binary => InspectError::NoCertificate {
                path: path.to_owned(),
            },
            fault => InspectError::Unusable {
                path: path.to_owned(),
                reason: fault.to_string(),
            },
        })?;
        ders.iter()
            .map(|der| Self::from_der(der).map_err(broken))
            .collect()
    }

    /// Reads the first certificate of a PEM file.
    pub(crate) fn read_first(path: &Path) -> Result<Self, InspectError> {
        Self::read(path).map(|mut all| all.swap_remove(0))
    }

    /// The first certificate in PEM text.
    pub(crate) fn first_in(text: &[u8]) -> Result<Self, String> {
        let ders = pem::certificates(text).map_err(|fault| fault.to_string())?;
        ders.first()
            .map_or_else(|| Err(GARBLED.to_owned()), Self::from_der)
    }

    pub(crate) fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Whether clients can use it: `clientAuth`.
    #[must_use]
    pub fn is_for_clients(&self) -> bool {
        self.extended_key_usages
            .iter()
            .any(|usage| usage == "clientAuth")
    }

    /// Whether servers can use it: `serverAuth`.
    #[must_use]
    pub fn is_for_servers(&self) -> bool {
        self.extended_key_usages
            .iter()
            .any(|usage| usage == "serverAuth")
    }

    /// The identity that the broker reads from the field `source`.
    ///
    /// # Errors
    ///
    /// When the field gives no identity.
    pub fn identity(&self, source: IdentitySource) -> Result<Identity, IdentityError> {
        identity_of(&self.der, source)
    }

    fn from_der(der: &CertificateDer<'static>) -> Result<Self, String> {
        let (_, parsed) = X509Certificate::from_der(der).map_err(|_| GARBLED.to_owned())?;
        let basic_constraints = parsed
            .basic_constraints()
            .map_err(|fault| fault.to_string())?;
        let key_usage = parsed.key_usage().map_err(|fault| fault.to_string())?;
        let extended = parsed
            .extended_key_usage()
            .map_err(|fault| fault.to_string())?;
        let alternative = parsed
            .subject_alternative_name()
            .map_err(|fault| fault.to_string())?;
        let mut summary = Self {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            serial: upper_hex(&parsed.serial.to_bytes_be(), ""),
            names: SubjectNames {
                common_names: parsed.subject().iter_common_name().map(text_of).collect(),
                ..SubjectNames::default()
            },
            other_names: Vec::new(),
            not_before: utc(parsed.validity().not_before),
            not_after: utc(parsed.validity().not_after),
            is_ca: basic_constraints.is_some_and(|extension| extension.value.ca),
            key_usages: key_usage.map_or_else(Vec::new, |found| key_usages(*found.value)),
            extended_key_usages: extended
                .map_or_else(Vec::new, |found| extended_key_usages(found.value)),
            sha256_fingerprint: upper_hex(&sha256(der), ":"),
            der: der.clone(),
        };
        for name in alternative
            .iter()
            .flat_map(|extension| &extension.value.general_names)
        {
            summary.add_alternative_name(name);
        }
        Ok(summary)
    }

    fn add_alternative_name(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(text) => self.names.dns.push((*text).to_owned()),
            GeneralName::URI(text) => self.names.uris.push((*text).to_owned()),
            GeneralName::RFC822Name(text) => self.names.emails.push((*text).to_owned()),
            GeneralName::IPAddress(octets) => match ip_address(octets) {
                Some(ip) => self.names.ips.push(ip),
                None => self
                    .other_names
                    .push(format!("unreadable address #{}", upper_hex(octets, ""))),
            },
            GeneralName::DirectoryName(name) => self.other_names.push(format!("directory {name}")),
            GeneralName::OtherName(oid, _) => self.other_names.push(format!("other name {oid}")),
            GeneralName::RegisteredID(oid) => self.other_names.push(format!("registered id {oid}")),
            GeneralName::X400Address(_) => self.other_names.push("X.400 address".to_owned()),
            GeneralName::EDIPartyName(_) => self.other_names.push("EDI party name".to_owned()),
            GeneralName::Invalid(_, octets) => {
                self.other_names
                    .push(format!("unreadable name #{}", upper_hex(octets, "")));
            }
        }
    }
}

/// Why a file could not be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// The file cannot be read.
    #[error("cannot read {}: {reason}; check that it exists and that you may read it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// The file holds no certificate.
    #[error(
        "{0} holds no certificate as PEM: give the .crt file, or convert DER to PEM with \
         `openssl x509 -inform der -in {0}`",
        path.display()
    )]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The file is not valid PEM, or holds something else as well.
    #[error("cannot use {}: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and how to fix it.
        reason: String,
    },
    /// The file holds no usable revocation list.
    #[error("{} holds no usable revocation list ({reason}): give the complete CRL of the CA", path.display())]
    BrokenCrl {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file holds a broken certificate.
    #[error("{} holds a broken certificate ({reason}): get it again from its CA", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// The text of a name. In an unusual character set, its bytes in hexadecimal, as in RFC 4514.
fn text_of(attribute: &AttributeTypeAndValue<'_>) -> String {
    attribute.as_str().map_or_else(
        |_| format!("#{}", upper_hex(attribute.attr_value().data, "")),
        str::to_owned,
    )
}

fn ip_address(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(octets).ok().map(IpAddr::from)
}

fn key_usages(usage: KeyUsage) -> Vec<String> {
    let named = [
        (usage.digital_signature(), "digitalSignature"),
        (usage.non_repudiation(), "nonRepudiation"),
        (usage.key_encipherment(), "keyEncipherment"),
        (usage.data_encipherment(), "dataEncipherment"),
        (usage.key_agreement(), "keyAgreement"),
        (usage.key_cert_sign(), "keyCertSign"),
        (usage.crl_sign(), "cRLSign"),
        (usage.encipher_only(), "encipherOnly"),
        (usage.decipher_only(), "decipherOnly"),
    ];
    set_names(&named).collect()
}

fn extended_key_usages(usage: &ExtendedKeyUsage<'_>) -> Vec<String> {
    let named = [
        (usage.any, "anyExtendedKeyUsage"),
        (usage.server_auth, "serverAuth"),
        (usage.client_auth, "clientAuth"),
        (usage.code_signing, "codeSigning"),
        (usage.email_protection, "emailProtection"),
        (usage.time_stamping, "timeStamping"),
        (usage.ocsp_signing, "OCSPSigning"),
    ];
    set_names(&named)
        .chain(usage.other.iter().map(ToString::to_string))
        .collect()
}

fn set_names(named: &[(bool, &'static str)]) -> impl Iterator<Item = String> {
    named
        .iter()
        .filter(|(is_set, _)| *is_set)
        .map(|(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::pki::{Authority, CertificateRequest};

    #[test]
    fn tells_what_the_certificate_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.crt");
        let mut request = CertificateRequest::client("alice");
        request.names.common_names.push("mallory".to_owned());
        request.names.dns.push("a.example".to_owned());
        request.names.ips = vec![[192, 0, 2, 1].into()];
        request.names.uris = vec!["urn:a".to_owned(), "urn:b".to_owned()];
        request.names.emails.push("alice@example.org".to_owned());
        let issued = Authority::generate("root")
            .unwrap()
            .issue(&request)
            .unwrap();
        fs::write(&path, &issued.certificate_pem).unwrap();

        let summaries = CertificateSummary::read(&path).unwrap();

        let [summary] = summaries.as_slice() else {
            panic!("{summaries:?}");
        };
        assert_eq!(summary.subject, "CN=alice, CN=mallory");
        assert_eq!(summary.issuer, "CN=root");
        assert_eq!(summary.names.common_names, ["alice", "mallory"]);
        assert_eq!(summary.names.dns, request.names.dns);
        assert_eq!(summary.names.ips, request.names.ips);
        assert_eq!(summary.names.uris, request.names.uris);
        assert_eq!(summary.names.emails, request.names.emails);
        assert_eq!(
            summary.not_after.timestamp(),
            request.valid.not_after.timestamp()
        );
        assert_eq!(
            summary.not_before.timestamp(),
            request.valid.not_before.timestamp()
        );
        assert!(!summary.is_ca);
        assert_eq!(summary.key_usages, ["digitalSignature"]);
        assert_eq!(summary.extended_key_usages, ["clientAuth"]);
        assert_eq!(summary.serial.len(), 32);
        assert_eq!(summary.sha256_fingerprint.len(), 32 * 3 - 1);
        let identity = summary.identity(IdentitySource::SanDns).unwrap();
        assert_eq!(identity.as_str(), "a.example");
        assert!(matches!(
            summary.identity(IdentitySource::CommonName),
            Err(IdentityError::Ambiguous(_))
        ));
    }

    #[test]
    fn reads_no_file_that_does_not_end() {
        for path in ["/dev/zero", "/proc/self/fd"] {
            let path = Path::new(path);
            let certificates = CertificateSummary::read(path).unwrap_err();
            let lists = CrlSummary::read(path).unwrap_err();
            for fault in [certificates, lists] {
                assert!(fault.to_string().contains("regular file"), "{fault}");
            }
        }
    }

    #[test]
    fn names_the_file_that_holds_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.key");
        fs::write(&path, "not a certificate").unwrap();
        let fault = CertificateSummary::read(&path).unwrap_err();
        assert!(
            matches!(fault, InspectError::NoCertificate { .. }),
            "{fault}"
        );
        let fault = CertificateSummary::read(&folder.path().join("absent")).unwrap_err();
        assert!(fault.to_string().contains("absent"), "{fault}");
    }
}
