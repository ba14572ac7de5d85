//! One revocation list, and which certificates it speaks of.

use std::time::SystemTime;

use webpki::CertRevocationList;
use x509_parser::{
    extensions::{DistributionPointName, GeneralName, ParsedExtension},
    oid_registry::{OID_X509_EXT_CRL_DISTRIBUTION_POINTS, OID_X509_EXT_ISSUER_DISTRIBUTION_POINT},
    prelude::{FromDer, X509Certificate},
    revocation_list::CertificateRevocationList,
};

/// A list whose signature was checked.
#[derive(Debug)]
pub(super) struct List {
    pub(super) entries: CertRevocationList<'static>,
    pub(super) scope: Scope,
    pub(super) next_update: SystemTime,
}

/// Of which of its issuer's certificates a list speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    All,
    /// By its issuing distribution point (RFC 5280 §5.2.5).
    Some {
        /// Where such lists are to be had: certificates name those that speak of them.
        uris: Vec<String>,
        users_only: bool,
        cas_only: bool,
    },
}

/// What a certificate is in its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Authority,
}

impl List {
    /// Whether the certificate with this serial number, as it stands in there, is on it. A list
    /// that cannot be searched names everybody.
    pub(super) fn names(&self, serial: &[u8]) -> bool {
        !matches!(self.entries.find_serial(serial), Ok(None))
    }
}

impl Scope {
    /// What the list says; `None` where that cannot be made out. WebPKI has taken the list before,
    /// so there are no indirect lists, none for some reasons only, and none without the full name
    /// of its distribution point.
    pub(super) fn of(list: &CertificateRevocationList<'_>) -> Option<Self> {
        let mut extensions = list.extensions().iter();
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

    /// Whether a list of this scope is one for the certificate.
    pub(super) fn covers(&self, certificate: &[u8], role: Role) -> bool {
        let Self::Some {
            uris: own,
            users_only,
            cas_only,
        } = self
        else {
            return true;
        };
        if *users_only && role != Role::Client || *cas_only && role != Role::Authority {
            return false;
        }
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
            return false;
        };
        let mut extensions = certificate.iter_extensions();
        let Some(extension) =
            extensions.find(|extension| extension.oid == OID_X509_EXT_CRL_DISTRIBUTION_POINTS)
        else {
            // A certificate that names no list leaves it to the issuer's.
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

/// Of a full name.
fn uris<'a>(name: Option<&'a DistributionPointName<'a>>) -> Option<impl Iterator<Item = &'a str>> {
    let Some(DistributionPointName::FullName(names)) = name else {
        return None;
    };
    Some(names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    }))
}
