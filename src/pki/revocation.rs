use std::{fmt, path::Path, str::FromStr};

use chrono::{DateTime, Utc};
use x509_parser::{
    oid_registry::{
        OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER, OID_X509_EXT_CRL_NUMBER,
        OID_X509_EXT_INVALIDITY_DATE, OID_X509_EXT_REASON_CODE,
    },
    revocation_list::{CertificateRevocationList, RevokedCertificate},
    time::ASN1Time,
};

use super::{Authority, IssueError};
use crate::{
    files,
    tls::{pem, x509::parsed_list},
};

/// Bytes of a serial number (RFC 5280 §4.1.2.2).
const SERIAL_BYTES_MAX: usize = 20;

/// A list of the certificates that a CA has taken back, before it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationList {
    /// One more than that of the list before.
    pub number: u64,
    /// When it was made, to the second.
    pub this_update: DateTime<Utc>,
    /// When the next one is due, to the second: from then on it counts no more.
    pub next_update: DateTime<Utc>,
    /// What is on it.
    pub revocations: Vec<Revocation>,
}

/// A certificate taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The certificate's serial number.
    pub serial: Serial,
    /// When it was put on the list, to the second.
    pub since: DateTime<Utc>,
    /// Why.
    pub reason: RevocationReason,
    /// Since when it should not have been trusted any more, as far as somebody said so.
    pub invalid_since: Option<DateTime<Utc>>,
}

/// The serial number of a certificate. In hexadecimal, as `tidings certs show` and `openssl x509
/// -serial` write it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(Vec<u8>);

/// A text is no serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a serial number is up to {} hexadecimal digits: give it as `tidings certs show` prints it",
    SERIAL_BYTES_MAX * 2
)]
pub struct SerialError;

impl Serial {
    /// As it stands in a certificate or list. A number below zero, which no CA should give out, is
    /// none: it could not be put on a list unchanged.
    pub(super) fn from_der(bytes: &[u8]) -> Option<Self> {
        let is_negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
        (!is_negative).then(|| Self::from_bytes(bytes))
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Self(bytes[zeros.min(bytes.len().saturating_sub(1))..].to_vec())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for Serial {
    type Err = SerialError;

    /// Takes capitals and small letters, and colons between, as `openssl x509 -text` has them.
    fn from_str(text: &str) -> Result<Self, SerialError> {
        let digits: Vec<u8> = text
            .chars()
            .filter(|c| *c != ':')
            .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect::<Option<_>>()
            .ok_or(SerialError)?;
        let bytes: Vec<u8> = digits
            .rchunks(2)
            .rev()
            .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
            .collect();
        let serial = Self::from_bytes(&bytes);
        if serial.0.is_empty() || serial.0.len() > SERIAL_BYTES_MAX {
            return Err(SerialError);
        }
        Ok(serial)
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

/// Why a certificate is taken back (RFC 5280 §5.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RevocationReason {
    /// Nobody said.
    #[default]
    Unspecified,
    /// Somebody else has, or may have, its private key.
    KeyCompromise,
    /// The same of a CA.
    CaCompromise,
    /// Its holder goes by another name now, or belongs elsewhere.
    AffiliationChanged,
    /// It was replaced.
    Superseded,
    /// It is needed no more.
    CessationOfOperation,
    /// For the time being.
    CertificateHold,
    /// It came off a hold; only lists of changes say so.
    RemoveFromCrl,
    /// Its holder lost a privilege that it speaks of.
    PrivilegeWithdrawn,
    /// The authority for its attributes was compromised.
    AaCompromise,
}

impl RevocationReason {
    /// Each with its number and name in RFC 5280.
    const ALL: [(Self, u8, &str, rcgen::RevocationReason); 10] = {
        use rcgen::RevocationReason as Rcgen;
        [
            (Self::Unspecified, 0, "unspecified", Rcgen::Unspecified),
            (
                Self::KeyCompromise,
                1,
                "keyCompromise",
                Rcgen::KeyCompromise,
            ),
            (Self::CaCompromise, 2, "cACompromise", Rcgen::CaCompromise),
            (
                Self::AffiliationChanged,
                3,
                "affiliationChanged",
                Rcgen::AffiliationChanged,
            ),
            (Self::Superseded, 4, "superseded", Rcgen::Superseded),
            (
                Self::CessationOfOperation,
                5,
                "cessationOfOperation",
                Rcgen::CessationOfOperation,
            ),
            (
                Self::CertificateHold,
                6,
                "certificateHold",
                Rcgen::CertificateHold,
            ),
            (
                Self::RemoveFromCrl,
                8,
                "removeFromCRL",
                Rcgen::RemoveFromCrl,
            ),
            (
                Self::PrivilegeWithdrawn,
                9,
                "privilegeWithdrawn",
                Rcgen::PrivilegeWithdrawn,
            ),
            (Self::AaCompromise, 10, "aACompromise", Rcgen::AaCompromise),
        ]
    };

    /// Those that a certificate of ours can be taken back for.
    pub const OF_CERTIFICATES: [Self; 6] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
    ];

    /// The word of RFC 5280.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().2
    }

    /// By the word of RFC 5280.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter();
        all.find(|row| row.2 == name).map(|row| row.0)
    }

    pub(super) fn from_number(number: u8) -> Option<Self> {
        let mut all = Self::ALL.iter();
        all.find(|row| row.1 == number).map(|row| row.0)
    }

    pub(super) fn as_signed(self) -> rcgen::RevocationReason {
        self.row().3
    }

    fn row(self) -> &'static (Self, u8, &'static str, rcgen::RevocationReason) {
        const FIRST: &(RevocationReason, u8, &str, rcgen::RevocationReason) =
            &RevocationReason::ALL[0];
        Self::ALL.iter().find(|row| row.0 == self).unwrap_or(FIRST)
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl RevocationList {
    /// The list in a file of `authority`, to be continued.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, holds anything but one list that `authority` signed, or says
    /// what would be lost when it is signed again.
    pub fn read(path: &Path, authority: &Authority) -> Result<Self, IssueError> {
        let contents = files::read(path).map_err(|reason| IssueError::Read {
            path: path.to_owned(),
            reason,
        })?;
        Self::signed_by(authority, &contents.bytes).map_err(|reason| {
            IssueError::BadRevocationList {
                path: path.to_owned(),
                reason,
            }
        })
    }

    fn signed_by(authority: &Authority, bytes: &[u8]) -> Result<Self, String> {
        let file = pem::revocation_lists(bytes).map_err(|fault| fault.to_string())?;
        let [der] = file.lists.as_slice() else {
            return Err(format!("there are {} in it", file.lists.len()));
        };
        if !file.certificates.is_empty() {
            return Err("there are certificates beside the list, which would be lost".to_owned());
        }
        let list = parsed_list(der)?;
        let is_signed = authority.has_signed(
            list.issuer(),
            list.tbs_cert_list.as_ref(),
            &list.signature_value.data,
        );
        if !is_signed {
            return Err("another CA signed it".to_owned());
        }
        Self::of(&list)
    }

    fn of(list: &CertificateRevocationList<'_>) -> Result<Self, String> {
        let known = [
            OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER,
            OID_X509_EXT_CRL_NUMBER,
        ];
        let is_known = |oid| known.contains(oid);
        if !list.extensions().iter().all(|found| is_known(&found.oid)) {
            return Err("it is only for some of the CA's certificates".to_owned());
        }
        let this_update = moment(list.last_update());
        Ok(Self {
            number: match list.crl_number() {
                None => 0,
                Some(number) => u64::try_from(number)
                    .map_err(|_| "its number is too large to be counted on".to_owned())?,
            },
            this_update,
            next_update: list.next_update().map_or(this_update, moment),
            revocations: list
                .iter_revoked_certificates()
                .map(Revocation::of)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Whether the certificate with this serial number is on it.
    #[must_use]
    pub fn revocation_of(&self, serial: &Serial) -> Option<&Revocation> {
        let mut revocations = self.revocations.iter();
        revocations.find(|revocation| revocation.serial == *serial)
    }
}

impl Revocation {
    fn of(entry: &RevokedCertificate<'_>) -> Result<Self, String> {
        let known = [OID_X509_EXT_REASON_CODE, OID_X509_EXT_INVALIDITY_DATE];
        let is_known = |oid| known.contains(oid);
        let lost = || {
            format!(
                "what it says of the certificate {} cannot be kept",
                entry.raw_serial_as_string()
            )
        };
        if !entry.extensions().iter().all(|found| is_known(&found.oid)) {
            return Err(lost());
        }
        let reason = match entry.reason_code() {
            None => RevocationReason::Unspecified,
            Some((_, code)) => RevocationReason::from_number(code.0).ok_or_else(lost)?,
        };
        Ok(Self {
            serial: Serial::from_der(entry.raw_serial()).ok_or_else(lost)?,
            since: moment(entry.revocation_date),
            reason,
            invalid_since: entry.invalidity_date().map(|(_, date)| moment(date)),
        })
    }
}

fn moment(time: ASN1Time) -> DateTime<Utc> {
    DateTime::from_timestamp(time.timestamp(), 0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_is_read_as_it_is_written() {
        for (text, expected) in [
            ("4F", "4F"),
            ("4f:0a", "4F0A"),
            ("0x1", ""),
            ("004f", "4F"),
            ("f", "0F"),
            ("0", "00"),
            ("", ""),
            (":", ""),
            ("4G", ""),
            ("\u{661}", ""),
            (&"FF".repeat(20), &"FF".repeat(20)),
            (&"FF".repeat(21), ""),
        ] {
            let read = text.parse::<Serial>().map(|serial| serial.to_string());
            assert_eq!(read.unwrap_or_default(), expected, "{text:?}");
        }
        assert_eq!(Serial::from_der(&[0x80]), None);
        let positive = Serial::from_der(&[0, 0x80]).unwrap();
        assert_eq!(positive.to_string(), "80");
    }

    #[test]
    fn every_reason_has_a_row_of_its_own() {
        for (reason, number, name, _) in RevocationReason::ALL {
            assert_eq!(reason.as_str(), name);
            assert_eq!(RevocationReason::from_name(name), Some(reason));
            assert_eq!(RevocationReason::from_number(number), Some(reason));
        }
        assert_eq!(RevocationReason::from_number(7), None);
    }
}
