//! Presence as clients see it: the lines of clients that come and go, and the list of clients.

use std::ops::Range;

use super::Outbox;
use crate::{
    identity::Identity,
    protocol::{
        ClientId, CloseReason, Frame, LineBuffer, ServerEvent, ServerId, Timestamp,
        server_event::{
            ClientAuthenticated, ClientDisconnected, ClientEntry, Clients, encode, encode_into,
        },
    },
};

/// Everyone authenticated, oldest first. A clone shares all.
pub(super) type Roster = imbl::OrdMap<ClientId, Member>;

/// One authenticated client, as others may know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) identity: Identity,
    pub(super) since: Timestamp,
}

/// A client came or went, as others are told.
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

/// The presence events of one batch, encoded once for all clients that are told of them.
#[derive(Debug)]
pub(super) struct PresenceLines {
    lines: Frame,
    /// Where each event begins, and behind them where the last one ends.
    bounds: Vec<usize>,
}

impl PresenceLines {
    pub(super) fn encode(events: &[PresenceEvent], server_id: ServerId, now: Timestamp) -> Self {
        let mut lines = LineBuffer::default();
        lines.reserve_exact(events.len() * EVENT_BYTES);
        let mut bounds = vec![0];
        for event in events {
            encode_into(&event.as_server_event(), &server_id, now, &mut lines);
            bounds.push(lines.len());
        }
        let lines = lines.into();
        Self { lines, bounds }
    }

    /// Some of the events.
    pub(super) fn part(&self, events: Range<usize>) -> Frame {
        let bytes = self.bounds[events.start]..self.bounds[events.end];
        self.lines.part(bytes, events.len())
    }
}

/// A `clients` event for one client.
#[derive(Debug)]
pub(super) struct ClientList {
    /// The clients in it.
    pub(super) roster: Roster,
    /// The `ref` of the request.
    pub(super) reference: Option<String>,
}

/// Bytes of one presence event, about.
const EVENT_BYTES: usize = 256;

/// Bytes of one client in `clients`, about.
const ENTRY_BYTES: usize = 130;

impl ClientList {
    /// Queues `clients`. The task of the client that asked encodes the list: it may be long, and no
    /// other client should wait for it.
    pub(super) fn push_to(self, outbox: &Outbox, server_id: ServerId, now: Timestamp) {
        let Self { roster, reference } = self;
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
    }
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
