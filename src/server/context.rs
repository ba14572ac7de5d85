//! What the connections and the core tasks of a server share.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::{
    Settings,
    audit::Audit,
    handshake::Handshakes,
    limits::{ConnectionRateLimiter, IdentityRateLimiters, SharedRateLimiter},
};
use crate::{broker::Registry, identity::Identity, policy::Policy};

/// What all connections of a server share.
#[derive(Debug)]
pub(super) struct ServerContext {
    pub(super) settings: Settings,
    pub(super) policy: ArcSwap<Policy>,
    pub(super) registry: Registry,
    pub(super) connection_rate: ConnectionRateLimiter,
    rate_limiters: IdentityRateLimiters,
    pub(super) audit: Arc<Audit>,
    sockets: Arc<Semaphore>,
    pub(super) handshakes: Handshakes,
}

impl ServerContext {
    pub(super) fn new(
        settings: Settings,
        policy: Policy,
        registry: Registry,
        audit: Arc<Audit>,
    ) -> Self {
        Self {
            policy: ArcSwap::from_pointee(policy),
            connection_rate: ConnectionRateLimiter::new(settings.attempts_per_address_per_minute),
            rate_limiters: IdentityRateLimiters::default(),
            audit,
            sockets: Arc::new(Semaphore::new(settings.sockets_max)),
            handshakes: Handshakes::new(
                settings.handshakes_max,
                settings.connection.handshake_timeout,
            ),
            settings,
            registry,
        }
    }

    /// What decides who is let in, as of now.
    pub(super) fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    /// Puts another policy in force for newcomers.
    pub(super) fn set_policy(&self, policy: Arc<Policy>) {
        self.policy.store(policy);
    }

    /// That of `identity`, which all its connections share.
    pub(super) fn rate_limiter(&self, identity: &Identity) -> SharedRateLimiter {
        let limits = &self.settings.connection.client_limits;
        self.rate_limiters.of(identity, limits, Instant::now())
    }

    /// A place for one socket; held until it is closed. Where there is none, peers that are silent
    /// give way.
    pub(super) async fn socket_permit(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            if let Ok(permit) = Arc::clone(&self.sockets).try_acquire_owned() {
                return Some(permit);
            }
            let ask_again = self.handshakes.free_a_socket();
            let permit = Arc::clone(&self.sockets).acquire_owned();
            if let Ok(permit) = timeout_at(ask_again, permit).await {
                // The semaphore is never closed.
                return permit.ok();
            }
        }
    }
}
