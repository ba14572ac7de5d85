//! A client subscribes and unsubscribes, if its limits and the rules allow it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{Batch, Client, State, is_reached};
use crate::{
    access::Permissions,
    broker::{ClientHandle, RequestError},
    identity::Identity,
    protocol::{ClientId, Code, CodedError},
    topic::TopicFilter,
};

impl State {
    pub(super) fn subscribe(
        &mut self,
        client_id: ClientId,
        filter: TopicFilter,
        batch: &mut Batch,
    ) -> Result<(), RequestError> {
        let limits = &self.limits;
        let client = session(&mut self.clients, client_id)?;
        client.permissions.may_subscribe(&filter)?;
        if client.subscriptions.contains(&filter) {
            return Ok(());
        }
        let limit = limits.subscriptions_per_client;
        if is_reached(limit, client.subscriptions.len()) {
            return Err(RequestError::Fault(CodedError::new(
                Code::TooManySubscriptions,
                format!("this client holds its {limit} subscriptions"),
            )));
        }
        let all = &mut self.subscriptions;
        all.has_room(&filter, client.identity, limits)?;
        all.insert(
            &filter,
            client_id,
            client.identity,
            Arc::clone(client.handle),
        );
        client.subscriptions.insert(filter);
        batch.routes_changed = true;
        Ok(())
    }

    pub(super) fn unsubscribe(
        &mut self,
        client_id: ClientId,
        filter: &TopicFilter,
        batch: &mut Batch,
    ) -> Result<(), RequestError> {
        let client = session(&mut self.clients, client_id)?;
        if !client.subscriptions.remove(filter) {
            return Err(RequestError::Fault(CodedError::new(
                Code::NotSubscribed,
                "this client has no subscription with exactly this filter",
            )));
        }
        self.subscriptions
            .remove(filter, client_id, client.identity);
        batch.routes_changed = true;
        Ok(())
    }
}

/// What concerns the subscriptions of a client.
struct Session<'a> {
    identity: &'a Identity,
    handle: &'a Arc<ClientHandle>,
    permissions: &'a Permissions,
    subscriptions: &'a mut HashSet<TopicFilter>,
}

/// The session of an authenticated client.
fn session(
    clients: &mut HashMap<ClientId, Client>,
    client_id: ClientId,
) -> Result<Session<'_>, CodedError> {
    clients
        .get_mut(&client_id)
        .and_then(|client| {
            Some(Session {
                identity: &client.identity,
                handle: &client.handle,
                permissions: &client.permissions,
                subscriptions: &mut client.authenticated.as_mut()?.subscriptions,
            })
        })
        .ok_or_else(RequestError::lost_client)
}
