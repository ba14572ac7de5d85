//! Reads certificates and revocation lists for people: `tidings certs show`.
//!
//! Owns the reading of all that one says about itself. It verifies nothing, and decides
//! nothing: what is said here is a claim, and its texts are a stranger's. Whoever shows
//! them passes them through [`escaped`].

use std::{io, net::IpAddr, path::Path, path::PathBuf};

use chrono::{DateTime, Utc};
use rustls::pki_types::CertificateDer;
use x509_parser::{
    certificate::X509Certificate,
    extensions::{ExtendedKeyUsage, GeneralName, KeyUsage},
    prelude::FromDer,
    time::ASN1Time,
    x509::AttributeTypeAndValue,
};

mod list;

pub use list::{ListSummary, RevocationSummary};

use crate::{
    files::{self, GARBLED, sha256},
    identity::{Identity, IdentityError, IdentitySource, identity_of},
    text::hex,
    tls::pem::{self, PemError},
};

/// What one certificate says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateSummary {
    /// Whom it names.
    pub subject: String,
    /// Who signed it, by its own words.
    pub issuer: String,
    /// The serial number in hexadecimal, as `openssl x509 -serial` writes it.
    pub serial: String,
    /// The common names of the subject.
    pub common_names: Vec<String>,
    /// Alternative names: DNS.
    pub dns: Vec<String>,
    /// Alternative names: IP addresses.
    pub ips: Vec<IpAddr>,
    /// Alternative names: URIs.
    pub uris: Vec<String>,
    /// Alternative names: e-mail addresses.
    pub emails: Vec<String>,
    /// Alternative names of other kinds, and those that cannot be read.
    pub other_names: Vec<String>,
    /// The first moment at which it is good.
    pub not_before: DateTime<Utc>,
    /// The last moment at which it is good.
    pub not_after: DateTime<Utc>,
    /// Whether it is a CA's.
    pub is_ca: bool,
    /// What its key may do, in the words of RFC 5280: `digitalSignature`, `keyCertSign`.
    pub key_usages: Vec<String>,
    /// What it may be used for: `serverAuth`, `clientAuth`. Empty when it does not say.
    pub extended_key_usages: Vec<String>,
    /// SHA-256 over the whole certificate, as `openssl x509 -fingerprint -sha256` writes it.
    pub sha256_fingerprint: String,
    der: CertificateDer<'static>,
}

impl CertificateSummary {
    /// Reads all certificates of a PEM file, in their order. Never an empty list.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or holds no certificate, or one that is broken.
    pub fn read(path: &Path) -> Result<Vec<Self>, InspectError> {
        Self::read_by(path, pem::certificates)
    }

    /// Reads the certificates that stand beside revocation lists, if there are any.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or holds what does not belong there, or one that is broken.
    pub fn read_beside_lists(path: &Path) -> Result<Vec<Self>, InspectError> {
        Self::read_by(path, |file| {
            pem::revocation_lists(file).map(|file| file.certificates)
        })
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

    /// The first certificate of a PEM text.
    pub(crate) fn first_in(text: &[u8]) -> Result<Self, String> {
        let ders = pem::certificates(text).map_err(|fault| fault.to_string())?;
        ders.first()
            .map_or_else(|| Err(GARBLED.to_owned()), Self::from_der)
    }

    pub(crate) fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Whether it says that its holder may show it to a server.
    #[must_use]
    pub fn is_for_clients(&self) -> bool {
        self.extended_key_usages
            .iter()
            .any(|usage| usage == "clientAuth")
    }

    /// Whether it says that its holder may show it to a client.
    #[must_use]
    pub fn is_for_servers(&self) -> bool {
        self.extended_key_usages
            .iter()
            .any(|usage| usage == "serverAuth")
    }

    /// Who the broker would take the holder for, by the field of `source`.
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
            serial: capital_hex(&parsed.serial.to_bytes_be(), ""),
            common_names: parsed.subject().iter_common_name().map(text_of).collect(),
            dns: Vec::new(),
            ips: Vec::new(),
            uris: Vec::new(),
            emails: Vec::new(),
            other_names: Vec::new(),
            not_before: moment(parsed.validity().not_before),
            not_after: moment(parsed.validity().not_after),
            is_ca: basic_constraints.is_some_and(|extension| extension.value.ca),
            key_usages: key_usage.map_or_else(Vec::new, |found| key_usages(*found.value)),
            extended_key_usages: extended
                .map_or_else(Vec::new, |found| extended_key_usages(found.value)),
            sha256_fingerprint: capital_hex(&sha256(der), ":"),
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
            GeneralName::DNSName(text) => self.dns.push((*text).to_owned()),
            GeneralName::URI(text) => self.uris.push((*text).to_owned()),
            GeneralName::RFC822Name(text) => self.emails.push((*text).to_owned()),
            GeneralName::IPAddress(octets) => match ip_address(octets) {
                Some(ip) => self.ips.push(ip),
                None => self
                    .other_names
                    .push(format!("unreadable address #{}", capital_hex(octets, ""))),
            },
            GeneralName::DirectoryName(name) => self.other_names.push(format!("directory {name}")),
            GeneralName::OtherName(oid, _) => self.other_names.push(format!("other name {oid}")),
            GeneralName::RegisteredID(oid) => self.other_names.push(format!("registered id {oid}")),
            GeneralName::X400Address(_) => self.other_names.push("X.400 address".to_owned()),
            GeneralName::EDIPartyName(_) => self.other_names.push("EDI party name".to_owned()),
            GeneralName::Invalid(_, octets) => {
                self.other_names
                    .push(format!("unreadable name #{}", capital_hex(octets, "")));
            }
        }
    }
}

/// Why a file could not be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// The file cannot be read.
    #[error("cannot read {}: {reason}; see that it is there and that you may read it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// The file holds something else.
    #[error(
        "{0} holds no certificate as PEM: give the .crt file, or turn DER into PEM with \
         `openssl x509 -inform der -in {0}`",
        path.display()
    )]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The file does not hold what such a file must.
    #[error("cannot use {}: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what helps.
        reason: String,
    },
    /// The file is no revocation list.
    #[error("{} holds no usable revocation list ({reason}): give the CA's CRL, whole", path.display())]
    BrokenList {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file holds something that is not quite a certificate.
    #[error("{} holds a broken certificate ({reason}): get it anew from who issued it", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A name's text; where it is in none of the usual character sets its bytes, as RFC 4514 has it.
fn text_of(attribute: &AttributeTypeAndValue<'_>) -> String {
    attribute.as_str().map_or_else(
        |_| format!("#{}", capital_hex(attribute.attr_value().data, "")),
        str::to_owned,
    )
}

fn ip_address(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(octets).ok().map(IpAddr::from)
}

fn moment(time: ASN1Time) -> DateTime<Utc> {
    DateTime::from_timestamp(time.timestamp(), 0).unwrap_or_default()
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

/// As certificates are written about.
fn capital_hex(bytes: &[u8], separator: &str) -> String {
    let pairs: Vec<String> = bytes.chunks(1).map(hex).collect();
    pairs.join(separator).to_uppercase()
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
        request.common_names.push("mallory".to_owned());
        request.dns.push("a.example".to_owned());
        request.ips = vec![[192, 0, 2, 1].into()];
        request.uris = vec!["urn:a".to_owned(), "urn:b".to_owned()];
        request.emails.push("alice@example.org".to_owned());
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
        assert_eq!(summary.common_names, ["alice", "mallory"]);
        assert_eq!(summary.dns, request.dns);
        assert_eq!(summary.ips, request.ips);
        assert_eq!(summary.uris, request.uris);
        assert_eq!(summary.emails, request.emails);
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
            let lists = ListSummary::read(path).unwrap_err();
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
