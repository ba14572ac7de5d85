//! `tidings token`: create, list and revoke the tokens that a broker accepts. One file for each
//! subcommand; `file` has what they share.

mod file;
mod list;
mod new;
mod revoke;

use std::io;

use super::stderr::Stderr;
use crate::clock;

const EXIT_CODES: &str = "Exit code: 0 done, 1 there is no such token, or it cannot be written, \
                          64 bad usage, or a file that cannot be used.";

/// Create, list and revoke the tokens that a broker accepts.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXIT_CODES)]
pub(crate) enum TokenCommand {
    /// Create a token for one identity, and print it or write it to a new file. It is never shown again.
    ///
    /// The file of tokens holds only its hash, and is created if it is missing. A client can use the
    /// token only together with a certificate of that identity.
    #[command(after_help = "Examples:\n  \
        tidings token new --tokens tokens.toml --identity sensor-7 --out sensor-7.token\n  \
        (umask 077; tidings token new --tokens tokens.toml --identity sensor-7 > sensor-7.token)\n  \
        tidings token new --tokens tokens.toml --identity alice --expires 90d")]
    New(new::New),
    /// List the tokens of the file: id, identity, creation, expiry and state.
    #[command(after_help = "Example:\n  tidings token list --tokens tokens.toml")]
    List(list::List),
    /// Remove a token from the file. The broker disconnects the clients that use it.
    #[command(after_help = "Examples:\n  \
        tidings token revoke --tokens tokens.toml 3f9c1a77b2e0\n  \
        tidings token revoke --tokens tokens.toml --expired")]
    Revoke(revoke::Revoke),
}

/// Runs a subcommand. A token or a table goes to stdout, messages to stderr.
pub(crate) fn run(command: TokenCommand) -> anyhow::Result<()> {
    let (mut out, mut stderr) = (io::stdout().lock(), Stderr);
    let now = clock::now();
    match command {
        TokenCommand::New(command) => command.run(now, &mut out, &mut stderr),
        TokenCommand::List(command) => command.run(now, &mut out, &mut stderr),
        TokenCommand::Revoke(command) => command.run(now, &mut stderr),
    }
}

#[cfg(test)]
mod tests;
