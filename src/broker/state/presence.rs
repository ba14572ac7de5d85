//! Which clients are shown to others, and which are told of them.

use super::{Batch, State};
use crate::{
    broker::{
        outgoing::OutgoingItem,
        presence::{ClientList, PresenceChange, PresenceEvent, Roster},
    },
    identity::Identity,
    protocol::{ClientId, CloseReason},
};

impl State {
    /// Shows a client to the others. From here on it is told of them too, if it wants that.
    pub(super) fn appear(&mut self, client_id: ClientId, batch: &mut Batch) {
        let Some((client, authenticated)) = self.clients.get(&client_id).and_then(|client| {
            let authenticated = client.authenticated.as_ref()?;
            Some((client, authenticated))
        }) else {
            return;
        };
        self.roster
            .insert(client_id, client.member(authenticated.since));
        if !self.limits.presence {
            return;
        }
        if authenticated.wants_presence {
            self.audience.insert(client_id, client.outbox());
        }
        let outgoing = &mut batch.effects.outgoing;
        outgoing.presence.push(PresenceEvent {
            client_id,
            identity: client.identity.clone(),
            change: PresenceChange::Authenticated,
        });
        outgoing.skip_presence(client_id);
    }

    /// Tells a client nothing more of the others from here on.
    pub(super) fn stop_presence(&mut self, client_id: ClientId, batch: &mut Batch) {
        if let Some(outbox) = self.audience.remove(&client_id) {
            batch.effects.outgoing.push_presence(client_id, &outbox);
        }
    }

    /// Hides a client that was shown from the others.
    pub(super) fn disappear(
        &mut self,
        client_id: ClientId,
        identity: &Identity,
        reason: CloseReason,
        batch: &mut Batch,
    ) {
        if self.roster.remove(&client_id).is_some() && self.limits.presence {
            batch.effects.outgoing.presence.push(PresenceEvent {
                client_id,
                identity: identity.clone(),
                change: PresenceChange::Disconnected(reason),
            });
        }
    }

    pub(super) fn list_clients(
        &self,
        client_id: ClientId,
        reference: Option<String>,
        batch: &mut Batch,
    ) {
        let Some(client) = self.clients.get(&client_id) else {
            return;
        };
        // A client that is hidden from the others does not see them either.
        let roster = match &client.authenticated {
            Some(authenticated) if !client.permissions.presence() => {
                Roster::unit(client_id, client.member(authenticated.since))
            }
            _ => self.roster.clone(),
        };
        let list = ClientList { roster, reference };
        self.send(client_id, OutgoingItem::Clients(list), batch);
    }
}
