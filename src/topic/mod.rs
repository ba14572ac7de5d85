//! Topics and filters: what they are, and which filter matches which topic.
//!
//! Pure: no clients, no sockets. [`Topic`] and [`TopicFilter`] are different types, and their
//! constructors are the only place where their text is judged.

mod filter;
mod name;
mod small_map;
mod tree;

pub use filter::{FilterError, TopicFilter};
pub use name::{Topic, TopicError};
pub use tree::FilterTree;

/// Bytes of a topic or filter.
pub const TOPIC_BYTES_MAX: usize = 512;

/// Levels of a topic or filter.
pub const TOPIC_LEVELS_MAX: usize = 32;

/// What a topic and a filter have in common.
fn check_shape(text: &str) -> Result<(), ShapeError> {
    if text.is_empty() {
        return Err(ShapeError::Empty);
    }
    if text.len() > TOPIC_BYTES_MAX {
        return Err(ShapeError::TooLong);
    }
    if has_control_character(text) {
        return Err(ShapeError::ControlCharacter);
    }
    let mut levels = 0;
    for level in text.split('/') {
        if level.is_empty() {
            return Err(ShapeError::EmptyLevel);
        }
        levels += 1;
    }
    if levels > TOPIC_LEVELS_MAX {
        return Err(ShapeError::TooManyLevels);
    }
    Ok(())
}

fn has_control_character(text: &str) -> bool {
    // Most topics are ASCII, and judging bytes is several times faster than judging characters.
    if text.is_ascii() {
        text.bytes().any(|byte| byte.is_ascii_control())
    } else {
        text.chars().any(char::is_control)
    }
}

/// What can be wrong with a topic and a filter alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// Nothing in it.
    #[error("it is empty")]
    Empty,
    /// Over [`TOPIC_BYTES_MAX`].
    #[error("it is longer than {TOPIC_BYTES_MAX} bytes")]
    TooLong,
    /// Over [`TOPIC_LEVELS_MAX`].
    #[error("it has more than {TOPIC_LEVELS_MAX} levels")]
    TooManyLevels,
    /// Two `/` in a row, or one at either end.
    #[error("it has an empty level: `/` stands only between two levels")]
    EmptyLevel,
    /// U+0000 to U+001F, or U+007F to U+009F.
    #[error("it has a control character")]
    ControlCharacter,
}
