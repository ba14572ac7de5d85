//! The routes of topics that a publisher published to recently, so that topics in turn are not
//! looked up again for every message.

use std::collections::HashMap;

use super::batch::Destination;
use crate::topic::Topic;

/// Bytes of destinations that are kept: enough for a thousand topics with a recipient or two each.
const BYTES_MAX: usize = 512 * 1024;

/// For each destination that is kept, how many that found no room make all of them give way.
const TURNED_AWAY_MAX: usize = 4;

/// The destinations of topics that a publisher published to recently, all of one generation.
///
/// Bounded in bytes. When it is full, what is in it stays, so that a publisher with more topics than
/// fit does not lose each one before it is needed again. Once many others have found no room,
/// everything goes and the next ones are kept.
#[derive(Debug, Default)]
pub(super) struct RecentRoutes {
    generation: u64,
    bytes: usize,
    by_topic: HashMap<Topic<'static>, Destination>,
    /// How many have found no room since it was last emptied.
    turned_away: usize,
}

impl RecentRoutes {
    /// Takes out the destination of `topic`, if it is here and of this generation.
    pub(super) fn take(
        &mut self,
        topic: &Topic<'_>,
        generation: u64,
    ) -> Option<(Topic<'static>, Destination)> {
        if self.generation != generation {
            self.clear(generation);
        }
        let (topic, destination) = self.by_topic.remove_entry(topic.as_str())?;
        self.bytes -= bytes(&topic, &destination);
        Some((topic, destination))
    }

    /// Keeps a destination, unless its generation is past or it is too large.
    pub(super) fn keep(&mut self, topic: Topic<'static>, destination: Destination) {
        let bytes = bytes(&topic, &destination);
        if destination.route.generation() != self.generation || bytes > BYTES_MAX {
            return;
        }
        if self.bytes + bytes > BYTES_MAX {
            self.turned_away += 1;
            if self.turned_away <= TURNED_AWAY_MAX * self.by_topic.len() {
                return;
            }
            self.clear(self.generation);
        }
        self.bytes += bytes;
        self.by_topic.insert(topic, destination);
    }

    /// Removes everything, and keeps destinations of `generation` from now on.
    fn clear(&mut self, generation: u64) {
        *self = Self {
            generation,
            ..Self::default()
        };
    }

    /// How many topics it holds, with its count of bytes checked.
    #[cfg(test)]
    pub(super) fn topics(&self) -> usize {
        assert!(self.bytes <= BYTES_MAX);
        let held = self
            .by_topic
            .iter()
            .map(|(topic, destination)| bytes(topic, destination));
        assert_eq!(held.sum::<usize>(), self.bytes);
        self.by_topic.len()
    }
}

fn bytes(topic: &Topic<'_>, destination: &Destination) -> usize {
    size_of::<(Topic<'_>, Destination)>()
        + topic.as_str().len()
        + destination.template.line_len(0)
        + destination.route.heap_bytes()
}
