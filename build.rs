//! Tells the program which commit it is built from, for `--version`.

use std::{env, process::Command};

fn main() {
    println!("cargo::rerun-if-env-changed=TIDINGS_COMMIT");
    // A packager without the repository can name the commit.
    let commit = env::var("TIDINGS_COMMIT").ok().or_else(commit_of_checkout);
    let commit = commit.unwrap_or_else(|| "unknown commit".to_owned());
    // Not called TIDINGS_…: `cargo run` hands it on, and the program would take it for a setting.
    println!("cargo::rustc-env=BUILD_COMMIT={commit}");
}

fn commit_of_checkout() -> Option<String> {
    // The log of HEAD changes with every commit and checkout. A path that is not there would make
    // every build run this again, so none is named outside a checkout.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    println!("cargo::rerun-if-changed={log}");
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
