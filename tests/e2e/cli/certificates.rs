//! Certificates and keys of every usual form, and `tidings certs`.

use std::{fs, path::PathBuf, sync::Arc};

use tidings::pki::{Authority, CertificateRequest, Validity};

use super::{check_usage, name_of, serve_files};
use crate::support::{Broker, Certificates, Files, openssl, run, tidings};

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
