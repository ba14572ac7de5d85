//! Small helpers for X.509: parsing whole structures, validity, signatures.

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use chrono::{DateTime, Utc};
use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, UnixTime},
};
use x509_parser::{
    certificate::X509Certificate, prelude::FromDer, revocation_list::CertificateRevocationList,
    time::ASN1Time,
};

use super::error::TlsError;
use crate::{clock, files::GARBLED};

/// Parses a certificate that the file at `path` holds.
pub(super) fn parse_certificate<'a>(
    der: &'a CertificateDer<'_>,
    path: &Path,
) -> Result<X509Certificate<'a>, TlsError> {
    X509Certificate::from_der(der)
        .map(|(_, certificate)| certificate)
        .map_err(|_| TlsError::unusable(path, GARBLED))
}

/// Checks that the extensions which say what a certificate is for can be read. rustls does not need
/// them to send the certificate, but its peer does.
pub(super) fn check_extensions(certificate: &X509Certificate<'_>) -> Result<(), String> {
    let readable = [
        certificate.basic_constraints().map(drop),
        certificate.key_usage().map(drop),
        certificate.extended_key_usage().map(drop),
        certificate.subject_alternative_name().map(drop),
    ];
    readable
        .into_iter()
        .collect::<Result<(), _>>()
        .map_err(|_| {
            "a certificate in it has an extension that is garbled or twice there".to_owned()
        })
}

/// Parses one revocation list, and nothing after it.
pub(crate) fn parse_crl(der: &[u8]) -> Result<CertificateRevocationList<'_>, String> {
    match CertificateRevocationList::from_der(der) {
        Ok(([], crl)) => Ok(crl),
        Ok(_) => Err("something follows its end".to_owned()),
        Err(_) => Err(GARBLED.to_owned()),
    }
}

/// From when a certificate is valid, and from when it is no longer valid. Its last second counts in
/// full (RFC 5280 §4.1.2.5).
pub(super) fn validity(certificate: &X509Certificate<'_>) -> (SystemTime, SystemTime) {
    let validity = certificate.validity();
    let after_last = SystemTime::from(utc(validity.not_after)) + Duration::from_secs(1);
    (utc(validity.not_before).into(), after_last)
}

/// The index of the first of `intermediates` that issued a certificate of the chain although its key
/// usage does not allow that (RFC 5280 §6.1.4, n). WebPKI does not check key usage. Certificates that
/// a peer sends in addition to its chain do not count: they issued none of it.
pub(super) fn issuer_that_may_not_sign(
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
) -> Option<usize> {
    fn parsed<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
        X509Certificate::from_der(der)
            .ok()
            .map(|(_, parsed)| parsed)
    }
    let (own, issuers) = (
        parsed(end_entity),
        intermediates.iter().map(parsed).collect::<Vec<_>>(),
    );
    let is_issuer = |ca: &X509Certificate<'_>| {
        let mut issued = issuers.iter().flatten().chain(&own);
        issued.any(|of| of.issuer().as_raw() == ca.subject().as_raw())
    };
    let may_not_sign = |ca: &X509Certificate<'_>| match ca.key_usage() {
        Ok(usage) => usage.is_some_and(|usage| !usage.value.key_cert_sign()),
        Err(_) => true,
    };
    let is_unsuitable = |ca: &X509Certificate<'_>| may_not_sign(ca) && is_issuer(ca);
    issuers
        .iter()
        .position(|ca| ca.as_ref().is_some_and(is_unsuitable))
}

/// ASN.1 has times from the year 0 to 9999, all of which chrono can represent.
pub(crate) fn utc(time: ASN1Time) -> DateTime<Utc> {
    DateTime::from_timestamp(time.timestamp(), 0).unwrap_or_default()
}

/// A clock before 1970 counts as 1970. Every certificate is then not yet valid: the safe answer.
pub(super) fn unix_time(time: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(clock::since_1970(time))
}

/// A time too far away to represent counts as 1970.
pub(super) fn system_time(time: UnixTime) -> SystemTime {
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        .map_or(UNIX_EPOCH, SystemTime::from)
}

/// Whether `signature` over `content` was made with this key, by an algorithm that TLS accepts too.
pub(crate) fn is_signed_by(
    public_key: &[u8],
    content: &[u8],
    signature: &[u8],
    provider: &CryptoProvider,
) -> bool {
    let algorithms = provider.signature_verification_algorithms.all;
    algorithms.iter().any(|algorithm| {
        algorithm
            .verify_signature(public_key, content, signature)
            .is_ok()
    })
}
