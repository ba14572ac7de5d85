//! Trust in authorities that ends when they do.
//!
//! WebPKI never looks at a trust anchor's dates: an authority that has ended would go on vouching.
//! So a verifier is asked for as of a time, and knows only the authorities that are in date then.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls::{
    CertificateError, Error, OtherError, RootCertStore,
    pki_types::{TrustAnchor, UnixTime},
    server::VerifierBuilderError,
};

/// An authority, and from when on it is good no more.
pub(super) type Anchor = (TrustAnchor<'static>, SystemTime);

/// Makes a verifier that trusts these authorities.
type Build<V> =
    dyn Fn(Arc<RootCertStore>) -> Result<Arc<V>, VerifierBuilderError> + Send + Sync + 'static;

/// Verifiers of one kind, for the authorities that are in date.
pub(super) struct Trust<V: ?Sized> {
    /// The last to end comes first: those in date are always the first so many.
    authorities: Vec<Anchor>,
    /// Trusts them all, ended ones too.
    of_all: Arc<V>,
    build: Box<Build<V>>,
    /// Trusts the first so many. Building one reads all revocation lists.
    of_some: Mutex<Option<(usize, Arc<V>)>>,
}

/// Only an authority that has ended vouches for this certificate.
#[derive(thiserror::Error)]
#[error("the certificate is from a CA that has expired")]
pub(super) struct AuthorityEnded;

impl fmt::Debug for AuthorityEnded {
    /// In words: of an error that is not its own, rustls prints this.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<V: ?Sized> Trust<V> {
    /// In these authorities, each until its end.
    pub(super) fn new(
        mut authorities: Vec<Anchor>,
        build: impl Fn(Arc<RootCertStore>) -> Result<Arc<V>, VerifierBuilderError>
        + Send
        + Sync
        + 'static,
    ) -> Result<Self, VerifierBuilderError> {
        authorities.sort_by_key(|(_, end)| std::cmp::Reverse(*end));
        Ok(Self {
            of_all: build(roots_of(&authorities))?,
            authorities,
            build: Box::new(build),
            of_some: Mutex::default(),
        })
    }

    /// For what does not depend on who is trusted.
    pub(super) const fn of_all(&self) -> &Arc<V> {
        &self.of_all
    }

    /// Whether any authority is in date.
    pub(super) fn is_any_in_date(&self, now: SystemTime) -> bool {
        self.count_at(now) > 0
    }

    /// When the next authority ends.
    pub(super) fn changes_at(&self, now: SystemTime) -> Option<SystemTime> {
        let last = self.count_at(now).checked_sub(1)?;
        self.authorities.get(last).map(|(_, end)| *end)
    }

    /// Whether these are the authorities that `other` trusts.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.authorities == other.authorities
    }

    /// Has the verifier of those in date judge.
    pub(super) fn verify<T>(
        &self,
        now: UnixTime,
        verify: impl Fn(&V) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let count = self.count_at(UNIX_EPOCH + Duration::from_secs(now.as_secs()));
        if count == self.authorities.len() {
            return verify(&self.of_all);
        }
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let verdict = match count {
            0 => Err(unknown.clone()),
            _ => verify(&*self.of_first(count)?),
        };
        match verdict {
            Err(error) if error == unknown && verify(&self.of_all).is_ok() => {
                let ended = OtherError(Arc::new(AuthorityEnded));
                Err(CertificateError::Other(ended).into())
            }
            verdict => verdict,
        }
    }

    fn count_at(&self, now: SystemTime) -> usize {
        self.authorities.partition_point(|(_, end)| *end > now)
    }

    fn of_first(&self, count: usize) -> Result<Arc<V>, Error> {
        let mut of_some = self.of_some.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, verifier)) = &*of_some
            && *of == count
        {
            return Ok(Arc::clone(verifier));
        }
        let in_date = self.authorities.get(..count).unwrap_or_default();
        let verifier =
            (self.build)(roots_of(in_date)).map_err(|error| Error::General(error.to_string()))?;
        *of_some = Some((count, Arc::clone(&verifier)));
        Ok(verifier)
    }
}

impl<V: ?Sized> fmt::Debug for Trust<V> {
    /// Without all the revocation lists.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("authorities", &self.authorities.len())
            .finish_non_exhaustive()
    }
}

pub(super) fn roots_of(authorities: &[Anchor]) -> Arc<RootCertStore> {
    let anchors = authorities.iter().map(|(anchor, _)| anchor.clone());
    Arc::new(anchors.collect())
}
