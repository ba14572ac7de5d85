//! What a connection's right to be here rests on: its certificates and its token.
//!
//! Owns when they are verified again, and what the client is told when they no longer hold.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::pki_types::CertificateDer;
use tokio::time::Instant;

use crate::{
    access::TokenScope,
    identity::Identity,
    policy::Policy,
    protocol::{CloseReason, Code},
    tls::ClientCertificateError,
    tokens::{TokenError, VerifiedToken},
};

/// How long the clock on the wall is trusted to go as the timers do. It may be set, and timers do
/// not count the time that a machine sleeps.
const REVIEW_INTERVAL: Duration = Duration::from_secs(60);

/// What a connection's right to be here rests on: its certificate and its token, and the policy that
/// they were judged by.
///
/// The access rules are not in here. The registry holds everyone to those.
#[derive(Debug)]
pub(super) struct CredentialStatus {
    policy: Arc<Policy>,
    /// When the certificates could be judged otherwise by time alone.
    certificates_change: Option<SystemTime>,
    verified: Option<VerifiedToken>,
    review_at: Instant,
}

/// Why a standing is lost: what the client is told, and in full for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CredentialsInvalid {
    pub(super) reason: CloseReason,
    pub(super) cause: String,
}

impl From<ClientCertificateError> for CredentialsInvalid {
    fn from(refusal: ClientCertificateError) -> Self {
        Self {
            reason: match refusal {
                ClientCertificateError::Revoked => CloseReason::CertificateRevoked,
                ClientCertificateError::Expired => CloseReason::CertificateExpired,
                ClientCertificateError::StaleCrl(_) | ClientCertificateError::Other(_) => {
                    CloseReason::PermissionWithdrawn
                }
            },
            cause: refusal.to_string(),
        }
    }
}

impl CredentialStatus {
    /// Of a client whose certificates `policy` has let through TLS, at `judged_at` at the earliest.
    /// What has ended since is found by the first review, which is due at once.
    pub(super) fn new(
        policy: Arc<Policy>,
        chain: &[CertificateDer<'_>],
        judged_at: SystemTime,
    ) -> Self {
        Self {
            certificates_change: policy.tls.clients.changes_at(chain, judged_at),
            policy,
            verified: None,
            review_at: Instant::now(),
        }
    }

    /// Whether a client must authenticate with a token beside its certificate.
    pub(super) fn needs_token(&self) -> bool {
        self.policy.tokens.is_required()
    }

    /// Verifies a token: what it leaves the client of what the rules give it.
    pub(super) fn verify(
        &mut self,
        token: Option<&str>,
        identity: &Identity,
        now: SystemTime,
    ) -> Result<Option<Arc<TokenScope>>, TokenError> {
        self.verified = self.policy.tokens.verify(token, identity, now.into())?;
        self.plan_review(now);
        Ok(self
            .verified
            .as_ref()
            .and_then(|verified| verified.scope().cloned()))
    }

    /// When to [`review`](Self::review) though nothing has changed.
    pub(super) const fn review_at(&self) -> Instant {
        self.review_at
    }

    /// Judges again whatever `policy` or time have changed. `now` is the time of day.
    pub(super) fn review(
        &mut self,
        policy: Arc<Policy>,
        chain: &[CertificateDer<'_>],
        identity: &Identity,
        now: SystemTime,
    ) -> Result<(), CredentialsInvalid> {
        self.review_certificates(&policy, chain, now)?;
        self.review_token(&policy, identity, now)?;
        self.policy = policy;
        self.plan_review(now);
        Ok(())
    }

    fn review_certificates(
        &mut self,
        policy: &Policy,
        chain: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<(), CredentialsInvalid> {
        let (before, clients) = (&self.policy.tls.clients, &policy.tls.clients);
        let is_other = !clients.is(before);
        let is_due = self.certificates_change.is_some_and(|due| due <= now);
        // A list that has run out keeps newcomers away. It says nothing of those who are here, and
        // the broker is not to lose them all over a late download.
        if is_other {
            clients.reverify(before, chain, now)?;
        }
        if is_due {
            clients.verify_validity(chain, now)?;
        }
        if is_other || is_due {
            self.certificates_change = clients.changes_at(chain, now);
        }
        Ok(())
    }

    fn review_token(
        &mut self,
        policy: &Policy,
        identity: &Identity,
        now: SystemTime,
    ) -> Result<(), CredentialsInvalid> {
        let Some(verified) = &mut self.verified else {
            return Ok(());
        };
        if !Arc::ptr_eq(&policy.tokens, &self.policy.tokens) {
            *verified = policy
                .tokens
                .reverify(verified, identity, now.into())
                .map_err(|fault| CredentialsInvalid {
                    reason: match fault.code {
                        Code::TokenExpired => CloseReason::TokenExpired,
                        _ => CloseReason::PermissionWithdrawn,
                    },
                    cause: format!("token {:?}: {}", verified.token_id(), fault.reason),
                })?;
        }
        match verified.expires() {
            Some(end) if end <= now.into() => Err(CredentialsInvalid {
                reason: CloseReason::TokenExpired,
                cause: format!("token {:?} has expired", verified.token_id()),
            }),
            _ => Ok(()),
        }
    }

    fn plan_review(&mut self, now: SystemTime) {
        let token_end = self.verified.as_ref().and_then(VerifiedToken::expires);
        let times = [self.certificates_change, token_end.map(SystemTime::from)];
        let wait = times
            .into_iter()
            .flatten()
            .map(|time| time.duration_since(now).unwrap_or_default())
            .fold(REVIEW_INTERVAL, Duration::min);
        self.review_at = Instant::now() + wait;
    }
}

#[cfg(test)]
mod tests;
