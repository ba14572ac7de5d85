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

use std::{env, ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand, error::ErrorKind};

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
        Err(error) if is_help(&error) && means_a_host(env::args_os().skip(1)) => {
            let fault = "-h asks for help and takes no host: give the broker with -s HOST:PORT (nothing was done)";
            return exit::code(Err(exit::UsageError(fault.to_owned()).into()));
        }
        Err(error) => return exit::usage(&error),
    };
    exit::of(|| match cli.command {
        Command::Serve(command) => command.run(),
        Command::Pub(command) => command.run(),
        Command::Sub(command) => command.run(),
        Command::Certs(command) => certs::run(command),
        Command::Token(command) => token::run(command),
        Command::Explain(command) => command.run(),
        Command::Events(command) => command.run(),
        Command::Errors(command) => command.run(),
        Command::Completions(command) => command.run(),
    })
}

fn is_help(error: &clap::Error) -> bool {
    error.kind() == ErrorKind::DisplayHelp
}

/// The clients of other brokers take `-h HOST`. Help with exit code 0 would look like success there.
fn means_a_host(arguments: impl Iterator<Item = OsString>) -> bool {
    let arguments: Vec<String> = arguments
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let [command, flags @ ..] = arguments.as_slice() else {
        return false;
    };
    matches!(command.as_str(), "pub" | "sub")
        && flags.len() > 1
        && flags.iter().any(|flag| flag.starts_with("-h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_from_a_call_for_help() {
        let means_a_host = |line: &str| means_a_host(line.split_whitespace().map(OsString::from));
        for line in [
            "pub -h localhost -t a -m 1",
            "pub -t a -m 1 -h localhost",
            "sub -hlocalhost -t a",
        ] {
            assert!(means_a_host(line), "{line}");
        }
        for line in [
            "pub -h",
            "sub --help",
            "pub -t a --help",
            "serve -h x",
            "-h",
            "certs issue -h x",
        ] {
            assert!(!means_a_host(line), "{line}");
        }
    }
}
