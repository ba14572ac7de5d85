//! What one batch of the registry tells its clients: one list, in the order in which it happened.
//!
//! Owns that order. Whatever the registry says to a client passes through here, so that no answer
//! can come before what it speaks of, and no end of a subscription before its beginning. Coming and
//! going is encoded once for everyone, and cut only where something else for a client comes between.

use std::{collections::HashMap, ops::Range, sync::Arc};

use super::{
    Outbox,
    presence::{ClientList, PresenceEvent, PresenceLines},
};
use crate::{
    protocol::{
        ClientId, CloseReason, Code, Frame, ServerEvent, ServerId, Timestamp,
        server_event::{SubscriptionClosed, encode},
    },
    topic::TopicFilter,
};

/// One thing that one client is told.
#[derive(Debug)]
pub(super) enum Told {
    /// An answer that was encoded when it was asked for.
    Answer(Frame),
    /// So many of the presence events of the batch.
    Presence(Range<usize>),
    /// Who is here.
    Clients(ClientList),
    /// A subscription that ends because the rules no longer allow it.
    SubscriptionClosed(TopicFilter),
    /// Its connection ends.
    Close(CloseReason),
    /// Its own task is to look again at what lets it be here.
    Recheck,
}

/// All that is told in one batch.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) entries: Vec<(Arc<Outbox>, Told)>,
    pub(super) presence: Vec<PresenceEvent>,
    /// Up to where in `presence` a client has its part, or is not to hear of it. 0 for all others.
    heard: HashMap<ClientId, usize>,
}

impl Outgoing {
    /// Tells one client something that is not presence.
    pub(super) fn tell(&mut self, outbox: Arc<Outbox>, told: Told) {
        self.entries.push((outbox, told));
    }

    /// Tells a client of the presence that it has not been told of yet.
    pub(super) fn catch_up(&mut self, client_id: ClientId, outbox: &Arc<Outbox>) {
        let events = self.presence.len();
        let heard = self.heard.get(&client_id).copied().unwrap_or(0);
        if heard < events {
            self.heard.insert(client_id, events);
            self.tell(Arc::clone(outbox), Told::Presence(heard..events));
        }
    }

    /// What a client hears begins here: of itself, and of what was before, it does not hear.
    pub(super) fn begin_hearing(&mut self, client_id: ClientId) {
        self.heard.insert(client_id, self.presence.len());
    }

    /// Does what was to be told, in order.
    pub(super) fn deliver(self, server_id: ServerId, now: Timestamp) {
        let presence = PresenceLines::encode(&self.presence, server_id, now);
        for (outbox, told) in self.entries {
            let line = match told {
                Told::Answer(line) => line,
                Told::Presence(events) => presence.part(events),
                Told::SubscriptionClosed(filter) => subscription_closed(&filter, server_id, now),
                Told::Clients(list) => {
                    list.push_to(&outbox, server_id, now);
                    continue;
                }
                Told::Close(reason) => {
                    outbox.close(reason);
                    continue;
                }
                Told::Recheck => {
                    outbox.request_recheck();
                    continue;
                }
            };
            // A client whose outbox is full or closed is on its way out.
            outbox.push(line);
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
