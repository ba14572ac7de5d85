//! Trust anchors that stop counting when they expire.
//!
//! WebPKI does not look at the dates of a trust anchor: a CA that has expired would stay trusted. So
//! each verification uses a verifier that knows only the anchors that are valid at that time.

use std::{
    cmp::Reverse,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use rustls::{
    CertificateError, Error, OtherError, RootCertStore,
    pki_types::{TrustAnchor, UnixTime},
    server::VerifierBuilderError,
};

use super::x509::system_time;

/// A trusted CA, and from when it is no longer valid.
pub(super) type Anchor = (TrustAnchor<'static>, SystemTime);

/// Builds a verifier that trusts these anchors.
type Build<V> =
    dyn Fn(Arc<RootCertStore>) -> Result<Arc<V>, VerifierBuilderError> + Send + Sync + 'static;

/// Verifiers of type `V`, each for the anchors that are valid at some time.
pub(super) struct CurrentAnchors<V: ?Sized> {
    /// The last to expire comes first, so that those valid at any time are a prefix.
    anchors: Vec<Anchor>,
    /// Trusts all of them, expired ones too.
    unfiltered: Arc<V>,
    build: Box<Build<V>>,
    /// The verifier built last, and how many anchors it trusts.
    cached: Mutex<Option<(usize, Arc<V>)>>,
}

/// A certificate would verify, but its CA has expired.
#[derive(thiserror::Error)]
#[error("the certificate is from a CA that has expired")]
pub(super) struct CaExpired;

impl fmt::Debug for CaExpired {
    /// The same text: rustls prints errors of other types with `Debug`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<V: ?Sized> CurrentAnchors<V> {
    pub(super) fn new(
        mut anchors: Vec<Anchor>,
        build: impl Fn(Arc<RootCertStore>) -> Result<Arc<V>, VerifierBuilderError>
        + Send
        + Sync
        + 'static,
    ) -> Result<Self, VerifierBuilderError> {
        anchors.sort_by_key(|(_, end)| Reverse(*end));
        Ok(Self {
            unfiltered: build(root_store(&anchors))?,
            anchors,
            build: Box::new(build),
            cached: Mutex::default(),
        })
    }

    /// The verifier for everything that does not depend on which anchors are valid.
    pub(super) const fn unfiltered(&self) -> &Arc<V> {
        &self.unfiltered
    }

    /// Whether any anchor is valid at `now`.
    pub(super) fn is_any_valid(&self, now: SystemTime) -> bool {
        self.valid_count(now) > 0
    }

    /// When the next of the anchors that are valid at `now` expires.
    pub(super) fn next_expiry(&self, now: SystemTime) -> Option<SystemTime> {
        let last = self.valid_count(now).checked_sub(1)?;
        self.anchors.get(last).map(|(_, end)| *end)
    }

    /// Whether both have the same anchors with the same dates.
    pub(super) fn has_anchors_of(&self, other: &Self) -> bool {
        self.anchors == other.anchors
    }

    /// Verifies with the anchors that are valid at `now`.
    pub(super) fn verify<T>(
        &self,
        now: UnixTime,
        verify: impl Fn(&V) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let count = self.valid_count(system_time(now));
        if count == self.anchors.len() {
            return verify(&self.unfiltered);
        }
        let unknown_issuer = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let verdict = match count {
            0 => Err(unknown_issuer.clone()),
            _ => verify(&*self.verifier_for(count)?),
        };
        match verdict {
            Err(error) if error == unknown_issuer && verify(&self.unfiltered).is_ok() => {
                let expired = OtherError(Arc::new(CaExpired));
                Err(CertificateError::Other(expired).into())
            }
            verdict => verdict,
        }
    }

    fn valid_count(&self, now: SystemTime) -> usize {
        self.anchors.partition_point(|(_, end)| *end > now)
    }

    /// The verifier that trusts the first `count` anchors.
    fn verifier_for(&self, count: usize) -> Result<Arc<V>, Error> {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((cached_count, verifier)) = &*cached
            && *cached_count == count
        {
            return Ok(Arc::clone(verifier));
        }
        let valid = self.anchors.get(..count).unwrap_or_default();
        let verifier =
            (self.build)(root_store(valid)).map_err(|error| Error::General(error.to_string()))?;
        *cached = Some((count, Arc::clone(&verifier)));
        Ok(verifier)
    }
}

impl<V: ?Sized> fmt::Debug for CurrentAnchors<V> {
    /// Without the verifiers, which may hold large revocation lists.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CurrentAnchors")
            .field("anchors", &self.anchors.len())
            .finish_non_exhaustive()
    }
}

pub(super) fn root_store(anchors: &[Anchor]) -> Arc<RootCertStore> {
    let anchors = anchors.iter().map(|(anchor, _)| anchor.clone());
    Arc::new(anchors.collect())
}
