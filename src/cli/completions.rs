//! `tidings completions`: prints a completion script.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;

/// `tidings completions`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  tidings completions bash > ~/.local/share/bash-completion/completions/tidings"
)]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "tidings", &mut script);
        io::stdout().lock().write_all(&script)?;
        Ok(())
    }
}
