//! The command line: what it prints, and what it ends with.

use std::{
    fs,
    io::Write,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    thread,
};

use chrono::{TimeDelta, Utc};
use rustix::process::Signal;
use serde_json::Value;
use tidings::pki::{Authority, CertificateRequest, Purpose, Validity};

use crate::support::{
    AUTHENTICATE, Broker, Certificates, Client, Files, Outcome, Process, line, openssl, publish,
    publish_ref, run, serve, subscribe, tidings, tls_of,
};

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

/// Good from and to so many days from now.
fn days(from: i64, to: i64) -> Validity {
    Validity {
        not_before: Utc::now() + TimeDelta::days(from),
        not_after: Utc::now() + TimeDelta::days(to),
    }
}

#[test]
fn serve_names_the_file_at_fault_and_the_remedy() {
    let certificates = Certificates::new();
    let (ca, server) = (certificates.ca(), certificates.files("server"));
    let (cert, key) = (&server.certificate, &server.key);
    let other = certificates.client("other");
    let write = |name: &str, text: &str| {
        let path = certificates.folder().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let missing = certificates.folder().join("missing");
    let empty = write("empty", "");
    let garbage = write("garbage", "garbage, and no PEM\n");
    let broken = write(
        "broken",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let broken_key = write(
        "broken-key",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    );
    let encrypted = write(
        "encrypted",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let issue = |name: &str, valid| {
        let request = Certificates::server_request();
        certificates.issue(name, &CertificateRequest { valid, ..request })
    };
    let expired = issue("expired", days(-2, -1));
    let future = issue("future", days(1, 2));
    let old = Authority::generate_root("old", 0, days(-2, -1)).unwrap();
    let old = write("old", old.certificate_pem());

    let cases: [(&Path, &Path, &Path, &Path, &[&str]); 15] = [
        (
            &missing,
            cert,
            key,
            &missing,
            &["cannot read", "No such file"],
        ),
        (
            &ca,
            &missing,
            key,
            &missing,
            &["cannot read", "No such file"],
        ),
        (
            &ca,
            cert,
            &missing,
            &missing,
            &["cannot read", "No such file"],
        ),
        (
            &ca,
            certificates.folder(),
            key,
            certificates.folder(),
            &["cannot read"],
        ),
        (
            &empty,
            cert,
            key,
            &empty,
            &["holds no certificate", "must be PEM"],
        ),
        (
            &garbage,
            cert,
            key,
            &garbage,
            &["holds no certificate", "must be PEM"],
        ),
        (
            &ca,
            &garbage,
            key,
            &garbage,
            &["holds no certificate", "must be PEM"],
        ),
        (&ca, &broken, key, &broken, &["cannot use"]),
        (&broken, cert, key, &broken, &["cannot use"]),
        (
            &ca,
            cert,
            &garbage,
            &garbage,
            &["holds no private key", "must be PEM"],
        ),
        (
            &ca,
            cert,
            &encrypted,
            &encrypted,
            &["is encrypted", "openssl pkey"],
        ),
        (
            &ca,
            cert,
            &broken_key,
            &broken_key,
            &["garbled, or of a kind that is not taken"],
        ),
        (
            &ca,
            cert,
            &other.key,
            &other.key,
            &["not the key of the certificate", name_of(cert)],
        ),
        (
            &ca,
            &expired.certificate,
            &expired.key,
            &expired.certificate,
            &["has expired", "tidings certs show"],
        ),
        (
            &ca,
            &future.certificate,
            &future.key,
            &future.certificate,
            &["not valid yet", "clock", "tidings certs show"],
        ),
    ];
    for (ca, cert, key, at_fault, parts) in cases {
        let outcome = run(serve_files(ca, cert, key));
        check_usage(&outcome, &[&[name_of(at_fault)], parts].concat());
    }
    let outcome = run(serve_files(&old, cert, key));
    check_usage(&outcome, &[name_of(&old), "has expired"]);
    let outcome = run(serve_files(&ca, &ca, key));
    check_usage(&outcome, &[name_of(key), "not the key of the certificate"]);
    let outcome = run(serve_files(&ca, cert, cert));
    check_usage(&outcome, &[name_of(cert)]);
}

#[test]
fn serve_refuses_a_key_that_everyone_can_read_unless_told_otherwise() {
    let certificates = Arc::new(Certificates::new());
    let server = certificates.files("server");
    let mode = |mode| {
        fs::set_permissions(&server.key, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o644);
    let refused = run(serve_files(
        &certificates.ca(),
        &server.certificate,
        &server.key,
    ));
    let remedies = ["chmod o=", "--allow-loose-key-permissions", "0644"];
    check_usage(
        &refused,
        &[&[name_of(&server.key)], remedies.as_slice()].concat(),
    );
    Broker::with_certificates(&certificates, &["--allow-loose-key-permissions"]).client("a");
    // A group may read it: that is how a service gets its key.
    mode(0o640);
    let broker = Broker::with_certificates(&certificates, &[]);

    // The same for the key of a client.
    let loose = certificates.client("loose");
    fs::set_permissions(&loose.key, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = run(broker.cli("loose", &["pub", "-t", "a", "-m", "1"]));
    check_usage(
        &refused,
        &[
            name_of(&loose.key),
            "chmod o=",
            "--allow-loose-key-permissions",
        ],
    );
    let flags = ["pub", "-t", "a", "-m", "1", "--allow-loose-key-permissions"];
    assert_eq!(run(broker.cli("loose", &flags)).code, Some(0));
}

#[test]
fn files_that_anyone_could_change_are_refused() {
    let certificates = Arc::new(Certificates::new());
    let server = certificates.files("server");
    let crl = certificates.revoke(&[]);
    let keys = certificates.folder().join("keys.json");
    fs::write(&keys, "{}").unwrap();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    // That others may read the key does not say that they may write it.
    let flags = [
        "--crl",
        crl.to_str().unwrap(),
        "--allow-loose-key-permissions",
    ];
    let signed = [
        "--token-issuer",
        "a",
        "--token-audience",
        "b",
        "--token-keys",
    ];
    for path in [
        &certificates.ca(),
        &server.certificate,
        &server.key,
        &crl,
        &keys,
    ] {
        mode(path, 0o646);
        let mut command = serve(&certificates);
        command.args(flags).args(signed).arg(&keys);
        let remedy = format!("chmod o-w {}", path.display());
        check_usage(&run(command), &[name_of(path), "0646", &remedy]);
        mode(path, 0o600);
    }
    // A client is told the same of whom it is to trust.
    let broker = Broker::with_certificates(&certificates, &[]);
    mode(&certificates.ca(), 0o666);
    let refused = run(broker.cli("a", &["pub", "-t", "a", "-m", "1"]));
    check_usage(&refused, &["ca.crt", "chmod o-w"]);
}

#[test]
fn the_ready_file_follows_no_link() {
    let certificates = Certificates::new();
    let folder = tempfile::tempdir().unwrap();
    let precious = folder.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    let ready = folder.path().join("ready");
    for planted in ["ready", "ready.new", ".ready.new"] {
        std::os::unix::fs::symlink(&precious, folder.path().join(planted)).unwrap();
    }
    let mut command = serve(&certificates);
    command
        .args(["--listen", "127.0.0.1:0", "--ready-file"])
        .arg(&ready);
    let mut process = Process::spawn(command);
    process.err.wait_for("listening");
    process.signal(Signal::TERM);
    assert_eq!(process.wait().code, Some(0));
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    assert!(fs::symlink_metadata(&ready).is_err());
}

#[test]
fn serve_needs_all_three_files() {
    let certificates = Certificates::new();
    let mut command = tidings();
    command.args(["serve", "--ca"]).arg(certificates.ca());
    check_usage(
        &run(command),
        &["--ca, --cert and --key", "tidings serve --dev"],
    );
}

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
fn serve_that_cannot_listen_ends_with_69_and_names_the_address() {
    let certificates = Certificates::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    // TEST-NET-1: no machine has this address.
    for address in [taken.as_str(), "192.0.2.1:4433"] {
        let mut command = serve(&certificates);
        command.args(["--listen", address]);
        let outcome = run(command);
        assert_eq!(outcome.code, Some(69), "{outcome:#?}");
        assert_eq!(outcome.err.len(), 1, "{outcome:#?}");
        let told = format!("cannot listen on {address}");
        assert!(outcome.err[0].contains(&told), "{outcome:#?}");
    }
    drop(listener);
    let mut command = serve(&certificates);
    command.args(["--listen", &taken]);
    Broker::launch(command, &Arc::new(certificates));
}

/// A certificate for both sides and its key in the form that `key` commands of openssl give it.
fn with_key(certificates: &Certificates, name: &str, key: &[&str]) -> Files {
    let files = certificates.files(name);
    let folder = certificates.folder();
    let (ca_key, extensions) = (folder.join("ca.key"), folder.join("extensions"));
    fs::write(&ca_key, certificates.authority.key_pem()).unwrap();
    fs::write(
        &extensions,
        "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n",
    )
    .unwrap();
    let request = folder.join(format!("{name}.csr"));
    let openssl = |arguments: &[&str], files: &[(&str, &PathBuf)]| {
        let mut command = openssl();
        command.args(arguments);
        for (flag, path) in files {
            command.arg(flag).arg(path);
        }
        let outcome = run(command);
        assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    };
    openssl(key, &[]);
    openssl(
        &["req", "-new", "-subj", &format!("/CN={name}")],
        &[("-key", &files.key), ("-out", &request)],
    );
    openssl(
        &["x509", "-req", "-days", "2", "-CAcreateserial"],
        &[
            ("-in", &request),
            ("-CA", &certificates.ca()),
            ("-CAkey", &ca_key),
            ("-extfile", &extensions),
            ("-out", &files.certificate),
        ],
    );
    files
}

#[test]
fn keys_of_every_usual_form_work_on_both_sides() {
    let certificates = Arc::new(Certificates::new());
    let path = |name: &str| certificates.files(name).key.to_str().unwrap().to_owned();
    let curve = "ec_paramgen_curve:P-256";
    let forms: [(&str, &str, Vec<String>); 6] = [
        (
            "pkcs1",
            "BEGIN RSA PRIVATE KEY",
            words("genrsa -traditional -out", &path("pkcs1"), "2048"),
        ),
        (
            "sec1",
            "BEGIN EC PRIVATE KEY",
            words(
                "ecparam -name prime256v1 -genkey -noout -out",
                &path("sec1"),
                "",
            ),
        ),
        // With the curve's parameters in front, as older instructions have it.
        (
            "sec1-parameters",
            "BEGIN EC PARAMETERS",
            words(
                "ecparam -name secp384r1 -genkey -out",
                &path("sec1-parameters"),
                "",
            ),
        ),
        (
            "pkcs8-ec",
            "BEGIN PRIVATE KEY",
            words(
                &format!("genpkey -algorithm EC -pkeyopt {curve} -out"),
                &path("pkcs8-ec"),
                "",
            ),
        ),
        (
            "pkcs8-rsa",
            "BEGIN PRIVATE KEY",
            words("genpkey -algorithm RSA -out", &path("pkcs8-rsa"), ""),
        ),
        (
            "pkcs8-ed25519",
            "BEGIN PRIVATE KEY",
            words(
                "genpkey -algorithm ED25519 -out",
                &path("pkcs8-ed25519"),
                "",
            ),
        ),
    ];
    for (name, begin, command) in forms {
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let files = with_key(&certificates, name, &command);
        assert!(
            fs::read_to_string(&files.key).unwrap().contains(begin),
            "{name}"
        );
        let mut command = serve_files(&certificates.ca(), &files.certificate, &files.key);
        command.arg("--allow-loose-key-permissions");
        let broker = Broker::launch(command, &certificates);
        let flags = ["pub", "-t", "a", "-m", "1", "--allow-loose-key-permissions"];
        let published = run(broker.cli(name, &flags));
        assert_eq!(published.code, Some(0), "{name}: {published:#?}");
    }
}

/// A command line without an empty word at its end.
fn words(head: &str, path: &str, tail: &str) -> Vec<String> {
    let head = head.split(' ').map(str::to_owned);
    let tail = (!tail.is_empty()).then(|| tail.to_owned());
    head.chain([path.to_owned()]).chain(tail).collect()
}

#[test]
fn a_chain_with_an_intermediate_works_on_both_sides() {
    let root = Authority::generate_root("root", 1, Validity::default()).unwrap();
    let intermediate = root.intermediate("intermediate").unwrap();
    let certificates = Arc::new(Certificates::new());
    let ca = certificates.folder().join("root.crt");
    fs::write(&ca, root.certificate_pem()).unwrap();
    let issue = |name: &str, request: &CertificateRequest| {
        let files = certificates.files(name);
        intermediate.issue(request).unwrap().write(&files).unwrap();
        files
    };
    let server = issue("chained-server", &Certificates::server_request());
    issue("chained", &CertificateRequest::client("chained"));
    let command = serve_files(&ca, &server.certificate, &server.key);
    let broker = Broker::launch(command, &certificates);
    let published = |name: &str| {
        let flags = ["pub", "-t", "a", "-m", "1", "--ca", name_of(&ca)];
        run(broker.cli(name, &flags))
    };
    assert_eq!(published("chained").code, Some(0));
    let refused = published("of-the-other-ca");
    assert_eq!(refused.code, Some(1));
    assert!(
        refused
            .err_text()
            .contains("not from a CA that the server trusts"),
        "{}",
        refused.err_text()
    );
}

#[test]
fn serve_takes_everything_from_the_environment_and_flags_stand_above_it() {
    let certificates = Arc::new(Certificates::new());
    let server = certificates.files("server");
    let mut command = tidings();
    command
        .arg("serve")
        .env("TIDINGS_LISTEN", "127.0.0.1:0,127.0.0.1:0")
        .env("TIDINGS_CA", certificates.ca())
        .env("TIDINGS_CERT", &server.certificate)
        .env("TIDINGS_KEY", &server.key)
        .env("TIDINGS_PING_INTERVAL", "7s")
        .env("TIDINGS_LINE_BYTES_MAX", "5000")
        .args(["--line-bytes-max", "6000"]);
    let broker = Broker::launch(command, &certificates);
    assert_eq!(broker.ready_file().unwrap().lines().count(), 2);
    let greeting = broker.dial("a").unwrap().take_greeting();
    assert_eq!(greeting.content()["limits"]["ping_interval_ms"], 7_000);
    assert_eq!(greeting.content()["limits"]["line_bytes_max"], 6_000);

    // `cli` gives the client's settings as variables alone.
    assert_eq!(
        run(broker.cli("b", &["pub", "-t", "a", "-m", "1"])).code,
        Some(0)
    );
    let named = certificates.client("named");
    let mut command = tidings();
    command
        .args(["pub", "-t", "a", "-m", "1"])
        .env("TIDINGS_SERVER", broker.address.to_string())
        .env("TIDINGS_CA", certificates.ca())
        .env("TIDINGS_CERT", named.certificate)
        .env("TIDINGS_KEY", named.key);
    assert_eq!(run(command).code, Some(0));
}

#[test]
fn ready_file_holds_the_actual_addresses_and_goes_with_the_broker() {
    let certificates = Arc::new(Certificates::new());
    let mut command = serve(&certificates);
    command.args(["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"]);
    let mut broker = Broker::launch(command, &certificates);
    let text = broker.ready_file().unwrap();
    let addresses: Vec<&str> = text.lines().collect();
    assert_eq!(addresses.len(), 2, "{text:?}");
    assert_ne!(addresses[0], addresses[1]);
    for address in addresses {
        let tls = certificates.tls("a");
        let mut client = Client::dial(address.parse().unwrap(), &tls).unwrap();
        client.take_greeting();
    }
    assert_eq!(broker.terminate().code, Some(0));
    assert_eq!(broker.ready_file(), None);
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

/// `pub -l` with this on its standard input.
fn publish_lines(broker: &Broker, arguments: &[&str], input: &[u8]) -> Outcome {
    let arguments = [&["pub", "-t", "lines", "-l"], arguments].concat();
    let mut process = Process::spawn(broker.cli("publisher", &arguments));
    let mut stdin = process.take_stdin();
    let input = input.to_vec();
    let writing = thread::spawn(move || {
        // It may end before it has read everything.
        let _ = stdin.write_all(&input);
    });
    let outcome = process.wait();
    writing.join().unwrap();
    outcome
}

#[test]
fn pub_lines_accepts_twenty_thousand_in_order() {
    const COUNT: usize = 20_000;
    let broker = Broker::start();
    let count = COUNT.to_string();
    let mut subscriber = broker.subscriber("subscriber", &["sub", "-t", "lines", "-C", &count]);
    let input: String = (0..COUNT).map(|number| format!("{number}\n")).collect();
    let outcome = publish_lines(&broker, &[], input.as_bytes());
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(outcome.out, [""; 0]);
    assert_eq!(outcome.err, ["tidings: 20000 lines accepted, 0 refused"]);
    let heard = subscriber.wait();
    assert_eq!(heard.code, Some(0));
    assert_eq!(heard.out.len(), COUNT);
    assert!(
        heard
            .out
            .iter()
            .enumerate()
            .all(|(number, line)| *line == number.to_string())
    );
}

#[test]
fn pub_lines_takes_what_text_files_hold() {
    let broker = Broker::start();
    let mut subscriber = broker.subscriber("subscriber", &["sub", "-t", "lines", "-C", "6"]);
    let input = "plain text\n\n{\"a\": 1}\r\n\"quoted\"\n12 apples\n{broken\n7";
    let outcome = publish_lines(&broker, &["-q"], input.as_bytes());
    assert_eq!(outcome.code, Some(0));
    assert_eq!(outcome.err, [""; 0], "quiet");
    assert_eq!(
        subscriber.wait().out,
        [
            r#""plain text""#,
            r#"{"a": 1}"#,
            r#""quoted""#,
            r#""12 apples""#,
            r#""{broken""#,
            "7"
        ]
    );
}

#[test]
fn pub_lines_names_every_line_that_was_refused_and_goes_on() {
    let broker = Broker::with(&["--line-bytes-max", "2048"]);
    let mut subscriber = broker.subscriber("subscriber", &["sub", "-t", "lines", "-C", "4"]);
    let long = "x".repeat(3_000);
    let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
    let mut input = format!("1\n{long}\n2\n{deep}\n3\n{long}\n").into_bytes();
    input.extend(b"not \xff UTF-8\n4\n");
    let outcome = publish_lines(&broker, &[], &input);
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    let named: Vec<&String> = outcome
        .err
        .iter()
        .filter(|l| l.contains("was not accepted"))
        .collect();
    for number in [2, 4, 6, 7] {
        let start = format!("tidings: line {number} was not accepted");
        assert!(
            named.iter().any(|line| line.starts_with(&start)),
            "{start}: {outcome:#?}"
        );
    }
    assert_eq!(named.len(), 4, "{outcome:#?}");
    assert_eq!(
        outcome.err.last().unwrap(),
        "tidings: 4 lines accepted, 4 refused"
    );
    assert_eq!(subscriber.wait().out, ["1", "2", "3", "4"]);
}

#[test]
fn pub_lines_ends_with_1_when_its_broker_does() {
    let mut broker = Broker::start();
    let mut process = Process::spawn(broker.cli("publisher", &["pub", "-t", "lines", "-l"]));
    let mut watching = broker.deaf_client("watching");
    watching.send(&subscribe("lines"));
    watching.expect("subscribed");
    process.write(b"1\n");
    watching.expect("message");
    broker.process().signal(Signal::KILL);
    broker.process().wait();
    // What comes now reaches nobody.
    let mut stdin = process.take_stdin();
    for number in 2..1_000 {
        if writeln!(stdin, "{number}").is_err() {
            break;
        }
    }
    drop(stdin);
    let outcome = process.wait();
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    assert!(outcome.err_text().contains("connection"), "{outcome:#?}");
}

#[test]
fn pub_sends_what_it_is_given_and_says_for_how_many() {
    let broker = Broker::start();
    let folder = tempfile::tempdir().unwrap();
    let pretty = folder.path().join("pretty.json");
    fs::write(&pretty, "{\n  \"a\": [1,\n 2]\n}\n").unwrap();
    let pretty = pretty.to_str().unwrap();
    let mut subscriber = broker.subscriber("subscriber", &["sub", "-t", "#", "-v", "-C", "7"]);
    let cases: [(&[&str], &str); 7] = [
        (&["-m", r#"{"celsius": 181.5}"#], r#"{"celsius": 181.5}"#),
        (&["-m", "door open"], r#""door open""#),
        (&["-m", "-5"], "-5"),
        (&["-m", "5", "--text"], r#""5""#),
        (&["-n"], "null"),
        (&["-f", pretty], r#"{"a":[1,2]}"#),
        (&["-m", ""], r#""""#),
    ];
    for (arguments, _) in cases {
        let arguments = [&["pub", "-t", "a/b"], arguments].concat();
        let outcome = run(broker.cli("publisher", &arguments));
        assert_eq!(outcome.code, Some(0), "{outcome:#?}");
        assert_eq!(outcome.err, ["tidings: queued for 1 client to a/b"]);
        assert_eq!(outcome.out, [""; 0]);
    }
    let printed: Vec<String> = cases
        .iter()
        .map(|(_, printed)| format!("a/b {printed}"))
        .collect();
    assert_eq!(subscriber.wait().out, printed);
}

#[test]
fn pub_reads_a_whole_message_from_standard_input() {
    let broker = Broker::start();
    let mut subscriber = broker.subscriber("subscriber", &["sub", "-t", "a", "-C", "1"]);
    let mut process = Process::spawn(broker.cli("publisher", &["pub", "-t", "a", "-f", "-"]));
    process.write(b"two\nlines\n");
    process.close_stdin();
    assert_eq!(process.wait().code, Some(0));
    assert_eq!(subscriber.wait().out, [r#""two\nlines""#]);
}

#[test]
fn pub_that_is_refused_ends_with_1_and_the_broker_s_words() {
    let broker = Broker::with(&["--max-connections-per-identity", "1"]);
    let refused = run(broker.cli("a", &["pub", "-t", "$SYS/x", "-m", "1"]));
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(
        refused.err_text().contains("(reserved_topic)"),
        "{refused:#?}"
    );
    let no_topic = run(broker.cli("a", &["pub", "-t", "a/+", "-m", "1"]));
    check_usage(&no_topic, &["wildcards"]);
    let no_filter = run(broker.cli("a", &["sub", "-t", "a/#/b"]));
    check_usage(&no_filter, &["not a topic filter"]);
    let _held = broker.client("held");
    let refused = run(broker.cli("held", &["pub", "-t", "a", "-m", "1"]));
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.err_text().contains("(too_many_connections)"),
        "{refused:#?}"
    );
}

#[test]
fn pub_that_cannot_connect_ends_with_1_and_says_why() {
    let certificates = Arc::new(Certificates::new());
    let mut broker = Broker::with_certificates(&certificates, &[]);
    let stranger = Authority::generate("a stranger").unwrap();
    let strange_ca = certificates.folder().join("strange.crt");
    fs::write(&strange_ca, stranger.certificate_pem()).unwrap();
    let arguments = ["pub", "-t", "a", "-m", "1"];
    let with_ca = |ca: &Path| {
        let mut command = broker.cli("a", &arguments);
        command.arg("--ca").arg(ca);
        run(command)
    };
    let outcome = with_ca(&strange_ca);
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome
            .err_text()
            .contains("the CA that signed it with --ca"),
        "{outcome:#?}"
    );

    let only_server = CertificateRequest {
        purpose: Purpose::Server,
        ..CertificateRequest::client("only-server")
    };
    certificates.issue("only-server", &only_server);
    let outcome = run(broker.cli("only-server", &arguments));
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome
            .err_text()
            .contains("its log says why: often it is not for client use"),
        "{outcome:#?}"
    );

    let gone = broker.cli("a", &arguments);
    broker.terminate();
    let outcome = run(gone);
    assert_eq!(outcome.code, Some(1));
    assert_eq!(outcome.err.len(), 1, "{outcome:#?}");
    let told = format!("cannot connect to {}", broker.address);
    assert!(outcome.err[0].contains(&told), "{outcome:#?}");
}

#[test]
fn sub_ends_after_its_count_or_its_wait() {
    let broker = Broker::start();
    let mut publisher = broker.deaf_client("publisher");
    let mut counting = broker.subscriber("s", &["sub", "-t", "a", "-C", "2"]);
    for number in 1..=3 {
        publisher.send(&publish("a", &number.to_string()));
    }
    let counted = counting.wait();
    assert_eq!(
        (counted.code, counted.out),
        (Some(0), vec!["1".to_owned(), "2".to_owned()])
    );

    let mut waiting = broker.subscriber("s", &["sub", "-t", "a", "-W", "1"]);
    let mut wanting = broker.subscriber("s", &["sub", "-t", "a", "-C", "2", "-W", "1"]);
    publisher.send(&publish("a", "1"));
    let waited = waiting.wait();
    assert_eq!((waited.code, waited.out), (Some(0), vec!["1".to_owned()]));
    let wanted = wanting.wait();
    assert_eq!((wanted.code, wanted.out), (Some(1), vec!["1".to_owned()]));
}

#[test]
fn sub_ends_with_0_when_it_is_interrupted_and_takes_leave() {
    let broker = Broker::start();
    let mut observer = broker.client("observer");
    let mut subscriber = broker.subscriber("s", &["sub", "-t", "a", "-t", "b/#"]);
    subscriber.signal(Signal::INT);
    assert_eq!(subscriber.wait().code, Some(0));
    observer.expect("client_authenticated");
    let gone = observer.expect("client_disconnected");
    assert_eq!(gone.text_of("reason"), "client_disconnecting");
}

#[test]
fn sub_prints_payloads_topics_or_whole_events() {
    let broker = Broker::start();
    let mut plain = broker.subscriber("s", &["sub", "-t", "a/#", "-t", "b", "-C", "2"]);
    let mut verbose = broker.subscriber("s", &["sub", "-t", "#", "-v", "-C", "2"]);
    let mut whole = broker.subscriber("s", &["sub", "-t", "#", "--envelope", "-C", "2"]);
    let mut publisher = broker.deaf_client("publisher");
    publisher.send(&publish("a/1", r#"{ "x" : 1 }"#));
    publisher.send(&publish("b", r#""y""#));
    assert_eq!(plain.wait().out, [r#"{ "x" : 1 }"#, r#""y""#]);
    assert_eq!(verbose.wait().out, [r#"a/1 { "x" : 1 }"#, r#"b "y""#]);
    for text in whole.wait().out {
        let event: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(event["event"], "message");
        assert_eq!(event["content"]["sender"], "publisher");
        assert_eq!(event["id"], publisher.id());
    }
}

#[test]
fn sub_into_head_is_success() {
    let broker = Broker::start();
    let subscribing = broker.cli("s", &["sub", "-t", "a"]);
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg("{ \"$0\" \"$@\"; echo \"ended with $?\" >&2; } | head -n 1")
        .arg(subscribing.get_program())
        .args(subscribing.get_args());
    for (name, value) in subscribing.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let mut piped = Process::spawn(command);
    piped.err.wait_for("subscribed at");
    let mut publisher = broker.deaf_client("publisher");
    publisher.send(&publish("a", "1"));
    assert_eq!(piped.out.wait_count(1), ["1"]);
    // Nobody reads any more: it finds out with a message that it cannot print. `head` may take a
    // moment to go, and until then there is room for some.
    let mut number = 1;
    while piped.is_running() {
        number += 1;
        publisher.send(&publish("a", &number.to_string()));
        publisher.fence();
    }
    let outcome = piped.wait();
    assert_eq!(outcome.out, ["1"]);
    assert_eq!(outcome.err.last().unwrap(), "ended with 0", "{outcome:#?}");
}

#[test]
fn sub_comes_back_after_the_broker_says_so_and_receives_again() {
    let certificates = Arc::new(Certificates::new());
    let mut broker = Broker::with_certificates(&certificates, &[]);
    let address = broker.address.to_string();
    let again = || {
        let mut command = serve(&certificates);
        command.args(["--listen", &address]);
        Broker::launch(command, &certificates)
    };
    let mut subscriber = broker.subscriber("s", &["sub", "-t", "a/#", "-v"]);
    let say = |broker: &Broker, payload: &str| {
        let mut publisher = broker.deaf_client("publisher");
        publisher.send(&publish("a/b", payload));
        publisher.fence();
    };
    say(&broker, "1");
    assert_eq!(subscriber.out.wait_count(1), ["a/b 1"]);

    assert_eq!(broker.terminate().code, Some(0));
    let told = subscriber.err.wait_for("trying again");
    assert!(told.contains("server_shutting_down"), "{told}");
    let mut broker = again();
    subscriber.err.wait_for("connected and subscribed again");
    // That is when it asks; this is when it has the broker's word.
    subscriber.err.wait_for("reconnected: ");
    say(&broker, "2");
    assert_eq!(subscriber.out.wait_count(2)[1], "a/b 2");

    broker.signal(Signal::KILL);
    broker.process().wait();
    let times = |text: &str, count: usize| {
        subscriber
            .err
            .wait_until(&format!("{text:?}, {count} times"), |lines| {
                let found = lines.iter().filter(|line| line.contains(text));
                (found.count() >= count).then_some(())
            });
    };
    times("trying again", 2);
    let broker = again();
    times("reconnected: ", 2);
    say(&broker, "3");
    assert_eq!(subscriber.out.wait_count(3)[2], "a/b 3");
    assert!(subscriber.is_running());
}

/// The CAs that it trusts do not change while it runs.
#[test]
fn sub_does_not_try_again_a_broker_that_it_cannot_trust() {
    let mut broker = Broker::start();
    let mut subscriber = broker.subscriber("s", &["sub", "-t", "a"]);
    broker.signal(Signal::KILL);
    broker.process().wait();
    let others = Arc::new(Certificates::new());
    let mut command = serve(&others);
    command.args(["--listen", &broker.address.to_string()]);
    let _impostor = Broker::launch(command, &others);
    let outcome = subscriber.wait();
    assert_eq!(outcome.code, Some(1));
    let last = outcome.err.last().unwrap();
    assert!(
        last.contains("not from a CA that this client trusts"),
        "{last}"
    );
}

#[test]
fn sub_that_must_not_come_back_ends_with_1() {
    let mut broker = Broker::start();
    let mut subscriber = broker.subscriber("s", &["sub", "-t", "a", "--no-reconnect"]);
    broker.terminate();
    let outcome = subscriber.wait();
    assert_eq!(outcome.code, Some(1));
    let [_subscribed, told] = &outcome.err[..] else {
        panic!("two lines: {outcome:#?}");
    };
    assert!(told.contains("server_shutting_down"), "{outcome:#?}");
}

#[test]
fn sub_that_is_quiet_says_nothing_but_what_ends_it() {
    let mut broker = Broker::start();
    let quiet = ["sub", "-t", "a", "--no-reconnect", "-q"];
    let mut subscriber = Process::spawn(broker.cli("s", &quiet));
    let mut publisher = broker.client("publisher");
    // It says nothing of its own accord, so the broker is asked whether it is there yet.
    let mut receivers = 0;
    while receivers == 0 {
        assert!(subscriber.is_running());
        publisher.send(&publish_ref("a", "1", "r"));
        let answer = publisher.next();
        receivers = answer.content()["receivers"].as_u64().unwrap_or(0);
    }
    drop(publisher);
    broker.terminate();
    let outcome = subscriber.wait();
    assert_eq!(
        (outcome.code, outcome.err.len()),
        (Some(1), 1),
        "{outcome:#?}"
    );
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

/// What a stranger can say to appear in a log: by a certificate, by lines.
fn provoke(broker: &Broker) {
    let evil = CertificateRequest::client("\u{1b}[2Jx\n2026-01-01T00:00:00Z  INFO forged\r");
    let evil = broker.certificates.issue("evil", &evil);
    let tls = tls_of(&broker.certificates.ca(), Some(&evil));
    let refused = Client::dial(broker.address, &tls).unwrap().next();
    assert_eq!(refused.content()["code"], "identity_missing");
    let mut client = broker.greeted("a");
    client.send(AUTHENTICATE);
    client.expect("authentication_accepted");
    client.send_bytes(b"{\"\x1b[2J\n").unwrap();
    client.expect("error");
    client.send(&line(
        "ping",
        r#"{"\u001b\u000aINFO forged":1,"\u001b\u000aINFO forged":2}"#,
    ));
    client.expect("error");
    client.send(&line(
        "publish",
        r#"{"topic":"\u001b[31m\u000aINFO forged","payload":1}"#,
    ));
    client.expect("error");
    client.send(&line("publish", r#"{"topic":"$\u202e/x","payload":1}"#));
    client.expect("error");
    client.send(r#"{"event":"\u001b\u000aINFO forged","id":"__"}"#);
    client.expect("error");
    client.fence();
}

/// One event is one line, and no stranger's text does anything to a terminal.
fn check_harmless(log: &[String]) {
    for line in log {
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(!line.contains('\u{202e}'), "{line:?}");
        assert!(!line.trim_start().starts_with("INFO forged"), "{line}");
    }
}

#[test]
fn log_for_people_is_one_harmless_line_for_each_event() {
    let mut broker = Broker::with(&["--log", "debug"]);
    provoke(&broker);
    let log = broker.terminate().err;
    check_harmless(&log);
    for line in &log {
        let time = line.split(' ').next().unwrap();
        assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{line}");
    }
    assert!(
        log.iter()
            .any(|line| line.contains("authenticated") && line.contains(r#"identity="a""#))
    );
}

#[test]
fn log_as_json_is_one_object_for_each_event() {
    let mut broker = Broker::with(&["--log", "debug", "--log-format", "json"]);
    provoke(&broker);
    let log = broker.terminate().err;
    check_harmless(&log);
    let events: Vec<Value> = log
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let authenticated = events
        .iter()
        .find(|event| event["message"] == "authenticated")
        .expect("it is logged");
    assert_eq!(authenticated["identity"], "a");
    assert_eq!(authenticated["level"], "INFO");
    assert!(authenticated["client_id"].is_string() && authenticated["address"].is_string());
}

#[test]
fn log_is_as_loud_as_asked() {
    let mut quiet = Broker::with(&["--log", "warn"]);
    quiet.client("a");
    assert_eq!(quiet.terminate().err, [""; 0]);
}

#[test]
fn certs_init_and_issue_and_show_work_together() {
    let home = tempfile::tempdir().unwrap();
    let certs = |arguments: &[&str]| {
        let mut command = tidings();
        command
            .arg("certs")
            .args(arguments)
            .current_dir(home.path());
        run(command)
    };
    let made = certs(&["init"]);
    assert_eq!(made.code, Some(0), "{made:#?}");
    assert!(
        made.out.contains(&"made certs/alice.key".to_owned()),
        "{made:#?}"
    );
    assert_eq!(certs(&["issue", "carol"]).code, Some(0));
    check_usage(&certs(&["issue", "carol"]), &["carol.crt"]);
    let shown = certs(&["show", "carol"]).out.join("\n");
    assert!(
        shown.contains("identity cn:") && shown.contains("carol"),
        "{shown}"
    );

    let folder = home.path().join("certs");
    let mut command = serve_files(
        &folder.join("ca.crt"),
        &folder.join("server.crt"),
        &folder.join("server.key"),
    );
    command.current_dir(home.path());
    let broker = Broker::launch(command, &Arc::new(Certificates::new()));
    for name in ["carol", "bob"] {
        let mut command = tidings();
        let server = format!("localhost:{}", broker.address.port());
        command
            .args(["pub", "-s", &server, "--as", name, "-t", "a", "-m", "1"])
            .current_dir(home.path());
        assert_eq!(run(command).code, Some(0), "{name}");
    }
}
