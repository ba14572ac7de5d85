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
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use proptest::prelude::*;

    use super::*;

    /// Written to be obviously right: the rule of `docs/events.md`, recursively, on lists of levels.
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
        prop_oneof![Just("a"), Just("ab"), Just("c"), Just("$x"), Just("ü")]
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

        /// After any insertions and removals, the tree and `TopicFilter::matches` agree with the naive
        /// matcher, and a clone made before still holds what it held.
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
                    let matching = tree.matching(&parsed);
                    let mut found: Vec<u8> =
                        matching.iter().flat_map(Subscribers::iter).map(|(key, ())| *key).collect();
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

        /// Removing everything leaves nothing behind.
        #[test]
        fn is_empty_when_all_is_removed(filters in proptest::collection::vec(filter(), 0..30)) {
            let mut tree = FilterTree::default();
            let filters: Vec<_> = filters.iter().map(|f| TopicFilter::parse(f).unwrap()).collect();
            filters.iter().for_each(|filter| tree.insert(filter, 1u8, ()));
            filters.iter().for_each(|filter| tree.remove(filter, &1));
            prop_assert!(tree.exact.is_empty() && tree.wild.is_empty());
        }

        /// After any insertions and removals, only nodes are left at which a filter ends or several
        /// branch off: fewer than two for each filter.
        #[test]
        fn levels_in_a_row_are_one_node(
            steps in proptest::collection::vec((any::<bool>(), filter()), 0..60),
        ) {
            let mut tree = FilterTree::default();
            let mut held = BTreeSet::new();
            for (put, filter) in steps {
                let parsed = TopicFilter::parse(&filter).unwrap();
                if put {
                    tree.insert(&parsed, 1u8, ());
                    held.extend(parsed.has_wildcard().then_some(filter));
                } else {
                    tree.remove(&parsed, &1);
                    held.remove(&filter);
                }
            }
            prop_assert!(tree.wild.nodes_below() <= (2 * held.len()).saturating_sub(1));
        }
    }

    /// More children than one slice holds. They are hashed, by a level that is a slice of a filter.
    #[test]
    fn many_filters_branch_off_at_one_level_and_are_merged_again() {
        let filters: Vec<_> = (0..100)
            .flat_map(|number| [format!("a/b/{number}/+"), format!("a/b/{number}/c/d/#")])
            .map(|text| TopicFilter::parse(&text).unwrap())
            .collect();
        let mut tree = FilterTree::default();
        for filter in &filters {
            tree.insert(filter, 1u8, ());
        }
        assert_eq!(tree.wild.nodes_below(), 1 + 100 + 200);
        for number in 0..100 {
            let topic = Topic::parse(format!("a/b/{number}/c")).unwrap();
            assert_eq!(tree.matching(&topic).len(), 1, "{topic}");
            let topic = Topic::parse(format!("a/b/{number}/c/d")).unwrap();
            assert_eq!(tree.matching(&topic).len(), 1, "{topic}");
        }
        for filter in &filters[2..] {
            tree.remove(filter, &1);
        }
        // `a/b/0` as one node, and the two below it.
        assert_eq!(tree.wild.nodes_below(), 3);
    }

    /// This bounds the memory that a hostile client's filters take.
    #[test]
    fn a_filter_of_32_levels_takes_one_node() {
        let mut tree = FilterTree::default();
        let filter = TopicFilter::parse(&format!("{}+", "level/".repeat(31))).unwrap();
        tree.insert(&filter, [0u8; 16], Arc::new(()));
        assert_eq!(tree.wild.nodes_below(), 1);
        assert!(size_of::<Node<[u8; 16], Arc<()>>>() <= 120);
    }

    proptest! {
        /// Because of this, a limit on shapes bounds how many filters can match.
        #[test]
        fn filters_of_one_shape_that_match_one_topic_are_the_same(
            topic in topic(),
            filters in proptest::collection::btree_set(filter(), 0..40),
        ) {
            let topic = Topic::parse(topic).unwrap();
            let mut shapes = HashSet::new();
            for filter in filters {
                let filter = TopicFilter::parse(&filter).unwrap();
                prop_assert_eq!(filter.shape().is_some(), filter.has_wildcard());
                if filter.matches(&topic) {
                    prop_assert!(shapes.insert(filter.shape()), "{}", filter);
                }
            }
        }
    }

    #[test]
    fn a_shape_is_levels_and_wildcards() {
        let shape = |text: &str| TopicFilter::parse(text).unwrap().shape();
        assert_eq!(shape("a/b"), None);
        assert_eq!(shape("a/+/c"), shape("b/+/d"));
        assert_eq!(shape("a/#"), shape("b/#"));
        let different = [
            "+", "#", "a/+", "+/a", "+/+", "a/#", "+/#", "a/+/b", "a/b/#",
        ];
        let shapes: HashSet<_> = different.into_iter().map(shape).collect();
        assert_eq!(shapes.len(), different.len());
        assert!(!shapes.contains(&None));
        assert!(shape(&["+"; 32].join("/")).is_some());
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
