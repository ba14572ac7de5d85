use std::path::Path;

use chrono::{DateTime, Utc};

use super::{InspectError, capital_hex, moment};
use crate::{
    files,
    pki::RevocationReason,
    tls::{pem, x509::parsed_list},
};

/// What one revocation list says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListSummary {
    /// Who signed it, by its own words.
    pub issuer: String,
    /// When it was made.
    pub this_update: DateTime<Utc>,
    /// When the next one is due, if it says so.
    pub next_update: Option<DateTime<Utc>>,
    /// Its number among those of its issuer, in decimal, if it says so.
    pub number: Option<String>,
    /// What is on it.
    pub revocations: Vec<RevocationSummary>,
}

/// What a list says of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RevocationSummary {
    /// The serial number, as [`CertificateSummary::serial`](super::CertificateSummary::serial).
    pub serial: String,
    /// Since when it is revoked.
    pub since: DateTime<Utc>,
    /// Why, in the words of RFC 5280, if it says so.
    pub reason: Option<String>,
}

impl ListSummary {
    /// Reads all lists of a file, PEM or DER, in their order. Never an empty list.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or holds no list, or one that is broken.
    pub fn read(path: &Path) -> Result<Vec<Self>, InspectError> {
        let contents = files::read(path).map_err(|reason| InspectError::Read {
            path: path.to_owned(),
            reason,
        })?;
        let broken = |reason| InspectError::BrokenList {
            path: path.to_owned(),
            reason,
        };
        let file =
            pem::revocation_lists(&contents.bytes).map_err(|fault| broken(fault.to_string()))?;
        if file.lists.is_empty() {
            return Err(broken("there is none in it".to_owned()));
        }
        file.lists
            .iter()
            .map(|der| Self::from_der(der).map_err(broken))
            .collect()
    }

    fn from_der(der: &[u8]) -> Result<Self, String> {
        let list = parsed_list(der)?;
        let revocations = list
            .iter_revoked_certificates()
            .map(|entry| RevocationSummary {
                serial: capital_hex(&entry.serial().to_bytes_be(), ""),
                since: moment(entry.revocation_date),
                reason: entry.reason_code().map(|(_, code)| reason(code.0)),
            });
        Ok(Self {
            issuer: list.issuer().to_string(),
            this_update: moment(list.last_update()),
            next_update: list.next_update().map(moment),
            number: list.crl_number().map(ToString::to_string),
            revocations: revocations.collect(),
        })
    }
}

fn reason(code: u8) -> String {
    RevocationReason::from_number(code)
        .map_or_else(|| format!("reason {code}"), |reason| reason.to_string())
}
