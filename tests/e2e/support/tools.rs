use std::{
    io,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use super::{Files, Outcome};

/// The program under test, in an environment in which nothing speaks to it unasked.
pub(crate) fn tidings() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    for (name, _) in std::env::vars_os() {
        let is_ours = name.to_string_lossy().starts_with("TIDINGS_");
        if is_ours || name == "NOTIFY_SOCKET" || name == "JOURNAL_STREAM" {
            command.env_remove(name);
        }
    }
    command
}

/// A program that the tests need beside ours.
///
/// # Panics
///
/// With the Debian package to install, when it is not there.
pub(crate) fn tool(program: &str, debian_package: &str) -> Command {
    let there = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if let Err(error) = there {
        assert!(
            error.kind() != io::ErrorKind::NotFound,
            "this test needs {program}: install the Debian package {debian_package}"
        );
        panic!("cannot run {program}: {error}");
    }
    Command::new(program)
}

pub(crate) fn openssl() -> Command {
    tool("openssl", "openssl")
}

/// `openssl s_client` against `address`, as the client of `files` if any.
pub(crate) fn s_client(address: SocketAddr, ca: &Path, files: Option<&Files>) -> Command {
    let mut command = openssl();
    command
        .args(["s_client", "-connect", &address.to_string(), "-CAfile"])
        .arg(ca);
    if let Some(files) = files {
        command
            .arg("-cert")
            .arg(&files.certificate)
            .arg("-key")
            .arg(&files.key);
    }
    command
}

/// What s_client said on standard error, but for a remark that OpenSSL 3.0 makes whenever a server
/// does not confirm the name that it was called by, quiet or not.
pub(crate) fn complaints(outcome: &Outcome) -> Vec<&str> {
    outcome
        .err
        .iter()
        .map(String::as_str)
        .filter(|line| *line != "Can't use SSL_get_servername")
        .collect()
}
