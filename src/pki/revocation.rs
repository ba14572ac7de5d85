//! The contents of a revocation list (CRL): which certificates are revoked, since when, and why.
//!
//! Owns how serial numbers and reasons are written. Signing and reading are the CA's.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};

use crate::text::upper_hex;

/// Most bytes of a serial number (RFC 5280 §4.1.2.2).
const SERIAL_BYTES_MAX: usize = 20;

/// The contents of a revocation list, without the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationList {
    /// Its CRL number: one more than that of the list before.
    pub number: u64,
    /// When it was made, to the second.
    pub this_update: DateTime<Utc>,
    /// When the next one is due, to the second. The list expires then.
    pub next_update: DateTime<Utc>,
    /// The revoked certificates.
    pub revocations: Vec<Revocation>,
}

/// A revoked certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The certificate's serial number.
    pub serial: Serial,
    /// When it was revoked, to the second.
    pub since: DateTime<Utc>,
    /// Why.
    pub reason: RevocationReason,
    /// When its key was compromised or it otherwise became invalid, if known: the invalidity date.
    pub invalid_since: Option<DateTime<Utc>>,
}

/// The serial number of a certificate. Its text is hexadecimal, as `tidings certs show` and
/// `openssl x509 -serial` print it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(Vec<u8>);

/// A text that is not a serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a serial number is up to {} hexadecimal digits: give it as `tidings certs show` prints it",
    SERIAL_BYTES_MAX * 2
)]
pub struct SerialError;

impl Serial {
    /// Decodes a serial number as certificates and lists encode it. A negative one, which no CA should
    /// issue, gives `None`: it could not be put on a list unchanged.
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

    /// Accepts upper and lower case, and colons between digits as `openssl x509 -text` prints them.
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
        f.write_str(&upper_hex(&self.0, ""))
    }
}

/// Why a certificate is revoked (RFC 5280 §5.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RevocationReason {
    /// No reason given.
    #[default]
    Unspecified,
    /// Its private key was, or may have been, disclosed.
    KeyCompromise,
    /// The private key of a CA was, or may have been, disclosed.
    CaCompromise,
    /// The name or affiliation of its subject has changed.
    AffiliationChanged,
    /// It was replaced.
    Superseded,
    /// It is no longer needed.
    CessationOfOperation,
    /// It is suspended.
    CertificateHold,
    /// It was suspended and no longer is. Occurs only in delta CRLs.
    RemoveFromCrl,
    /// A privilege that it states was withdrawn.
    PrivilegeWithdrawn,
    /// The attribute authority was compromised.
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

    /// The reasons that `tidings certs revoke` offers.
    pub const OF_CERTIFICATES: [Self; 6] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
    ];

    /// The name in RFC 5280.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().2
    }

    /// The reason with this name in RFC 5280.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter();
        all.find(|row| row.2 == name).map(|row| row.0)
    }

    pub(super) fn from_number(number: u8) -> Option<Self> {
        let mut all = Self::ALL.iter();
        all.find(|row| row.1 == number).map(|row| row.0)
    }

    pub(super) fn for_signing(self) -> rcgen::RevocationReason {
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
    /// The entry for the certificate with this serial number, if it is revoked.
    #[must_use]
    pub fn revocation_of(&self, serial: &Serial) -> Option<&Revocation> {
        let mut revocations = self.revocations.iter();
        revocations.find(|revocation| revocation.serial == *serial)
    }
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
