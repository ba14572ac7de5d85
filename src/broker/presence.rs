//! Who is here, and how the others are told.

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

/// The presence events of one batch, encoded once for all who hear of them.
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
    /// Whom the list shows.
    pub(super) roster: Roster,
    /// The `ref` of the request.
    pub(super) reference: Option<String>,
}

/// Bytes of one presence event, about.
const EVENT_BYTES: usize = 256;

/// Bytes of one client in `clients`, about.
const ENTRY_BYTES: usize = 130;

/// Bytes that a list holds until it is written, beside its entries: what of its roster is no other's.
const ROSTER_BYTES: usize = 1024;

impl ClientList {
    /// Queues `clients`. The list is written by the task of the client that asked: it may be long,
    /// and only who wants it waits for it.
    pub(super) fn push_to(self, outbox: &Outbox, server_id: ServerId, now: Timestamp) {
        let Self { roster, reference } = self;
        let estimated_bytes = ROSTER_BYTES + roster.len() * ENTRY_BYTES;
        outbox.push_deferred(estimated_bytes, move || {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::broker::OutboxLimits;

    /// A client that is alone in its list can ask for many of them, and read none.
    #[tokio::test]
    async fn a_short_list_counts_for_what_it_holds_until_it_is_written() {
        let outbox = Outbox::new(OutboxLimits {
            hard_bytes: 16 * 1024,
            soft_bytes: 16 * 1024,
            soft_time: Duration::MAX,
        });
        let queue = || {
            let roster = Roster::unit(
                ClientId::fresh(),
                Member {
                    identity: Identity::parse("alice").unwrap(),
                    since: Timestamp::now(),
                },
            );
            let list = ClientList {
                roster,
                reference: None,
            };
            list.push_to(&outbox, ServerId::fresh(), Timestamp::now());
        };
        (0..14).for_each(|_| queue());
        assert!(outbox.push(vec![b'x'; 128].into()));
        queue();
        assert!(!outbox.push(vec![b'x'; 128].into()), "it is full");
    }
}
