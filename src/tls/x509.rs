//! Small readings of X.509 that several need: what is parsed whole, times, signatures.

use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use chrono::DateTime;
use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, UnixTime},
};
use x509_parser::{
    certificate::X509Certificate, prelude::FromDer, revocation_list::CertificateRevocationList,
};

use super::error::TlsError;
use crate::{clock, files::GARBLED};

/// A certificate of a file.
pub(super) fn parsed_in<'a>(
    der: &'a CertificateDer<'_>,
    path: &Path,
) -> Result<X509Certificate<'a>, TlsError> {
    X509Certificate::from_der(der)
        .map(|(_, certificate)| certificate)
        .map_err(|_| TlsError::unusable(path, GARBLED))
}

/// One list, taken apart.
pub(crate) fn parsed_list(der: &[u8]) -> Result<CertificateRevocationList<'_>, String> {
    match CertificateRevocationList::from_der(der) {
        Ok(([], list)) => Ok(list),
        Ok(_) => Err("something follows its end".to_owned()),
        Err(_) => Err(GARBLED.to_owned()),
    }
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

/// The place among `intermediates` of the first CA, if any, whose key is not for signing certificates. WebPKI does not look
/// at key usage (RFC 5280 §6.1.4, n). What a peer sends beside its chain is nobody's issuer.
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
    let is_unfit = |ca: &X509Certificate<'_>| may_not_sign(ca) && is_issuer(ca);
    issuers
        .iter()
        .position(|ca| ca.as_ref().is_some_and(is_unfit))
}

/// Out of seconds since 1970, which may be before that.
pub(super) fn system_time(seconds: i64) -> SystemTime {
    DateTime::from_timestamp(seconds, 0).map_or(UNIX_EPOCH, SystemTime::from)
}

/// A clock before 1970 makes every certificate not yet valid, which is the safe answer.
pub(super) fn unix_time(moment: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(clock::since_1970(moment))
}

/// Whether `signature` over `content` is of this key, in one of the ways that TLS takes as well.
pub(crate) fn is_signed_by(
    public_key: &[u8],
    content: &[u8],
    signature: &[u8],
    provider: &CryptoProvider,
) -> bool {
    provider
        .signature_verification_algorithms
        .all
        .iter()
        .any(|way| way.verify_signature(public_key, content, signature).is_ok())
}
