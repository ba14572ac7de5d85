use std::{
    borrow::{Borrow, Cow},
    fmt,
};

use serde::Serialize;

use super::{ShapeError, check_shape};

/// A topic that can be published to: levels divided by `/`, no wildcards.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Topic<'a>(Cow<'a, str>);

impl<'a> Topic<'a> {
    /// Judges `text`.
    ///
    /// # Errors
    ///
    /// When it has a bad shape or a wildcard in it.
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

    /// The same topic, with a text of its own.
    #[must_use]
    pub fn to_owned(&self) -> Topic<'static> {
        Topic(Cow::Owned(self.0.clone().into_owned()))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// As a key it is found by its text, which is all that it is compared and hashed by.
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
    /// As with filters.
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
