//! The CAs that are trusted, from a file.
//!
//! Owns which certificates count as those of a CA.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use rustls::pki_types::CertificateDer;
use tracing::warn;
use webpki::anchor_from_trusted_cert;
use x509_parser::prelude::{X509Certificate, X509Version};

use super::{
    anchors::Anchor,
    error::{Problem, TlsError},
    expiry::Expiry,
    reading::read_certificates,
    x509::{parse_certificate, validity},
};
use crate::{files::TrackedFiles, text::escaped};

/// The CAs of a file, expired ones included.
#[derive(Debug)]
pub(super) struct TrustedCas {
    pub(super) file: PathBuf,
    pub(super) anchors: Vec<Anchor>,
    /// The same CAs, each with whether it has not expired.
    pub(super) certificates: Vec<(CertificateDer<'static>, bool)>,
    /// For those that should be renewed.
    pub(super) expiries: Vec<Expiry>,
}

impl TrustedCas {
    /// Reads the file. If some CAs have expired and others not, the expired ones are logged.
    pub(super) fn read(path: &Path, sources: &mut TrackedFiles) -> Result<Self, TlsError> {
        let certificates = read_certificates(path, sources)?;
        let now = SystemTime::now();
        let (mut all, mut anchors, mut expiries) = (Vec::new(), Vec::new(), Vec::new());
        for (index, der) in certificates.into_iter().enumerate() {
            let certificate = parse_certificate(&der, path)?;
            let subject = escaped(&certificate.subject().to_string());
            if !is_ca(&certificate) {
                let problem = Problem::NotAuthority(index + 1, subject);
                return Err(TlsError::new(path, problem));
            }
            let (begin, end) = validity(&certificate);
            all.push((der.clone(), end > now));
            let what = format!("the CA \"{subject}\"");
            expiries.push(Expiry::of_certificate(what, path, begin, end));
            let anchor =
                anchor_from_trusted_cert(&der).map_err(|error| TlsError::unusable(path, error))?;
            anchors.push((anchor.to_owned(), end));
        }
        let is_valid = |expiry: &Expiry| expiry.end > now;
        if expiries.iter().any(is_valid) {
            // While others are valid, nobody needs a reminder to renew an expired one.
            let expired = expiries
                .iter()
                .enumerate()
                .filter(|(_, one)| !is_valid(one));
            for (index, Expiry { file, .. }) in expired {
                let (file, number) = (file.display(), index + 1);
                warn!(%file, number, "a CA has expired and is left out");
            }
            expiries.retain(is_valid);
        }
        Ok(Self {
            file: path.to_owned(),
            anchors,
            certificates: all,
            expiries,
        })
    }
}

/// Whether a certificate is that of a CA. WebPKI accepts any certificate as a trust anchor: a client
/// whose certificate was put into the file would become a CA.
///
/// A certificate of version 1 cannot state what it is, as it has no extensions. It is accepted if it
/// is self-issued, since RFC 5280 §6.1.1 requires no more of a trust anchor than a name and a key. One
/// that another CA issued is not accepted.
fn is_ca(certificate: &X509Certificate<'_>) -> bool {
    if certificate.version() == X509Version::V1 {
        return certificate.subject().as_raw() == certificate.issuer().as_raw();
    }
    matches!(certificate.basic_constraints(), Ok(Some(constraints)) if constraints.value.ca)
}
