//! The tree of filters: which subscribers' filters match a topic.

use std::{hash::Hash, sync::Arc};

use super::{
    Topic, TopicFilter,
    node::{Node, split_level},
    small_map::SmallMap,
};

/// Finds the subscribers whose filters match a topic.
///
/// `K` identifies a subscriber and `V` is stored with it. A clone is cheap and shares everything. A
/// change copies the path to what it changes, so a new generation can be published for every change,
/// however many filters there are.
#[derive(Clone, Debug)]
pub struct FilterTree<K, V> {
    /// Filters without a wildcard, found with one look-up.
    exact: imbl::HashMap<Arc<str>, SmallMap<K, V>>,
    /// Filters with a wildcard, level by level.
    wild: Arc<Node<K, V>>,
}

/// The subscribers of one filter.
#[derive(Debug)]
pub struct Subscribers<'a, K, V>(&'a SmallMap<K, V>);

impl<K: Ord + Hash + Clone, V: Clone> Default for FilterTree<K, V> {
    fn default() -> Self {
        Self {
            exact: imbl::HashMap::default(),
            wild: Arc::default(),
        }
    }
}

impl<K: Ord + Hash + Clone, V: Clone> FilterTree<K, V> {
    /// Adds the subscription of `key` to `filter`.
    pub fn insert(&mut self, filter: &TopicFilter, key: K, value: V) {
        if filter.has_wildcard() {
            Arc::make_mut(&mut self.wild).insert(&filter.shared(), 0, key, value);
        } else {
            self.exact
                .entry(filter.shared())
                .or_default()
                .insert(key, value);
        }
    }

    /// Removes the subscription of `key` to `filter`.
    pub fn remove(&mut self, filter: &TopicFilter, key: &K) {
        if filter.has_wildcard() {
            Arc::make_mut(&mut self.wild).remove(filter.as_str(), 0, key);
            return;
        }
        let Some(subscribers) = self.exact.get_mut(filter.as_str()) else {
            return;
        };
        subscribers.remove(key);
        if subscribers.is_empty() {
            self.exact.remove(filter.as_str());
        }
    }

    /// The subscribers of each filter that matches `topic`, none of them empty. A subscriber with several
    /// matching filters is in several of them.
    #[must_use]
    pub fn matching(&self, topic: &Topic<'_>) -> Vec<Subscribers<'_, K, V>> {
        let mut matching = Vec::new();
        let mut found = |subscribers| {
            if !SmallMap::is_empty(subscribers) {
                matching.push(Subscribers(subscribers));
            }
        };
        if let Some(subscribers) = self.exact.get(topic.as_str()) {
            found(subscribers);
        }
        if topic.is_reserved() {
            let (first, rest) = split_level(topic.as_str());
            self.wild.each_match_at(first, rest, &mut found);
        } else {
            self.wild.each_match(Some(topic.as_str()), &mut found);
        }
        matching
    }
}

impl<'a, K: Ord + Hash + Clone, V: Clone> Subscribers<'a, K, V> {
    /// Each subscriber once, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, K, V> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests;
