//! Whose revocation lists count: the CAs of `--ca`, and those that they vouch for.

use std::{collections::HashMap, time::SystemTime};

use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, SubjectPublicKeyInfoDer},
};
use webpki::{anchor_from_trusted_cert, spki_for_anchor};
use x509_parser::{
    certificate::X509Certificate, prelude::FromDer, revocation_list::CertificateRevocationList,
};

use super::list::List;
use crate::tls::x509::{is_signed_by, validity};

/// CAs by their names, each with what it has signed. A name stands for several where a CA has got
/// another key: what tells them apart is the key alone.
#[derive(Debug, Default)]
pub(super) struct Issuers(HashMap<Vec<u8>, Vec<Issuer>>);

/// A CA: a name and a key, whatever certificates there are for it.
#[derive(Debug)]
pub(super) struct Issuer {
    key: SubjectPublicKeyInfoDer<'static>,
    may_sign_lists: bool,
    /// Whether neither it has ended nor the CA that vouches for it.
    pub(super) is_in_use: bool,
    pub(super) lists: Vec<List>,
}

/// Why a list is of nobody who is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotSigned {
    /// No CA of the name is known.
    UnknownIssuer,
    /// No key of a CA of that name has made the signature.
    BadSignature,
    /// The CA has a key usage, and no `cRLSign` in it.
    NotCrlSigner,
}

impl Issuers {
    /// Takes up those of these CAs that a known one vouches for, directly or over others of them.
    /// Those that are left have nobody.
    pub(super) fn add_vouched_for(
        &mut self,
        mut others: Vec<CertificateDer<'static>>,
        now: SystemTime,
        provider: &CryptoProvider,
    ) -> Vec<CertificateDer<'static>> {
        loop {
            let before = others.len();
            others.retain(|other| match self.vouched_for(other, now, provider) {
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

    /// Whether a known CA has signed this certificate of a CA, and if so, whether it is in use.
    fn vouched_for(
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

    /// Takes up a CA: one that is trusted for itself, or that a known one vouches for.
    pub(super) fn add(&mut self, der: &CertificateDer<'_>, is_in_use: bool) {
        // The lists of a CA that makes no sense are of nobody, and told so.
        let (Ok(anchor), Ok((_, certificate))) = (
            anchor_from_trusted_cert(der),
            X509Certificate::from_der(der),
        ) else {
            return;
        };
        let may_sign_lists = match certificate.key_usage() {
            Ok(usage) => usage.is_none_or(|usage| usage.value.crl_sign()),
            Err(_) => false,
        };
        let key = spki_for_anchor(&anchor);
        let namesakes = self.0.entry(anchor.subject.to_vec()).or_default();
        match namesakes.iter_mut().find(|issuer| issuer.key == key) {
            // The same CA by another certificate.
            Some(issuer) => {
                issuer.is_in_use |= is_in_use;
                issuer.may_sign_lists |= may_sign_lists;
            }
            None => namesakes.push(Issuer {
                key,
                may_sign_lists,
                is_in_use,
                lists: Vec::new(),
            }),
        }
    }

    /// Who has signed a list in the name of `issuer`.
    pub(super) fn signer(
        &mut self,
        issuer: &[u8],
        list: &CertificateRevocationList<'_>,
        provider: &CryptoProvider,
    ) -> Result<&mut Issuer, NotSigned> {
        let namesakes = self.0.get_mut(issuer).ok_or(NotSigned::UnknownIssuer)?;
        let content = list.tbs_cert_list.as_ref();
        let signer = namesakes
            .iter_mut()
            .find(|ca| ca.has_signed(content, &list.signature_value.data, provider))
            .ok_or(NotSigned::BadSignature)?;
        if !signer.may_sign_lists {
            return Err(NotSigned::NotCrlSigner);
        }
        Ok(signer)
    }

    /// The lists of a CA.
    pub(super) fn lists_of(&self, name: &[u8], key: &SubjectPublicKeyInfoDer<'_>) -> &[List] {
        let namesakes = self.0.get(name).map(Vec::as_slice).unwrap_or_default();
        namesakes
            .iter()
            .find(|issuer| issuer.key == *key)
            .map(|issuer| issuer.lists.as_slice())
            .unwrap_or_default()
    }

    /// The lists of the one CA of this name; `None` where there is none of it, or several.
    pub(super) fn only_one_called(
        &self,
        name: &[u8],
    ) -> Option<(&SubjectPublicKeyInfoDer<'_>, &[List])> {
        match self.0.get(name)?.as_slice() {
            [only] => Some((&only.key, &only.lists)),
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
