//! What a revocation list (CRL) states.

use std::path::Path;

use chrono::{DateTime, Utc};

use super::InspectError;
use crate::{
    files,
    pki::RevocationReason,
    text::upper_hex,
    tls::{
        pem,
        x509::{parse_crl, utc},
    },
};

/// What one revocation list states.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CrlSummary {
    /// The name of the CA that signed it, as the list states it.
    pub issuer: String,
    /// When it was made.
    pub this_update: DateTime<Utc>,
    /// When the next one is due, if stated.
    pub next_update: Option<DateTime<Utc>>,
    /// Its CRL number in decimal, if stated.
    pub number: Option<String>,
    /// The revoked certificates.
    pub revocations: Vec<RevocationSummary>,
}

/// What a list states about one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RevocationSummary {
    /// The serial number, as [`CertificateSummary::serial`](super::CertificateSummary::serial).
    pub serial: String,
    /// When it was revoked.
    pub since: DateTime<Utc>,
    /// The reason by its name in RFC 5280, if stated.
    pub reason: Option<String>,
}

impl CrlSummary {
    /// Reads all lists of a file, PEM or DER, in their order: at least one.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or holds no list, or a broken one.
    pub fn read(path: &Path) -> Result<Vec<Self>, InspectError> {
        let contents = files::read(path).map_err(|reason| InspectError::Read {
            path: path.to_owned(),
            reason,
        })?;
        let broken = |reason| InspectError::BrokenCrl {
            path: path.to_owned(),
            reason,
        };
        let file = pem::crls(&contents.bytes).map_err(|error| broken(error.to_string()))?;
        if file.crls.is_empty() {
            return Err(broken("it holds none".to_owned()));
        }
        file.crls
            .iter()
            .map(|der| Self::from_der(der).map_err(broken))
            .collect()
    }

    fn from_der(der: &[u8]) -> Result<Self, String> {
        let crl = parse_crl(der)?;
        let revocations = crl
            .iter_revoked_certificates()
            .map(|entry| RevocationSummary {
                serial: upper_hex(&entry.serial().to_bytes_be(), ""),
                since: utc(entry.revocation_date),
                reason: entry.reason_code().map(|(_, code)| reason(code.0)),
            });
        Ok(Self {
            issuer: crl.issuer().to_string(),
            this_update: utc(crl.last_update()),
            next_update: crl.next_update().map(utc),
            number: crl.crl_number().map(ToString::to_string),
            revocations: revocations.collect(),
        })
    }
}

fn reason(code: u8) -> String {
    RevocationReason::from_number(code)
        .map_or_else(|| format!("reason {code}"), |reason| reason.to_string())
}
