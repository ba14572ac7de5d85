//! Coverage against trying every topic.

use proptest::prelude::*;

use super::*;
use crate::topic::Topic;

fn filter(text: &str) -> TopicFilter {
    TopicFilter::parse(text).unwrap()
}

fn covered(narrow: &str, filters: &[&str]) -> bool {
    let filters: Vec<_> = filters.iter().map(|text| filter(text)).collect();
    is_covered(&filter(narrow), &filters)
}

#[test]
fn filters_cover_together_what_none_covers_alone() {
    assert!(covered("a/#", &["a", "a/+", "a/+/#"]));
    assert!(covered("a/#", &["a/+/#", "a"]));
    assert!(!covered("a/#", &["a", "a/+"]));
    assert!(!covered("a/#", &["a/+/#"]));
    assert!(covered("#", &["+", "+/+/#"]));
    assert!(!covered("#", &["+/+/#"]));
    assert!(covered("+/#", &["#"]));
    assert!(covered("#", &["+/#"]));
    assert!(!covered("+", &["a", "b", "c"]));
    assert!(!covered("a/#", &[]));
}

#[test]
fn depth_is_bounded() {
    let every_depth: Vec<String> = (1..=TOPIC_LEVELS_MAX)
        .map(|depth| vec!["+"; depth].join("/"))
        .collect();
    let mut every_depth: Vec<&str> = every_depth.iter().map(String::as_str).collect();
    assert!(covered("#", &every_depth));
    assert!(covered(&format!("{}#", "+/".repeat(31)), &every_depth));
    every_depth.remove(17);
    assert!(!covered("#", &every_depth));
}

#[test]
fn wildcards_do_not_reach_what_is_reserved() {
    assert!(!covered("$SYS/#", &["#", "+/#"]));
    assert!(covered("$SYS/a", &["$SYS/#"]));
    assert!(covered("#", &["#", "$SYS/#"]));
    assert!(!covered("#", &["$SYS/#"]));
    assert!(!overlap(&filter("#"), &filter("$SYS/#")));
    assert!(!overlap(&filter("$SYS/a"), &filter("+/a")));
    assert!(overlap(&filter("$SYS/+"), &filter("$SYS/#")));
}

const DEPTH: usize = 4;

fn any_filter() -> impl Strategy<Value = TopicFilter> {
    let level = prop_oneof![2 => Just("a"), 2 => Just("b"), 1 => Just("$x"), 4 => Just("+")];
    (proptest::collection::vec(level, 0..DEPTH), any::<bool>())
        .prop_filter("not empty", |(levels, open)| *open || !levels.is_empty())
        .prop_map(|(mut levels, open)| {
            levels.extend(open.then_some("#"));
            filter(&levels.join("/"))
        })
}

/// Every topic made of the words that occur in filters, and of one word that occurs in none. Filters
/// with fewer than `DEPTH` literal levels treat topics of `DEPTH` levels and longer ones alike.
fn every_topic() -> Vec<Topic<'static>> {
    let mut topics = Vec::new();
    let mut longest = vec![String::new()];
    for _ in 0..DEPTH {
        longest = longest
            .iter()
            .flat_map(|start| {
                ["a", "b", "$x", "fresh"].map(|word| match start.as_str() {
                    "" => word.to_owned(),
                    start => format!("{start}/{word}"),
                })
            })
            .collect();
        topics.extend(
            longest
                .iter()
                .map(|text| Topic::parse(text.clone()).unwrap()),
        );
    }
    topics
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn agrees_with_trying_every_topic(
        narrow in any_filter(),
        filters in proptest::collection::vec(any_filter(), 0..6),
    ) {
        let topics = every_topic();
        let matched: Vec<_> = topics.iter().filter(|topic| narrow.matches(topic)).collect();
        let expected = matched
            .iter()
            .all(|topic| filters.iter().any(|filter| filter.matches(topic)));
        prop_assert_eq!(is_covered(&narrow, &filters), expected);
        for wide in &filters {
            let expected = matched.iter().any(|topic| wide.matches(topic));
            prop_assert_eq!(overlap(&narrow, wide), expected, "{} {}", narrow, wide);
            prop_assert_eq!(overlap(wide, &narrow), expected, "{} {}", wide, narrow);
            prop_assert!(!helps_to_cover(&narrow, wide) || expected);
        }
    }
}
