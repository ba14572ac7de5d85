//! What one batch of the registry sends to its clients: one list, in the order in which it happened.
//!
//! Owns that order. Whatever the registry sends to a client passes through here, so that no answer
//! can come before what it speaks of, and no end of a subscription before its beginning. Presence is
//! encoded once for everyone, and cut only where something else for a client comes between.

use std::{collections::HashMap, ops::Range, sync::Arc};

use super::{
    Outbox, OutboxEntry,
    presence::{ClientList, PresenceEvent, PresenceLines},
};
use crate::{
    protocol::{
        ClientId, CloseReason, Code, Frame, ServerEvent, ServerId, Timestamp,
        server_event::{SubscriptionClosed, encode},
    },
    topic::TopicFilter,
};

/// One thing for one client.
#[derive(Debug)]
pub(super) enum OutgoingItem {
    /// An answer that was encoded when it was asked for.
    Answer(Frame),
    /// These presence events of the batch.
    Presence(Range<usize>),
    /// The list of clients.
    Clients(ClientList),
    /// A subscription that ends because the rules no longer allow it.
    SubscriptionClosed(TopicFilter),
    /// Its connection ends.
    Close(CloseReason),
    /// Its own task is to check again what lets it be here.
    Recheck,
}

/// All that one batch sends.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) items: Vec<(Arc<Outbox>, OutgoingItem)>,
    pub(super) presence: Vec<PresenceEvent>,
    /// How many of `presence` a client has in `items`, or is not to be sent. 0 for all others.
    presence_done: HashMap<ClientId, usize>,
}

impl Outgoing {
    /// Appends an item for one client.
    pub(super) fn push(&mut self, outbox: Arc<Outbox>, item: OutgoingItem) {
        self.items.push((outbox, item));
    }

    /// Appends the presence so far that a client does not have yet.
    pub(super) fn push_presence(&mut self, client_id: ClientId, outbox: &Arc<Outbox>) {
        let events = self.presence.len();
        let done = self.presence_done.get(&client_id).copied().unwrap_or(0);
        if done < events {
            self.presence_done.insert(client_id, events);
            self.push(Arc::clone(outbox), OutgoingItem::Presence(done..events));
        }
    }

    /// Sends a client none of the presence so far, its own coming included.
    pub(super) fn skip_presence(&mut self, client_id: ClientId) {
        self.presence_done.insert(client_id, self.presence.len());
    }

    /// Puts everything into its outbox, in order.
    pub(super) fn deliver(self, server_id: ServerId, now: Timestamp) {
        let presence = PresenceLines::encode(&self.presence, server_id, now);
        for (outbox, item) in self.items {
            let entry = match item {
                OutgoingItem::Answer(line) => OutboxEntry::Answer(line),
                OutgoingItem::Presence(events) => OutboxEntry::Presence(presence.part(events)),
                OutgoingItem::SubscriptionClosed(filter) => {
                    OutboxEntry::Control(subscription_closed(&filter, server_id, now))
                }
                OutgoingItem::Clients(list) => {
                    list.push_to(&outbox, server_id, now);
                    continue;
                }
                OutgoingItem::Close(reason) => {
                    outbox.close(reason);
                    continue;
                }
                OutgoingItem::Recheck => {
                    outbox.request_recheck();
                    continue;
                }
            };
            // A client whose outbox is full or closed is on its way out.
            outbox.push(entry);
        }
    }
}

fn subscription_closed(filter: &TopicFilter, server_id: ServerId, now: Timestamp) -> Frame {
    let closed = SubscriptionClosed {
        topic: filter.as_str().into(),
        code: Code::PermissionWithdrawn.as_str().into(),
        reason: "the access rules no longer let this client subscribe to it".into(),
    };
    encode(&ServerEvent::SubscriptionClosed(closed), &server_id, now)
}
