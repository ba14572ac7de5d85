//! A client between TLS and its session: admitted, and perhaps about to authenticate.

use std::{
    fmt,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{
    ClientHandle, DisconnectGuard, Outbox, Registry, RegistryGone, RequestError, Session,
    command::Admitted,
};
use crate::{
    access::TokenScope,
    identity::Identity,
    protocol::{ClientId, CloseReason, Frame},
};

/// A client that was admitted and has not authenticated: it can do that, or go.
#[derive(Debug)]
pub struct Admission {
    registry: Registry,
    client_id: ClientId,
    identity: Identity,
    handle: Arc<ClientHandle>,
    guard: DisconnectGuard,
}

impl Admission {
    /// Asks `registry` for a place for a client that came through TLS.
    ///
    /// # Errors
    ///
    /// Why it gets none, in the words that the client receives.
    pub async fn request(
        registry: &Registry,
        identity: Identity,
        address: SocketAddr,
        outbox: Arc<Outbox>,
    ) -> Result<Self, RequestError> {
        let admitted = registry.admit(identity.clone(), address, outbox).await?;
        let Admitted {
            client_id,
            handle,
            guard,
        } = admitted;
        Ok(Self {
            registry: registry.clone(),
            client_id,
            identity,
            handle,
            guard,
        })
    }

    /// The id that the registry gave it.
    #[must_use]
    pub const fn client_id(&self) -> ClientId {
        self.client_id
    }

    /// Makes it a session, which is shown to others. `presence`: whether it wants to be told of them.
    /// `scope`: what its token leaves of the permissions that the rules give it. `welcome` is queued
    /// for it before anything about others.
    #[must_use]
    pub fn authenticate(
        self,
        presence: bool,
        scope: Option<Arc<TokenScope>>,
        welcome: Frame,
    ) -> Authentication {
        let registry = self.registry.clone();
        let request = registry.authenticate(self.client_id, presence, scope, welcome);
        Authentication {
            admission: Some(self),
            request: Box::pin(request),
        }
    }

    fn into_session(self) -> Session {
        let Self {
            registry,
            client_id,
            identity,
            handle,
            guard,
        } = self;
        Session::new(registry, client_id, identity, handle, guard)
    }

    /// Reports the departure, with its reason.
    pub fn depart(self, reason: CloseReason) {
        self.guard.report(reason);
    }
}

/// A client that is about to become a [`Session`]: a future that gives it, once.
pub struct Authentication {
    admission: Option<Admission>,
    request: Pin<Box<dyn Future<Output = Result<(), RegistryGone>> + Send>>,
}

impl Authentication {
    /// Reports the departure, with its reason.
    pub fn depart(self, reason: CloseReason) {
        if let Some(admission) = self.admission {
            admission.depart(reason);
        }
    }
}

impl Future for Authentication {
    type Output = Result<Session, RegistryGone>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.request.as_mut().poll(cx))?;
        let admission = self.admission.take().ok_or(RegistryGone)?;
        Poll::Ready(Ok(admission.into_session()))
    }
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authentication")
            .field("admission", &self.admission)
            .finish_non_exhaustive()
    }
}
