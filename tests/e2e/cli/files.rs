//! Files that `serve` refuses, and how it names what is wrong with them.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use chrono::{TimeDelta, Utc};
use rustix::process::Signal;
use tidings::pki::{Authority, CertificateRequest, Validity};

use super::{check_usage, name_of, serve_files};
use crate::support::{Broker, Certificates, Process, run, serve, tidings};

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
            &["garbled, or of a kind that is not accepted"],
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
