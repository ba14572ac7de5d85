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
mod serve;
mod stderr;
mod subscribe;
mod token;

use std::{env, ffi::OsString, process::ExitCode};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};

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
    let cli = match parse(&arguments) {
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

fn parse(arguments: &[OsString]) -> Result<Cli, clap::Error> {
    let mut program = environment::without_empty_variables(Cli::command());
    let matches = program.try_get_matches_from_mut(arguments)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut program))
}

fn is_help(error: &clap::Error) -> bool {
    error.kind() == ErrorKind::DisplayHelp
}

/// Clients of other brokers take `-h HOST`. To a script, help with exit code 0 would look like success.
fn means_a_host(arguments: impl Iterator<Item = OsString>) -> bool {
    let arguments: Vec<String> = arguments
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let [name, flags @ ..] = arguments.as_slice() else {
        return false;
    };
    let cli = Cli::command();
    let asks_for_help = flags == ["-h"];
    matches!(name.as_str(), "pub" | "sub")
        && !asks_for_help
        && cli
            .find_subcommand(name)
            .is_some_and(|command| flags.iter().any(|flags| holds_help(flags, command)))
}

/// Whether `-h` is among flags of one letter that were typed as one word: `-qh`. What follows a flag
/// that takes a value is that value.
fn holds_help(word: &str, command: &clap::Command) -> bool {
    let takes_value = |letter: char| {
        let mut arguments = command.get_arguments();
        let flag = arguments.find(|argument| argument.get_short() == Some(letter));
        flag.is_some_and(|flag| flag.get_action().takes_values())
    };
    let letters = word.strip_prefix('-').unwrap_or_default();
    let mut letters = letters.chars().take_while(|letter| !takes_value(*letter));
    !word.starts_with("--") && letters.any(|letter| letter == 'h')
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
            "pub -hlocalhost",
            "pub -qh localhost",
            "pub -qhlocalhost",
            "sub -t a -vqh localhost",
        ] {
            assert!(means_a_host(line), "{line}");
        }
        for line in [
            "pub -h",
            "sub --help",
            "pub -t a --help",
            "pub -thello -m 1 --help",
            "sub -qthello --help",
            "serve -h x",
            "-h",
            "certs issue -h x",
        ] {
            assert!(!means_a_host(line), "{line}");
        }
    }
}
