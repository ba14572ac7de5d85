//! Topics: what is valid as one.

use std::{
    borrow::{Borrow, Cow},
    fmt,
};

use serde::Serialize;

use super::{ShapeError, check_shape};

/// A topic that can be published to: levels separated by `/`, without wildcards.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Topic<'a>(Cow<'a, str>);

impl<'a> Topic<'a> {
    /// Checks `text`.
    ///
    /// # Errors
    ///
    /// When it breaks a rule that filters share, or has a wildcard.
    pub fn parse(text: impl Into<Cow<'a, str>>) -> Result<Self, TopicError> {
        let text = text.into();
        check_shape(&text)?;
        if memchr::memchr2(b'+', b'#', text.as_bytes()).is_some() {
            return Err(TopicError::Wildcard);
        }
        Ok(Self(text))
    }

    /// Whether it belongs to the server.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('$')
    }

    /// The same topic, owning its text.
    #[must_use]
    pub fn to_owned(&self) -> Topic<'static> {
        Topic(Cow::Owned(self.0.clone().into_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A topic as a key is found by its text, since it is compared and hashed by nothing else.
impl Borrow<str> for Topic<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Topic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// A rule that filters share.
    #[error("not a topic: {0}")]
    Shape(ShapeError),
    /// `+` or `#`.
    #[error("not a topic: `+` and `#` are wildcards, which stand only in a filter to subscribe to")]
    Wildcard,
}

impl From<ShapeError> for TopicError {
    fn from(error: ShapeError) -> Self {
        Self::Shape(error)
    }
}
