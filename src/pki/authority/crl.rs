//! Revocation lists (CRLs): signed by the CA, and read back so that the next one continues them.
//!
//! Owns that nothing on a list is lost: a list that says more than the next one could is refused.

use std::path::Path;

use rcgen::{CertificateRevocationListParams, KeyUsagePurpose, RevokedCertParams, SerialNumber};
use x509_parser::{
    oid_registry::{
        OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER, OID_X509_EXT_CRL_NUMBER,
        OID_X509_EXT_INVALIDITY_DATE, OID_X509_EXT_REASON_CODE,
    },
    revocation_list::{CertificateRevocationList, RevokedCertificate},
};

use super::Authority;
use crate::{
    files,
    pki::{
        IssueError, Revocation, RevocationList, RevocationReason, Serial,
        profiles::{asn1_time, check_calendar},
    },
    tls::{
        pem,
        x509::{parse_crl, utc},
    },
};

impl Authority {
    /// Signs a revocation list. Returns it as PEM.
    ///
    /// # Errors
    ///
    /// When this CA may not sign CRLs, when its subject cannot be copied, or when a time does not fit
    /// into a CRL.
    pub fn sign_crl(&self, list: &RevocationList) -> Result<String, IssueError> {
        let key_usages = self.issuer.key_usages();
        if !key_usages.is_empty() && !key_usages.contains(&KeyUsagePurpose::CrlSign) {
            return Err(IssueError::NotCrlSigner {
                authority: self.subject.clone(),
            });
        }
        check_calendar(list.this_update, list.next_update)?;
        let revoked_certs = list.revocations.iter().map(crl_entry);
        let params = CertificateRevocationListParams {
            this_update: asn1_time(list.this_update)?.to_datetime(),
            next_update: asn1_time(list.next_update)?.to_datetime(),
            crl_number: SerialNumber::from(list.number),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect::<Result<_, _>>()?,
            key_identifier_method: self.key_identifier.clone(),
        };
        let signed = params
            .signed_by(&self.issuer)
            .map_err(IssueError::signing)?;
        let written = parse_crl(signed.der()).map_err(IssueError::signing)?;
        self.check_issuer(written.issuer())?;
        signed.pem().map_err(IssueError::signing)
    }

    /// Reads the newest revocation list of this CA, so that it can be continued.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, holds anything but one CRL that this CA signed, or holds
    /// something that would be lost in the next CRL.
    pub fn read_crl(&self, path: &Path) -> Result<RevocationList, IssueError> {
        let contents = files::read(path).map_err(|reason| IssueError::unreadable(path, reason))?;
        self.parse_own_crl(&contents.bytes)
            .map_err(|reason| IssueError::BadRevocationList {
                path: path.to_owned(),
                reason,
            })
    }

    fn parse_own_crl(&self, bytes: &[u8]) -> Result<RevocationList, String> {
        let file = pem::crls(bytes).map_err(|error| error.to_string())?;
        let [der] = file.crls.as_slice() else {
            return Err(format!("it holds {} lists, not one", file.crls.len()));
        };
        if !file.certificates.is_empty() {
            return Err("it also holds certificates, which would be lost".to_owned());
        }
        let crl = parse_crl(der)?;
        let is_own = self.has_signed(
            crl.issuer(),
            crl.tbs_cert_list.as_ref(),
            &crl.signature_value.data,
        );
        if !is_own {
            return Err("another CA signed it".to_owned());
        }
        list_of(&crl)
    }
}

fn list_of(crl: &CertificateRevocationList<'_>) -> Result<RevocationList, String> {
    let kept = [
        OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER,
        OID_X509_EXT_CRL_NUMBER,
    ];
    if !crl
        .extensions()
        .iter()
        .all(|found| kept.contains(&found.oid))
    {
        return Err("it is only for some of the CA's certificates".to_owned());
    }
    let number = match crl.crl_number() {
        None => 0,
        Some(number) => {
            u64::try_from(number).map_err(|_| "its number is too large to continue".to_owned())?
        }
    };
    let this_update = utc(crl.last_update());
    let revocations = crl.iter_revoked_certificates().map(revocation_of);
    Ok(RevocationList {
        number,
        this_update,
        next_update: crl.next_update().map_or(this_update, utc),
        revocations: revocations.collect::<Result<_, _>>()?,
    })
}

fn revocation_of(entry: &RevokedCertificate<'_>) -> Result<Revocation, String> {
    let lost = || {
        format!(
            "what it says of the certificate {} would be lost",
            entry.raw_serial_as_string()
        )
    };
    let kept = [OID_X509_EXT_REASON_CODE, OID_X509_EXT_INVALIDITY_DATE];
    if !entry
        .extensions()
        .iter()
        .all(|found| kept.contains(&found.oid))
    {
        return Err(lost());
    }
    let reason = match entry.reason_code() {
        None => RevocationReason::Unspecified,
        Some((_, code)) => RevocationReason::from_number(code.0).ok_or_else(lost)?,
    };
    Ok(Revocation {
        serial: Serial::from_der(entry.raw_serial()).ok_or_else(lost)?,
        since: utc(entry.revocation_date),
        reason,
        invalid_since: entry.invalidity_date().map(|(_, date)| utc(date)),
    })
}

fn crl_entry(revocation: &Revocation) -> Result<RevokedCertParams, IssueError> {
    let invalid_since = revocation.invalid_since.map(asn1_time).transpose()?;
    Ok(RevokedCertParams {
        serial_number: SerialNumber::from_slice(revocation.serial.as_bytes()),
        revocation_time: asn1_time(revocation.since)?.to_datetime(),
        reason_code: Some(revocation.reason.for_signing()),
        invalidity_date: invalid_since.map(|time| time.to_datetime()),
    })
}
