//! Clients come and go: admission, authentication, departure, and the end of the server.
//!
//! Owns the order of what each of them brings about, and the counts of connections.

use std::sync::Arc;

use super::{Authenticated, Batch, Client, State, count_down, is_reached};
use crate::{
    broker::{
        ClientHandle, DisconnectGuard, RequestError,
        command::{Admitted, Candidate},
        outgoing::OutgoingItem,
    },
    identity::Identity,
    network::Network,
    protocol::{ClientId, CloseReason, Code, CodedError, Frame},
};

impl State {
    pub(super) fn admit(
        &mut self,
        candidate: Candidate,
        batch: &mut Batch,
    ) -> Result<Admitted, RequestError> {
        let Candidate {
            identity,
            address,
            outbox,
            permit,
        } = candidate;
        let client_id = (self.new_client_id)();
        let permissions = self.access.permissions(&identity, client_id)?;
        let network = Network::from(address.ip());
        if let Some(oldest) = self.may_admit(&identity, network)? {
            self.depart(oldest, CloseReason::AuthenticationTimeout, batch);
        }
        let handle = Arc::new(ClientHandle::new(outbox, Arc::clone(&permissions)));
        *self.by_identity.entry(identity.clone()).or_default() += 1;
        *self.by_network.entry(network).or_default() += 1;
        self.unauthenticated.insert((identity.clone(), client_id));
        self.clients.insert(
            client_id,
            Client {
                identity,
                address,
                handle: Arc::clone(&handle),
                permissions,
                authenticated: None,
            },
        );
        Ok(Admitted {
            client_id,
            handle,
            guard: DisconnectGuard::new(client_id, permit),
        })
    }

    /// Whether there is a place for one more; with it comes the client that has to give way.
    fn may_admit(
        &self,
        identity: &Identity,
        network: Network,
    ) -> Result<Option<ClientId>, CodedError> {
        let limits = &self.limits;
        let held = |count: Option<&usize>| count.copied().unwrap_or(0);
        let identity_is_full = is_reached(
            limits.connections_per_identity,
            held(self.by_identity.get(identity)),
        );
        // A client with the certificate and not the token would keep its owner out otherwise.
        let gives_way = self
            .oldest_unauthenticated(identity)
            .filter(|_| identity_is_full);
        if self.draining {
            Err(CodedError::new(
                Code::ServerDraining,
                "the server is shutting down",
            ))
        } else if is_reached(limits.connections, self.clients.len()) {
            Err(CodedError::new(
                Code::ServerFull,
                format!("the server holds its {} connections", limits.connections),
            ))
        } else if identity_is_full && gives_way.is_none() {
            Err(CodedError::new(
                Code::TooManyConnections,
                format!(
                    "this identity holds its {} connections",
                    limits.connections_per_identity
                ),
            ))
        } else if is_reached(
            limits.connections_per_address,
            held(self.by_network.get(&network)),
        ) {
            Err(CodedError::new(
                Code::TooManyConnectionsFromAddress,
                format!(
                    "this address holds its {} connections",
                    limits.connections_per_address
                ),
            ))
        } else {
            Ok(gives_way)
        }
    }

    fn oldest_unauthenticated(&self, identity: &Identity) -> Option<ClientId> {
        let from = (identity.clone(), ClientId::FIRST);
        let (of, oldest) = self.unauthenticated.range(from..).next()?;
        (of == identity).then_some(*oldest)
    }

    /// Whether the client is still there.
    pub(super) fn authenticate(
        &mut self,
        client_id: ClientId,
        authenticated: Authenticated,
        welcome: Frame,
        batch: &mut Batch,
    ) -> bool {
        let Some(client) = self.clients.get_mut(&client_id) else {
            return false;
        };
        let key = (client.identity.clone(), client_id);
        self.unauthenticated.remove(&key);
        if let Some(scope) = &authenticated.scope {
            let narrowed = Arc::clone(&client.permissions).narrowed_to(scope);
            client.permit(narrowed, batch);
        }
        client.authenticated = Some(authenticated);
        let is_shown = client.permissions.presence();
        self.send(client_id, OutgoingItem::Answer(welcome), batch);
        if is_shown {
            self.appear(client_id, batch);
        }
        true
    }

    pub(super) fn depart(&mut self, client_id: ClientId, reason: CloseReason, batch: &mut Batch) {
        let Some(client) = self.clients.remove(&client_id) else {
            return;
        };
        count_down(&mut self.by_identity, client.identity.clone());
        count_down(&mut self.by_network, client.address.ip().into());
        self.stop_presence(client_id, batch);
        // A publisher that still routes by an older table pushes into a closed outbox.
        let closed = OutgoingItem::Close(reason);
        batch.effects.outgoing.push(client.outbox(), closed);
        let Some(authenticated) = client.authenticated else {
            self.unauthenticated.remove(&(client.identity, client_id));
            return;
        };
        for filter in &authenticated.subscriptions {
            self.subscriptions
                .remove(filter, client_id, &client.identity);
        }
        batch.routes_changed |= !authenticated.subscriptions.is_empty();
        self.disappear(client_id, &client.identity, reason, batch);
    }

    pub(super) fn drain(&mut self, batch: &mut Batch) {
        self.draining = true;
        // Every client is told that the server ends: that the others go too is no news then.
        for (client_id, outbox) in self.audience.drain() {
            batch.effects.outgoing.push_presence(client_id, &outbox);
        }
        for client in self.clients.values() {
            let closed = OutgoingItem::Close(CloseReason::ServerShuttingDown);
            batch.effects.outgoing.push(client.outbox(), closed);
        }
    }
}
