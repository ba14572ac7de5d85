//! Certificate revocation lists (CRLs): read from files, and looked up for a chain.
//!
//! Owns which lists are accepted: complete and current ones that a known CA signed, one for each
//! issuer and scope. An issuer is a name and a key: a CA that gets a new key has new lists too.

mod issuers;
mod verified;

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    time::SystemTime,
};

use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, CertificateRevocationListDer, SubjectPublicKeyInfoDer, UnixTime},
};
use webpki::{EndEntityCert, OwnedCertRevocationList, VerifiedPath, spki_for_anchor};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use issuers::{Issuers, NotSigned};
use verified::{Role, Scope, VerifiedCrl};

use super::{
    error::{Problem, TlsError},
    expiry::Expiry,
    pem, reading,
    roots::TrustedCas,
    x509::{parse_crl, unix_time, utc},
};
use crate::{
    files::{TrackedFiles, sha256},
    text::escaped,
};

/// The accepted lists of all files.
#[derive(Debug, Default)]
pub(super) struct RevocationLists {
    issuers: Issuers,
    /// Of the bytes of each list.
    digests: HashSet<[u8; 32]>,
    /// How many certificates are on them.
    pub(super) revoked: usize,
    /// When each of them expires.
    pub(super) expiries: Vec<Expiry>,
}

impl RevocationLists {
    /// Reads the lists of all files.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or holds anything but usable lists and certificates of their
    /// issuers; when a list has expired and is not among those in force; when it was not signed by
    /// one of `cas`, or by a CA of these files that leads to one; or when two lists are for the same
    /// certificates.
    pub(super) fn read(
        paths: &[PathBuf],
        cas: &TrustedCas,
        provider: &CryptoProvider,
        sources: &mut TrackedFiles,
        now: SystemTime,
        in_force: Option<&Self>,
    ) -> Result<Self, TlsError> {
        let mut files = Vec::new();
        for path in paths {
            let contents = reading::read(path, sources)?;
            let file =
                pem::crls(&contents.bytes).map_err(|fault| TlsError::unusable(path, fault))?;
            files.push((path, file));
        }
        let mut all = Self::default();
        for (certificate, is_in_use) in &cas.certificates {
            all.issuers.add(certificate, *is_in_use);
        }
        let others = files
            .iter()
            .flat_map(|(_, file)| file.certificates.clone())
            .collect();
        let strangers = all.issuers.add_signed(others, now, provider);
        for (path, file) in files {
            let stranger = file.certificates.iter().find(|of| strangers.contains(of));
            if let Some(stranger) = stranger {
                return Err(foreign_issuer(path, stranger, cas));
            }
            for (index, der) in file.crls.into_iter().enumerate() {
                let digest = sha256(&der);
                // The same list in two files is no fault.
                if all.digests.insert(digest) {
                    let place = Place {
                        path,
                        number: index + 1,
                        ca: &cas.file,
                    };
                    // A list that has expired while in force must not keep out newer lists beside it.
                    // It is kept, and lets nobody in.
                    let is_kept = in_force.is_some_and(|lists| lists.digests.contains(&digest));
                    all.add(&der, place, provider, now, is_kept)?;
                }
            }
        }
        Ok(all)
    }

    fn add(
        &mut self,
        der: &CertificateRevocationListDer<'_>,
        place: Place<'_>,
        provider: &CryptoProvider,
        now: SystemTime,
        is_kept: bool,
    ) -> Result<(), TlsError> {
        let bad = |reason| place.fault(Problem::UnusableCrl(reason));
        let crl = parse_crl(der).map_err(bad)?;
        let next_update = crl
            .next_update()
            .ok_or_else(|| place.fault(Problem::CrlWithoutNextUpdate))?;
        let next_update = SystemTime::from(utc(next_update));
        let entries =
            OwnedCertRevocationList::from_der(der).map_err(|error| bad(error.to_string()))?;
        let scope = Scope::of(&crl)
            .ok_or_else(|| bad("its issuing distribution point is garbled".to_owned()))?;
        let issuer = escaped(&crl.issuer().to_string());
        let entries = webpki::CertRevocationList::from(entries);
        let signer = self
            .issuers
            .signer(entries.issuer(), &crl, provider)
            .map_err(|fault| place.unsigned(&fault, &issuer))?;
        let has_expired = next_update <= now;
        if has_expired && !signer.is_in_use {
            // A CA that has expired no longer renews its list.
            return Ok(());
        }
        if has_expired && !is_kept {
            return Err(place.fault(Problem::CrlExpired(next_update)));
        }
        // The broker does not decide which of two lists is the newer one.
        let is_second = |other: &VerifiedCrl| {
            scope == Scope::All || other.scope == Scope::All || other.scope == scope
        };
        if signer.crls.iter().any(is_second) {
            return Err(place.fault(Problem::DuplicateCrl(issuer)));
        }
        signer.crls.push(VerifiedCrl {
            entries,
            scope,
            next_update,
        });
        self.revoked += crl.iter_revoked_certificates().count();
        self.expiries.push(Expiry::of_crl(
            format!("the revocation list of \"{issuer}\""),
            place.path,
            utc(crl.last_update()).into(),
            next_update,
        ));
        Ok(())
    }

    /// Checks a verified path: none of its certificates may be revoked, and each needs a current list
    /// that its issuer's own key has signed.
    pub(super) fn check(
        &self,
        path: &VerifiedPath<'_>,
        now: UnixTime,
    ) -> Result<(), webpki::Error> {
        let mut fault = None;
        let mut certificate: &webpki::Cert<'_> = path.end_entity();
        let mut role = Role::Client;
        for issuer in path.intermediate_certificates() {
            let key = issuer.subject_public_key_info();
            let verdict = self.check_one(certificate, role, &key, now);
            fault = worst(fault, verdict.err());
            (certificate, role) = (issuer, Role::Ca);
        }
        let key = spki_for_anchor(path.anchor());
        let verdict = self.check_one(certificate, role, &key, now);
        worst(fault, verdict.err()).map_or(Ok(()), Err)
    }

    fn check_one(
        &self,
        certificate: &webpki::Cert<'_>,
        role: Role,
        issuer_key: &SubjectPublicKeyInfoDer<'_>,
        now: UnixTime,
    ) -> Result<(), webpki::Error> {
        let crls = self.issuers.crls_of(certificate.issuer(), issuer_key);
        // A CA uses a serial number only once, so an entry on any of its lists counts.
        if crls.iter().any(|crl| crl.contains(certificate.serial())) {
            return Err(webpki::Error::CertRevoked);
        }
        let der = certificate.der();
        let crl = crls
            .iter()
            .filter(|crl| crl.scope.covers(&der, role))
            .min_by_key(|crl| crl.next_update)
            .ok_or(webpki::Error::UnknownRevocationStatus)?;
        let next_update = unix_time(crl.next_update);
        if next_update <= now {
            return Err(webpki::Error::CrlExpired {
                time: now,
                next_update,
            });
        }
        Ok(())
    }

    /// Whether a lookup alone, without checking signatures, shows that nothing is revoked in a chain
    /// that was verified before. Expired lists count as well. In doubt the answer is `false`: a
    /// certificate is clear only if one CA alone can be its issuer, and that CA has one list, for all
    /// of its certificates.
    pub(super) fn rule_out_revocation(&self, chain: &[CertificateDer<'_>]) -> bool {
        let parsed: Result<Vec<_>, _> = chain.iter().map(EndEntityCert::try_from).collect();
        let Ok(chain) = parsed else {
            return false;
        };
        chain.iter().all(|certificate| {
            let Some((key, [crl])) = self.issuers.only_one_named(certificate.issuer()) else {
                return false;
            };
            let is_namesake = |other: &EndEntityCert<'_>| {
                other.subject() == certificate.issuer() && other.subject_public_key_info() != *key
            };
            crl.scope == Scope::All
                && !crl.contains(certificate.serial())
                && !chain.iter().any(is_namesake)
        })
    }
}

/// The more important of two errors: a revoked certificate matters whatever else is missing.
fn worst(one: Option<webpki::Error>, other: Option<webpki::Error>) -> Option<webpki::Error> {
    let weight = |fault: &webpki::Error| match fault {
        webpki::Error::CertRevoked => 2,
        webpki::Error::UnknownRevocationStatus => 1,
        _ => 0,
    };
    one.into_iter().chain(other).max_by_key(weight)
}

/// The position of a list in the files.
#[derive(Clone, Copy)]
struct Place<'a> {
    path: &'a Path,
    /// The number of the list in its file, counted from 1.
    number: usize,
    ca: &'a Path,
}

impl Place<'_> {
    fn fault(self, problem: Problem) -> TlsError {
        TlsError::new(self.path, problem)
    }

    fn unsigned(self, fault: &NotSigned, issuer: &str) -> TlsError {
        let (number, issuer, ca) = (self.number, issuer.to_owned(), self.ca.to_owned());
        self.fault(match fault {
            NotSigned::UnknownIssuer => Problem::ForeignCrl { number, issuer, ca },
            NotSigned::BadSignature => Problem::ForgedCrl { number, issuer, ca },
            NotSigned::NotCrlSigner => Problem::NotCrlSigner { number, issuer },
        })
    }
}

fn foreign_issuer(path: &Path, certificate: &CertificateDer<'_>, cas: &TrustedCas) -> TlsError {
    let subject = X509Certificate::from_der(certificate)
        .map(|(_, certificate)| escaped(&certificate.subject().to_string()))
        .unwrap_or_default();
    let ca = cas.file.clone();
    TlsError::new(path, Problem::ForeignIssuer { subject, ca })
}
