//! As a service: what systemd is told, and the unit that it is told with.

use std::{fs, os::unix::net::UnixDatagram, path::Path, sync::Arc};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::{Broker, Certificates, DEADLINE, run, serve, tool};

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/tidings.service");

fn systemd_analyze() -> std::process::Command {
    let mut command = tool("systemd-analyze", "systemd");
    // Nothing of this machine's own settings.
    command
        .env("SYSTEMD_COLORS", "0")
        .env("SYSTEMD_LOG_TIME", "0");
    command
}

fn next(socket: &UnixDatagram) -> Vec<String> {
    let mut buffer = [0; 4096];
    let bytes = socket.recv(&mut buffer).expect("systemd is told something");
    let text = std::str::from_utf8(&buffer[..bytes]).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// A broker that tells systemd how it is, and where systemd would hear it.
fn notifying_broker() -> (Broker, UnixDatagram, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let certificates = Arc::new(Certificates::new());
    let mut command = serve(&certificates);
    command
        .args(["--listen", "127.0.0.1:0"])
        .env("NOTIFY_SOCKET", &path);
    (Broker::launch(command, &certificates), socket, folder)
}

#[test]
fn systemd_is_told_ready_when_it_listens_and_stopping_when_it_drains() {
    let (mut broker, socket, _folder) = notifying_broker();
    let ready = next(&socket);
    assert!(ready.contains(&"READY=1".to_owned()), "{ready:?}");
    let status = format!("STATUS=Listening on {}", broker.address);
    assert!(ready.contains(&status), "{ready:?}");
    broker.client("a");

    assert_eq!(broker.terminate().code, Some(0));
    let stopping = next(&socket);
    assert!(stopping.contains(&"STOPPING=1".to_owned()), "{stopping:?}");
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 16]).is_err(), "and nothing else");
}

#[test]
fn systemd_is_told_when_a_reload_begins_and_when_it_is_done() {
    let (broker, socket, _folder) = notifying_broker();
    let ready = next(&socket);
    assert!(ready.contains(&"READY=1".to_owned()), "{ready:?}");
    broker.signal(Signal::HUP);
    let reloading = next(&socket);
    assert!(
        reloading.contains(&"RELOADING=1".to_owned()),
        "{reloading:?}"
    );
    // With the time, by which systemd tells this reload from an earlier one.
    assert!(
        reloading
            .iter()
            .any(|line| line.starts_with("MONOTONIC_USEC=")),
        "{reloading:?}"
    );
    assert_eq!(next(&socket), ["READY=1"]);
}

#[test]
fn a_broker_that_cannot_start_is_never_ready() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let certificates = Certificates::new();
    let mut command = serve(&certificates);
    // TEST-NET-1: no machine has this address.
    command
        .args(["--listen", "192.0.2.1:4433"])
        .env("NOTIFY_SOCKET", &path);
    assert_eq!(run(command).code, Some(69));
    assert!(socket.recv(&mut [0; 16]).is_err());
}

#[test]
fn systemd_unit_is_hardened() {
    let mut command = systemd_analyze();
    command
        .args(["security", "--no-pager", "--offline=true", "--threshold=15"])
        .arg(UNIT);
    let outcome = run(command);
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    let verdict = outcome
        .out
        .iter()
        .rev()
        .find(|line| line.contains("Overall exposure level"));
    println!("{}", verdict.expect("a verdict, not silence"));
}

#[test]
fn systemd_unit_verifies() {
    let unit = fs::read_to_string(UNIT).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let packaged = "ExecStart=/usr/bin/tidings serve\n";
    assert_eq!(unit.matches(packaged).count(), 1);
    let binary = env!("CARGO_BIN_EXE_tidings");
    assert!(
        !binary.contains(char::is_whitespace),
        "a unit would need {binary} in quotes"
    );
    let built = unit.replace(packaged, &format!("ExecStart={binary} serve\n"));
    let copy = folder.path().join("tidings.service");
    fs::write(&copy, built).unwrap();
    let mut command = systemd_analyze();
    command
        .args(["--man=no", "--recursive-errors=no", "verify"])
        .arg(&copy);
    let outcome = run(command);
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    assert_eq!((outcome.out, outcome.err), (vec![], vec![]));
}

#[test]
fn systemd_unit_uses_only_variables_that_serve_knows() {
    let packaging = Path::new(UNIT).parent().unwrap();
    let example = fs::read_to_string(packaging.join("tidings.env")).unwrap();
    let mut command = crate::support::tidings();
    command.args(["serve", "--help"]);
    let help = run(command).out.join("\n");
    let names: Vec<&str> = example
        .lines()
        .filter_map(|line| line.trim_start_matches(['#', ' ']).split_once('='))
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("TIDINGS_"))
        .collect();
    assert!(!names.is_empty());
    for name in names {
        assert!(
            help.contains(&format!("[env: {name}=")),
            "{name} is no variable of serve"
        );
    }
}
