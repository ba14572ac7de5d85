//! Where the command line takes its settings from, and what it says of those that are wrong.

use std::{fs, sync::Arc};

use crate::support::{Broker, Certificates, Process, run, serve, tidings, tool};

/// `tidings certs` in a folder of its own.
fn certs(home: &std::path::Path, arguments: &[&str]) -> crate::support::Outcome {
    let mut command = tidings();
    command.arg("certs").args(arguments).current_dir(home);
    run(command)
}

#[test]
fn variables_of_a_client_are_not_the_brokers() {
    let certificates = Arc::new(Certificates::new());
    let server = certificates.files("server");
    let alice = certificates.client("alice");
    let mut command = tidings();
    command
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("TIDINGS_SERVE_CA", certificates.ca())
        .env("TIDINGS_SERVE_CERT", &server.certificate)
        .env("TIDINGS_SERVE_KEY", &server.key)
        .env("TIDINGS_CERT", &alice.certificate)
        .env("TIDINGS_KEY", &alice.key);
    let broker = Broker::launch(command, &certificates);
    // A client that checks the server's certificate takes it.
    broker.client("alice");
}

/// So services did that were set up for version 0.1.
#[test]
fn serve_takes_certificate_and_key_from_shared_variables_beside_a_ca_of_its_own() {
    let certificates = Arc::new(Certificates::new());
    let server = certificates.files("server");
    let mut command = tidings();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--ca"])
        .arg(certificates.ca())
        .env("TIDINGS_CERT", &server.certificate)
        .env("TIDINGS_KEY", &server.key);
    let broker = Broker::launch(command, &certificates);
    broker.client("alice");
}

#[test]
fn a_bad_value_is_reported_by_the_variable_that_holds_it() {
    let certificates = Certificates::new();
    let serving = |arguments: &[&str]| {
        let mut command = serve(&certificates);
        command.args(arguments);
        command
    };
    let plain = |arguments: &[&str]| {
        let mut command = tidings();
        command.args(arguments);
        command
    };
    let publish = ["pub", "-t", "a", "-m", "1"];
    for (mut command, name, value, told) in [
        // clap parses it.
        (
            serving(&[]),
            "TIDINGS_LISTEN",
            "localhost",
            "for 'TIDINGS_LISTEN'",
        ),
        (
            serving(&[]),
            "TIDINGS_TLS_MIN",
            "1.1",
            "for 'TIDINGS_TLS_MIN'",
        ),
        (
            plain(&publish),
            "TIDINGS_CONNECT_TIMEOUT",
            "x",
            "for 'TIDINGS_CONNECT_TIMEOUT'",
        ),
        // It is checked later.
        (
            serving(&[]),
            "TIDINGS_LOG",
            "verbos",
            "TIDINGS_LOG \"verbos\"",
        ),
        (
            serving(&[]),
            "TIDINGS_OUTBOX_BYTES_SOFT",
            "9000000",
            "TIDINGS_OUTBOX_BYTES_SOFT (9000000) is above the default of --outbox-bytes-max",
        ),
        (
            serving(&[]),
            "TIDINGS_TOKEN_KEYS",
            "x",
            "TIDINGS_TOKEN_KEYS needs --token-issuer",
        ),
        (
            serving(&[]),
            "TIDINGS_TOKEN_ISSUER",
            "x",
            "TIDINGS_TOKEN_ISSUER needs --token-keys",
        ),
        // The flag counts, whatever the variable holds.
        (
            serving(&["--listen", "nowhere"]),
            "TIDINGS_LISTEN",
            "localhost",
            "'nowhere' for '--listen",
        ),
    ] {
        command.env(name, value);
        let outcome = run(command);
        assert_eq!(outcome.code, Some(64), "{outcome:?}");
        assert!(outcome.err_text().contains(told), "{told}: {outcome:?}");
    }
}

#[test]
fn dev_does_not_take_the_variables_of_a_client() {
    let certificates = Arc::new(Certificates::new());
    let alice = certificates.client("alice");
    let home = tempfile::tempdir().unwrap();
    let mut command = tidings();
    command
        .args(["serve", "--dev", "--listen", "127.0.0.1:0"])
        .current_dir(home.path())
        .env("TIDINGS_CERT", &alice.certificate)
        .env("TIDINGS_KEY", &alice.key);
    let broker = Process::spawn(command);
    assert_eq!(broker.out.wait_count(3).len(), 3);
    assert!(home.path().join("certs/server.crt").exists());
}

#[test]
fn only_misspelled_variables_are_told() {
    let certificates = Arc::new(Certificates::new());
    let mut command = serve(&certificates);
    command
        .args(["--listen", "127.0.0.1:0"])
        .env("TIDINGS_PORT", "tcp://10.0.0.1:4433")
        .env("TIDINGS_PORT_4433_TCP_ADDR", "10.0.0.1")
        .env("TIDINGS_SERVICE_HOST", "10.0.0.1")
        .env("TIDINGS_LISTN", "127.0.0.1:0");
    let broker = Broker::launch(command, &certificates);
    broker.log().wait_for("TIDINGS_LISTN");
    let told = broker.log().all();
    let told = told
        .iter()
        .filter(|line| line.contains("unknown environment"));
    assert_eq!(told.count(), 1);
}

/// What `cargo run` hands on of the build is no setting.
#[test]
fn the_build_leaves_no_variable_that_looks_like_a_setting() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/build.rs");
    assert!(
        !fs::read_to_string(script)
            .unwrap()
            .contains("rustc-env=TIDINGS_")
    );
}

#[test]
fn the_folder_of_certificates_has_one_name_everywhere() {
    let home = tempfile::tempdir().unwrap();
    for arguments in [
        ["init", "--certs", "one"],
        ["init", "--dir", "one"],
        ["show", "alice", "--certs=one"],
    ] {
        assert_eq!(
            certs(home.path(), &arguments).code,
            Some(0),
            "{arguments:?}"
        );
    }
    let mut command = tidings();
    command
        .args(["certs", "issue", "carol"])
        .env("TIDINGS_CERTS", "one")
        .current_dir(home.path());
    assert_eq!(run(command).code, Some(0));
    assert!(home.path().join("one/carol.crt").exists());
}

#[test]
fn the_development_server_can_have_other_names() {
    let home = tempfile::tempdir().unwrap();
    let arguments = ["init", "--dns", "broker.example.org", "--ip", "192.0.2.7"];
    assert_eq!(certs(home.path(), &arguments).code, Some(0));
    let shown = certs(home.path(), &["show", "server"]).out.join("\n");
    for name in ["localhost", "broker.example.org", "192.0.2.7", "127.0.0.1"] {
        assert!(shown.contains(name), "{shown}");
    }
    let refused = certs(home.path(), &["init", "--dns", "not a name"]);
    assert_eq!(refused.code, Some(64), "{refused:?}");
}

#[test]
fn dev_warns_where_its_certificate_does_not_reach() {
    let home = tempfile::tempdir().unwrap();
    let dev = |listen: &str| {
        let mut command = tidings();
        command
            .args(["serve", "--dev", "--listen", listen])
            .current_dir(home.path());
        let broker = Process::spawn(command);
        broker.out.wait_count(3);
        let log = broker.err.all().join("\n");
        log.contains("will refuse the certificate")
    };
    assert!(!dev("127.0.0.1:0"));
    assert!(dev("127.0.0.2:0"));
    assert!(dev("0.0.0.0:0"));
    fs::remove_file(home.path().join("certs/server.crt")).unwrap();
    fs::remove_file(home.path().join("certs/server.key")).unwrap();
    let made = certs(home.path(), &["init", "--dns", "broker.example.org"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(!dev("0.0.0.0:0"));
}

#[test]
fn a_name_that_is_not_there_is_answered_with_those_that_are() {
    let home = tempfile::tempdir().unwrap();
    let without = certs(home.path(), &["show", "alice"]);
    assert!(
        without.err_text().contains("there is no folder certs"),
        "{without:?}"
    );
    assert_eq!(certs(home.path(), &["init"]).code, Some(0));
    for arguments in [["show", "carol"], ["revoke", "carol"], ["renew", "carol"]] {
        let outcome = certs(home.path(), &arguments);
        assert_eq!(outcome.code, Some(64), "{outcome:?}");
        let told = outcome.err_text();
        assert!(
            told.contains("certs holds alice, bob, ca, server"),
            "{told}"
        );
    }
    let mut command = tidings();
    command
        .args(["pub", "--as", "carol", "-t", "a", "-m", "1"])
        .current_dir(home.path());
    let outcome = run(command);
    assert_eq!(outcome.code, Some(64));
    let told = outcome.err_text();
    assert!(
        told.contains("certs holds alice, bob, ca, server"),
        "{told}"
    );
}

#[test]
fn a_port_where_nothing_listens_is_answered_with_a_question() {
    let certificates = Certificates::new();
    certificates.client("alice");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = free.local_addr().unwrap().to_string();
    drop(free);
    let mut command = tidings();
    command
        .args(["pub", "-s", &server, "-t", "a", "-m", "1", "--certs"])
        .arg(certificates.folder());
    let outcome = run(command);
    assert_eq!(outcome.code, Some(1));
    let told = outcome.err_text();
    assert!(told.contains("does the broker run"), "{told}");
}

#[test]
fn a_mistyped_code_or_event_is_answered_with_the_nearest() {
    for (arguments, near) in [
        (
            ["errors", "slow"],
            "did you mean `tidings errors slow_consumer`?",
        ),
        (
            ["events", "subscirbe"],
            "did you mean `tidings events subscribe`?",
        ),
    ] {
        let mut command = tidings();
        command.args(arguments);
        let outcome = run(command);
        assert_eq!((outcome.code, outcome.out.len()), (Some(64), 0));
        assert!(outcome.err_text().contains(near), "{outcome:?}");
    }
}

#[test]
fn the_journals_variable_counts_for_the_journals_stream_alone() {
    let certificates = Arc::new(Certificates::new());
    let mut command = serve(&certificates);
    command
        .args(["--listen", "127.0.0.1:0", "--log-format", "human"])
        .env("JOURNAL_STREAM", "1:1");
    let broker = Broker::launch(command, &certificates);
    let line = broker.log().wait_for("listening");
    assert!(line.starts_with("20"), "its time: {line}");
}

/// What `serve` writes to a terminal: a warning, and why it does not start.
fn written_to_a_terminal(no_color: &str) -> String {
    let tidings = tidings();
    let mut command = tool("script", "bsdutils");
    for (name, _) in tidings.get_envs() {
        command.env_remove(name);
    }
    command
        .args(["--quiet", "--command"])
        .arg(format!("'{}' serve", tidings.get_program().display()))
        .arg("/dev/null")
        .env("TIDINGS_LISTN", "127.0.0.1:0")
        .env("NO_COLOR", no_color);
    let written = run(command).out.join("\n");
    assert!(written.contains("TIDINGS_LISTN"), "{written}");
    written
}

#[test]
fn the_log_has_colours_on_a_terminal_unless_they_are_declined() {
    assert!(written_to_a_terminal("").contains('\u{1b}'));
    let declined = written_to_a_terminal("1");
    assert!(!declined.contains('\u{1b}'), "{declined:?}");
}

#[test]
fn the_name_of_a_file_commands_no_terminal() {
    let home = tempfile::tempdir().unwrap();
    let folder = "a\u{1b}[31m\u{202e}\nb";
    let in_folder = |name: &str| format!("{folder}/{name}");
    let (rules, tokens) = (in_folder("access.toml"), in_folder("tokens.toml"));
    fs::create_dir(home.path().join(folder)).unwrap();
    let everything = "[[rule]]\nidentity = [\"*\"]\npublish = [\"#\"]\n";
    fs::write(home.path().join(&rules), everything).unwrap();
    let tidings_in_home = |arguments: &[&str]| {
        let mut command = tidings();
        command.args(arguments).current_dir(home.path());
        run(command)
    };
    for (arguments, code) in [
        (&["certs", "init", "--certs", folder][..], 0),
        (&["certs", "issue", "carol", "--certs", folder], 0),
        (&["certs", "renew", "carol", "--certs", folder], 0),
        (&["certs", "revoke", "carol", "--certs", folder], 0),
        (&["certs", "show", "carol", "--certs", folder], 0),
        (&["certs", "show", "nobody", "--certs", folder], 64),
        (&["token", "new", "--tokens", &tokens, "--identity", "a"], 0),
        (&["token", "revoke", "--tokens", &tokens, "0123456789ab"], 1),
        (
            &[
                "explain",
                "--access",
                &rules,
                "--identity",
                "a",
                "publish",
                "a",
            ],
            0,
        ),
    ] {
        let outcome = tidings_in_home(arguments);
        assert_eq!(outcome.code, Some(code), "{outcome:?}");
        for line in outcome.out.iter().chain(&outcome.err) {
            let harmful = |c: char| c.is_control() || c == '\u{202e}';
            assert!(!line.contains(harmful), "{arguments:?}: {line:?}");
            assert!(!line.starts_with('b'), "{arguments:?}: {line:?}");
        }
    }
}
