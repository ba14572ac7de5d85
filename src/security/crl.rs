//! Certificate revocation lists (CRLs) out of files.
//!
//! Owns what a file must be to count as lists: whole, current, and one for each issuer. Who signed
//! a list is looked at where a certificate is judged by it, as only there its issuer's key is known.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use chrono::DateTime;
use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateRevocationListDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use x509_parser::{
    certificate::X509Certificate, oid_registry::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT,
    prelude::FromDer, revocation_list::CertificateRevocationList,
};

use super::{
    deadline::Deadline,
    fault_text::{GARBLED, pem_fault},
    inspect::escaped,
    source::Sources,
    tls::{self, Authorities, Problem, TlsError},
};

/// The lists of some files, each fit for judging by.
#[derive(Debug, Default)]
pub(super) struct RevocationLists {
    pub(super) ders: Vec<CertificateRevocationListDer<'static>>,
    pub(super) index: ListIndex,
    /// When each of them ends.
    pub(super) deadlines: Vec<Deadline>,
    /// Of each issuer the distribution points that its lists are for.
    scopes: BTreeMap<Vec<u8>, Vec<Option<Vec<u8>>>>,
}

/// What stands in lists, to be looked up quickly. Who signed them is not looked at.
#[derive(Debug, Default)]
pub(super) struct ListIndex {
    /// How many certificates are on them.
    pub(super) revoked: usize,
    /// How many lists there are, those for some certificates only among them.
    lists: usize,
    /// Of each issuer with a list for all of its certificates the serial numbers that it names,
    /// both as they stand in certificates.
    serials: HashMap<Vec<u8>, HashSet<Vec<u8>>>,
}

impl ListIndex {
    /// Whether these lists have nothing to say against a certificate: there are none at all, or its
    /// issuer has one for all of its certificates and does not name it there. Whether a list for
    /// some is for this one is not decided here, so that such a list clears nobody.
    pub(super) fn clears(&self, certificate: &X509Certificate<'_>) -> bool {
        self.lists == 0
            || self
                .serials
                .get(certificate.issuer().as_raw())
                .is_some_and(|serials| !serials.contains(certificate.raw_serial()))
    }
}

impl RevocationLists {
    /// Reads all of them.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, holds anything but usable lists, or one that has ended by
    /// `now` and is not among those in force; when two lists are for the same certificates; and when none is of an authority: then
    /// nobody would be let in. Others may be of intermediates, which clients bring along.
    pub(super) fn read(
        paths: &[PathBuf],
        authorities: &Authorities,
        provider: &Arc<CryptoProvider>,
        sources: &mut Sources,
        now: SystemTime,
        in_force: &[CertificateRevocationListDer<'_>],
    ) -> Result<Self, TlsError> {
        let mut lists = Self::default();
        for path in paths {
            let contents = tls::read(path, sources)?;
            let bad = |reason| TlsError::new(path, Problem::BadList(reason));
            for der in lists_in(&contents.bytes).map_err(bad)? {
                if lists.ders.contains(&der) {
                    continue;
                }
                let next_update = lists.look_at(&der, path)?;
                // One that has ended since it came into force must not keep out what is newer
                // beside it: to handshakes it says as little as before.
                if next_update <= now && !in_force.contains(&der) {
                    return Err(TlsError::new(path, Problem::ListEnded(next_update)));
                }
                // By the very reader that will use it, so that its refusal can name the file.
                WebPkiClientVerifier::builder_with_provider(
                    Arc::clone(&authorities.roots),
                    Arc::clone(provider),
                )
                .with_crls([der.clone()])
                .build()
                .map_err(|error| bad(error.to_string()))?;
                lists.ders.push(der);
            }
        }
        lists.check_fit(authorities, paths)?;
        Ok(lists)
    }

    fn check_fit(&self, authorities: &Authorities, paths: &[PathBuf]) -> Result<(), TlsError> {
        let is_fit = |issuer: &Vec<u8>| authorities.has_subject(issuer);
        let (Some(first), Some(path)) = (self.ders.first(), paths.first()) else {
            return Ok(());
        };
        if self.scopes.keys().any(is_fit) {
            return Ok(());
        }
        let issuer = parsed(first)
            .map(|list| escaped(&list.issuer().to_string()))
            .unwrap_or_default();
        let ca = authorities.file.clone();
        Err(TlsError::new(path, Problem::StrangeList { issuer, ca }))
    }

    /// Takes down what stands in a list, and tells when it ends.
    fn look_at(&mut self, der: &[u8], path: &Path) -> Result<SystemTime, TlsError> {
        let list = parsed(der).map_err(|reason| TlsError::new(path, Problem::BadList(reason)))?;
        let next_update = list
            .next_update()
            .ok_or_else(|| TlsError::new(path, Problem::ListWithoutEnd))?;
        let next_update = system_time(next_update.timestamp());
        // Of two lists for the same certificates WebPKI looks at the first alone: whoever is only
        // on the other one would get in.
        let scope = list
            .extensions()
            .iter()
            .find(|extension| extension.oid == OID_X509_EXT_ISSUER_DISTRIBUTION_POINT)
            .map(|extension| extension.value.to_vec());
        let scopes = self
            .scopes
            .entry(list.issuer().as_raw().to_vec())
            .or_default();
        let is_for_all = |scope: &Option<Vec<u8>>| scope.is_none();
        if !scopes.is_empty()
            && (is_for_all(&scope) || scopes.iter().any(is_for_all) || scopes.contains(&scope))
        {
            let issuer = escaped(&list.issuer().to_string());
            return Err(TlsError::new(path, Problem::SecondList(issuer)));
        }
        let is_for_all = is_for_all(&scope);
        scopes.push(scope);
        let index = &mut self.index;
        index.lists += 1;
        index.revoked += list.iter_revoked_certificates().count();
        if is_for_all {
            let serials = list
                .iter_revoked_certificates()
                .map(|revoked| revoked.raw_serial().to_vec());
            index
                .serials
                .insert(list.issuer().as_raw().to_vec(), serials.collect());
        }
        let deadline = Deadline::of_list(
            format!(
                "the revocation list of \"{}\"",
                escaped(&list.issuer().to_string())
            ),
            path,
            system_time(list.last_update().timestamp()),
            next_update,
        );
        self.deadlines.push(deadline);
        Ok(next_update)
    }
}

/// The lists in a file's bytes: all of the PEM blocks of that kind, or one list as DER. Never none.
pub(super) fn lists_in(bytes: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    const PEM: &[u8] = b"-----BEGIN ";
    if bytes.is_empty() {
        return Err("it is empty".to_owned());
    }
    if !bytes.windows(PEM.len()).any(|window| window == PEM) {
        return Ok(vec![CertificateRevocationListDer::from(bytes.to_vec())]);
    }
    let lists = CertificateRevocationListDer::pem_slice_iter(bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| pem_fault(&error).to_owned())?;
    if lists.is_empty() {
        return Err("it has no BEGIN X509 CRL line".to_owned());
    }
    Ok(lists)
}

/// One list, taken apart.
pub(super) fn parsed(der: &[u8]) -> Result<CertificateRevocationList<'_>, String> {
    match CertificateRevocationList::from_der(der) {
        Ok(([], list)) => Ok(list),
        Ok(_) => Err("something follows its end".to_owned()),
        Err(_) => Err(GARBLED.to_owned()),
    }
}

/// Out of seconds since 1970, which may be before that.
pub(super) fn system_time(seconds: i64) -> SystemTime {
    DateTime::from_timestamp(seconds, 0).map_or(UNIX_EPOCH, SystemTime::from)
}
