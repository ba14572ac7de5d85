//! Several authorities, and the files that say whom they vouch for and whom no more.

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc};

use chrono::TimeDelta;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_ED25519,
};
use tidings::pki::{Authority, CertificateRequest};

use crate::support::{
    AUTHENTICATE, Broker, Certificates, Client, DISCONNECT, Files, Process, audit_in, complaints,
    crl_of, run, s_client, tls_of,
};

/// A client of this authority, its files beside those of the broker's own.
fn issue(certificates: &Certificates, authority: &Authority, name: &str) -> Files {
    let files = certificates.files(name);
    let request = CertificateRequest::client(name);
    authority.issue(&request).unwrap().write(&files).unwrap();
    files
}

/// Puts a file in the place of another at once, as a careful person would.
fn put(certificates: &Certificates, name: &str, contents: impl AsRef<[u8]>) -> String {
    let (aside, path) = (
        certificates.folder().join("aside"),
        certificates.folder().join(name),
    );
    fs::write(&aside, contents).unwrap();
    fs::rename(&aside, &path).unwrap();
    path.to_str().unwrap().to_owned()
}

fn signed(authority: &Authority, revoked: &[Files]) -> String {
    authority
        .sign_crl(&crl_of(revoked, TimeDelta::days(1)))
        .unwrap()
}

/// Whether openssl, which looks at the names of authorities, gets its two answers.
fn openssl_gets_in(broker: &Broker, ca: &Authority, files: &Files) -> bool {
    let roots = broker.certificates.folder().join("server-ca.crt");
    fs::write(&roots, ca.certificate_pem()).unwrap();
    let mut command = s_client(broker.address, &roots, Some(files));
    command.arg("-quiet");
    let mut process = Process::spawn(command);
    process.write(format!("{AUTHENTICATE}\n{DISCONNECT}\n").as_bytes());
    let outcome = process.wait();
    outcome.code == Some(0) && outcome.out.len() == 2
}

#[test]
fn a_ca_with_two_keys_keeps_the_lists_of_both() {
    let certificates = Arc::new(Certificates::new());
    let old = &certificates.authority;
    // The same name does not make it the same CA.
    let new = Authority::generate("tests").unwrap();
    put(&certificates, "server-ca.crt", old.certificate_pem());
    put(
        &certificates,
        "ca.crt",
        old.certificate_pem().to_owned() + new.certificate_pem(),
    );
    let of_old = ["a", "b"].map(|name| issue(&certificates, old, name));
    let of_new = ["c", "d"].map(|name| issue(&certificates, &new, name));
    // Each list also names a number that is another certificate with the other CA.
    let list_of_old = signed(old, &[of_old[1].clone(), of_new[0].clone()]);
    let list_of_new = signed(&new, &[of_new[1].clone(), of_old[0].clone()]);
    let crl = put(
        &certificates,
        "both.crl",
        list_of_old.clone() + &list_of_new,
    );
    let broker = Broker::with_certificates(&certificates, &["--log-format", "json", "--crl", &crl]);
    for (good, revoked) in [&of_old, &of_new].map(|[good, revoked]| (good, revoked)) {
        assert!(openssl_gets_in(&broker, old, good));
        assert!(!openssl_gets_in(&broker, old, revoked));
    }
    let refused = broker.log().wait_until("two refusals", |lines| {
        let trail = audit_in(lines).into_iter();
        let refused: Vec<_> = trail
            .filter(|line| line["event"] == "tls_refused")
            .collect();
        (refused.len() >= 2).then_some(refused)
    });
    assert!(
        refused
            .iter()
            .all(|line| line["code"] == "certificate_revoked"),
        "{refused:#?}"
    );

    // Those who are here, too, are judged by their own CA's list alone.
    let dial = |name: &str| {
        let mut client = broker.dial(name).unwrap();
        client.take_greeting();
        client.send(AUTHENTICATE);
        client.expect("authentication_accepted");
        client
    };
    let (mut a, mut c) = (dial("a"), dial("c"));
    let of_new_now = signed(&new, &[of_new[0].clone(), of_old[0].clone()]);
    put(&certificates, "both.crl", list_of_old + &of_new_now);
    assert_eq!(broker.reload()["event"], "reloaded");
    assert_eq!(c.last_line().text_of("code"), "certificate_revoked");
    let told: Vec<_> = a
        .fence()
        .iter()
        .map(|line| line.event().to_owned())
        .collect();
    assert_eq!(told, ["client_authenticated", "client_disconnected"]);
}

#[test]
fn a_list_that_the_ca_did_not_sign_is_refused_at_start_and_at_a_reload() {
    let certificates = Arc::new(Certificates::new());
    let namesake = Authority::generate("tests").unwrap();
    let [alice, _bob] = ["alice", "bob"].map(|name| certificates.client(name));
    let good = fs::read(certificates.revoke(&[])).unwrap();
    let forged = signed(&namesake, &[alice]);
    let crl = put(&certificates, "ca.crl", &forged);
    let mut command = crate::support::serve(&certificates);
    command.args(["--listen", "127.0.0.1:0", "--crl", &crl]);
    let outcome = run(command);
    assert_eq!(outcome.code, Some(64), "{outcome:?}");
    let [error] = outcome.err.as_slice() else {
        panic!("one line: {outcome:?}");
    };
    assert!(
        error.contains(&format!("revocation list 1 in {crl}")) && error.contains("another key"),
        "{error}"
    );

    put(&certificates, "ca.crl", &good);
    let broker = Broker::with_certificates(&certificates, &["--log-format", "json", "--crl", &crl]);
    let mut alice = broker.client("alice");
    let mut flipped = pem_to_der(&good);
    *flipped.last_mut().unwrap() ^= 1;
    for bad in [forged.as_bytes(), &flipped] {
        put(&certificates, "ca.crl", bad);
        let refused = broker.reload();
        assert_eq!(refused["event"], "reload_refused");
        let reason = refused["reason"].as_str().unwrap();
        assert!(
            reason.contains("ca.crl") && reason.contains("another key"),
            "{reason}"
        );
        // Nobody is thrown out by it, and nobody is kept out.
        assert!(alice.fence().is_empty());
        broker.greeted("bob");
    }
}

fn pem_to_der(list: &[u8]) -> Vec<u8> {
    use rustls::pki_types::{CertificateRevocationListDer, pem::PemObject};
    CertificateRevocationListDer::from_pem_slice(list)
        .unwrap()
        .to_vec()
}

/// Their names together are more than TLS has room for.
#[test]
fn a_client_of_one_among_hundreds_of_authorities_gets_in() {
    let certificates = Arc::new(Certificates::new());
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let authority = |number: usize| {
        let mut params = CertificateParams::default();
        let name = format!("an authority with a long name, number {number:0>60}");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let all: String = (0..700)
        .map(|number| authority(number).self_signed(&key).unwrap().pem())
        .collect();
    let own = certificates.authority.certificate_pem();
    put(&certificates, "ca.crt", own.to_owned() + &all);
    let last = Issuer::new(authority(699), &key);
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "last");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let own_key = KeyPair::generate().unwrap();
    let files = certificates.files("last");
    fs::write(
        &files.certificate,
        params.signed_by(&own_key, &last).unwrap().pem(),
    )
    .unwrap();
    fs::write(&files.key, own_key.serialize_pem()).unwrap();

    let broker = Broker::with_certificates(&certificates, &["--tls-min", "1.2"]);
    broker.client("alice");
    assert_eq!(
        broker
            .dial("last")
            .unwrap()
            .take_greeting()
            .text_of("identity"),
        "last"
    );
    assert!(openssl_gets_in(&broker, &certificates.authority, &files));
    let mut command = s_client(broker.address, &certificates.ca(), Some(&files));
    command.arg("-tls1_2");
    let outcome = run(command);
    let told = "No client certificate CA names sent";
    assert!(outcome.out.iter().any(|line| line == told), "{outcome:?}");
    // With few, clients are told them.
    put(&certificates, "ca.crt", own);
    let broker = Broker::with_certificates(&certificates, &[]);
    let outcome = run(s_client(broker.address, &certificates.ca(), Some(&files)));
    let told = "Acceptable client certificate CA names";
    assert!(
        outcome.out.iter().any(|line| line == told),
        "{:?}",
        complaints(&outcome)
    );
}

/// What a person makes with `cat`, an editor or a spreadsheet.
#[test]
fn each_ca_of_a_file_counts_or_the_file_is_refused() {
    let certificates = Arc::new(Certificates::new());
    let other = Authority::generate("other").unwrap();
    let (one, two) = (
        certificates.authority.certificate_pem(),
        other.certificate_pem(),
    );
    let both = one.to_owned() + two;
    put(&certificates, "server-ca.crt", one);
    certificates.client("alice");
    issue(&certificates, &other, "bob");
    let forms = [
        one.trim_end().to_owned() + two.trim_end(),
        format!("\u{feff}{}", two.to_owned() + one),
        both.replace('\n', "\n  ")
            .replacen("-----BEGIN", "  -----BEGIN", 1),
        both.replace("CERTIFICATE", "X509 CERTIFICATE")
            .replace('\n', "\r\n"),
    ];
    for form in forms {
        put(&certificates, "ca.crt", &form);
        let broker = Broker::with_certificates(&certificates, &[]);
        for name in ["alice", "bob"] {
            let roots = certificates.folder().join("server-ca.crt");
            let tls = tls_of(&roots, Some(&certificates.files(name)));
            let mut client = Client::dial(broker.address, &tls).unwrap();
            assert_eq!(client.take_greeting().text_of("identity"), name, "{form}");
        }
    }
    let refused = [
        one.to_owned() + &two.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
        one.to_owned() + &two[1..],
    ];
    for form in refused {
        put(&certificates, "ca.crt", &form);
        let outcome = run(crate::support::serve(&certificates));
        assert_eq!(outcome.code, Some(64), "{outcome:?}");
        let line = format!("line {} ", one.lines().count() + 1);
        let [error] = outcome.err.as_slice() else {
            panic!("one line: {outcome:?}");
        };
        assert!(error.contains("ca.crt") && error.contains(&line), "{error}");
    }
}

/// The broker's own chain, and a client's of the command line, are read by the same reader.
#[test]
fn a_chain_loses_no_intermediate_to_a_missing_newline() {
    let certificates = Arc::new(Certificates::new());
    let root = Authority::generate_root("root", 1, Default::default()).unwrap();
    let middle = root.intermediate("middle").unwrap();
    put(&certificates, "ca.crt", root.certificate_pem());
    for (name, request) in [
        ("server", Certificates::server_request()),
        ("alice", CertificateRequest::client("alice")),
    ] {
        let issued = middle.issue(&request).unwrap();
        let joined = issued.certificate_pem.replace("-----\n-----", "----------");
        assert_ne!(joined, issued.certificate_pem);
        put(&certificates, &format!("{name}.crt"), joined);
        fs::write(certificates.files(name).key, issued.key_pem).unwrap();
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(certificates.files(name).key, private).unwrap();
    }
    let broker = Broker::with_certificates(&certificates, &[]);
    let outcome = run(broker.cli("alice", &["pub", "-t", "a", "-m", "1"]));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
}
