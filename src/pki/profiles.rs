//! The contents of the certificates that are signed here: what all have in common, and what makes
//! one a CA's, a client's or a server's.

use chrono::{DateTime, Datelike, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, SanType, SerialNumber,
};
use x509_parser::time::ASN1Time;

use super::{CertificateRequest, IssueError, Purpose, SubjectNames, Validity, keys::random_bytes};

/// A CA with room for a chain of `intermediates` further CAs below it.
pub(super) fn ca(
    common_name: &str,
    intermediates: u8,
    valid: Validity,
) -> Result<CertificateParams, IssueError> {
    let mut params = common(&[common_name], valid)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(intermediates));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// A client or server.
pub(super) fn end_entity(request: &CertificateRequest) -> Result<CertificateParams, IssueError> {
    let names = &request.names;
    let common_names: Vec<&str> = names.common_names.iter().map(String::as_str).collect();
    let mut params = common(&common_names, request.valid)?;
    // Stated explicitly, since rcgen adds the subject key identifier only then.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match request.purpose {
        Purpose::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
        Purpose::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
        Purpose::Both => vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ],
        Purpose::Unstated => Vec::new(),
    };
    params.subject_alt_names = alternative_names(names).map_err(IssueError::signing)?;
    Ok(params)
}

pub(super) fn common(
    common_names: &[&str],
    valid: Validity,
) -> Result<CertificateParams, IssueError> {
    check_calendar(valid.not_before, valid.not_after)?;
    let mut params = CertificateParams::default();
    params.not_before = asn1_time(valid.not_before)?.to_datetime();
    params.not_after = asn1_time(valid.not_after)?.to_datetime();
    params.distinguished_name = DistinguishedName::new();
    // rcgen keeps one value for each type of attribute. The common name has two spellings in it.
    let types = [DnType::CommonName, DnType::CustomDnType(vec![2, 5, 4, 3])];
    if common_names.len() > types.len() {
        return Err(IssueError::TooManyCommonNames);
    }
    for (kind, name) in types.into_iter().zip(common_names) {
        params.distinguished_name.push(kind, *name);
    }
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(random_serial()?);
    Ok(params)
}

fn alternative_names(names: &SubjectNames) -> Result<Vec<SanType>, rcgen::Error> {
    let mut all = Vec::new();
    for dns in &names.dns {
        all.push(SanType::DnsName(dns.as_str().try_into()?));
    }
    all.extend(names.ips.iter().copied().map(SanType::IpAddress));
    for uri in &names.uris {
        all.push(SanType::URI(uri.as_str().try_into()?));
    }
    for email in &names.emails {
        all.push(SanType::Rfc822Name(email.as_str().try_into()?));
    }
    Ok(all)
}

/// A positive number of sixteen bytes: RFC 5280 §4.1.2.2 allows up to twenty, not zero, with the
/// first bit clear.
fn random_serial() -> Result<SerialNumber, IssueError> {
    let mut bytes = random_bytes::<16>()?;
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

/// Checks a period: a certificate has four digits for the year, and rustls counts from 1970.
pub(super) fn check_calendar(
    not_before: DateTime<Utc>,
    not_after: DateTime<Utc>,
) -> Result<(), IssueError> {
    let is_encodable = |time: DateTime<Utc>| (1970..=9999).contains(&time.year());
    if !is_encodable(not_before) || !is_encodable(not_after) || not_after <= not_before {
        return Err(IssueError::Validity {
            not_before,
            not_after,
        });
    }
    Ok(())
}

pub(super) fn asn1_time(time: DateTime<Utc>) -> Result<ASN1Time, IssueError> {
    ASN1Time::from_timestamp(time.timestamp()).map_err(IssueError::signing)
}
