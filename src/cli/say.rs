//! What is said to a person, on standard error.

use std::{
    fmt,
    io::{self, Write},
};

/// Standard error for what is only talk. Where nobody can be told any more, the command goes on:
/// what it does and what it ends with do not hang on its talk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // `print_stderr` of clippy keeps `eprintln!`, which would panic here, out of the program.
        drop(io::stderr().write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says one line.
pub(super) fn say(text: impl fmt::Display) {
    // In one piece, so that it does not mix with what others write there.
    drop(Stderr.write_all(format!("tidings: {text}\n").as_bytes()));
}
