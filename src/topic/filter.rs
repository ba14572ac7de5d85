//! Topic filters: what is valid as one, and whether it matches a topic.

use std::{fmt, sync::Arc};

use serde::Serialize;

use super::{ShapeError, TOPIC_LEVELS_MAX, Topic, check_shape};

/// How many levels a filter has, and which of them are wildcards.
///
/// Of all filters with the same shape, at most one matches a topic. So the number of shapes among a
/// client's filters bounds how many of them can match one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FilterShape {
    levels: u8,
    /// A bit for each level, set for `+`.
    any: u32,
    /// Whether the last level is `#`.
    is_open: bool,
}

// A bit for each level.
const _: () = assert!(TOPIC_LEVELS_MAX <= 32);

/// What can be subscribed to: a topic in which `+` stands for any one level, and `#` at the end for
/// all levels that follow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter(Arc<str>);

impl TopicFilter {
    /// Checks `text`.
    ///
    /// # Errors
    ///
    /// When it breaks a rule that topics share, or has a wildcard in the wrong place.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        check_shape(text)?;
        let mut levels = text.split('/').peekable();
        while let Some(level) = levels.next() {
            let is_last = levels.peek().is_none();
            match level {
                "+" => {}
                "#" if is_last => {}
                "#" => return Err(FilterError::NotLast),
                _ if level.contains(['+', '#']) => return Err(FilterError::PartOfLevel),
                _ => {}
            }
        }
        Ok(Self(text.into()))
    }

    /// Whether it matches topics that belong to the server.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('$')
    }

    /// Whether it has a wildcard, so that it can match more than one topic.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        self.0.contains(['+', '#'])
    }

    /// How many levels it has and where its wildcards are; `None` when it has none.
    #[must_use]
    pub fn shape(&self) -> Option<FilterShape> {
        let shape = self
            .0
            .split('/')
            .fold(FilterShape::default(), |shape, level| FilterShape {
                levels: shape.levels + 1,
                any: shape.any << 1 | u32::from(level == "+"),
                is_open: level == "#",
            });
        self.has_wildcard().then_some(shape)
    }

    /// Whether it matches `topic`.
    ///
    /// Meant for few filters. The broker asks a [`FilterTree`](super::FilterTree), which gives the same
    /// answers.
    #[must_use]
    pub fn matches(&self, topic: &Topic<'_>) -> bool {
        let (filter, topic_bytes) = (self.0.as_bytes(), topic.as_str().as_bytes());
        let is_open = matches!(filter.first(), Some(b'+' | b'#'));
        !(is_open && topic.is_reserved()) && matches_bytes(filter, topic_bytes)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

/// Level by level, and byte by byte within a level: access rules ask this for every receiver of a
/// message, and most filters differ from a topic within the first bytes. Wildcards are whole levels.
fn matches_bytes(filter: &[u8], topic: &[u8]) -> bool {
    let (mut at_filter, mut at_topic) = (0, 0);
    loop {
        match filter.get(at_filter) {
            Some(b'#') => return true,
            Some(b'+') => {
                at_filter += 1;
                while topic.get(at_topic).is_some_and(|byte| *byte != b'/') {
                    at_topic += 1;
                }
            }
            _ => {
                while let Some(byte) = filter.get(at_filter).filter(|byte| **byte != b'/') {
                    if topic.get(at_topic) != Some(byte) {
                        return false;
                    }
                    (at_filter, at_topic) = (at_filter + 1, at_topic + 1);
                }
            }
        }
        // Both are at the end of a level, or the topic's level is longer than the filter's.
        match (filter.get(at_filter), topic.get(at_topic)) {
            (None, None) => return true,
            (Some(_), Some(b'/')) => (at_filter, at_topic) = (at_filter + 1, at_topic + 1),
            // `a/#` matches `a`.
            (Some(_), None) => return &filter[at_filter..] == b"/#",
            (_, Some(_)) => return false,
        }
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for TopicFilter {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Why a text is not a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A rule that topics share.
    #[error("not a topic filter: {0}")]
    Shape(ShapeError),
    /// `a/#/b`
    #[error("not a topic filter: `#` stands only as the last level")]
    NotLast,
    /// `a+/b`
    #[error("not a topic filter: `+` and `#` stand for whole levels, not for a part of one")]
    PartOfLevel,
}

impl From<ShapeError> for FilterError {
    fn from(error: ShapeError) -> Self {
        Self::Shape(error)
    }
}
