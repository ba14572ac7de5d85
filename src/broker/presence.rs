//! Who is here, and how the others are told.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Outbox;
use crate::{
    protocol::{
        ClientId, CloseReason, Frame, ServerEvent, ServerId, Timestamp,
        server_event::{
            ClientAuthenticated, ClientDisconnected, ClientEntry, Clients, encode, encode_into,
        },
    },
    security::Identity,
};

/// Everyone authenticated, oldest first. A clone shares all.
pub(super) type Roster = imbl::OrdMap<ClientId, Member>;

/// One authenticated client, as others may know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) identity: Identity,
    pub(super) since: Timestamp,
}

/// A client came or went, as the others are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PresenceEvent {
    pub(super) client_id: ClientId,
    pub(super) identity: Identity,
    pub(super) change: PresenceChange,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PresenceChange {
    Authenticated,
    Disconnected(CloseReason),
}

/// All that happened in one batch, and who hears of it.
#[derive(Debug, Default)]
pub(super) struct PresenceBatch {
    pub(super) events: Vec<PresenceEvent>,
    /// Each with the index of the first event that it hears: who came during the batch hears only
    /// what followed. Nobody ever hears of itself: what follows its coming cannot be its coming,
    /// and after its going it is not in here.
    pub(super) audience: Vec<(Arc<Outbox>, usize)>,
}

impl PresenceBatch {
    /// Encodes the whole batch once and gives everyone its part of it as one frame.
    pub(super) fn tell(&self, server_id: ServerId, now: Timestamp) {
        if self.audience.is_empty() {
            return;
        }
        let mut lines = Vec::with_capacity(self.events.len() * 256);
        let mut starts = Vec::with_capacity(self.events.len());
        for event in &self.events {
            starts.push(lines.len());
            encode_into(&event.as_server_event(), &server_id, now, &mut lines);
        }
        let frame = Frame::from(lines);
        for (outbox, first) in &self.audience {
            if let Some(start) = starts.get(*first) {
                outbox.push(frame.starting_at(*start));
            }
        }
    }
}

/// A `clients` event for one client.
#[derive(Debug)]
pub(super) struct ClientList {
    pub(super) outbox: Arc<Outbox>,
    /// Whom the list shows; until the end of the batch, `None` stands for everyone.
    pub(super) roster: Option<Roster>,
    pub(super) reference: Option<String>,
    pub(super) reply: oneshot::Sender<()>,
}

/// Bytes of one client in `clients`, about.
const ENTRY_BYTES: usize = 130;

/// Answers with `clients`. The list is written by the task of the client that asked: it may be long,
/// and only who wants it waits for it.
pub(super) fn tell_list(list: ClientList, server_id: ServerId, now: Timestamp) {
    let ClientList {
        outbox,
        roster,
        reference,
        reply,
    } = list;
    let roster = roster.unwrap_or_default();
    outbox.push_deferred(roster.len() * ENTRY_BYTES, move || {
        let entry = |(client_id, member): (&ClientId, &Member)| ClientEntry {
            client_id: *client_id,
            identity: member.identity.as_str().to_owned().into(),
            since: member.since.to_string().into(),
        };
        let clients = Clients {
            clients: roster.iter().map(entry).collect(),
            reference: reference.map(Into::into),
        };
        encode(&ServerEvent::Clients(clients), &server_id, now)
    });
    // Who no longer waits has gone.
    let _ = reply.send(());
}

impl PresenceEvent {
    fn as_server_event(&self) -> ServerEvent<'_> {
        let (client_id, identity) = (self.client_id, self.identity.as_str().into());
        match self.change {
            PresenceChange::Authenticated => {
                ServerEvent::ClientAuthenticated(ClientAuthenticated {
                    client_id,
                    identity,
                })
            }
            PresenceChange::Disconnected(reason) => {
                ServerEvent::ClientDisconnected(ClientDisconnected {
                    client_id,
                    identity,
                    reason: reason.code().as_str().into(),
                })
            }
        }
    }
}
