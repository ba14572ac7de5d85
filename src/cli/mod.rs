//! The commands: what is typed, and what is printed.
//!
//! Standard output is data, standard error is talk. Exit codes: 0 done, 1 it failed, 64 it was
//! typed or configured wrongly, 69 an address is not to be had, 70 a fault of ours.

mod certs;
mod completions;
mod connect;
mod dev;
mod exit;
mod explain;
mod log;
mod publish;
mod reference;
mod say;
mod serve;
mod subscribe;
mod token;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use exit::Exit;

/// The version, and the commit that it was built from.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("BUILD_COMMIT"), ")");

/// A publish/subscribe broker that speaks newline-delimited JSON over mutual TLS.
#[derive(Debug, Parser)]
#[command(
    name = "tidings",
    version = VERSION,
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = "To try it out:\n  tidings serve --dev"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the broker.
    Serve(Box<serve::Serve>),
    /// Publish a message, a file, or every line of standard input.
    Pub(publish::Publish),
    /// Subscribe, and print what comes, one payload a line.
    Sub(subscribe::Subscribe),
    /// Make certificates and look at them.
    #[command(subcommand)]
    Certs(certs::CertsCommand),
    /// Make, list and revoke the tokens that a server takes.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Tell whether access rules allow something, and which of them decides.
    Explain(explain::Explain),
    /// Explain the events of the protocol, all or one.
    Events(reference::Events),
    /// Explain the codes of refusals and errors, all or one.
    Errors(reference::Errors),
    /// Print a script that completes commands and flags in a shell.
    Completions(completions::Completions),
}

/// Parses the command line, runs the command, and turns its outcome into an exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error),
    };
    let outcome = match cli.command {
        Command::Serve(command) => command.run(),
        Command::Pub(command) => command.run(),
        Command::Sub(command) => command.run(),
        Command::Certs(command) => certs::run(command),
        Command::Token(command) => token::run(command),
        Command::Explain(command) => command.run(),
        Command::Events(command) => command.run(),
        Command::Errors(command) => command.run(),
        Command::Completions(command) => command.run(),
    };
    exit::code(outcome)
}
