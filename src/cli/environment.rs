//! The environment, for all commands: which variables are known, and which one holds a bad value.
//!
//! clap looks the variables up, by the names that stand with the flags.

use std::{
    collections::HashSet,
    env,
    ffi::{OsStr, OsString},
};

use clap::{
    Arg, Command, CommandFactory,
    error::{ContextKind, ContextValue},
};
use tracing::warn;

use super::Cli;

/// Names the variable in an error about its value. clap names the flag, wherever the value came from.
pub(super) fn with_origin(mut error: clap::Error, arguments: &[OsString]) -> clap::Error {
    let Some(flag) = flag_at_fault(&error) else {
        return error;
    };
    let typed = without_variables(Cli::command(), |_| true).try_get_matches_from(arguments);
    if typed.is_err_and(|typed| flag_at_fault(&typed).as_ref() == Some(&flag)) {
        return error;
    }
    let mut commands = Cli::command();
    commands.build();
    let row = command_of(&commands, arguments)
        .get_arguments()
        .find(|row| row.to_string() == flag);
    if let Some(variable) = row.and_then(Arg::get_env) {
        let name = variable.to_string_lossy().into_owned();
        error.insert(ContextKind::InvalidArg, ContextValue::String(name));
    }
    error
}

/// As clap writes it: `--listen <ADDR:PORT>`.
fn flag_at_fault(error: &clap::Error) -> Option<String> {
    match error.get(ContextKind::InvalidArg)? {
        ContextValue::String(flag) => Some(flag.clone()),
        _ => None,
    }
}

/// The program as if an empty variable were not set, save for `serve`: without `TIDINGS_ACCESS`, a
/// broker lets everyone do everything, so there an empty variable is an error.
pub(super) fn without_empty_variables(program: Command) -> Command {
    let is_empty = |name: &OsStr| env::var_os(name).is_some_and(|value| value.is_empty());
    program.mut_subcommands(|command| match command.get_name() {
        "serve" => command,
        _ => without_variables(command, is_empty),
    })
}

/// A command and its subcommands, as if these variables were not set.
fn without_variables(command: Command, is_ignored: fn(&OsStr) -> bool) -> Command {
    let without = |row: Arg| match row.get_env() {
        Some(name) if is_ignored(name) => row.env(None),
        _ => row,
    };
    command
        .mut_args(without)
        .mut_subcommands(|command| without_variables(command, is_ignored))
}

/// The innermost subcommand that the arguments name.
fn command_of<'a>(program: &'a Command, arguments: &[OsString]) -> &'a Command {
    let mut command = program;
    for argument in arguments.iter().skip(1) {
        match command.find_subcommand(argument) {
            Some(subcommand) => command = subcommand,
            None => break,
        }
    }
    command
}

/// Warns of variables that look like settings and are not: a misspelled setting has no effect. This is
/// no error, since other programs may set variables with the same prefix.
pub(super) fn warn_of_unknown_variables() {
    let known = known_variables(&Cli::command());
    let ours = env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"TIDINGS_"));
    let unknown =
        ours.filter(|(name, value)| !known.contains(name) && !is_of_kubernetes(name, value));
    for (name, _) in unknown {
        warn!(
            ?name,
            "unknown environment variable, which sets nothing: is it misspelled?"
        );
    }
}

/// Whether Kubernetes sets this variable for a service called tidings or tidings-SOMETHING, like
/// `TIDINGS_SERVICE_HOST` and `TIDINGS_PORT_4433_TCP_ADDR`. Its `TIDINGS_PORT` is a URL; a number there
/// is an attempt to set the port to listen on.
fn is_of_kubernetes(name: &OsStr, value: &OsStr) -> bool {
    let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else {
        return false;
    };
    let is_port = |(_, port): (&str, &str)| port.starts_with(|c: char| c.is_ascii_digit());
    name.ends_with("_PORT") && value.contains("://")
        || name.contains("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.split_once("_PORT_").is_some_and(is_port)
}

/// The variables of a command and of its subcommands.
fn known_variables(command: &Command) -> HashSet<OsString> {
    let own = command.get_arguments().filter_map(Arg::get_env);
    let mut known: HashSet<OsString> = own.map(OsString::from).collect();
    // The only variable without a flag: arguments are visible to every user, so no secret is one.
    known.insert("TIDINGS_TOKEN".into());
    known.extend(command.get_subcommands().flat_map(known_variables));
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_subcommand_is_found() {
        let program = Cli::command();
        for (line, name) in [
            ("tidings", "tidings"),
            ("tidings serve --log info", "serve"),
            ("tidings certs init --certs serve", "init"),
            ("tidings pub serve", "pub"),
        ] {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(command_of(&program, &arguments).get_name(), name);
        }
    }

    #[test]
    fn tells_variables_of_kubernetes_from_misspelled_ones() {
        let is_of_kubernetes =
            |name: &str, value: &str| is_of_kubernetes(name.as_ref(), value.as_ref());
        assert!(is_of_kubernetes("TIDINGS_PORT", "tcp://10.0.0.1:4433"));
        assert!(!is_of_kubernetes("TIDINGS_PORT", "4433"));
        for name in [
            "TIDINGS_PORT_4433_TCP",
            "TIDINGS_PORT_4433_TCP_ADDR",
            "TIDINGS_SERVICE_HOST",
            "TIDINGS_SERVICE_PORT",
            "TIDINGS_SERVICE_PORT_TLS",
            "TIDINGS_METRICS_SERVICE_HOST",
            "TIDINGS_METRICS_PORT_9100_TCP_PROTO",
        ] {
            assert!(is_of_kubernetes(name, "4433"), "{name}");
        }
        for name in [
            "TIDINGS_LISTN",
            "TIDINGS_PORTS",
            "TIDINGS_PORT_FILE",
            "TIDINGS_SERVICE",
        ] {
            assert!(!is_of_kubernetes(name, "4433"), "{name}");
        }
    }
}
