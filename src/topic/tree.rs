use std::{hash::Hash, sync::Arc};

use super::{Topic, TopicFilter, small_map::SmallMap};

/// Which subscribers' filters match a topic.
///
/// `K` names a subscriber and `V` is what is kept for it. A clone costs nothing and shares all;
/// a change costs the path to what it changes, never what there is. That is what lets a new
/// generation be published for every change, however many filters there are.
#[derive(Clone, Debug)]
pub struct FilterTree<K, V> {
    /// Filters without a wildcard: one look-up for all of them.
    exact: imbl::HashMap<Arc<str>, SmallMap<K, V>>,
    /// Filters with one, level by level.
    wild: Arc<Node<K, V>>,
}

#[derive(Clone, Debug)]
struct Node<K, V> {
    /// By the next level, where the filter spells it.
    children: SmallMap<Arc<str>, Arc<Node<K, V>>>,
    /// Where the next level is `+`.
    any: Option<Arc<Node<K, V>>>,
    /// Subscribers whose filter ends here.
    here: SmallMap<K, V>,
    /// Subscribers whose filter ends with a `#` below here.
    below: SmallMap<K, V>,
}

impl<K: Ord + Hash + Clone, V: Clone> Default for FilterTree<K, V> {
    fn default() -> Self {
        Self {
            exact: imbl::HashMap::default(),
            wild: Arc::default(),
        }
    }
}

impl<K: Ord + Hash + Clone, V: Clone> FilterTree<K, V> {
    /// Notes that `key` subscribes to `filter`.
    pub fn insert(&mut self, filter: &TopicFilter, key: K, value: V) {
        if filter.has_wildcard() {
            Arc::make_mut(&mut self.wild).insert(filter.as_str().split('/'), key, value);
        } else {
            self.exact
                .entry(filter.shared())
                .or_default()
                .insert(key, value);
        }
    }

    /// Forgets that `key` subscribes to `filter`.
    pub fn remove(&mut self, filter: &TopicFilter, key: &K) {
        if filter.has_wildcard() {
            Arc::make_mut(&mut self.wild).remove(filter.as_str().split('/'), key);
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

    /// Calls `found` with every subscriber of `topic`: once for every one of its filters that
    /// matches. Returns how many filters matched: with one alone, nobody was found twice.
    pub fn each_match<'a>(
        &'a self,
        topic: &Topic<'_>,
        mut found: impl FnMut(&'a K, &'a V),
    ) -> usize {
        let mut filters = 0;
        let mut found = |subscribers: &'a SmallMap<K, V>| {
            filters += usize::from(!subscribers.is_empty());
            subscribers
                .iter()
                .for_each(|(key, value)| found(key, value));
        };
        let topic_text = topic.as_str();
        if let Some(subscribers) = self.exact.get(topic_text) {
            found(subscribers);
        }
        if topic.is_reserved() {
            let (first, rest) = match topic_text.split_once('/') {
                Some((first, rest)) => (first, Some(rest)),
                None => (topic_text, None),
            };
            if let Some(child) = self.wild.children.get(first) {
                child.each_match(rest, &mut found);
            }
        } else {
            self.wild.each_match(Some(topic_text), &mut found);
        }
        filters
    }
}

impl<K, V> Default for Node<K, V> {
    fn default() -> Self {
        Self {
            children: SmallMap::default(),
            any: None,
            here: SmallMap::default(),
            below: SmallMap::default(),
        }
    }
}

impl<K: Ord + Hash + Clone, V: Clone> Node<K, V> {
    fn insert<'f>(&mut self, mut levels: impl Iterator<Item = &'f str>, key: K, value: V) {
        match levels.next() {
            None => self.here.insert(key, value),
            Some("#") => self.below.insert(key, value),
            Some("+") => Arc::make_mut(self.any.get_or_insert_default()).insert(levels, key, value),
            Some(level) => {
                let mut child = self.children.get(level).cloned().unwrap_or_default();
                Arc::make_mut(&mut child).insert(levels, key, value);
                self.children.insert(level.into(), child);
            }
        }
    }

    fn remove<'f>(&mut self, mut levels: impl Iterator<Item = &'f str>, key: &K) {
        match levels.next() {
            None => self.here.remove(key),
            Some("#") => self.below.remove(key),
            Some("+") => {
                let Some(child) = &mut self.any else { return };
                let node = Arc::make_mut(child);
                node.remove(levels, key);
                if node.is_empty() {
                    self.any = None;
                }
            }
            Some(level) => {
                let Some(mut child) = self.children.get(level).cloned() else {
                    return;
                };
                let node = Arc::make_mut(&mut child);
                node.remove(levels, key);
                if node.is_empty() {
                    self.children.remove(level);
                } else {
                    self.children.insert(level.into(), child);
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.children.is_empty()
            && self.any.is_none()
            && self.here.is_empty()
            && self.below.is_empty()
    }

    /// `rest` is what of the topic lies below this node; `None` when the topic ends here.
    fn each_match<'a>(&'a self, rest: Option<&str>, found: &mut impl FnMut(&'a SmallMap<K, V>)) {
        found(&self.below);
        let Some(rest) = rest else {
            found(&self.here);
            return;
        };
        let (level, rest) = match rest.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (rest, None),
        };
        if let Some(child) = self.children.get(level) {
            child.each_match(rest, found);
        }
        if let Some(any) = &self.any {
            any.each_match(rest, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Written for obviousness: the rule of `docs/events.md`, recursively, on lists of levels.
    fn naive_match(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) => true,
            ([], []) => true,
            (["+", filter @ ..], [_, topic @ ..]) => naive_match(filter, topic),
            ([f, filter @ ..], [t, topic @ ..]) => f == t && naive_match(filter, topic),
            _ => false,
        }
    }

    fn expected(filter: &str, topic: &str) -> bool {
        if topic.starts_with('$') && filter.starts_with(['+', '#']) {
            return false;
        }
        let levels = |text: &'static str| text.split('/').collect::<Vec<_>>();
        naive_match(
            &levels(filter.to_owned().leak()),
            &levels(topic.to_owned().leak()),
        )
    }

    fn level() -> impl Strategy<Value = &'static str> {
        prop_oneof![Just("a"), Just("b"), Just("c"), Just("$x"), Just("ü")]
    }

    fn topic() -> impl Strategy<Value = String> {
        proptest::collection::vec(level(), 1..5).prop_map(|levels| levels.join("/"))
    }

    fn filter() -> impl Strategy<Value = String> {
        let level = prop_oneof![3 => level(), 1 => Just("+")];
        (proptest::collection::vec(level, 0..5), any::<bool>())
            .prop_filter("not empty", |(levels, hash)| *hash || !levels.is_empty())
            .prop_map(|(mut levels, hash)| {
                levels.extend(hash.then_some("#"));
                levels.join("/")
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// The tree and the one-filter matcher agree with the naive matcher, after any insertions
        /// and removals, and a clone made before them still holds what it held.
        #[test]
        fn agrees_with_the_naive_matcher(
            steps in proptest::collection::vec((prop_oneof![4 => Just(true), 1 => Just(false)], filter(), 0u8..24), 0..60),
            topics in proptest::collection::vec(topic(), 1..6),
        ) {
            let mut tree = FilterTree::default();
            let mut model = BTreeSet::new();
            let mut before = None;
            for (index, (put, filter, key)) in steps.iter().enumerate() {
                if index == steps.len() / 2 {
                    before = Some((tree.clone(), model.clone()));
                }
                let parsed = TopicFilter::parse(filter).unwrap();
                if *put {
                    tree.insert(&parsed, *key, ());
                    model.insert((*key, filter.clone()));
                } else {
                    tree.remove(&parsed, key);
                    model.remove(&(*key, filter.clone()));
                }
            }
            for (tree, model) in before.iter().chain([&(tree, model)]) {
                for topic in &topics {
                    let parsed = Topic::parse(topic.as_str()).unwrap();
                    let mut found = Vec::new();
                    tree.each_match(&parsed, |key, ()| found.push(*key));
                    found.sort_unstable();
                    let wanted: Vec<u8> = model
                        .iter()
                        .filter(|(_, filter)| expected(filter, topic))
                        .map(|(key, _)| *key)
                        .collect();
                    prop_assert_eq!(found, wanted);
                    for (_, filter) in model {
                        let alone = TopicFilter::parse(filter).unwrap().matches(&parsed);
                        prop_assert_eq!(alone, expected(filter, topic), "{} on {}", filter, topic);
                    }
                }
            }
        }

        /// Nothing is left behind by what was taken out again.
        #[test]
        fn is_empty_when_all_is_removed(filters in proptest::collection::vec(filter(), 0..30)) {
            let mut tree = FilterTree::default();
            let filters: Vec<_> = filters.iter().map(|f| TopicFilter::parse(f).unwrap()).collect();
            filters.iter().for_each(|filter| tree.insert(filter, 1u8, ()));
            filters.iter().for_each(|filter| tree.remove(filter, &1));
            prop_assert!(tree.exact.is_empty() && tree.wild.is_empty());
        }
    }

    #[test]
    fn hash_matches_the_level_above_it() {
        let filter = TopicFilter::parse("a/#").unwrap();
        for (topic, matches) in [("a", true), ("a/b", true), ("a/b/c", true), ("ab", false)] {
            assert_eq!(
                filter.matches(&Topic::parse(topic).unwrap()),
                matches,
                "{topic}"
            );
        }
    }

    #[test]
    fn refuses_what_is_no_topic_or_filter() {
        let long = "x".repeat(513);
        let deep = vec!["x"; 33].join("/");
        for text in [
            "", "/", "a/", "/a", "a//b", "a\u{0}", "a\u{85}b", &long, &deep,
        ] {
            assert!(Topic::parse(text).is_err(), "{text:?}");
            assert!(TopicFilter::parse(text).is_err(), "{text:?}");
        }
        for text in ["a+", "#/a", "a/#b", "a/+b/c"] {
            assert!(Topic::parse(text).is_err(), "{text:?}");
            assert!(TopicFilter::parse(text).is_err(), "{text:?}");
        }
        for text in ["+", "#", "a/+/b", "a/#"] {
            assert!(Topic::parse(text).is_err(), "{text:?}");
            assert!(TopicFilter::parse(text).is_ok(), "{text:?}");
        }
        assert!(Topic::parse("x".repeat(512)).is_ok());
        assert!(Topic::parse(vec!["x"; 32].join("/")).is_ok());
    }
}
