//! Mistyped commands, and commands that only print.

use super::check_usage;
use crate::support::{Certificates, run, serve, tidings};

#[test]
fn mistyped_flags_end_with_64_and_say_what_was_meant() {
    let cases: [(&[&str], &str); 12] = [
        (&["serve", "--lissten", "127.0.0.1:0"], "--listen"),
        (&["serve", "--listen", "localhost"], "--listen"),
        (&["serve", "--ping-interval", "1.5s"], "500ms or 30s"),
        (&["serve", "--tls-min", "1.1"], "1.2"),
        (&["serve", "--identity-from", "ou"], "san-uri"),
        (&["serve", "--line-bytes-max", "10"], "1024"),
        (&["serve", "--log-format", "xml"], "json"),
        (&["pub", "-t", "a"], "--message"),
        (&["pub", "-t", "a", "-m", "1", "-n"], "--null"),
        (&["pub", "-m", "1"], "--topic"),
        (&["sub"], "--topic"),
        (&["publish"], "pub"),
    ];
    for (arguments, part) in cases {
        let mut command = tidings();
        command.args(arguments);
        let outcome = run(command);
        assert_eq!(outcome.code, Some(64), "{arguments:?}: {outcome:#?}");
        assert_eq!(outcome.out, [""; 0]);
        assert!(
            outcome.err_text().contains(part),
            "{arguments:?}: {}",
            outcome.err_text()
        );
    }
}

#[test]
fn what_clap_cannot_see_ends_with_64_too() {
    let certificates = Certificates::new();
    certificates.client("a");
    let as_client = |arguments: &[&str]| {
        let mut command = tidings();
        command
            .args(arguments)
            .arg("--certs")
            .arg(certificates.folder())
            .args(["--as", "a", "--server", "127.0.0.1:1"]);
        run(command)
    };
    let serve_with = |arguments: &[&str]| {
        let mut command = serve(&certificates);
        command.args(arguments);
        run(command)
    };
    let soft = "9000000";
    check_usage(
        &serve_with(&["--outbox-bytes-soft", soft]),
        &["--outbox-bytes-soft", soft, "--outbox-bytes-max"],
    );
    check_usage(
        &serve_with(&["--log", "tidings=nonsense"]),
        &["--log", "nonsense"],
    );
    check_usage(
        &as_client(&["sub", "-t", "a", "--cert", "x"]),
        &["--cert and --key"],
    );
    check_usage(
        &as_client(&["sub", "-t", "a", "--ca", "/nowhere/ca"]),
        &["/nowhere/ca"],
    );
    let mut command = tidings();
    command
        .args([
            "pub", "-t", "a", "-m", "1", "--server", "nowhere", "--as", "a", "--certs",
        ])
        .arg(certificates.folder());
    check_usage(&run(command), &["nowhere", "host:port"]);
}

#[test]
fn a_variable_that_is_empty_is_not_set() {
    let folder = tempfile::tempdir().unwrap();
    let in_folder = |arguments: &[&str]| {
        let mut command = tidings();
        for name in [
            "TIDINGS_SERVER",
            "TIDINGS_CERTS",
            "TIDINGS_AS",
            "TIDINGS_CA",
            "TIDINGS_CERT",
            "TIDINGS_KEY",
            "TIDINGS_TOKEN",
            "TIDINGS_TOKEN_FILE",
            "TIDINGS_ALLOW_LOOSE_KEY_PERMISSIONS",
            "TIDINGS_CONNECT_TIMEOUT",
        ] {
            command.env(name, "");
        }
        command.current_dir(folder.path()).args(arguments);
        run(command)
    };
    assert_eq!(in_folder(&["certs", "init"]).code, Some(0));
    assert!(folder.path().join("certs/alice.crt").exists());
    let closed = closed_port();
    let outcome = in_folder(&["pub", "-t", "a", "-n", "--server", &closed]);
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    assert!(outcome.err[0].contains(&closed), "{outcome:#?}");
}

/// An address that nothing listens on.
fn closed_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Without its rules, a broker would let everyone do everything.
#[test]
fn an_empty_setting_of_the_broker_is_an_error() {
    let mut command = serve(&Certificates::new());
    command.env("TIDINGS_ACCESS", "");
    let outcome = run(command);
    assert_eq!(outcome.code, Some(64), "{outcome:#?}");
    assert!(outcome.err[0].contains("TIDINGS_ACCESS"), "{outcome:#?}");
}

#[test]
fn version_tells_the_commit() {
    let mut command = tidings();
    command.arg("--version");
    let outcome = run(command);
    assert_eq!(outcome.code, Some(0));
    let [text] = &outcome.out[..] else {
        panic!("{outcome:?}");
    };
    let commit = text
        .strip_prefix(concat!("tidings ", env!("CARGO_PKG_VERSION"), " ("))
        .and_then(|rest| rest.strip_suffix(')'))
        .unwrap_or_else(|| panic!("{text}"));
    let is_hash = commit.len() >= 12 && commit.bytes().all(|b| b.is_ascii_hexdigit());
    assert!(is_hash || commit == "unknown commit", "{text}");
}

#[test]
fn events_and_errors_explain_the_protocol() {
    let of = |arguments: &[&str]| {
        let mut command = tidings();
        command.args(arguments);
        run(command)
    };
    let all = of(&["events"]);
    let one = of(&["events", "publish"]);
    assert_eq!((all.code, one.code), (Some(0), Some(0)), "{one:#?}");
    assert_eq!(one.out[0], "### `publish`");
    assert!(one.out.len() < all.out.len());
    let code = of(&["errors", "slow_consumer"]);
    assert_eq!(code.code, Some(0));
    assert!(code.out[0].contains("slow_consumer"), "{code:#?}");
    check_usage(
        &of(&["events", "nonsense"]),
        &["nonsense", "tidings events"],
    );
    check_usage(
        &of(&["errors", "nonsense"]),
        &["nonsense", "tidings errors"],
    );
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let mut command = tidings();
        command.args(["completions", shell]);
        let outcome = run(command);
        assert_eq!(outcome.code, Some(0));
        let script = outcome.out.join("\n");
        for word in ["tidings", "serve", "ready-file"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let mut command = tidings();
    command.args(["completions", "bash"]);
    let script = run(command).out.join("\n");
    let mut bash = crate::support::tool("bash", "bash");
    bash.args(["-n", "-c", &script]);
    assert_eq!(run(bash).code, Some(0), "bash can read it");
}
