use std::collections::HashMap;

use super::routes::{Recipient, RoutingTable};
use crate::{
    identity::Identity,
    protocol::{ClientId, MessageTemplate},
    topic::Topic,
};

/// Bytes of routes that are remembered: of a thousand topics with a receiver or two each.
const BYTES_MAX: usize = 512 * 1024;

/// For each route that is remembered, how many that are not make it give way.
const TURNED_AWAY_MAX: usize = 4;

/// What is worked out once for the messages of one publisher to one topic.
///
/// In force for one generation of the routing table: both the subscriptions and the permissions of
/// receivers and publisher may be others in the next.
#[derive(Debug)]
pub(super) struct Route {
    generation: u64,
    pub(super) receivers: Vec<Recipient>,
    pub(super) template: MessageTemplate,
    /// Bytes of the last frame that took it: the best guess for the next.
    pub(super) last_frame_len: usize,
}

/// The routes of the topics that a session published to of late.
///
/// Bounded in bytes. What is there stays while there is no room for others, so that a publisher with
/// more topics than that does not lose each before it comes again; and all of it goes when many
/// others would have had its place.
#[derive(Debug, Default)]
pub(super) struct RecentRoutes {
    generation: u64,
    bytes: usize,
    by_topic: HashMap<Topic<'static>, Route>,
    /// How many have found no room since.
    turned_away: usize,
}

impl Route {
    /// Looks up who receives on `topic` what `sender` publishes there.
    pub(super) fn look_up(
        table: &RoutingTable,
        topic: &Topic<'_>,
        client_id: ClientId,
        sender: &Identity,
    ) -> Self {
        Self {
            generation: table.generation(),
            receivers: table.route(topic),
            template: MessageTemplate::new(client_id, sender.as_str(), topic.as_str()),
            last_frame_len: 0,
        }
    }

    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    fn bytes(&self, topic: &Topic<'_>) -> usize {
        size_of::<(Topic<'_>, Self)>()
            + topic.as_str().len()
            + self.template.line_len(0)
            + size_of::<Recipient>() * self.receivers.capacity()
    }
}

impl RecentRoutes {
    /// Takes out the route of `topic`, if it is remembered and of this generation.
    pub(super) fn take(
        &mut self,
        topic: &Topic<'_>,
        generation: u64,
    ) -> Option<(Topic<'static>, Route)> {
        if self.generation != generation {
            self.forget(generation);
        }
        let (topic, route) = self.by_topic.remove_entry(topic.as_str())?;
        self.bytes -= route.bytes(&topic);
        Some((topic, route))
    }

    /// Remembers a route, unless its generation is past or it is too large.
    pub(super) fn keep(&mut self, topic: Topic<'static>, route: Route) {
        let bytes = route.bytes(&topic);
        if route.generation != self.generation || bytes > BYTES_MAX {
            return;
        }
        if self.bytes + bytes > BYTES_MAX {
            self.turned_away += 1;
            if self.turned_away <= TURNED_AWAY_MAX * self.by_topic.len() {
                return;
            }
            self.forget(self.generation);
        }
        self.bytes += bytes;
        self.by_topic.insert(topic, route);
    }

    /// Forgets all, and remembers from now on those of `generation`.
    fn forget(&mut self, generation: u64) {
        *self = Self {
            generation,
            ..Self::default()
        };
    }

    #[cfg(test)]
    pub(super) fn topics(&self) -> usize {
        assert!(self.bytes <= BYTES_MAX);
        let held = self
            .by_topic
            .iter()
            .map(|(topic, route)| route.bytes(topic));
        assert_eq!(held.sum::<usize>(), self.bytes);
        self.by_topic.len()
    }
}
