use std::{fmt, path::Path};

use chrono::{DateTime, Datelike, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, RevokedCertParams, SanType, SerialNumber,
};
use rustls::{crypto::aws_lc_rs, pki_types::CertificateDer};
use x509_parser::{
    certificate::X509Certificate, extensions::ParsedExtension, prelude::FromDer, time::ASN1Time,
    x509::X509Name,
};

use super::{
    AUTHORITY_DAYS, CertificateRequest, IssueError, IssuedFiles, Purpose, Revocation,
    RevocationList, Serial, Validity, folder::write_pair,
};
use crate::{
    files::{self, GARBLED},
    text::escaped,
    tls::{
        pem,
        x509::{is_signed_by, parsed_list},
    },
};

/// A CA: a certificate that others trust, and the key to sign with in its name.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// The subject as it stands in the certificate, for comparison with what was signed.
    subject_der: Vec<u8>,
    /// The subject for messages.
    subject: String,
    /// The certificate itself.
    der: CertificateDer<'static>,
    serial: Serial,
    /// How others tell its key from another of its name.
    key_identifier: KeyIdMethod,
    certificate_pem: String,
    /// What a peer needs beside the certificate to reach the root: nothing when this is the root.
    chain_pem: String,
    /// How many CAs may follow between this one and a certificate; `None` is any number.
    path_length: Option<u32>,
    not_after: DateTime<Utc>,
}

/// A certificate and its key, as they go into files.
#[derive(Clone)]
pub struct IssuedCertificate {
    /// The certificate, followed by the intermediate CAs that lead to the root, if there are any.
    pub certificate_pem: String,
    /// The private key, as PKCS#8.
    pub key_pem: String,
}

impl Authority {
    /// Makes a root that signs certificates, but no further CAs.
    ///
    /// # Errors
    ///
    /// When the system's source of randomness fails.
    pub fn generate(common_name: &str) -> Result<Self, IssueError> {
        Self::generate_root(common_name, 0, Validity::days(AUTHORITY_DAYS))
    }

    /// Makes a root with room for a chain of `intermediates` CAs below it.
    ///
    /// # Errors
    ///
    /// When `valid` is no period, or the system's source of randomness fails.
    pub fn generate_root(
        common_name: &str,
        intermediates: u8,
        valid: Validity,
    ) -> Result<Self, IssueError> {
        let key = generate_key()?;
        let params = authority_params(common_name, intermediates, valid)?;
        let certificate = params.self_signed(&key).map_err(signing)?;
        Self::new(certificate.der(), certificate.pem(), String::new(), key)
            .map_err(|fault| IssueError::Signing(fault.to_string()))
    }

    /// Makes a CA that this one vouches for, as good as long as this one.
    ///
    /// # Errors
    ///
    /// When this one has no room for another below it, or the system's source of randomness fails.
    pub fn intermediate(&self, common_name: &str) -> Result<Self, IssueError> {
        let no_room = || IssueError::NoIntermediates {
            authority: self.subject.clone(),
        };
        let intermediates = self
            .path_length
            .unwrap_or(1)
            .checked_sub(1)
            .ok_or_else(no_room)?;
        let valid = Validity {
            not_after: self.not_after,
            ..Validity::default()
        };
        let params = authority_params(
            common_name,
            u8::try_from(intermediates).unwrap_or(u8::MAX),
            valid,
        )?;
        let key = generate_key()?;
        let certificate = self.sign(&params, &key)?;
        let chain_pem = certificate.pem() + &self.chain_pem;
        Self::new(certificate.der(), certificate.pem(), chain_pem, key)
            .map_err(|fault| IssueError::Signing(fault.to_string()))
    }

    /// Takes up an existing CA. The first certificate of the file is the one to sign with; what
    /// follows may be the CAs that vouch for it.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or used, the key can be read by others, or the two do not
    /// belong together.
    pub fn load(certificate_path: &Path, key_path: &Path) -> Result<Self, IssueError> {
        let key = load_key(key_path)?;
        let contents = files::read(certificate_path).map_err(|reason| IssueError::Read {
            path: certificate_path.to_owned(),
            reason,
        })?;
        let unusable = |reason: String| IssueError::BadCertificate {
            path: certificate_path.to_owned(),
            reason,
        };
        let broken = |fault: pem::PemError| unusable(fault.to_string());
        let blocks = pem::certificate_blocks(&contents.bytes).map_err(broken)?;
        let chain_pem = chain_of(&blocks).map_err(unusable)?;
        let first = blocks
            .into_iter()
            .next()
            .ok_or_else(|| unusable("there is none in it".to_owned()))?;
        let der = first.certificate().map_err(broken)?;
        Self::new(&der, first.text(), chain_pem, key).map_err(|fault| match fault {
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
        let unusable = |fault: &dyn fmt::Display| AuthorityError::Unusable(fault.to_string());
        let (_, parsed) = X509Certificate::from_der(der).map_err(|_| unusable(&GARBLED))?;
        let constraints = parsed
            .basic_constraints()
            .map_err(|fault| unusable(&fault))?;
        let usage = parsed.key_usage().map_err(|fault| unusable(&fault))?;
        let constraints = constraints
            .map(|extension| extension.value)
            .filter(|value| value.ca);
        let (Some(constraints), true) = (
            constraints,
            usage.is_none_or(|extension| extension.value.key_cert_sign()),
        ) else {
            return Err(AuthorityError::NotAuthority);
        };
        if *parsed.public_key().subject_public_key.data != *key.public_key_raw() {
            return Err(AuthorityError::KeyMismatch);
        }
        let subject = escaped(&parsed.subject().to_string());
        if parsed
            .subject()
            .iter_rdn()
            .any(|part| part.iter().count() != 1)
        {
            return Err(AuthorityError::Subject(subject));
        }
        let serial = Serial::from_der(parsed.raw_serial())
            .ok_or_else(|| unusable(&"its serial number is below zero"))?;
        Ok(Self {
            der: der.clone().into_owned(),
            serial,
            key_identifier: key_identifier(&parsed),
            subject_der: parsed.subject().as_raw().to_vec(),
            certificate_pem,
            chain_pem,
            path_length: constraints.path_len_constraint,
            not_after: DateTime::from_timestamp(parsed.validity().not_after.timestamp(), 0)
                .unwrap_or(DateTime::<Utc>::MAX_UTC),
            issuer: Issuer::from_ca_cert_der(der, key)
                .map_err(|_| AuthorityError::Subject(subject.clone()))?,
            subject,
        })
    }

    /// Makes a key and signs a certificate for it.
    ///
    /// # Errors
    ///
    /// When the request asks for what a certificate cannot hold, or the CA's subject cannot be
    /// copied.
    pub fn issue(&self, request: &CertificateRequest) -> Result<IssuedCertificate, IssueError> {
        let key = generate_key()?;
        let certificate = self.sign(&leaf_params(request)?, &key)?;
        Ok(IssuedCertificate {
            certificate_pem: certificate.pem() + &self.chain_pem,
            key_pem: key.serialize_pem(),
        })
    }

    /// Signs a list of certificates that it takes back; as PEM.
    ///
    /// # Errors
    ///
    /// When this CA may not sign lists, its subject cannot be copied, or the times are none that a
    /// list can hold.
    pub fn sign_crl(&self, list: &RevocationList) -> Result<String, IssueError> {
        let may_sign = self.issuer.key_usages().is_empty()
            || self.issuer.key_usages().contains(&KeyUsagePurpose::CrlSign);
        if !may_sign {
            return Err(IssueError::NotListSigner {
                authority: self.subject.clone(),
            });
        }
        check_calendar(list.this_update, list.next_update)?;
        let revoked_certs = list
            .revocations
            .iter()
            .map(revoked_params)
            .collect::<Result<_, _>>()?;
        let params = CertificateRevocationListParams {
            this_update: asn1(list.this_update)?.to_datetime(),
            next_update: asn1(list.next_update)?.to_datetime(),
            crl_number: SerialNumber::from(list.number),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: self.key_identifier.clone(),
        };
        let signed = params.signed_by(&self.issuer).map_err(signing)?;
        // As with a certificate.
        let written = parsed_list(signed.der()).map_err(signing)?;
        if written.issuer().as_raw() != self.subject_der {
            return Err(IssueError::AuthoritySubject {
                authority: self.subject.clone(),
            });
        }
        signed.pem().map_err(signing)
    }

    /// Whether this CA, and no other of its name, has signed the certificate.
    pub(super) fn has_issued(&self, certificate: &CertificateDer<'_>) -> bool {
        X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| {
            self.has_signed(
                parsed.issuer(),
                parsed.tbs_certificate.as_ref(),
                &parsed.signature_value.data,
            )
        })
    }

    /// Whether `signature` is this CA's over `content`, which names `issuer` for it.
    pub(super) fn has_signed(
        &self,
        issuer: &X509Name<'_>,
        content: &[u8],
        signature: &[u8],
    ) -> bool {
        let public_key = self.issuer.key().public_key_raw();
        issuer.as_raw() == self.subject_der
            && is_signed_by(
                public_key,
                content,
                signature,
                &aws_lc_rs::default_provider(),
            )
    }

    pub(super) fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    pub(super) fn serial(&self) -> &Serial {
        &self.serial
    }

    /// The certificate that others have to trust when this is the root.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key, as it was loaded or as PKCS#8.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// The last moment at which anything that it signed is good.
    #[must_use]
    pub fn not_after(&self) -> DateTime<Utc> {
        self.not_after
    }

    fn sign(
        &self,
        params: &CertificateParams,
        key: &KeyPair,
    ) -> Result<rcgen::Certificate, IssueError> {
        let certificate = params.signed_by(key, &self.issuer).map_err(signing)?;
        let (_, parsed) =
            X509Certificate::from_der(certificate.der()).map_err(|fault| signing(&fault))?;
        // rcgen keeps one value of each attribute, so a CA with two (`DC=example, DC=org`) would
        // be named wrongly, and no verifier would find the way from the certificate to it.
        if parsed.issuer().as_raw() != self.subject_der {
            return Err(IssueError::AuthoritySubject {
                authority: self.subject.clone(),
            });
        }
        Ok(certificate)
    }
}

impl IssuedCertificate {
    /// Writes two new files, the key first and readable by its owner alone.
    ///
    /// # Errors
    ///
    /// When one of them is there already or cannot be written.
    pub fn write(&self, files: &IssuedFiles) -> Result<(), IssueError> {
        write_pair(files, &self.certificate_pem, &self.key_pem)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("subject", &self.subject)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for IssuedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key stays out of logs and of failed assertions.
        f.debug_struct("IssuedCertificate")
            .field("certificate_pem", &self.certificate_pem)
            .finish_non_exhaustive()
    }
}

/// What can be wrong with a certificate and key that are to sign, whatever files they are from.
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

fn signing(fault: impl fmt::Display) -> IssueError {
    IssueError::Signing(fault.to_string())
}

fn generate_key() -> Result<KeyPair, IssueError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(signing)
}

/// Of a CA that does not say, as RFC 7093 would make it.
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

/// Whether the key in the file is that of the certificate.
pub(super) fn has_key(certificate: &CertificateDer<'_>, key: &Path) -> Result<bool, IssueError> {
    let (key, parsed) = (load_key(key)?, X509Certificate::from_der(certificate));
    Ok(parsed.is_ok_and(|(_, parsed)| {
        *parsed.public_key().subject_public_key.data == *key.public_key_raw()
    }))
}

fn load_key(path: &Path) -> Result<KeyPair, IssueError> {
    let unreadable = |reason| IssueError::Read {
        path: path.to_owned(),
        reason,
    };
    let unusable = |reason: String| IssueError::BadKey {
        path: path.to_owned(),
        reason,
    };
    let contents = files::read(path).map_err(unreadable)?;
    let mode = contents.mode & 0o777;
    if mode & 0o077 != 0 {
        return Err(IssueError::KeyExposed {
            path: path.to_owned(),
            mode,
        });
    }
    let der = pem::private_key(&contents.bytes).map_err(|fault| unusable(fault.to_string()))?;
    KeyPair::try_from(&der).map_err(|fault| unusable(fault.to_string()))
}

/// Of a CA's certificates those that a peer does not have: from the first up to, but without, the
/// root, which it trusts already. Stops where one does not vouch for the one before.
fn chain_of(blocks: &[pem::Block<'_>]) -> Result<String, String> {
    let mut chain = String::new();
    let mut wanted: Option<Vec<u8>> = None;
    for block in blocks {
        let der = block.certificate().map_err(|fault| fault.to_string())?;
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

/// What all certificates made here have in common.
fn common_params(common_names: &[&str], valid: Validity) -> Result<CertificateParams, IssueError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    // rcgen keeps one value for each type of attribute; that of a common name has two spellings.
    let types = [DnType::CommonName, DnType::CustomDnType(vec![2, 5, 4, 3])];
    if common_names.len() > types.len() {
        return Err(IssueError::TooManyCommonNames);
    }
    for (kind, name) in types.into_iter().zip(common_names) {
        params.distinguished_name.push(kind, *name);
    }
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(random_serial()?);
    set_validity(&mut params, valid)?;
    Ok(params)
}

fn authority_params(
    common_name: &str,
    intermediates: u8,
    valid: Validity,
) -> Result<CertificateParams, IssueError> {
    let mut params = common_params(&[common_name], valid)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(intermediates));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn leaf_params(request: &CertificateRequest) -> Result<CertificateParams, IssueError> {
    let common_names: Vec<&str> = request.common_names.iter().map(String::as_str).collect();
    let mut params = common_params(&common_names, request.valid)?;
    // Said, not left out: with it comes the subject key identifier.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match request.purpose {
        Purpose::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
        Purpose::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
        Purpose::Both => {
            vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ]
        }
        Purpose::Unstated => Vec::new(),
    };
    let names = &mut params.subject_alt_names;
    for dns in &request.dns {
        names.push(SanType::DnsName(dns.as_str().try_into().map_err(signing)?));
    }
    names.extend(request.ips.iter().copied().map(SanType::IpAddress));
    for uri in &request.uris {
        names.push(SanType::URI(uri.as_str().try_into().map_err(signing)?));
    }
    for email in &request.emails {
        names.push(SanType::Rfc822Name(
            email.as_str().try_into().map_err(signing)?,
        ));
    }
    Ok(params)
}

/// A positive number of exactly sixteen bytes, as RFC 5280 §4.1.2.2 wants it: at most twenty,
/// never zero, the first bit clear.
fn random_serial() -> Result<SerialNumber, IssueError> {
    let mut bytes = random_bytes::<16>()?;
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

pub(super) fn random_bytes<const LENGTH: usize>() -> Result<[u8; LENGTH], IssueError> {
    let mut bytes = [0; LENGTH];
    aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| signing("the system gives no random numbers"))?;
    Ok(bytes)
}

fn set_validity(params: &mut CertificateParams, valid: Validity) -> Result<(), IssueError> {
    check_calendar(valid.not_before, valid.not_after)?;
    params.not_before = asn1(valid.not_before)?.to_datetime();
    params.not_after = asn1(valid.not_after)?.to_datetime();
    Ok(())
}

/// The calendar of a certificate has four digits for the year, and verifiers know none before 1970.
fn check_calendar(not_before: DateTime<Utc>, not_after: DateTime<Utc>) -> Result<(), IssueError> {
    let is_calendar = |time: DateTime<Utc>| (1970..=9999).contains(&time.year());
    if !is_calendar(not_before) || !is_calendar(not_after) || not_after <= not_before {
        return Err(IssueError::Validity {
            not_before,
            not_after,
        });
    }
    Ok(())
}

fn asn1(time: DateTime<Utc>) -> Result<ASN1Time, IssueError> {
    ASN1Time::from_timestamp(time.timestamp()).map_err(signing)
}

fn revoked_params(revocation: &Revocation) -> Result<RevokedCertParams, IssueError> {
    let moment = |time| asn1(time).map(|time| time.to_datetime());
    Ok(RevokedCertParams {
        serial_number: SerialNumber::from_slice(revocation.serial.as_bytes()),
        revocation_time: moment(revocation.since)?,
        reason_code: Some(revocation.reason.as_signed()),
        invalidity_date: revocation.invalid_since.map(moment).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc};

    use rustls::{
        RootCertStore,
        client::{WebPkiServerVerifier, danger::ServerCertVerifier},
        crypto::aws_lc_rs::default_provider,
        pki_types::{ServerName, UnixTime},
        server::WebPkiClientVerifier,
    };

    use super::*;

    fn today() -> UnixTime {
        UnixTime::since_unix_epoch(crate::clock::since_1970(std::time::SystemTime::now()))
    }

    fn roots(authority: &Authority) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots
            .add(certificates(authority.certificate_pem()).remove(0))
            .unwrap();
        Arc::new(roots)
    }

    fn certificates(text: &str) -> Vec<CertificateDer<'static>> {
        pem::certificates(text.as_bytes()).unwrap()
    }

    fn is_good_client(authority: &Authority, pem: &str) -> bool {
        let provider = Arc::new(default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots(authority), provider);
        let chain = certificates(pem);
        let verifier = verifier.build().unwrap();
        verifier
            .verify_client_cert(&chain[0], &chain[1..], today())
            .is_ok()
    }

    fn is_good_server(authority: &Authority, pem: &str, name: &'static str) -> bool {
        let provider = Arc::new(default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(roots(authority), provider);
        let chain = certificates(pem);
        let name = ServerName::try_from(name).unwrap();
        let verifier = verifier.build().unwrap();
        verifier
            .verify_server_cert(&chain[0], &chain[1..], &name, &[], today())
            .is_ok()
    }

    fn written(
        folder: &tempfile::TempDir,
        certificate: &str,
        key: &str,
        mode: u32,
    ) -> (PathBuf, PathBuf) {
        let paths = (
            folder.path().join("some.crt"),
            folder.path().join("some.key"),
        );
        fs::write(&paths.0, certificate).unwrap();
        fs::write(&paths.1, key).unwrap();
        fs::set_permissions(&paths.1, fs::Permissions::from_mode(mode)).unwrap();
        paths
    }

    #[test]
    fn each_certificate_serves_its_purpose_alone() {
        let authority = Authority::generate("root").unwrap();
        let mut request = CertificateRequest::client("alice");
        request.dns.push("alice.example".to_owned());
        for (purpose, client, server) in [
            (Purpose::Client, true, false),
            (Purpose::Server, false, true),
            (Purpose::Both, true, true),
        ] {
            request.purpose = purpose;
            let pem = authority.issue(&request).unwrap().certificate_pem;
            assert_eq!(is_good_client(&authority, &pem), client, "{purpose:?}");
            assert_eq!(
                is_good_server(&authority, &pem, "alice.example"),
                server,
                "{purpose:?}"
            );
        }
    }

    #[test]
    fn only_its_own_ca_vouches_for_it_and_only_in_its_time() {
        let authority = Authority::generate("root").unwrap();
        let other = Authority::generate("root").unwrap();
        let mut request = CertificateRequest::client("alice");
        let pem = authority.issue(&request).unwrap().certificate_pem;
        assert!(!is_good_client(&other, &pem));

        request.valid.not_after = Utc::now() - chrono::TimeDelta::seconds(1);
        let pem = authority.issue(&request).unwrap().certificate_pem;
        assert!(!is_good_client(&authority, &pem));
    }

    #[test]
    fn a_server_goes_by_its_names() {
        let authority = Authority::generate("root").unwrap();
        let pem = authority
            .issue(&CertificateRequest::localhost())
            .unwrap()
            .certificate_pem;
        for name in ["localhost", "127.0.0.1", "::1"] {
            assert!(is_good_server(&authority, &pem, name), "{name}");
        }
        assert!(!is_good_server(&authority, &pem, "example.org"));
    }

    #[test]
    fn a_chain_leads_to_the_root() {
        let root = Authority::generate_root("root", 1, Validity::days(30)).unwrap();
        let intermediate = root.intermediate("intermediate").unwrap();
        let issued = intermediate
            .issue(&CertificateRequest::client("alice"))
            .unwrap();
        assert_eq!(certificates(&issued.certificate_pem).len(), 2);
        assert!(is_good_client(&root, &issued.certificate_pem));
        assert!(matches!(
            intermediate.intermediate("one too many"),
            Err(IssueError::NoIntermediates { .. })
        ));
    }

    #[test]
    fn a_loaded_ca_signs_as_the_made_one() {
        let folder = tempfile::tempdir().unwrap();
        let root = Authority::generate_root("root", 1, Validity::days(30)).unwrap();
        let intermediate = root.intermediate("intermediate").unwrap();
        let text = format!(
            "subject=CN = intermediate\n{}between\n{}",
            intermediate.certificate_pem(),
            root.certificate_pem()
        );
        let (certificate, key) = written(&folder, &text, &intermediate.key_pem(), 0o600);
        let loaded = Authority::load(&certificate, &key).unwrap();
        let issued = loaded.issue(&CertificateRequest::client("alice")).unwrap();
        assert_eq!(certificates(&issued.certificate_pem).len(), 2);
        assert!(is_good_client(&root, &issued.certificate_pem));
    }

    #[test]
    fn a_ca_is_loaded_only_from_files_that_make_one() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::generate("root").unwrap();
        let other = Authority::generate("other").unwrap();
        let leaf = authority
            .issue(&CertificateRequest::client("alice"))
            .unwrap();
        let (ca, ca_key) = (authority.certificate_pem(), authority.key_pem());
        let load = |certificate: &str, key: &str, mode| {
            let (certificate, key) = written(&folder, certificate, key, mode);
            Authority::load(&certificate, &key).unwrap_err()
        };

        let fault = load(ca, &ca_key, 0o644);
        assert!(fault.to_string().contains("chmod 600"), "{fault}");
        assert!(matches!(
            load(ca, &other.key_pem(), 0o600),
            IssueError::KeyMismatch { .. }
        ));
        assert!(matches!(load(ca, "", 0o600), IssueError::BadKey { .. }));
        assert!(matches!(
            load("", &ca_key, 0o600),
            IssueError::BadCertificate { .. }
        ));
        assert!(matches!(
            load(&leaf.certificate_pem, &leaf.key_pem, 0o600),
            IssueError::NotAuthority { .. }
        ));
    }

    #[test]
    fn a_ca_whose_subject_cannot_be_copied_signs_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut params = common_params(&["one", "two"], Validity::days(30)).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = generate_key().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let (certificate, key) = written(&folder, &pem, &key.serialize_pem(), 0o600);
        let loaded = Authority::load(&certificate, &key).unwrap();
        let fault = loaded
            .issue(&CertificateRequest::client("alice"))
            .unwrap_err();
        assert!(
            matches!(fault, IssueError::AuthoritySubject { .. }),
            "{fault}"
        );
    }

    #[test]
    fn tests_can_ask_for_odd_certificates() {
        let authority = Authority::generate("root").unwrap();
        let mut request = CertificateRequest::client("alice");
        request.common_names.clear();
        request.purpose = Purpose::Unstated;
        authority.issue(&request).unwrap();
        request.common_names = vec!["a".to_owned(), "b".to_owned()];
        request.uris = vec!["urn:a".to_owned(), "urn:b".to_owned()];
        authority.issue(&request).unwrap();
        request.common_names.push("c".to_owned());
        assert!(matches!(
            authority.issue(&request),
            Err(IssueError::TooManyCommonNames)
        ));
    }

    #[test]
    fn refuses_times_that_are_none() {
        let authority = Authority::generate("root").unwrap();
        let mut request = CertificateRequest::client("alice");
        let good = request.valid;
        for valid in [
            Validity {
                not_before: good.not_after,
                not_after: good.not_before,
            },
            Validity::days(u32::MAX),
            Validity {
                not_before: DateTime::<Utc>::MIN_UTC,
                ..good
            },
            Validity {
                not_before: DateTime::UNIX_EPOCH - chrono::TimeDelta::seconds(1),
                ..good
            },
        ] {
            request.valid = valid;
            assert!(matches!(
                authority.issue(&request),
                Err(IssueError::Validity { .. })
            ));
        }
    }

    #[test]
    fn no_key_shows_in_debug_text() {
        let authority = Authority::generate("root").unwrap();
        let issued = authority
            .issue(&CertificateRequest::client("alice"))
            .unwrap();
        assert!(!format!("{authority:?} {issued:?}").contains("PRIVATE"));
    }
}
