//! What topic filters have in common.
//!
//! Owns the question whether some filters together match all that another one matches. Knows
//! nothing of rules or clients.
//!
//! Words are without bound, so the answer is exact with one topic for each number of levels: the
//! *generic topic* of a filter, which has in the place of every wildcard a word that stands nowhere
//! else. A filter that matches it has wildcards wherever it needs them, and matches all topics of
//! so many levels; and where no filter matches it, it is itself the topic that is not covered.

use crate::topic::{TOPIC_LEVELS_MAX, TopicFilter};

/// A set of numbers of levels: bit `n` is for topics of `n` levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lengths(u64);

// The bits suffice.
const _: () = assert!(TOPIC_LEVELS_MAX < 64);

impl Lengths {
    const NONE: Self = Self(0);

    /// From `levels` on, up to the most that a topic can have.
    const fn at_least(levels: usize) -> Self {
        let first = if levels == 0 { 1 } else { levels };
        Self((1 << (TOPIC_LEVELS_MAX + 1)) - (1 << first))
    }

    const fn exactly(levels: usize) -> Self {
        Self(1 << levels)
    }

    /// Of all topics that `filter` matches.
    fn of(filter: &TopicFilter) -> Self {
        let levels = filter.as_str().split('/').count();
        if filter.as_str().ends_with('#') {
            Self::at_least(levels - 1)
        } else {
            Self::exactly(levels)
        }
    }

    /// Of the generic topics of `narrow` that `wide` matches.
    fn covered(narrow: &TopicFilter, wide: &TopicFilter) -> Self {
        if narrow.is_reserved() && begins_with_wildcard(wide) {
            return Self::NONE;
        }
        let mut narrow_levels = narrow.as_str().split('/');
        let mut narrow_is_open = false;
        for (depth, level) in wide.as_str().split('/').enumerate() {
            // Below a `#` there is no end of generic words.
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
        // Nothing is left to look for: `None` ends the search.
        Some(missing & !Lengths::covered(narrow, wide).0).filter(|missing| *missing != 0)
    });
    left.is_none()
}

/// Whether `wide` has a part in covering `narrow`.
pub(super) fn helps_to_cover(narrow: &TopicFilter, wide: &TopicFilter) -> bool {
    Lengths::covered(narrow, wide) != Lengths::NONE
}

/// Whether some topic is matched by both.
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
