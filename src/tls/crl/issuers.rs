//! The CAs whose revocation lists count: those of `--ca`, and those below them whose certificates stand
//! beside the lists.

use std::{collections::HashMap, time::SystemTime};

use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, SubjectPublicKeyInfoDer},
};
use webpki::{anchor_from_trusted_cert, spki_for_anchor};
use x509_parser::{
    certificate::X509Certificate, prelude::FromDer, revocation_list::CertificateRevocationList,
};

use super::verified::VerifiedCrl;
use crate::tls::x509::{is_signed_by, validity};

/// CAs by name, each with the lists that it signed. A CA that got a new key appears once for each key,
/// under one name.
#[derive(Debug, Default)]
pub(super) struct Issuers(HashMap<Vec<u8>, Vec<Issuer>>);

/// A CA: a name and a key. It may have several certificates.
#[derive(Debug)]
pub(super) struct Issuer {
    key: SubjectPublicKeyInfoDer<'static>,
    may_sign_crls: bool,
    /// Whether neither it nor the CA above it has expired.
    pub(super) is_in_use: bool,
    pub(super) crls: Vec<VerifiedCrl>,
}

/// Why the signature of a list does not count.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotSigned {
    /// No CA of the name is known.
    UnknownIssuer,
    /// No key of a CA of that name made the signature.
    BadSignature,
    /// The CA has a key usage, and no `cRLSign` in it.
    NotCrlSigner,
}

impl Issuers {
    /// Adds those of these CAs that a known one has signed, directly or through others of them.
    /// Returns the rest.
    pub(super) fn add_signed(
        &mut self,
        mut others: Vec<CertificateDer<'static>>,
        now: SystemTime,
        provider: &CryptoProvider,
    ) -> Vec<CertificateDer<'static>> {
        loop {
            let before = others.len();
            others.retain(|other| match self.is_signer_in_use(other, now, provider) {
                Some(is_in_use) => {
                    self.add(other, is_in_use);
                    false
                }
                None => true,
            });
            if others.len() == before {
                return others;
            }
        }
    }

    /// If a known CA has signed this certificate of a CA: whether both are in use.
    fn is_signer_in_use(
        &self,
        der: &CertificateDer<'_>,
        now: SystemTime,
        provider: &CryptoProvider,
    ) -> Option<bool> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let is_ca = matches!(certificate.basic_constraints(), Ok(Some(c)) if c.value.ca);
        let parsed = webpki::EndEntityCert::try_from(der).ok()?;
        let signers = self.0.get(parsed.issuer()).filter(|_| is_ca)?;
        let signed = |signer: &&Issuer| {
            signer.has_signed(
                certificate.tbs_certificate.as_ref(),
                &certificate.signature_value.data,
                provider,
            )
        };
        let is_in_date = validity(&certificate).1 > now;
        let signer = signers.iter().find(signed)?;
        Some(signer.is_in_use && is_in_date)
    }

    /// Adds a CA: a trusted one, or one that a known CA has signed.
    pub(super) fn add(&mut self, der: &CertificateDer<'_>, is_in_use: bool) {
        // Lists of a CA that cannot be parsed are later refused as those of an unknown issuer.
        let (Ok(anchor), Ok((_, certificate))) = (
            anchor_from_trusted_cert(der),
            X509Certificate::from_der(der),
        ) else {
            return;
        };
        let may_sign_crls = match certificate.key_usage() {
            Ok(usage) => usage.is_none_or(|usage| usage.value.crl_sign()),
            Err(_) => false,
        };
        let key = spki_for_anchor(&anchor);
        let namesakes = self.0.entry(anchor.subject.to_vec()).or_default();
        match namesakes.iter_mut().find(|issuer| issuer.key == key) {
            // Another certificate of the same CA.
            Some(issuer) => {
                issuer.is_in_use |= is_in_use;
                issuer.may_sign_crls |= may_sign_crls;
            }
            None => namesakes.push(Issuer {
                key,
                may_sign_crls,
                is_in_use,
                crls: Vec::new(),
            }),
        }
    }

    /// The CA named `issuer` that signed this list.
    pub(super) fn signer(
        &mut self,
        issuer: &[u8],
        crl: &CertificateRevocationList<'_>,
        provider: &CryptoProvider,
    ) -> Result<&mut Issuer, NotSigned> {
        let namesakes = self.0.get_mut(issuer).ok_or(NotSigned::UnknownIssuer)?;
        let content = crl.tbs_cert_list.as_ref();
        let signer = namesakes
            .iter_mut()
            .find(|ca| ca.has_signed(content, &crl.signature_value.data, provider))
            .ok_or(NotSigned::BadSignature)?;
        if !signer.may_sign_crls {
            return Err(NotSigned::NotCrlSigner);
        }
        Ok(signer)
    }

    /// The lists of the CA with this name and key.
    pub(super) fn crls_of(&self, name: &[u8], key: &SubjectPublicKeyInfoDer<'_>) -> &[VerifiedCrl] {
        let namesakes = self.0.get(name).map(Vec::as_slice).unwrap_or_default();
        namesakes
            .iter()
            .find(|issuer| issuer.key == *key)
            .map(|issuer| issuer.crls.as_slice())
            .unwrap_or_default()
    }

    /// The key and the lists of the CA with this name; `None` if there are none or several of it.
    pub(super) fn only_one_named(
        &self,
        name: &[u8],
    ) -> Option<(&SubjectPublicKeyInfoDer<'_>, &[VerifiedCrl])> {
        match self.0.get(name)?.as_slice() {
            [only] => Some((&only.key, &only.crls)),
            _ => None,
        }
    }
}

impl Issuer {
    fn has_signed(&self, content: &[u8], signature: &[u8], provider: &CryptoProvider) -> bool {
        x509_parser::x509::SubjectPublicKeyInfo::from_der(&self.key).is_ok_and(|(_, key)| {
            is_signed_by(&key.subject_public_key.data, content, signature, provider)
        })
    }
}
