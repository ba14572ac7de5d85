//! What `pub` and `sub` send, say and end with where something is odd or goes away.

use std::{
    fs::File,
    io::Write,
    process::{Command, Stdio},
};

use rustix::process::Signal;

use crate::support::{Broker, DEADLINE, PolicyFolder, Process, run, subscribe, tidings};

#[test]
fn json_over_several_lines_arrives_as_it_was_typed() {
    let broker = Broker::start();
    let mut witness = broker.deaf_client("witness");
    witness.send(&subscribe("a"));
    witness.expect("subscribed");
    for (typed, sent) in [
        (
            "{\n \"b\": 12345678901234567890123,\n \"a\": 1e400, \"b\": 2 }",
            r#"{"b":12345678901234567890123,"a":1e400,"b":2}"#,
        ),
        ("[\n \"\\ud800\", \" x \" ]", r#"["\ud800"," x "]"#),
    ] {
        let published = run(broker.cli("alice", &["pub", "-t", "a", "-m", typed]));
        assert_eq!(published.code, Some(0), "{published:?}");
        // As text: the harness's parser would not take such numbers.
        let line = witness.next_text(DEADLINE).unwrap();
        assert!(line.contains(&format!(r#""payload":{sent},"#)), "{line}");
    }
}

#[test]
fn text_that_looks_like_json_is_sent_with_a_warning() {
    let broker = Broker::start();
    let warns = |arguments: &[&str]| {
        let published = run(broker.cli("alice", arguments));
        assert_eq!(published.code, Some(0), "{published:?}");
        published
            .err_text()
            .contains("begins as JSON does and is not JSON")
    };
    assert!(warns(&["pub", "-t", "a", "-m", r#"{"a":1"#]));
    assert!(!warns(&["pub", "-t", "a", "-m", r#"{"a":1"#, "--text"]));
    assert!(!warns(&["pub", "-t", "a", "-m", "door open"]));
}

/// The broker goes while lines are on their way: what was accepted is counted, and the first line
/// without an answer is named.
#[test]
fn lines_are_counted_to_the_last_answer_when_the_broker_goes() {
    let mut broker = Broker::start();
    let mut witness = broker.deaf_client("witness");
    witness.send(&subscribe("a"));
    witness.expect("subscribed");
    let mut publisher = Process::spawn(broker.cli("alice", &["pub", "-t", "a", "-l"]));
    let mut stdin = publisher.take_stdin();
    let feeding = std::thread::spawn(move || {
        let mut number = 0_u64;
        // Until the publisher ends.
        while stdin.write_all(format!("{number}\n").as_bytes()).is_ok() {
            number += 1;
        }
    });
    for _ in 0..5_000 {
        witness.expect("message");
    }
    broker.signal(Signal::KILL);
    broker.process().wait();
    let outcome = publisher.wait();
    feeding.join().unwrap();
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let told = outcome.err_text();
    let number_behind = |text: &str, word: &str| -> u64 {
        let at = text
            .find(word)
            .unwrap_or_else(|| panic!("{word:?} in {text}"))
            + word.len();
        let digits: String = text[at..]
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        digits.parse().unwrap()
    };
    let accepted = told
        .lines()
        .find_map(|line| {
            line.strip_prefix("tidings: ")?
                .split_once(" lines accepted")
        })
        .map(|(count, _)| count.parse::<u64>().unwrap())
        .unwrap_or_else(|| panic!("{told}"));
    assert!(accepted > 0, "{told}");
    // Answers come in the order of the lines.
    assert_eq!(
        number_behind(&told, "tidings: line "),
        accepted + 1,
        "{told}"
    );
    assert!(told.contains("is the first without an answer"), "{told}");
}

/// With nobody to talk to, a command does what it does and ends with what it ends with.
#[test]
fn a_full_standard_error_changes_no_exit_code() {
    let broker = Broker::start();
    let ends_with = |mut command: Command| {
        let full = File::options().write(true).open("/dev/full").unwrap();
        command
            .stderr(full)
            .stdout(Stdio::null())
            .stdin(Stdio::null());
        command.status().unwrap().code()
    };
    assert_eq!(
        ends_with(broker.cli("alice", &["pub", "-t", "a", "-m", "1"])),
        Some(0)
    );
    assert_eq!(
        ends_with(broker.cli("alice", &["sub", "-t", "a", "-W", "0"])),
        Some(0)
    );
    assert_eq!(
        ends_with(broker.cli("alice", &["pub", "-t", "a/+", "-m", "1"])),
        Some(64)
    );
    let home = tempfile::tempdir().unwrap();
    let mut init = tidings();
    init.args(["certs", "init"]).current_dir(home.path());
    assert_eq!(ends_with(init), Some(0));
    let mut unknown = tidings();
    unknown.arg("--nonsense");
    assert_eq!(ends_with(unknown), Some(64));
}

/// What was asked for is done before it is told.
#[test]
fn renewing_revokes_the_old_certificate_with_nobody_to_tell_it() {
    let home = tempfile::tempdir().unwrap();
    let certs = |arguments: &[&str]| {
        let mut command = tidings();
        command
            .arg("certs")
            .args(arguments)
            .current_dir(home.path());
        command
    };
    assert_eq!(run(certs(&["init"])).code, Some(0));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut renew = certs(&["renew", "alice", "--revoke"]);
    renew.stdout(writer).stderr(Stdio::null());
    assert_eq!(renew.status().unwrap().code(), Some(0));
    let list = run(certs(&["show", "ca.crl"])).out.join("\n");
    let old = run(certs(&["show", "alice.old"])).out;
    let serial = old.iter().find_map(|line| line.strip_prefix("serial:"));
    assert!(list.contains(serial.unwrap().trim()), "{list}");
}

#[test]
fn help_that_cannot_be_printed_is_no_success() {
    let mut help = tidings();
    let full = File::options().write(true).open("/dev/full").unwrap();
    help.arg("--help").stdout(full).stderr(Stdio::null());
    assert_eq!(help.status().unwrap().code(), Some(1));
}

#[test]
fn a_wait_beyond_all_clocks_is_a_wait() {
    let broker = Broker::start();
    let arguments = ["sub", "-t", "a", "-C", "1", "-W", "9223372036854775807"];
    let mut waiting = broker.subscriber("alice", &arguments);
    let published = run(broker.cli("bob", &["pub", "-t", "a", "-m", "1"]));
    assert_eq!(published.code, Some(0));
    let outcome = waiting.wait();
    assert_eq!((outcome.code, outcome.out), (Some(0), vec!["1".to_owned()]));
}

#[test]
fn the_broker_serves_on_when_nobody_reads_its_lines() {
    let home = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = tidings();
    command
        .args(["serve", "--dev", "--listen", "127.0.0.1:0"])
        .current_dir(home.path());
    let mut broker = Process::spawn_with(command, writer.into());
    broker.err.wait_for("cannot print the lines to paste");
    broker.signal(Signal::TERM);
    let outcome = broker.wait();
    assert_eq!(outcome.code, Some(0));
    assert!(outcome.err_text().contains("draining"), "{outcome:?}");
}

#[test]
fn the_habit_of_giving_the_host_with_h_is_refused_with_the_remedy() {
    for (verb, flag) in [
        ("pub", "-h"),
        ("sub", "-h"),
        ("pub", "-qh"),
        ("sub", "-vqh"),
    ] {
        let mut command = tidings();
        command.args([verb, flag, "broker.example.org", "-t", "a"]);
        let outcome = run(command);
        assert_eq!(
            (outcome.code, outcome.out.len()),
            (Some(64), 0),
            "{outcome:?}"
        );
        assert!(outcome.err_text().contains("-s HOST:PORT"), "{outcome:?}");
    }
    let mut command = tidings();
    command.args(["pub", "-h"]);
    assert_eq!(run(command).code, Some(0));
}

#[test]
fn sub_that_is_refused_takes_leave() {
    let folder = PolicyFolder::with_rules(
        "[[rule]]\nidentity = [\"*\"]\npublish = [\"#\"]\nsubscribe = [\"open\"]\n",
    );
    let broker = Broker::with_rules(&folder, &[]);
    let mut observer = broker.client("observer");
    let outcome = run(broker.cli("alice", &["sub", "-t", "secret"]));
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    observer.expect("client_authenticated");
    let gone = observer.expect("client_disconnected");
    assert_eq!(gone.text_of("reason"), "client_disconnecting");
}

#[test]
fn a_line_that_is_too_long_is_named_and_costs_no_memory() {
    let broker = Broker::with(&["--line-bytes-max", "4096"]);
    let mut publisher = Process::spawn(broker.cli("alice", &["pub", "-t", "a", "-l"]));
    let mut stdin = publisher.take_stdin();
    stdin.write_all(b"1\n").unwrap();
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..200 {
        stdin.write_all(&chunk).unwrap();
    }
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", publisher.pid().as_raw_nonzero()))
            .unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 100 * 1024, "{kib} KiB for a line of 200 MiB");
    stdin.write_all(b"\n2\n").unwrap();
    drop(stdin);
    let outcome = publisher.wait();
    assert_eq!(outcome.code, Some(1));
    let told = outcome.err_text();
    assert!(
        told.contains("line 2 was not accepted: it is longer than the 4096 bytes"),
        "{told}"
    );
    assert!(told.contains("2 lines accepted, 1 refused"), "{told}");
}
