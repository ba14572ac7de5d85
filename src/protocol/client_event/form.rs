//! What every line must be before the parser sees it: UTF-8, without line breaks, not too deep.
//!
//! The parser does not look into the values that it skips, so their depth is bounded here.

use std::borrow::Cow;

use crate::protocol::{Code, CodedError};

/// How deep objects and arrays may nest, the envelope itself counted.
pub const NESTING_MAX: usize = 32;

/// Checks what a client library can check of a line, without its end, before it sends it: the faults
/// whose answer could not name the line's `ref`.
///
/// # Errors
///
/// What the server would answer.
pub(crate) fn check_line(line: &[u8]) -> Result<(), CodedError> {
    if memchr::memchr(b'\n', line).is_some() {
        return Err(malformed("there is a line break in it"));
    }
    check_form(line).map(drop)
}

/// The text of a line.
pub(super) fn check_form(line: &[u8]) -> Result<&str, CodedError> {
    let text = std::str::from_utf8(line)
        .map_err(|error| malformed(format!("invalid UTF-8 after byte {}", error.valid_up_to())))?;
    if memchr::memchr(b'\r', line).is_some() {
        return Err(malformed(
            "a carriage return may stand only before the line's end",
        ));
    }
    // A line with few openings cannot be deep, which spares nearly every line the walk.
    let has_many_openings = memchr::memchr2_iter(b'{', b'[', line)
        .nth(NESTING_MAX)
        .is_some();
    if has_many_openings && nesting(line) > NESTING_MAX {
        return Err(malformed(format!(
            "objects and arrays nest deeper than {NESTING_MAX}"
        )));
    }
    Ok(text)
}

pub(super) fn malformed(reason: impl Into<Cow<'static, str>>) -> CodedError {
    CodedError::new(Code::MalformedEvent, reason)
}

/// The depth of a line that may or may not be valid JSON.
fn nesting(line: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in line {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
