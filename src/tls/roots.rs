//! The CAs whose certificates are trusted, out of a file.
//!
//! Owns what a certificate must be to count as a CA's.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use rustls::pki_types::CertificateDer;
use tracing::warn;
use webpki::anchor_from_trusted_cert;
use x509_parser::prelude::{X509Certificate, X509Version};

use super::{
    error::{Problem, TlsError},
    expiry::Expiry,
    reading::read_certificates,
    trust::Anchor,
    x509::{parse_certificate, validity},
};
use crate::{files::TrackedFiles, text::escaped};

/// The authorities of a file, ended ones too.
#[derive(Debug)]
pub(super) struct Authorities {
    pub(super) file: PathBuf,
    pub(super) anchors: Vec<Anchor>,
    /// And whether each is in date.
    pub(super) certificates: Vec<(CertificateDer<'static>, bool)>,
    /// Of those that are to be renewed.
    pub(super) expiries: Vec<Expiry>,
}

impl Authorities {
    /// Reads them. Those that have ended are told of where others have not.
    pub(super) fn read(path: &Path, sources: &mut TrackedFiles) -> Result<Self, TlsError> {
        let certificates = read_certificates(path, sources)?;
        let now = SystemTime::now();
        let (mut all, mut anchors, mut expiries) = (Vec::new(), Vec::new(), Vec::new());
        for (index, der) in certificates.into_iter().enumerate() {
            let certificate = parse_certificate(&der, path)?;
            let subject = escaped(&certificate.subject().to_string());
            if !is_authority(&certificate) {
                let problem = Problem::NotAuthority(index + 1, subject);
                return Err(TlsError::new(path, problem));
            }
            let (begin, end) = validity(&certificate);
            all.push((der.clone(), end > now));
            let what = format!("the authority \"{subject}\"");
            expiries.push(Expiry::of_certificate(what, path, begin, end));
            let anchor =
                anchor_from_trusted_cert(&der).map_err(|error| TlsError::unusable(path, error))?;
            anchors.push((anchor.to_owned(), end));
        }
        let is_good = |expiry: &Expiry| expiry.end > now;
        if expiries.iter().any(is_good) {
            // Beside others, one that has ended is not missed: it is told of now and not again.
            let over = expiries.iter().enumerate().filter(|(_, one)| !is_good(one));
            for (index, Expiry { file, .. }) in over {
                let (file, number) = (file.display(), index + 1);
                warn!(%file, number, "an authority has expired and is left out");
            }
            expiries.retain(is_good);
        }
        Ok(Self {
            file: path.to_owned(),
            anchors,
            certificates: all,
            expiries,
        })
    }
}

/// Whether it may vouch for others. WebPKI takes whatever it is told to trust: here that would make
/// a CA out of a client whose certificate somebody put into the file.
///
/// A root of version 1 cannot say what it is, as it has no extensions. One that names itself as its
/// issuer is taken on the word of who put it there (RFC 5280 §6.1.1 asks of a trust anchor no more
/// than name and key); one that another CA issued is not.
fn is_authority(certificate: &X509Certificate<'_>) -> bool {
    if certificate.version() == X509Version::V1 {
        return certificate.subject().as_raw() == certificate.issuer().as_raw();
    }
    matches!(certificate.basic_constraints(), Ok(Some(constraints)) if constraints.value.ca)
}
