//! The commands: arguments, output and exit codes.
//!
//! Standard output is for data, standard error for messages. Exit codes: 0 success, 1 failure, 64 bad
//! usage or configuration, 69 cannot listen on an address, 70 a bug in tidings.

mod certs;
mod completions;
mod connect;
mod descriptors;
mod dev;
mod environment;
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
    /// Subscribe, and print the messages, one payload per line.
    Sub(subscribe::Subscribe),
    /// Create and inspect certificates.
    #[command(subcommand)]
    Certs(certs::CertsCommand),
    /// Create, list and revoke the tokens that a broker accepts.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Show whether access rules allow something, and which rule decides.
    Explain(explain::Explain),
    /// Explain the events of the protocol, or one of them.
    Events(reference::Events),
    /// Explain the codes of refusals and errors, or one of them.
    Errors(reference::Errors),
    /// Print a completion script for a shell.
    Completions(completions::Completions),
}

/// Parses the command line, runs the command, and returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) if is_help(&error) && means_a_host(arguments.iter().skip(1).cloned()) => {
            let fault = "-h asks for help and takes no host: give the broker with -s HOST:PORT (nothing was done)";
            return exit::code(Err(exit::UsageError(fault.to_owned()).into()));
        }
        Err(error) => return exit::usage(&environment::with_origin(error, &arguments)),
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

/// Clients of other brokers take `-h HOST`. To a script, help with exit code 0 would look like success.
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
