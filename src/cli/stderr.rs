//! Messages for a person, on standard error.

use std::{
    fmt,
    io::{self, Write},
    path::Path,
};

use crate::text::{harmless, harmless_path};

/// Standard error, where a write that fails is ignored: what a command does, and its exit code, do not
/// depend on whether its messages can be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // `eprintln!` would panic here; `print_stderr` of clippy keeps it out of the program.
        drop(io::stderr().write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Prints one line. Text from a broker, a file or its name cannot control the terminal.
pub(super) fn print_message(text: impl fmt::Display) {
    let text = text.to_string();
    // In one write, so that it does not mix with the lines of other processes.
    drop(Stderr.write_all(format!("tidings: {}\n", harmless(&text)).as_bytes()));
}

/// Warns that a file that was replaced has another owner now.
pub(super) fn owner_lost(path: &Path, reason: impl fmt::Display) -> String {
    format!(
        "warning: {} belongs to this user now, because its owner could not be kept ({reason}): check that the broker can still read it",
        harmless_path(path)
    )
}
