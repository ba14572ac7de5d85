//! Topics and filters, and the tree that finds which filters match.

use std::collections::BTreeSet;

use tidings::topic::{FilterTree, TOPIC_BYTES_MAX, TOPIC_LEVELS_MAX, Topic, TopicFilter};

use crate::oracle::check_message;

/// Lines of an input that are looked at: each is held against each.
const LINES_MAX: usize = 32;

/// Each line is tried as a topic and as a filter.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let lines: Vec<&str> = text.split('\n').take(LINES_MAX).collect();
    let topics: Vec<Topic<'_>> = lines.iter().filter_map(|line| topic(line)).collect();
    let filters: Vec<TopicFilter> = lines.iter().filter_map(|line| filter(line)).collect();
    let mut tree = FilterTree::default();
    for (key, filter) in filters.iter().enumerate() {
        tree.insert(filter, key, key);
    }
    check_tree(&tree, &topics, &filters, 0);
    let before = tree.clone();
    for removed in 0..filters.len() {
        tree.remove(&filters[removed], &removed);
        if removed == filters.len() / 2 {
            check_tree(&tree, &topics, &filters, removed + 1);
        }
    }
    check_tree(&tree, &topics, &filters, filters.len());
    check_tree(&before, &topics, &filters, 0);
}

fn topic(text: &str) -> Option<Topic<'_>> {
    let parsed = Topic::parse(text);
    let levels: Vec<&str> = text.split('/').collect();
    let is_good = is_shape(text, &levels) && !text.contains(['+', '#']);
    assert_eq!(parsed.is_ok(), is_good, "{text:?}");
    parsed.inspect_err(|fault| drop(check_message(fault))).ok()
}

fn filter(text: &str) -> Option<TopicFilter> {
    let parsed = TopicFilter::parse(text);
    let levels: Vec<&str> = text.split('/').collect();
    let is_good = is_shape(text, &levels)
        && levels.iter().enumerate().all(|(index, level)| match *level {
            "+" => true,
            "#" => index + 1 == levels.len(),
            word => !word.contains(['+', '#']),
        });
    assert_eq!(parsed.is_ok(), is_good, "{text:?}");
    parsed.inspect_err(|fault| drop(check_message(fault))).ok()
}

fn is_shape(text: &str, levels: &[&str]) -> bool {
    text.len() <= TOPIC_BYTES_MAX
        && levels.len() <= TOPIC_LEVELS_MAX
        && levels.iter().all(|level| !level.is_empty())
        && !text.chars().any(char::is_control)
}

/// The tree has all filters from `first` on.
fn check_tree(
    tree: &FilterTree<usize, usize>,
    topics: &[Topic<'_>],
    filters: &[TopicFilter],
    first: usize,
) {
    for topic in topics {
        let mut found = BTreeSet::new();
        let count = tree.each_match(topic, |key, value| {
            assert_eq!(key, value);
            assert!(found.insert(*key), "{topic:?} is found twice by one filter");
        });
        let matching = |key: &usize| naively_matches(&filters[*key], topic);
        let expected: BTreeSet<usize> = (first..filters.len()).filter(matching).collect();
        assert_eq!(found, expected, "{topic:?}");
        let distinct: BTreeSet<&str> = expected.iter().map(|key| filters[*key].as_str()).collect();
        assert_eq!(count, distinct.len(), "{topic:?}");
    }
    for filter in filters {
        for topic in topics {
            assert_eq!(filter.matches(topic), naively_matches(filter, topic));
        }
    }
}

fn naively_matches(filter: &TopicFilter, topic: &Topic<'_>) -> bool {
    fn levels_match(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) | ([], []) => true,
            (["+", filter @ ..], [_, topic @ ..]) => levels_match(filter, topic),
            ([word, filter @ ..], [level, topic @ ..]) => {
                word == level && levels_match(filter, topic)
            }
            _ => false,
        }
    }
    let (filter, topic) = (filter.as_str(), topic.as_str());
    let is_hidden = topic.starts_with('$') && filter.starts_with(['+', '#']);
    let levels = |text: &'_ str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
    let (filter, topic) = (levels(filter), levels(topic));
    let filter: Vec<&str> = filter.iter().map(String::as_str).collect();
    let topic: Vec<&str> = topic.iter().map(String::as_str).collect();
    !is_hidden && levels_match(&filter, &topic)
}

pub fn seeds() -> Vec<Vec<u8>> {
    let deep = "a/".repeat(TOPIC_LEVELS_MAX - 1);
    [
        "a/b\na/+\na/#\n#\n+/b\na\na/b/c\n+\n+/#",
        "$SYS/a\n$SYS/#\n#\n+/a\n$SYS/+",
        "ä\n/\na//b\na/#/b\na+\n\u{85}",
        &format!("{deep}a\n{deep}#\n{deep}+\n{deep}a/a"),
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
