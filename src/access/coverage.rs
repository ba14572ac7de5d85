//! Whether topic filters overlap, and whether several filters together cover another one.
//!
//! Owns these two questions. Knows nothing about rules or clients.
//!
//! One topic per number of levels decides whether a filter is covered: its *generic topic*, in which
//! every wildcard is replaced by a word that occurs nowhere else. A filter that matches the generic
//! topic has a wildcard at each of these levels, so it matches every topic of that length that the
//! narrow filter matches. If no filter matches the generic topic, then it is a topic that is not
//! covered.

use crate::topic::{TOPIC_LEVELS_MAX, TopicFilter};

/// A set of topic lengths: bit `n` stands for topics of `n` levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lengths(u64);

// Every length has a bit.
const _: () = assert!(TOPIC_LEVELS_MAX < 64);

impl Lengths {
    const NONE: Self = Self(0);

    /// From `levels` up to the maximum of a topic.
    const fn at_least(levels: usize) -> Self {
        let first = if levels == 0 { 1 } else { levels };
        Self((1 << (TOPIC_LEVELS_MAX + 1)) - (1 << first))
    }

    const fn exactly(levels: usize) -> Self {
        Self(1 << levels)
    }

    /// The lengths of all topics that `filter` matches.
    fn of(filter: &TopicFilter) -> Self {
        let levels = filter.as_str().split('/').count();
        if filter.as_str().ends_with('#') {
            Self::at_least(levels - 1)
        } else {
            Self::exactly(levels)
        }
    }

    /// The lengths of those generic topics of `narrow` that `wide` matches.
    fn covered(narrow: &TopicFilter, wide: &TopicFilter) -> Self {
        if narrow.is_reserved() && begins_with_wildcard(wide) {
            return Self::NONE;
        }
        let mut narrow_levels = narrow.as_str().split('/');
        let mut narrow_is_open = false;
        for (depth, level) in wide.as_str().split('/').enumerate() {
            // A `#` stands for any number of generic words.
            let against = if narrow_is_open {
                Some("#")
            } else {
                narrow_levels.next()
            };
            narrow_is_open = against == Some("#");
            match (level, against) {
                ("#", _) => return Self(Self::of(narrow).0 & Self::at_least(depth).0),
                ("+", Some(_)) => {}
                (word, Some(other)) if word == other => {}
                _ => return Self::NONE,
            }
        }
        let may_end_here = narrow_is_open || matches!(narrow_levels.next(), None | Some("#"));
        if may_end_here {
            Self::exactly(wide.as_str().split('/').count())
        } else {
            Self::NONE
        }
    }
}

/// Whether every topic that `narrow` matches is matched by one of `filters`.
pub(super) fn is_covered<'a>(
    narrow: &TopicFilter,
    filters: impl IntoIterator<Item = &'a TopicFilter>,
) -> bool {
    let missing = Lengths::of(narrow).0;
    let left = filters.into_iter().try_fold(missing, |missing, wide| {
        // `None` ends the search once nothing is missing.
        Some(missing & !Lengths::covered(narrow, wide).0).filter(|missing| *missing != 0)
    });
    left.is_none()
}

/// Whether `wide` covers `narrow` at least for some length.
pub(super) fn helps_to_cover(narrow: &TopicFilter, wide: &TopicFilter) -> bool {
    Lengths::covered(narrow, wide) != Lengths::NONE
}

/// Whether at least one topic matches both.
pub(super) fn overlap(one: &TopicFilter, other: &TopicFilter) -> bool {
    if one.is_reserved() && begins_with_wildcard(other)
        || other.is_reserved() && begins_with_wildcard(one)
    {
        return false;
    }
    let (mut one, mut other) = (one.as_str().split('/'), other.as_str().split('/'));
    loop {
        match (one.next(), other.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some("+"), Some(_)) | (Some(_), Some("+")) => {}
            (Some(word), Some(same)) if word == same => {}
            _ => return false,
        }
    }
}

fn begins_with_wildcard(filter: &TopicFilter) -> bool {
    filter.as_str().starts_with(['+', '#'])
}

#[cfg(test)]
mod tests;
