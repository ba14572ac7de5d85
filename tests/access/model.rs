//! What access rules mean, said as plainly as can be: lists, recursion, and trying out every topic.
//!
//! Written from the words of the specification alone. It shares no line with the broker, knows no
//! shortcut, and is slow. A filter is covered when each topic that could tell filters apart
//! says so: the topics made, level by level, of the words that any filter has there and two fresh ones, up
//! to one level deeper than the longest.

/// Bytes of a filter that are too many.
const FILTER_BYTES_MAX: usize = 512;

/// Words that no rule and no filter holds.
const FRESH_WORDS: [&str; 2] = ["fresh-1", "fresh-2"];

/// One `[[rule]]`, as it stands in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) identity: Vec<String>,
    pub(crate) publish: Vec<String>,
    pub(crate) subscribe: Vec<String>,
    pub(crate) deny_publish: Vec<String>,
    pub(crate) deny_subscribe: Vec<String>,
    pub(crate) presence: Option<bool>,
}

/// What a client asks for is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Ok,
    IdentityDenied,
    PublishDenied,
    SubscribeDenied,
    ReservedTopic,
}

/// What the rules come to for one client, its names filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rights {
    publish: Vec<String>,
    subscribe: Vec<String>,
    deny_publish: Vec<String>,
    deny_subscribe: Vec<String>,
    /// Whether others hear of it, and it of others.
    pub(crate) presence: bool,
}

impl Rights {
    /// What everybody may do where there is no file.
    pub(crate) fn of_everybody() -> Self {
        Self {
            publish: vec!["#".to_owned()],
            subscribe: vec!["#".to_owned()],
            presence: true,
            ..Self::default()
        }
    }

    /// What `rules` let a client do, or that they do not let it in.
    pub(crate) fn of(identity: &str, client_id: &str, rules: &[Rule]) -> Result<Self, Answer> {
        let mut rights = Self {
            presence: true,
            ..Self::default()
        };
        let mut is_known = false;
        for rule in rules {
            let fits = |pattern: &String| pattern_fits(&letters(pattern), &letters(identity));
            if !rule.identity.iter().any(fits) {
                continue;
            }
            is_known = true;
            if rule.presence == Some(false) {
                rights.presence = false;
            }
            for (from, to) in [
                (&rule.publish, &mut rights.publish),
                (&rule.subscribe, &mut rights.subscribe),
                (&rule.deny_publish, &mut rights.deny_publish),
                (&rule.deny_subscribe, &mut rights.deny_subscribe),
            ] {
                for template in from {
                    to.push(filled_in(template, identity, client_id)?);
                }
            }
        }
        if is_known {
            Ok(rights)
        } else {
            Err(Answer::IdentityDenied)
        }
    }

    pub(crate) fn may_publish(&self, topic: &str) -> Answer {
        if topic.starts_with('$') {
            Answer::ReservedTopic
        } else if any_matches(&self.publish, topic) && !any_matches(&self.deny_publish, topic) {
            Answer::Ok
        } else {
            Answer::PublishDenied
        }
    }

    pub(crate) fn may_subscribe(&self, filter: &str) -> Answer {
        if filter.starts_with('$') {
            return Answer::ReservedTopic;
        }
        let is_allowed = |topic: &str| any_matches(&self.subscribe, topic);
        let is_denied = |topic: &str| any_matches(&self.deny_subscribe, topic);
        if self.every_topic(filter, is_allowed) && !self.every_topic(filter, is_denied) {
            Answer::Ok
        } else {
            Answer::SubscribeDenied
        }
    }

    /// Whether a message to `topic` may reach the client, whatever it has subscribed to.
    pub(crate) fn may_receive(&self, topic: &str) -> bool {
        any_matches(&self.subscribe, topic) && !any_matches(&self.deny_subscribe, topic)
    }

    /// Whether all topics that `filter` matches are `good`, as far as the rules for subscribing can
    /// tell topics apart: on each level by the words that some filter has there.
    fn every_topic(&self, filter: &str, good: impl Fn(&str) -> bool) -> bool {
        let mut filters: Vec<&str> = vec![filter];
        filters.extend(self.subscribe.iter().map(String::as_str));
        filters.extend(self.deny_subscribe.iter().map(String::as_str));
        let longest = filters.iter().map(|filter| levels(filter).len()).max();
        let mut words = vec![Vec::from(FRESH_WORDS); longest.unwrap_or_default() + 1];
        for filter in &filters {
            for (words, word) in words.iter_mut().zip(levels(filter)) {
                if word != "+" && word != "#" && !words.contains(&word) {
                    words.push(word);
                }
            }
        }
        every("", &levels(filter), &words, &|topic| {
            !matches(filter, topic) || good(topic)
        })
    }
}

/// Whether every topic is `good` that begins with `start` and goes on as `filter` says, in the words
/// that there are for each further level.
fn every(start: &str, filter: &[&str], words: &[Vec<&str>], good: &dyn Fn(&str) -> bool) -> bool {
    let longer = |word: &str| match start {
        "" => word.to_owned(),
        start => format!("{start}/{word}"),
    };
    match (filter, words) {
        ([], _) => good(start),
        (["#"], []) => good(start),
        (["#"], [here, below @ ..]) => {
            (start.is_empty() || good(start))
                && here
                    .iter()
                    .all(|word| every(&longer(word), filter, below, good))
        }
        (["+", rest @ ..], [here, below @ ..]) => here
            .iter()
            .all(|word| every(&longer(word), rest, below, good)),
        ([word, rest @ ..], [_, below @ ..]) => every(&longer(word), rest, below, good),
        (_, []) => panic!("there are words for one level more than any filter has"),
    }
}

fn any_matches(filters: &[String], topic: &str) -> bool {
    filters.iter().any(|filter| matches(filter, topic))
}

/// Whether `filter` matches `topic`, as MQTT has it.
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    let begins_with_wildcard = filter.starts_with('+') || filter.starts_with('#');
    if topic.starts_with('$') && begins_with_wildcard {
        return false;
    }
    levels_match(&levels(filter), &levels(topic))
}

fn levels_match(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) | ([], []) => true,
        (["+", filter @ ..], [_, topic @ ..]) => levels_match(filter, topic),
        ([word, filter @ ..], [level, topic @ ..]) => word == level && levels_match(filter, topic),
        _ => false,
    }
}

fn levels(text: &str) -> Vec<&str> {
    text.split('/').collect()
}

fn letters(text: &str) -> Vec<char> {
    text.chars().collect()
}

fn pattern_fits(pattern: &[char], identity: &[char]) -> bool {
    match (pattern, identity) {
        ([], []) => true,
        (['*', rest @ ..], _) => {
            (0..=identity.len()).any(|skipped| pattern_fits(rest, &identity[skipped..]))
        }
        ([letter, pattern @ ..], [other, identity @ ..]) => {
            letter == other && pattern_fits(pattern, identity)
        }
        _ => false,
    }
}

/// A filter with the names of one client in it, unless its identity must not get there.
fn filled_in(template: &str, identity: &str, client_id: &str) -> Result<String, Answer> {
    const FORBIDDEN: [char; 4] = ['+', '#', '/', '$'];
    let breaks_out = |c: char| FORBIDDEN.contains(&c) || c.is_whitespace() || c.is_control();
    if template.contains("{identity}") && identity.chars().any(breaks_out) {
        return Err(Answer::IdentityDenied);
    }
    // Piece by piece, so that nothing that was put in is looked at again.
    let pieces = template.split("{identity}");
    let pieces: Vec<String> = pieces
        .map(|piece| piece.replace("{client_id}", client_id))
        .collect();
    let filter = pieces.join(identity);
    if filter.len() > FILTER_BYTES_MAX {
        return Err(Answer::IdentityDenied);
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn topics(filter: &str, words: &[Vec<&str>]) -> Vec<String> {
        let topics = RefCell::default();
        every("", &levels(filter), words, &|topic| {
            let topics: &RefCell<Vec<String>> = &topics;
            topics.borrow_mut().push(topic.to_owned());
            true
        });
        let mut topics = topics.into_inner();
        topics.retain(|topic| matches(filter, topic));
        topics.sort();
        topics
    }

    /// The topics that are tried are those that are left when all topics there are are looked at.
    #[test]
    fn no_topic_is_left_out() {
        let words = vec![vec!["a", "b", "$x"]; 4];
        let mut all = Vec::new();
        for length in 1..=4 {
            let filter = vec!["+"; length].join("/");
            all.extend(topics(&filter, &words));
            all.extend(topics(&filter.replacen('+', "$x", 1), &words));
        }
        assert_eq!(all.len(), 3 + 9 + 27 + 81);
        for filter in [
            "a", "+", "#", "a/#", "+/b", "a/+/#", "+/+/a", "+/#", "$x/#", "a/$x",
        ] {
            let mut left: Vec<_> = all.iter().filter(|topic| matches(filter, topic)).collect();
            left.sort();
            assert!(topics(filter, &words).iter().eq(left), "{filter}");
        }
    }
}
