//! What several targets expect.

use std::fmt::Display;

use tidings::identity::Identity;

/// Bytes of an error of which part may come from outside.
const MESSAGE_BYTES_MAX: usize = 4096;

/// An error is one line in which nothing can forge another or move a cursor.
pub fn check_message(message: &impl Display) -> String {
    let message = message.to_string();
    assert!(
        !message.chars().any(char::is_control),
        "a control character in {message:?}"
    );
    message
}

/// The same, and its length does not grow with what came from outside.
pub fn check_bounded_message(message: &impl Display) -> String {
    let message = check_message(message);
    assert!(
        message.len() <= MESSAGE_BYTES_MAX,
        "a message of {} bytes",
        message.len()
    );
    message
}

/// A name that got out of some reader is one that `Identity` takes.
pub fn check_identity(identity: &Identity) {
    let name = identity.as_str();
    assert_eq!(Identity::parse(name).as_ref(), Ok(identity));
    assert!(!name.is_empty() && name.len() <= 256);
    assert!(!name.chars().any(char::is_control), "{name:?}");
}

/// Takes the first byte off, 0 where there is none.
pub fn take_byte(input: &mut &[u8]) -> u8 {
    let Some((first, rest)) = input.split_first() else {
        return 0;
    };
    *input = rest;
    *first
}

/// What stands before the first zero byte, and what follows it.
pub fn split_at_zero(input: &[u8]) -> (&[u8], &[u8]) {
    match input.iter().position(|byte| *byte == 0) {
        Some(zero) => (&input[..zero], &input[zero + 1..]),
        None => (&[], input),
    }
}
