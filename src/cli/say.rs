//! What is said to a person, on standard error.

use std::{
    fmt,
    io::{self, Write},
};

use crate::text::harmless;

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

/// Says one line. Whatever a server, a file or its name has put into it is no command to a terminal.
pub(super) fn say(text: impl fmt::Display) {
    let text = text.to_string();
    // In one piece, so that it does not mix with what others write there.
    drop(Stderr.write_all(format!("tidings: {}\n", harmless(&text)).as_bytes()));
}
