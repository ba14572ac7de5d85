use std::{fmt, sync::Arc};

use serde::Serialize;

use super::{ShapeError, TOPIC_LEVELS_MAX, Topic, check_shape};

/// How many levels a filter has, and which of them are wildcards.
///
/// Of all filters of one shape, at most one matches a topic: so the shapes of a client's filters
/// bound how many of them can match one message.
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

/// What can be subscribed to: a topic, in which `+` stands for any one level and a last `#` for
/// all that follow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter(Arc<str>);

impl TopicFilter {
    /// Judges `text`.
    ///
    /// # Errors
    ///
    /// When it has a bad shape or a wildcard where none can stand.
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

    /// Whether it names topics that belong to the server.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('$')
    }

    /// Whether it names more than the one topic that it spells.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        self.0.contains(['+', '#'])
    }

    /// Where it has its wildcards; `None` when it has none.
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

    /// Whether a message on `topic` is for a subscriber of this filter.
    ///
    /// For few filters and many topics, as in a client; the broker asks a
    /// [`FilterTree`](super::FilterTree), which gives the same answers.
    #[must_use]
    pub fn matches(&self, topic: &Topic<'_>) -> bool {
        let (filter, topic_bytes) = (self.0.as_bytes(), topic.as_str().as_bytes());
        let is_open = matches!(filter.first(), Some(b'+' | b'#'));
        !(is_open && topic.is_reserved()) && matches_bytes(filter, topic_bytes)
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

/// Level by level, and byte by byte within: access rules ask this for every receiver of a message,
/// and most filters part from a topic within the first bytes. Wildcards are whole levels.
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
        // Both are at the end of a level, or the topic's level is longer.
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
    /// As with topics.
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
