//! Certificate revocation lists (CRLs) out of files, and what they say of a chain.
//!
//! Owns what a file must be to count as lists: whole, current, signed by a CA that is known, and
//! one for each issuer. An issuer is a name and a key: a CA that gets a new key has lists of its own
//! from then on.

mod issuers;
mod list;

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
use list::{List, Role, Scope};

use super::{
    error::{Problem, TlsError},
    expiry::Expiry,
    pem, reading,
    roots::Authorities,
    x509::{parse_crl, unix_time, utc},
};
use crate::{
    files::{TrackedFiles, sha256},
    text::escaped,
};

/// The lists of some files, each fit for judging by.
#[derive(Debug, Default)]
pub(super) struct RevocationLists {
    issuers: Issuers,
    /// Of their bytes.
    digests: HashSet<[u8; 32]>,
    /// How many certificates are on them.
    pub(super) revoked: usize,
    /// When each of them ends.
    pub(super) expiries: Vec<Expiry>,
}

impl RevocationLists {
    /// Reads all of them.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, holds anything but usable lists and certificates of their
    /// issuers, or a list that has ended by `now` and is not one of those in force; when a list is not signed by an authority or by
    /// a CA of these files that an authority vouches for; when two lists are for the same
    /// certificates.
    pub(super) fn read(
        paths: &[PathBuf],
        authorities: &Authorities,
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
        for (certificate, is_in_use) in &authorities.certificates {
            all.issuers.add(certificate, *is_in_use);
        }
        let others = files
            .iter()
            .flat_map(|(_, file)| file.certificates.clone())
            .collect();
        let strangers = all.issuers.add_vouched_for(others, now, provider);
        for (path, file) in files {
            let stranger = file.certificates.iter().find(|of| strangers.contains(of));
            if let Some(stranger) = stranger {
                return Err(authorities.foreign_issuer(path, stranger));
            }
            for (index, der) in file.crls.into_iter().enumerate() {
                let digest = sha256(&der);
                // The same list in two files is no fault.
                if all.digests.insert(digest) {
                    let place = Place {
                        path,
                        number: index + 1,
                        ca: &authorities.file,
                    };
                    // One that has ended since it came into force must not keep out what is newer
                    // beside it: to handshakes it says as little as before.
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
        let list = parse_crl(der).map_err(bad)?;
        let next_update = list
            .next_update()
            .ok_or_else(|| place.fault(Problem::CrlWithoutNextUpdate))?;
        let next_update = SystemTime::from(utc(next_update));
        let entries =
            OwnedCertRevocationList::from_der(der).map_err(|error| bad(error.to_string()))?;
        let scope = Scope::of(&list)
            .ok_or_else(|| bad("its issuing distribution point is garbled".to_owned()))?;
        let issuer = escaped(&list.issuer().to_string());
        let entries = webpki::CertRevocationList::from(entries);
        let signer = self
            .issuers
            .signer(entries.issuer(), &list, provider)
            .map_err(|fault| place.unsigned(&fault, &issuer))?;
        let has_ended = next_update <= now;
        if has_ended && !signer.is_in_use {
            // Nobody renews the list of a CA that has ended.
            return Ok(());
        }
        if has_ended && !is_kept {
            return Err(place.fault(Problem::CrlExpired(next_update)));
        }
        // Which of two is the newer one is not for the broker to find out.
        let is_second =
            |other: &List| scope == Scope::All || other.scope == Scope::All || other.scope == scope;
        if signer.lists.iter().any(is_second) {
            return Err(place.fault(Problem::DuplicateCrl(issuer)));
        }
        signer.lists.push(List {
            entries,
            scope,
            next_update,
        });
        self.revoked += list.iter_revoked_certificates().count();
        self.expiries.push(Expiry::of_list(
            format!("the revocation list of \"{issuer}\""),
            place.path,
            utc(list.last_update()).into(),
            next_update,
        ));
        Ok(())
    }

    /// Whether a chain that leads to an authority has nothing on these lists, and all lists that it
    /// needs: each of its certificates is judged by those that its issuer's own key has signed.
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
            (certificate, role) = (issuer, Role::Authority);
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
        let lists = self.issuers.lists_of(certificate.issuer(), issuer_key);
        // A CA gives no serial number twice, so whichever of its lists names one means this one.
        if lists.iter().any(|list| list.names(certificate.serial())) {
            return Err(webpki::Error::CertRevoked);
        }
        let der = certificate.der();
        let list = lists
            .iter()
            .filter(|list| list.scope.covers(&der, role))
            .min_by_key(|list| list.next_update)
            .ok_or(webpki::Error::UnknownRevocationStatus)?;
        let next_update = unix_time(list.next_update);
        if next_update <= now {
            return Err(webpki::Error::CrlExpired {
                time: now,
                next_update,
            });
        }
        Ok(())
    }

    /// Whether these lists, current or not, have nothing to say against a chain that was good
    /// before; found out by looking alone, and with doubt it is no. Each certificate must have one
    /// CA only that can be its issuer, with a list for all of its certificates.
    pub(super) fn clear(&self, chain: &[CertificateDer<'_>]) -> bool {
        let parsed: Result<Vec<_>, _> = chain.iter().map(EndEntityCert::try_from).collect();
        let Ok(chain) = parsed else {
            return false;
        };
        chain.iter().all(|certificate| {
            let Some((key, [list])) = self.issuers.only_one_called(certificate.issuer()) else {
                return false;
            };
            let is_namesake = |other: &EndEntityCert<'_>| {
                other.subject() == certificate.issuer() && other.subject_public_key_info() != *key
            };
            list.scope == Scope::All
                && !list.names(certificate.serial())
                && !chain.iter().any(is_namesake)
        })
    }
}

/// Of two faults the one that says most: what is revoked stays so whatever else is missing.
fn worst(one: Option<webpki::Error>, other: Option<webpki::Error>) -> Option<webpki::Error> {
    let weight = |fault: &webpki::Error| match fault {
        webpki::Error::CertRevoked => 2,
        webpki::Error::UnknownRevocationStatus => 1,
        _ => 0,
    };
    one.into_iter().chain(other).max_by_key(weight)
}

/// Where a list stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    path: &'a Path,
    /// Among those of the file, counted from 1.
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

impl Authorities {
    fn foreign_issuer(&self, path: &Path, certificate: &CertificateDer<'_>) -> TlsError {
        let subject = X509Certificate::from_der(certificate)
            .map(|(_, certificate)| escaped(&certificate.subject().to_string()))
            .unwrap_or_default();
        let ca = self.file.clone();
        TlsError::new(path, Problem::ForeignIssuer { subject, ca })
    }
}
