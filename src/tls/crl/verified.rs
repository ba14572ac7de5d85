//! One revocation list (CRL), and which certificates it is for.

use std::time::SystemTime;

use webpki::CertRevocationList;
use x509_parser::{
    extensions::{DistributionPointName, GeneralName, ParsedExtension},
    oid_registry::{OID_X509_EXT_CRL_DISTRIBUTION_POINTS, OID_X509_EXT_ISSUER_DISTRIBUTION_POINT},
    prelude::{FromDer, X509Certificate},
    revocation_list::CertificateRevocationList,
};

/// A list whose signature was verified.
#[derive(Debug)]
pub(super) struct VerifiedCrl {
    pub(super) entries: CertRevocationList<'static>,
    pub(super) scope: Scope,
    pub(super) next_update: SystemTime,
}

/// Which certificates of its issuer a list is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    All,
    /// Those of its issuing distribution point (RFC 5280 §5.2.5).
    Some {
        /// The URIs of the distribution point. A certificate names the lists that are for it.
        uris: Vec<String>,
        users_only: bool,
        cas_only: bool,
    },
}

/// The role of a certificate in its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Ca,
}

impl VerifiedCrl {
    /// Whether the certificate with this serial number, as DER encodes it, is on the list. If the list
    /// cannot be searched, every certificate counts as revoked.
    pub(super) fn contains(&self, serial: &[u8]) -> bool {
        !matches!(self.entries.find_serial(serial), Ok(None))
    }
}

impl Scope {
    /// The scope of a list; `None` if it cannot be read. WebPKI has accepted the list before, so it is
    /// not indirect, is for all reasons, and has the full name of its distribution point.
    pub(super) fn of(crl: &CertificateRevocationList<'_>) -> Option<Self> {
        let mut extensions = crl.extensions().iter();
        let Some(extension) =
            extensions.find(|extension| extension.oid == OID_X509_EXT_ISSUER_DISTRIBUTION_POINT)
        else {
            return Some(Self::All);
        };
        let ParsedExtension::IssuingDistributionPoint(point) = extension.parsed_extension() else {
            return None;
        };
        Some(Self::Some {
            uris: uris(point.distribution_point.as_ref())?
                .map(str::to_owned)
                .collect(),
            users_only: point.only_contains_user_certs,
            cas_only: point.only_contains_ca_certs,
        })
    }

    /// Whether a list of this scope is for the certificate.
    pub(super) fn covers(&self, certificate: &[u8], role: Role) -> bool {
        let Self::Some {
            uris: own,
            users_only,
            cas_only,
        } = self
        else {
            return true;
        };
        if *users_only && role != Role::Client || *cas_only && role != Role::Ca {
            return false;
        }
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
            return false;
        };
        let mut extensions = certificate.iter_extensions();
        let Some(extension) =
            extensions.find(|extension| extension.oid == OID_X509_EXT_CRL_DISTRIBUTION_POINTS)
        else {
            // It names no list, so each list of its issuer is for it.
            return true;
        };
        let ParsedExtension::CRLDistributionPoints(points) = extension.parsed_extension() else {
            return false;
        };
        points
            .iter()
            .filter(|point| point.reasons.is_none() && point.crl_issuer.is_none())
            .filter_map(|point| uris(point.distribution_point.as_ref()))
            .flatten()
            .any(|uri| own.iter().any(|own| own == uri))
    }
}

/// The URIs in the full name of a distribution point.
fn uris<'a>(name: Option<&'a DistributionPointName<'a>>) -> Option<impl Iterator<Item = &'a str>> {
    let Some(DistributionPointName::FullName(names)) = name else {
        return None;
    };
    Some(names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    }))
}
