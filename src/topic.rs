//! Topics and filters: what is valid as one, and which filter matches which topic.
//!
//! Pure: no clients, no sockets. [`Topic`] and [`TopicFilter`] are different types, and nothing but their
//! `parse` checks their text.

mod filter;
mod name;
#[cfg(feature = "broker")]
mod node;
#[cfg(feature = "broker")]
mod small_map;
#[cfg(feature = "broker")]
mod tree;

pub use filter::{FilterError, FilterShape, TopicFilter};
pub use name::{Topic, TopicError};
#[cfg(feature = "broker")]
pub use tree::{FilterTree, Subscribers};

/// Bytes of a topic or filter.
pub const TOPIC_BYTES_MAX: usize = 512;

/// Levels of a topic or filter.
pub const TOPIC_LEVELS_MAX: usize = 32;

/// The rules that topics and filters share.
fn check_shape(text: &str) -> Result<(), ShapeError> {
    if text.is_empty() {
        return Err(ShapeError::Empty);
    }
    if text.len() > TOPIC_BYTES_MAX {
        return Err(ShapeError::TooLong);
    }
    // One pass over the bytes, because this runs for every message.
    let (mut levels, mut at_level_start, mut is_ascii) = (1, true, true);
    for byte in text.bytes() {
        match byte {
            b'/' if at_level_start => return Err(ShapeError::EmptyLevel),
            b'/' => levels += 1,
            byte if byte.is_ascii_control() => return Err(ShapeError::ControlCharacter),
            _ => {}
        }
        at_level_start = byte == b'/';
        is_ascii &= byte.is_ascii();
    }
    if at_level_start {
        return Err(ShapeError::EmptyLevel);
    }
    if levels > TOPIC_LEVELS_MAX {
        return Err(ShapeError::TooManyLevels);
    }
    // Control characters outside ASCII.
    if !is_ascii && text.chars().any(char::is_control) {
        return Err(ShapeError::ControlCharacter);
    }
    Ok(())
}

/// What can be wrong with a topic and with a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// No text at all.
    #[error("it is empty")]
    Empty,
    /// More than [`TOPIC_BYTES_MAX`].
    #[error("it is longer than {TOPIC_BYTES_MAX} bytes")]
    TooLong,
    /// More than [`TOPIC_LEVELS_MAX`].
    #[error("it has more than {TOPIC_LEVELS_MAX} levels")]
    TooManyLevels,
    /// Two `/` in a row, or one at either end.
    #[error("it has an empty level: `/` stands only between two levels")]
    EmptyLevel,
    /// U+0000 to U+001F, or U+007F to U+009F.
    #[error("it has a control character")]
    ControlCharacter,
}
