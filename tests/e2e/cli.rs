//! The command line: what it prints, and its exit codes.

mod certificates;
mod files;
mod log;
mod publish;
mod serve;
mod subscribe;
mod usage;

use std::{path::Path, process::Command};

use crate::support::{Outcome, tidings};

/// What was typed or configured wrongly: exit code 64, nothing on stdout, and one line on stderr
/// with all these parts.
fn check_usage(outcome: &Outcome, parts: &[&str]) {
    assert_eq!(outcome.code, Some(64), "{outcome:#?}");
    assert_eq!(outcome.out, [""; 0]);
    assert_eq!(outcome.err.len(), 1, "one line: {outcome:#?}");
    for part in parts {
        assert!(
            outcome.err[0].contains(part),
            "no {part:?} in {}",
            outcome.err[0]
        );
    }
}

fn serve_files(ca: &Path, cert: &Path, key: &Path) -> Command {
    let mut command = tidings();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--ca"])
        .arg(ca)
        .arg("--cert")
        .arg(cert)
        .arg("--key")
        .arg(key);
    command
}

fn name_of(path: &Path) -> &str {
    path.to_str().unwrap()
}
