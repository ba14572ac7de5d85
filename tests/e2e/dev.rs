//! `serve --dev`: from nothing to three lines that work as pasted.

use std::{
    collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::Path, process::Command,
    time::SystemTime,
};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Process, complaints, openssl, tidings};

fn serve_dev(folder: &Path) -> Process {
    let mut command = tidings();
    command
        .args(["serve", "--dev", "--listen", "127.0.0.1:0"])
        .current_dir(folder);
    Process::spawn(command)
}

/// A line as a person pastes it, into a terminal that stands somewhere else.
fn pasted(line: &str, elsewhere: &Path) -> Process {
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(elsewhere);
    Process::spawn(command)
}

#[test]
fn dev_makes_certificates_and_prints_three_lines_that_work_as_pasted() {
    openssl();
    let home = tempfile::Builder::new()
        .prefix("it's here ")
        .tempdir()
        .unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut broker = serve_dev(home.path());
    let lines = broker.out.wait_count(3);

    for name in ["ca", "server", "alice", "bob"] {
        let key = home.path().join(format!("certs/{name}.key"));
        let mode = fs::metadata(&key).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "{name}.key");
        assert!(home.path().join(format!("certs/{name}.crt")).is_file());
    }
    let ignored = fs::read_to_string(home.path().join("certs/.gitignore")).unwrap();
    assert!(ignored.lines().any(|line| line == "*.key"), "{ignored}");

    // The first as it stands, and once more to end by itself.
    let endless = pasted(&lines[0], elsewhere.path());
    let mut counted = pasted(&format!("{} -C 1", lines[0]), elsewhere.path());
    let mut by_hand = pasted(&lines[2], elsewhere.path());
    for subscriber in [&endless, &counted] {
        subscriber.err.wait_for("subscribed at");
    }
    by_hand.out.wait_for(r#""event":"subscribed""#);

    let published = pasted(&lines[1], elsewhere.path()).wait();
    assert_eq!(published.code, Some(0), "{published:?}");
    assert_eq!(
        published.err,
        ["tidings: queued for 3 clients to hello/world"]
    );

    let printed = r#"hello/world "good tidings""#;
    assert_eq!(endless.out.wait_count(1), [printed]);
    let counted = counted.wait();
    assert_eq!(
        (counted.code, counted.out),
        (Some(0), vec![printed.to_owned()])
    );
    let heard: Value = serde_json::from_str(&by_hand.out.wait_for(r#""event":"message""#)).unwrap();
    assert_eq!(heard["content"]["payload"], "good tidings");
    assert_eq!(heard["content"]["sender"], "bob");

    // What is typed behind the pasted line is said too.
    by_hand.write(b"{\"event\":\"publish\",\"id\":\"__\",\"content\":{\"topic\":\"hello/all\",\"payload\":1}}\n");
    assert_eq!(endless.out.wait_count(2)[1], "hello/all 1");
    by_hand.write(b"{\"event\":\"disconnecting\",\"id\":\"__\"}\n");
    by_hand.close_stdin();
    let by_hand = by_hand.wait();
    assert_eq!(by_hand.code, Some(0), "{by_hand:?}");
    assert_eq!(
        complaints(&by_hand),
        [""; 0],
        "openssl has nothing to say beside the lines"
    );

    broker.signal(Signal::TERM);
    let ended = broker.wait();
    assert_eq!(ended.code, Some(0));
    assert_eq!(
        ended.out.len(),
        3,
        "three lines and nothing else: {:#?}",
        ended.out
    );
}

/// Content and time of every file.
fn files_of(folder: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let changed = entry.metadata().unwrap().modified().unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, (fs::read(entry.path()).unwrap(), changed))
        })
        .collect()
}

#[test]
fn dev_uses_the_folder_that_is_named_and_prints_the_address_that_it_listens_on() {
    let home = tempfile::tempdir().unwrap();
    let dev = |arguments: &[&str]| {
        let mut command = tidings();
        command
            .args(arguments)
            .env("TIDINGS_CERTS", "other")
            .current_dir(home.path());
        Process::spawn(command)
    };
    let made = dev(&["certs", "init", "--ip", "127.0.0.2"]).wait();
    assert_eq!(made.code, Some(0), "{made:?}");
    let broker = dev(&["serve", "--dev", "--listen", "127.0.0.2:0"]);
    let lines = broker.out.wait_count(3);
    assert!(!home.path().join("certs").exists());
    let mut subscriber = pasted(&format!("{} -C 1", lines[0]), home.path());
    subscriber.err.wait_for("subscribed at 127.0.0.2:");
    let published = pasted(&lines[1], home.path()).wait();
    assert_eq!(published.code, Some(0), "{published:?}");
    assert_eq!(subscriber.wait().code, Some(0));
    assert!(
        lines[2].contains("-verify_ip 127.0.0.2 -connect 127.0.0.2:"),
        "{lines:?}"
    );
}

#[test]
fn dev_overwrites_nothing_when_it_starts_again() {
    let home = tempfile::tempdir().unwrap();
    let certs = home.path().join("certs");
    let start_and_end = || {
        let mut broker = serve_dev(home.path());
        broker.out.wait_count(3);
        broker.signal(Signal::TERM);
        assert_eq!(broker.wait().code, Some(0));
        files_of(&certs)
    };
    let first = start_and_end();
    assert!(first.len() >= 9, "{:?}", first.keys());
    assert!(first == start_and_end(), "a file was written again");
}

#[test]
fn cli_finds_the_development_certificates_by_itself() {
    let home = tempfile::tempdir().unwrap();
    let broker = serve_dev(home.path());
    let line = &broker.out.wait_count(3)[1];
    let server = line
        .split_whitespace()
        .find(|word| word.starts_with("localhost:"))
        .unwrap();
    let mut command = tidings();
    command
        .args(["pub", "-s", server, "-t", "a", "-m", "1"])
        .current_dir(home.path());
    let published = crate::support::run(command);
    assert_eq!(published.code, Some(0), "{published:?}");
}
