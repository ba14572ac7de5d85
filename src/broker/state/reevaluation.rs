//! Other access rules come into force while clients are here: which client loses what by them.

use std::sync::Arc;

use super::{Batch, Client, State};
use crate::{
    access::{AccessRules, Denial, Permissions},
    broker::{Reevaluated, Withdrawn, outgoing::OutgoingItem},
    protocol::{ClientId, CloseReason},
    topic::TopicFilter,
};

impl State {
    /// Requests a recheck of every client; if the rules have changed, also applies them to everyone.
    pub(super) fn reevaluate(
        &mut self,
        access: Arc<AccessRules>,
        batch: &mut Batch,
    ) -> Reevaluated {
        let mut reevaluated = Reevaluated {
            clients: self.clients.len(),
            ..Reevaluated::default()
        };
        if !Arc::ptr_eq(&access, &self.access) {
            self.access = access;
            // The table may be the same, but permissions are not: remembered routes of the last
            // generation must not be used any more.
            batch.routes_changed = true;
            let mut clients: Vec<ClientId> = self.clients.keys().copied().collect();
            clients.sort_unstable();
            for client_id in clients {
                self.reevaluate_client(client_id, &mut reevaluated, batch);
            }
        }
        for client in self.clients.values() {
            batch
                .effects
                .outgoing
                .push(client.outbox(), OutgoingItem::Recheck);
        }
        reevaluated
    }

    fn reevaluate_client(
        &mut self,
        client_id: ClientId,
        reevaluated: &mut Reevaluated,
        batch: &mut Batch,
    ) {
        let Some(client) = self.clients.get_mut(&client_id) else {
            return;
        };
        let scope = client
            .authenticated
            .as_ref()
            .and_then(|authenticated| authenticated.scope.as_deref());
        let permissions = match self.access.permissions(&client.identity, client_id) {
            Ok(permissions) => match scope {
                Some(scope) => permissions.narrowed_to(scope),
                None => permissions,
            },
            Err(denial) => {
                let closed = OutgoingItem::Close(CloseReason::PermissionWithdrawn);
                batch.effects.outgoing.push(client.outbox(), closed);
                reevaluated
                    .withdrawn
                    .push(client.withdrawn(client_id, None, denial));
                // It can do nothing more, although its task has yet to notice.
                client.permit(Permissions::nothing().into(), batch);
                return;
            }
        };
        let is_same = permissions == client.permissions;
        // Also when they allow the same: denials name the line of a rule, which may have moved.
        client.permit(permissions, batch);
        if !is_same {
            self.withdraw_subscriptions(client_id, reevaluated, batch);
            self.reevaluate_presence(client_id, batch);
        }
    }

    /// Ends the subscriptions that a client may no longer have.
    fn withdraw_subscriptions(
        &mut self,
        client_id: ClientId,
        reevaluated: &mut Reevaluated,
        batch: &mut Batch,
    ) {
        let Some(client) = self.clients.get_mut(&client_id) else {
            return;
        };
        let Some(authenticated) = &mut client.authenticated else {
            return;
        };
        let identity = client.identity.clone();
        let permissions = &client.permissions;
        let mut ended = Vec::new();
        authenticated.subscriptions.retain(|filter| {
            let denial = permissions.may_subscribe(filter).err();
            ended.extend(denial.clone().map(|denial| (filter.clone(), denial)));
            denial.is_none()
        });
        ended.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for (filter, denial) in ended {
            self.subscriptions.remove(&filter, client_id, &identity);
            self.send(
                client_id,
                OutgoingItem::SubscriptionClosed(filter.clone()),
                batch,
            );
            if let Some(client) = self.clients.get(&client_id) {
                reevaluated
                    .withdrawn
                    .push(client.withdrawn(client_id, Some(filter), denial));
            }
        }
    }

    /// Shows or hides a client, as its permissions now have it.
    fn reevaluate_presence(&mut self, client_id: ClientId, batch: &mut Batch) {
        let Some(client) = self.clients.get(&client_id) else {
            return;
        };
        match (
            self.roster.contains_key(&client_id),
            client.permissions.presence(),
        ) {
            (false, true) => self.appear(client_id, batch),
            (true, false) => {
                let identity = client.identity.clone();
                self.stop_presence(client_id, batch);
                let reason = CloseReason::PermissionWithdrawn;
                self.disappear(client_id, &identity, reason, batch);
            }
            _ => {}
        }
    }
}

impl Client {
    fn withdrawn(
        &self,
        client_id: ClientId,
        subscription: Option<TopicFilter>,
        denial: Denial,
    ) -> Withdrawn {
        Withdrawn {
            client_id,
            identity: self.identity.clone(),
            address: self.address,
            subscription,
            denial,
        }
    }
}
