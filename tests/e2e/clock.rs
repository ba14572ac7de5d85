//! A machine whose clock stands before 1970: nothing panics, and what comes of it is told.

use std::{fs, process::Command, sync::Arc};

use crate::support::{
    Broker, Certificates, Client, End, Outcome, publish_ref, run, serve, tidings, tool,
};

const BEFORE: &str = "@1969-12-01 00:00:00";

/// `command` with its time of day, and only that, read from the file `clock`.
fn by_clock(command: &Command, clock: &str) -> Command {
    let mut faked = tool("faketime", "faketime");
    // The wrapper's own setting is overridden by the file.
    faked
        .args(["-f", "+0"])
        .arg("env")
        .arg("-u")
        .arg("FAKETIME")
        .arg(format!("FAKETIME_TIMESTAMP_FILE={clock}"))
        .args(["FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => faked.env(name, value),
            None => faked.env_remove(name),
        };
    }
    faked
}

fn run_before_1970(command: &Command) -> Outcome {
    let clock = tempfile::NamedTempFile::new().unwrap();
    fs::write(clock.path(), BEFORE).unwrap();
    run(by_clock(command, clock.path().to_str().unwrap()))
}

#[test]
fn commands_say_what_is_wrong_with_the_clock() {
    let certificates = Certificates::new();
    let folder = tempfile::tempdir().unwrap();
    let mut init = tidings();
    init.args(["certs", "init", "--dir"]).arg(folder.path());
    for (command, code, expected) in [
        (
            serve(&certificates),
            64,
            "is not valid yet: check this machine's clock",
        ),
        (init, 64, "check this machine's clock"),
    ] {
        let outcome = run_before_1970(&command);
        assert_eq!(outcome.code, Some(code), "{outcome:#?}");
        assert!(outcome.err_text().contains(expected), "{outcome:#?}");
    }
    let mut token = tidings();
    token
        .args(["token", "new", "--identity", "alice", "--tokens"])
        .arg(folder.path().join("tokens.toml"));
    let outcome = run_before_1970(&token);
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
}

#[test]
fn a_clock_that_falls_back_before_1970_ends_nothing() {
    let certificates = Arc::new(Certificates::new());
    let clock = tempfile::NamedTempFile::new().unwrap();
    fs::write(clock.path(), "+0").unwrap();
    let mut command = serve(&certificates);
    command.args(["--listen", "127.0.0.1:0"]);
    let command = by_clock(&command, clock.path().to_str().unwrap());
    let broker = Broker::launch(command, &certificates);
    let mut here = broker.deaf_client("here");

    fs::write(clock.path(), BEFORE).unwrap();
    here.send(&publish_ref("a", "1", "p"));
    let published = here.expect("published");
    assert!(published.text.contains("\"1969-"), "{}", published.text);

    let mut newcomer = Client::dial(broker.address, &certificates.tls("new")).unwrap();
    let end = newcomer.try_next().map(|line| line.text).unwrap_err();
    assert!(matches!(end, End::Alert(_)), "{end:?}");
    let logged = broker.log().wait_for("TLS refused");
    let expected = ": this machine's clock stands before 1970, set it";
    assert!(logged.contains(expected), "{logged}");

    fs::write(clock.path(), "+0").unwrap();
    broker.client("later");
    here.send(&publish_ref("a", "1", "q"));
    here.expect("published");
    assert!(!broker.log().all().join("\n").contains("panic"));
}
