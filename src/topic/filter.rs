use std::{fmt, sync::Arc};

use serde::Serialize;

use super::{ShapeError, Topic, check_shape};

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

    /// Whether a message on `topic` is for a subscriber of this filter.
    ///
    /// For few filters and many topics, as in a client; the broker asks a
    /// [`FilterTree`](super::FilterTree), which gives the same answers.
    #[must_use]
    pub fn matches(&self, topic: &Topic<'_>) -> bool {
        if topic.is_reserved() && self.0.starts_with(['+', '#']) {
            return false;
        }
        let mut topic_levels = topic.as_str().split('/');
        for level in self.0.split('/') {
            if level == "#" {
                return true;
            }
            match topic_levels.next() {
                Some(topic_level) if level == "+" || level == topic_level => {}
                _ => return false,
            }
        }
        topic_levels.next().is_none()
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
