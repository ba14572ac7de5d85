//! `tidings token`: make, list and revoke the tokens that a server takes. One file for each
//! subcommand; `file` is what they share.

mod file;
mod list;
mod new;
mod revoke;

use std::io;

use super::say::Stderr;
use crate::clock;

const EXIT_CODES: &str = "Exit code: 0 done, 1 there is no such token, or it cannot be handed over, \
                          64 typed wrongly, or a file that cannot be used.";

/// Make, list and revoke the tokens that a server takes.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXIT_CODES)]
pub(crate) enum TokenCommand {
    /// Make a token for one identity, and print it, or write it to a new file: this once.
    ///
    /// The file keeps its hash alone, and is made when it is not there. The token is good only
    /// together with a certificate of that identity.
    #[command(after_help = "Examples:\n  \
        tidings token new --tokens tokens.toml --identity sensor-7 --out sensor-7.token\n  \
        (umask 077; tidings token new --tokens tokens.toml --identity sensor-7 > sensor-7.token)\n  \
        tidings token new --tokens tokens.toml --identity alice --expires 90d")]
    New(new::New),
    /// List the tokens of the file: id, identity, when it was made, its end, and its state.
    #[command(after_help = "Example:\n  tidings token list --tokens tokens.toml")]
    List(list::List),
    /// Take a token out of the file. The server closes the sessions that it let in.
    #[command(after_help = "Examples:\n  \
        tidings token revoke --tokens tokens.toml 3f9c1a77b2e0\n  \
        tidings token revoke --tokens tokens.toml --expired")]
    Revoke(revoke::Revoke),
}

/// Does what the command says. A token or a table goes to stdout, the rest to stderr.
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
