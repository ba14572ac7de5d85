//! Certificates that are revoked, that end, or that were never good: at the door and inside.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use chrono::{TimeDelta, Utc};
use rustix::process::Signal;
use tidings::pki::{Authority, CertificateRequest, Validity};

use crate::support::{
    AUTHENTICATE, Broker, Certificates, Client, DISCONNECT, End, Files, PolicyFolder, Process,
    Witness, audit_in, crl_of, publish_ref, run, s_client, subscribe, tidings, tls_of,
};

fn text(path: PathBuf) -> String {
    path.to_str().unwrap().to_owned()
}

/// A broker that asks the CA's revocation list.
fn broker_with_crl(certificates: &Arc<Certificates>) -> Broker {
    let crl = text(certificates.revoke(&[]));
    Broker::with_certificates(certificates, &["--log-format", "json", "--crl", &crl])
}

/// What `openssl s_client` could resume its session with, if the broker gave it anything.
fn keep_session(broker: &Broker, files: &Files, session: &Path) {
    let mut command = s_client(broker.address, &broker.certificates.ca(), Some(files));
    command.args(["-quiet", "-sess_out"]).arg(session);
    let mut process = Process::spawn(command);
    process.write(format!("{AUTHENTICATE}\n{DISCONNECT}\n").as_bytes());
    let outcome = process.wait();
    assert_eq!(
        (outcome.code, outcome.out.len()),
        (Some(0), 2),
        "{outcome:?}"
    );
}

#[test]
fn acceptance_2_a_revoked_client_is_closed_at_once_and_does_not_come_back() {
    let certificates = Arc::new(Certificates::new());
    let broker = broker_with_crl(&certificates);
    let witness = Witness::start(&broker);
    let mut alice = broker.client("alice");
    let mut bob = broker.client("bob");
    alice.expect("client_authenticated");
    bob.send(&subscribe("news"));
    bob.expect("subscribed");
    let scratch = tempfile::tempdir().unwrap();
    let session = scratch.path().join("session");
    keep_session(&broker, &certificates.client("bob"), &session);

    certificates.revoke(&["bob"]);
    let asked = std::time::Instant::now();
    broker.signal(Signal::HUP);
    let goodbye = bob.last_line();
    let took = asked.elapsed();
    assert_eq!(goodbye.event(), "connection_closing");
    assert_eq!(goodbye.text_of("code"), "certificate_revoked");
    assert_eq!(goodbye.content()["retryable"], false);
    // The promise to operators is a second; a loaded machine that runs tests gets some more.
    assert!(took < std::time::Duration::from_secs(5), "{took:?}");
    let (told, _) = alice.fence_with_roster();
    let told = told.last().expect("alice is told");
    assert_eq!(told.text_of("reason"), "certificate_revoked");
    broker.audit("certificate_revoked", "bob");

    // Neither anew nor by what it kept of its last session: there is nothing to keep.
    assert!(matches!(refused(&broker, "bob"), End::Alert(_)));
    assert!(!session.exists(), "a session that could be resumed");
    let files = certificates.client("bob");
    let mut command = s_client(broker.address, &certificates.ca(), Some(&files));
    command.args(["-quiet", "-tls1_3"]);
    let outcome = run(command);
    assert!(outcome.out.is_empty(), "{outcome:?}");
    assert_ne!(outcome.code, Some(0), "{outcome:?}");
    let refusals = broker.log().wait_until("two refusals", |lines| {
        Some(tls_refusals_in(lines)).filter(|refusals| refusals.len() >= 2)
    });
    assert!(
        refusals
            .iter()
            .all(|line| line["code"] == "certificate_revoked"),
        "{refusals:#?}"
    );
    assert!(witness.finish().messages > 0);
}

/// How the broker ends the attempt of `name` to get in.
fn refused(broker: &Broker, name: &str) -> End {
    match broker.dial(name) {
        // In TLS 1.3 the client is done before the server has judged it.
        Ok(mut client) => client.try_next().expect_err("nothing is said to it"),
        Err(error) => panic!("before the end of the handshake: {error}"),
    }
}

fn tls_refusals_in(lines: &[String]) -> Vec<serde_json::Value> {
    let trail = audit_in(lines).into_iter();
    trail
        .filter(|line| line["event"] == "tls_refused")
        .collect()
}

#[test]
fn a_certificate_that_ends_ends_its_connection() {
    let certificates = Arc::new(Certificates::new());
    let broker = Broker::with_certificates(&certificates, &["--log-format", "json"]);
    let mut alice = broker.client("alice");
    let mut request = CertificateRequest::client("brief");
    request.valid = Validity {
        not_after: Utc::now() + TimeDelta::seconds(3),
        ..Validity::default()
    };
    certificates.issue("brief", &request);
    let mut brief = broker.client("brief");
    alice.expect("client_authenticated");
    let goodbye = brief.last_line();
    assert_eq!(goodbye.text_of("code"), "certificate_expired");
    assert!(Utc::now() >= request.valid.not_after);
    let gone = alice.expect("client_disconnected");
    assert_eq!(gone.text_of("reason"), "certificate_expired");
    broker.audit("certificate_expired", "brief");
    assert!(matches!(refused(&broker, "brief"), End::Alert(_)));
}

#[test]
fn acceptance_3_every_certificate_that_does_not_do_is_refused_with_its_own_reason() {
    let certificates = Arc::new(Certificates::new());
    let folder = PolicyFolder::with_rules(
        "[[rule]]\nidentity = [\"*\"]\npublish = [\"plant/{identity}/#\"]\n",
    );
    let crl = text(certificates.revoke(&[]));
    let access = folder.argument("access.toml");
    let broker = Broker::with_certificates(
        &certificates,
        &["--log-format", "json", "--crl", &crl, "--access", &access],
    );
    let other = Certificates::new();
    let client = |name: &str| CertificateRequest::client(name);
    let days = |from, to| Validity {
        not_before: Utc::now() + TimeDelta::days(from),
        not_after: Utc::now() + TimeDelta::days(to),
    };
    let issue = |name: &str, request: CertificateRequest| Some(certificates.issue(name, &request));
    certificates.client("revoked");
    certificates.revoke(&["revoked"]);
    broker.reload();

    // What is refused in TLS: the peer gets an alert, the log the reason.
    let in_tls: Vec<(&str, Option<Files>)> = vec![
        ("none", None),
        ("another CA's", Some(other.client("alice"))),
        (
            "expired",
            issue(
                "expired",
                CertificateRequest {
                    valid: days(-9, -1),
                    ..client("expired")
                },
            ),
        ),
        (
            "not yet valid",
            issue(
                "early",
                CertificateRequest {
                    valid: days(1, 9),
                    ..client("early")
                },
            ),
        ),
        ("for servers", Some(certificates.files("server"))),
        ("a chain of 60", Some(chain_of_60(&certificates))),
        ("revoked", Some(certificates.files("revoked"))),
    ];
    let mut reasons = Vec::new();
    for (number, (what, files)) in in_tls.into_iter().enumerate() {
        let tls = tls_of(&certificates.ca(), files.as_ref());
        let end = match Client::dial(broker.address, &tls) {
            Ok(mut client) => client.try_next().expect_err(what),
            Err(error) => panic!("{what}: {error}"),
        };
        assert!(matches!(end, End::Alert(_)), "{what}: {end:?}");
        let line = broker.log().wait_until("the refusal", |lines| {
            tls_refusals_in(lines).into_iter().nth(number)
        });
        assert!(line["address"].as_str().unwrap().starts_with("127.0.0.1:"));
        reasons.push((what, line["reason"].as_str().unwrap().to_owned()));
    }
    // What has no usable name is told so.
    let named = |file: &str, name: &str| Some(certificates.client_called(file, name));
    let mut nameless = client("x");
    nameless.names.common_names.clear();
    let mut two_names = client("one");
    two_names.names.common_names.push("two".to_owned());
    let by_name: Vec<(&str, &str, Option<Files>)> = vec![
        (
            "no common name",
            "identity_missing",
            issue("nameless", nameless),
        ),
        (
            "two common names",
            "identity_missing",
            issue("two", two_names),
        ),
        ("a line break", "identity_missing", named("break", "a\nb")),
        ("a plus", "identity_denied", named("plus", "a+b")),
        ("a hash", "identity_denied", named("hash", "#")),
        ("a slash", "identity_denied", named("slash", "a/b")),
        ("a dollar", "identity_denied", named("dollar", "$SYS")),
    ];
    for (what, code, files) in by_name {
        let tls = tls_of(&certificates.ca(), files.as_ref());
        let refused = Client::dial(broker.address, &tls).unwrap().last_line();
        assert_eq!(refused.event(), "connection_refused", "{what}");
        assert_eq!(refused.text_of("code"), code, "{what}");
        reasons.push((what, refused.text_of("reason").to_owned()));
    }
    // The four that differ by one character alone are told alike but for the name.
    for (at, (what, reason)) in reasons.iter().enumerate() {
        for (other, told) in &reasons[at + 1..] {
            assert_ne!(reason, told, "{what} and {other}");
        }
    }
    // Nobody else was troubled.
    broker.client("alice");
}

#[test]
fn two_uris_are_no_identity() {
    let certificates = Arc::new(Certificates::new());
    let mut request = CertificateRequest::client("x");
    request.names.uris = vec!["spiffe://plant/a".to_owned(), "spiffe://plant/b".to_owned()];
    certificates.issue("two", &request);
    request.names.uris.pop();
    certificates.issue("one", &request);
    let broker = Broker::with_certificates(&certificates, &["--identity-from", "san-uri"]);
    let refused = broker.dial("two").unwrap().last_line();
    assert_eq!(refused.text_of("code"), "identity_missing");
    assert!(
        refused.text_of("reason").contains("more than one"),
        "{}",
        refused.text
    );
    let greeting = broker.dial("one").unwrap().take_greeting();
    assert_eq!(greeting.text_of("identity"), "spiffe://plant/a");
}

#[test]
fn a_revocation_list_that_is_stale_or_missing_lets_nobody_in() {
    let certificates = Arc::new(Certificates::new());
    let broker = broker_with_crl(&certificates);
    let mut alice = broker.client("alice");
    // Of the CA itself, in date for two seconds more.
    certificates.write_crl(&crl_of(&[], TimeDelta::seconds(2)));
    assert_eq!(broker.reload()["event"], "reloaded");
    let stale = loop {
        match broker.dial("bob").unwrap().try_next() {
            Ok(_) => {}
            Err(_) => {
                break broker
                    .log()
                    .wait_until("the refusal", |lines| tls_refusals_in(lines).pop());
            }
        }
    };
    assert!(
        stale["reason"]
            .as_str()
            .unwrap()
            .contains("revocation list"),
        "{stale}"
    );
    // Who is here stays, and is not cut off by a late download.
    alice.send(&publish_ref("a", "1", "r"));
    alice.expect("published");
    certificates.revoke(&[]);
    assert_eq!(broker.reload()["event"], "reloaded");
    broker.client("carol");

    // An issuer without a list of its own.
    let root = Authority::generate_root("root", 1, Validity::default()).unwrap();
    let middle = root.intermediate("middle").unwrap();
    let folder = PolicyFolder::new();
    folder.put("ca.crt", root.certificate_pem());
    folder.put(
        "root.crl",
        root.sign_crl(&crl_of(&[], TimeDelta::days(1))).unwrap(),
    );
    let files = |name: &str| Files {
        certificate: folder.path(&format!("{name}.crt")),
        key: folder.path(&format!("{name}.key")),
    };
    let server = Certificates::server_request();
    middle
        .issue(&server)
        .unwrap()
        .write(&files("server"))
        .unwrap();
    middle
        .issue(&CertificateRequest::client("alice"))
        .unwrap()
        .write(&files("alice"))
        .unwrap();
    let mut command = tidings();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"])
        .args(["--ca", &folder.argument("ca.crt")])
        .args([
            "--cert",
            &folder.argument("server.crt"),
            "--key",
            &folder.argument("server.key"),
        ])
        .args(["--crl", &folder.argument("root.crl")]);
    let broker = Broker::launch(command, &certificates);
    let alice = tls_of(&folder.path("ca.crt"), Some(&files("alice")));
    let end = Client::dial(broker.address, &alice)
        .unwrap()
        .try_next()
        .unwrap_err();
    assert!(matches!(end, End::Alert(_)), "{end:?}");
    let unknown = broker
        .log()
        .wait_until("the refusal", |lines| tls_refusals_in(lines).pop());
    assert_ne!(unknown["reason"], stale["reason"]);
}

#[test]
fn an_authority_that_ends_takes_those_with_it_that_it_vouched_for() {
    let certificates = Arc::new(Certificates::new());
    let flags = ["--log-format", "json", "--reload-interval", "50ms"];
    let broker = Broker::with_certificates(&certificates, &flags);
    let mut alice = broker.deaf_client("alice");
    let brief = Validity {
        not_after: Utc::now() + TimeDelta::seconds(3),
        ..Validity::default()
    };
    let authority = Authority::generate_root("brief", 0, brief).unwrap();
    let both = [
        certificates.authority.certificate_pem(),
        authority.certificate_pem(),
    ]
    .concat();
    let folder = PolicyFolder::new();
    folder.put("ca.crt", both);
    fs::rename(folder.path("ca.crt"), certificates.ca()).unwrap();
    broker.reload();
    // Its own certificate says that it is good for a year.
    let files = certificates.files("bob");
    let bob = authority.issue(&CertificateRequest::client("bob")).unwrap();
    bob.write(&files).unwrap();
    let mut bob = broker.dial("bob").unwrap();
    bob.take_greeting();
    bob.send(AUTHENTICATE);
    bob.expect("authentication_accepted");
    assert_eq!(bob.last_line().text_of("code"), "permission_withdrawn");
    assert!(Utc::now() >= brief.not_after);
    assert!(alice.fence().is_empty());
    assert!(matches!(refused(&broker, "bob"), End::Alert(_)));
}

/// So long from now.
fn for_seconds(seconds: i64) -> Validity {
    Validity {
        not_after: Utc::now() + TimeDelta::seconds(seconds),
        ..Validity::default()
    }
}

/// A client of an authority that is not the one of `certificates`.
fn client_of(certificates: &Certificates, authority: &Authority, name: &str) {
    let issued = authority.issue(&CertificateRequest::client(name)).unwrap();
    issued.write(&certificates.files(name)).unwrap();
}

/// Nothing looks at the files here but SIGHUP.
#[test]
fn the_only_authority_is_trusted_until_it_ends_whatever_else_happens() {
    let certificates = Arc::new(Certificates::new());
    let folder = PolicyFolder::with_rules("[[rule]]\nidentity = [\"*\"]\npublish = [\"a\"]\n");
    let valid = for_seconds(4);
    let authority = Authority::generate_root("brief", 0, valid).unwrap();
    folder.put("ca.crt", authority.certificate_pem());
    for name in ["alice", "bob"] {
        client_of(&certificates, &authority, name);
    }
    let server = certificates.files("server");
    let mut command = tidings();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"])
        .args(["--ca", &folder.argument("ca.crt")])
        .args(["--cert", &text(server.certificate)])
        .args(["--key", &text(server.key)])
        .args(["--access", &folder.argument("access.toml")])
        .args(["--reload-interval", "0s"]);
    let broker = Broker::launch(command, &certificates);
    let mut alice = broker.client("alice");
    assert_eq!(alice.last_line().text_of("code"), "permission_withdrawn");
    assert!(Utc::now() >= valid.not_after);
    let closed = broker.audit("permission_withdrawn", "alice");
    assert_eq!(
        closed["reason"],
        "the certificate is from a CA that has expired"
    );
    let stays_out = || assert!(matches!(refused(&broker, "bob"), End::Alert(_)));
    stays_out();
    let refusal = broker
        .log()
        .wait_until("the refusal", |lines| tls_refusals_in(lines).pop());
    assert_eq!(refusal["reason"], closed["reason"]);

    folder.put("access.toml", "[[rule]]\nidentity = [\"carol\"]\n");
    let told = broker.reload();
    assert_eq!(
        (&told["event"], &told["changed"]),
        (&"reloaded".into(), &folder.argument("access.toml").into())
    );
    // The same again and more of it: no fault, and no way in.
    folder.put("ca.crt", authority.certificate_pem().repeat(2));
    assert_eq!(broker.reload()["event"], "reloaded");
    stays_out();
    let good = fs::read(certificates.ca()).unwrap();
    folder.put("ca.crt", good);
    assert_eq!(broker.reload()["event"], "reloaded");
    broker.client("carol");
}

#[test]
fn a_revocation_is_taken_though_the_certificate_of_the_server_has_ended() {
    let certificates = Arc::new(Certificates::new());
    let valid = for_seconds(3);
    let server = CertificateRequest {
        valid,
        ..Certificates::server_request()
    };
    for file in [
        certificates.files("server").certificate,
        certificates.files("server").key,
    ] {
        fs::remove_file(file).unwrap();
    }
    certificates.issue("server", &server);
    let clock = CertificateRequest {
        valid,
        ..CertificateRequest::client("clock")
    };
    certificates.issue("clock", &clock);
    let broker = broker_with_crl(&certificates);
    let (mut alice, mut clock) = (broker.deaf_client("alice"), broker.deaf_client("clock"));
    assert_eq!(clock.last_line().text_of("code"), "certificate_expired");
    // The server's own has the same end.
    assert!(broker.dial("bob").is_err());
    certificates.revoke(&["alice"]);
    let told = broker.reload();
    assert_eq!(
        (&told["event"], &told["revoked"]),
        (&"reloaded".into(), &1.into())
    );
    assert_eq!(alice.last_line().text_of("code"), "certificate_revoked");
}

#[test]
fn a_list_that_has_run_out_keeps_out_no_newer_list_of_another_authority() {
    let certificates = Arc::new(Certificates::new());
    let other = Authority::generate("other").unwrap();
    client_of(&certificates, &other, "bob");
    client_of(&certificates, &other, "carol");
    let folder = PolicyFolder::new();
    let cas = [
        certificates.authority.certificate_pem(),
        other.certificate_pem(),
    ]
    .concat();
    fs::write(certificates.ca(), cas).unwrap();
    let put = |revoked: &[Files]| {
        let list = crl_of(revoked, TimeDelta::days(1));
        folder.put("other.crl", other.sign_crl(&list).unwrap());
    };
    put(&[]);
    let of_other = folder.argument("other.crl");
    let brief = text(certificates.write_crl(&crl_of(&[], TimeDelta::seconds(3))));
    let flags = ["--log-format", "json", "--crl", &brief, "--crl", &of_other];
    let broker = Broker::with_certificates(&certificates, &flags);
    let [mut alice, mut bob, mut carol] =
        ["alice", "bob", "carol"].map(|name| broker.deaf_client(name));
    while broker.dial("dave").unwrap().try_next().is_ok() {}

    put(&[certificates.files("bob")]);
    assert_eq!(broker.reload()["event"], "reloaded");
    assert_eq!(bob.last_line().text_of("code"), "certificate_revoked");
    // Who is here stays; newcomers that need the list stay out.
    assert!(alice.fence().is_empty() && carol.fence().is_empty());
    assert!(matches!(refused(&broker, "dave"), End::Alert(_)));
    // Another list that has ended is none to take.
    certificates.write_crl(&crl_of(&[], TimeDelta::seconds(-1)));
    assert_eq!(broker.reload()["event"], "reload_refused");
}

#[test]
fn a_broker_does_not_start_with_a_list_that_has_run_out() {
    let certificates = Certificates::new();
    let over = crl_of(&[], TimeDelta::days(-1));
    let crl = text(certificates.write_crl(&over));
    let mut command = crate::support::serve(&certificates);
    command.args(["--listen", "127.0.0.1:0", "--crl", &crl]);
    let outcome = run(command);
    assert_eq!(outcome.code, Some(64), "{outcome:?}");
    let [error] = outcome.err.as_slice() else {
        panic!("one line: {outcome:?}");
    };
    assert!(
        error.contains("ca.crl") && error.contains("expired"),
        "{error}"
    );
}

/// Everything by the commands alone, as in the README.
#[test]
fn certs_revoke_locks_a_development_client_out() {
    let folder = tempfile::tempdir().unwrap();
    let in_folder = |mut command: Command| {
        command.current_dir(folder.path());
        command
    };
    let mut command = in_folder(tidings());
    command.args([
        "serve",
        "--dev",
        "--listen",
        "127.0.0.1:0",
        "--log-format",
        "json",
    ]);
    let certificates = Arc::new(Certificates::new());
    let broker = Broker::launch(command, &certificates);
    let made = folder.path().join("certs");
    let files = |name: &str| Files {
        certificate: made.join(format!("{name}.crt")),
        key: made.join(format!("{name}.key")),
    };
    let dial = |name: &str| {
        Client::dial(
            broker.address,
            &tls_of(&made.join("ca.crt"), Some(&files(name))),
        )
    };
    let mut bob = dial("bob").unwrap();
    bob.take_greeting();
    let mut revoke = in_folder(tidings());
    revoke.args(["certs", "revoke", "bob"]);
    let outcome = run(revoke);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(broker.reload()["revoked"], 1);
    assert_eq!(bob.last_line().text_of("code"), "certificate_revoked");
    assert!(dial("bob").unwrap().try_next().is_err());
    let mut alice = dial("alice").unwrap();
    alice.take_greeting();
    let mut renew = in_folder(tidings());
    renew.args(["certs", "renew"]);
    assert_eq!(run(renew).code, Some(0));
    assert_eq!(broker.reload()["revoked"], 1);
    assert!(dial("bob").unwrap().try_next().is_err());
}

/// A certificate below sixty authorities.
fn chain_of_60(certificates: &Certificates) -> Files {
    let root = Authority::generate_root("deep", 60, Validity::default()).unwrap();
    let deepest = (0..60).fold(root, |above, depth| {
        above.intermediate(&format!("depth {depth}")).unwrap()
    });
    let files = certificates.files("deep");
    let issued = deepest.issue(&CertificateRequest::client("deep")).unwrap();
    issued.write(&files).unwrap();
    files
}
