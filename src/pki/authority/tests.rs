use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc};

use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::aws_lc_rs::default_provider,
    pki_types::{ServerName, UnixTime},
    server::WebPkiClientVerifier,
};

use rcgen::{BasicConstraints, IsCa};

use super::*;
use crate::pki::Purpose;

fn today() -> UnixTime {
    UnixTime::since_unix_epoch(crate::clock::since_1970(std::time::SystemTime::now()))
}

fn roots(authority: &Authority) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots
        .add(certificates(authority.certificate_pem()).remove(0))
        .unwrap();
    Arc::new(roots)
}

fn certificates(text: &str) -> Vec<CertificateDer<'static>> {
    pem::certificates(text.as_bytes()).unwrap()
}

fn is_good_client(authority: &Authority, pem: &str) -> bool {
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(authority), provider);
    let chain = certificates(pem);
    let verifier = verifier.build().unwrap();
    verifier
        .verify_client_cert(&chain[0], &chain[1..], today())
        .is_ok()
}

fn is_good_server(authority: &Authority, pem: &str, name: &'static str) -> bool {
    let provider = Arc::new(default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(authority), provider);
    let chain = certificates(pem);
    let name = ServerName::try_from(name).unwrap();
    let verifier = verifier.build().unwrap();
    verifier
        .verify_server_cert(&chain[0], &chain[1..], &name, &[], today())
        .is_ok()
}

fn written(
    folder: &tempfile::TempDir,
    certificate: &str,
    key: &str,
    mode: u32,
) -> (PathBuf, PathBuf) {
    let paths = (
        folder.path().join("some.crt"),
        folder.path().join("some.key"),
    );
    fs::write(&paths.0, certificate).unwrap();
    fs::write(&paths.1, key).unwrap();
    fs::set_permissions(&paths.1, fs::Permissions::from_mode(mode)).unwrap();
    paths
}

#[test]
fn each_certificate_serves_its_purpose_alone() {
    let authority = Authority::generate("root").unwrap();
    let mut request = CertificateRequest::client("alice");
    request.names.dns.push("alice.example".to_owned());
    for (purpose, client, server) in [
        (Purpose::Client, true, false),
        (Purpose::Server, false, true),
        (Purpose::Both, true, true),
    ] {
        request.purpose = purpose;
        let pem = authority.issue(&request).unwrap().certificate_pem;
        assert_eq!(is_good_client(&authority, &pem), client, "{purpose:?}");
        assert_eq!(
            is_good_server(&authority, &pem, "alice.example"),
            server,
            "{purpose:?}"
        );
    }
}

#[test]
fn only_its_own_ca_vouches_for_it_and_only_in_its_time() {
    let authority = Authority::generate("root").unwrap();
    let other = Authority::generate("root").unwrap();
    let mut request = CertificateRequest::client("alice");
    let pem = authority.issue(&request).unwrap().certificate_pem;
    assert!(!is_good_client(&other, &pem));

    request.valid.not_after = Utc::now() - chrono::TimeDelta::seconds(1);
    let pem = authority.issue(&request).unwrap().certificate_pem;
    assert!(!is_good_client(&authority, &pem));
}

#[test]
fn a_server_goes_by_its_names() {
    let authority = Authority::generate("root").unwrap();
    let pem = authority
        .issue(&CertificateRequest::localhost())
        .unwrap()
        .certificate_pem;
    for name in ["localhost", "127.0.0.1", "::1"] {
        assert!(is_good_server(&authority, &pem, name), "{name}");
    }
    assert!(!is_good_server(&authority, &pem, "example.org"));
}

#[test]
fn a_chain_leads_to_the_root() {
    let root = Authority::generate_root("root", 1, Validity::days(30)).unwrap();
    let intermediate = root.intermediate("intermediate").unwrap();
    let issued = intermediate
        .issue(&CertificateRequest::client("alice"))
        .unwrap();
    assert_eq!(certificates(&issued.certificate_pem).len(), 2);
    assert!(is_good_client(&root, &issued.certificate_pem));
    assert!(matches!(
        intermediate.intermediate("one too many"),
        Err(IssueError::NoIntermediates { .. })
    ));
}

#[test]
fn a_loaded_ca_signs_as_the_made_one() {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::generate_root("root", 1, Validity::days(30)).unwrap();
    let intermediate = root.intermediate("intermediate").unwrap();
    let text = format!(
        "subject=CN = intermediate\n{}between\n{}",
        intermediate.certificate_pem(),
        root.certificate_pem()
    );
    let (certificate, key) = written(&folder, &text, &intermediate.key_pem(), 0o600);
    let loaded = Authority::load(&certificate, &key).unwrap();
    let issued = loaded.issue(&CertificateRequest::client("alice")).unwrap();
    assert_eq!(certificates(&issued.certificate_pem).len(), 2);
    assert!(is_good_client(&root, &issued.certificate_pem));
}

#[test]
fn a_ca_is_loaded_only_from_files_that_make_one() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::generate("root").unwrap();
    let other = Authority::generate("other").unwrap();
    let leaf = authority
        .issue(&CertificateRequest::client("alice"))
        .unwrap();
    let (ca, ca_key) = (authority.certificate_pem(), authority.key_pem());
    let load = |certificate: &str, key: &str, mode| {
        let (certificate, key) = written(&folder, certificate, key, mode);
        Authority::load(&certificate, &key).unwrap_err()
    };

    let fault = load(ca, &ca_key, 0o644);
    assert!(fault.to_string().contains("chmod 600"), "{fault}");
    assert!(matches!(
        load(ca, &other.key_pem(), 0o600),
        IssueError::KeyMismatch { .. }
    ));
    assert!(matches!(load(ca, "", 0o600), IssueError::BadKey { .. }));
    assert!(matches!(
        load("", &ca_key, 0o600),
        IssueError::BadCertificate { .. }
    ));
    assert!(matches!(
        load(&leaf.certificate_pem, &leaf.key_pem, 0o600),
        IssueError::NotAuthority { .. }
    ));
}

#[test]
fn a_ca_whose_subject_cannot_be_copied_signs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut params = profiles::common(&["one", "two"], Validity::days(30)).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let key = keys::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    let (certificate, key) = written(&folder, &pem, &key.serialize_pem(), 0o600);
    let loaded = Authority::load(&certificate, &key).unwrap();
    let fault = loaded
        .issue(&CertificateRequest::client("alice"))
        .unwrap_err();
    assert!(
        matches!(fault, IssueError::AuthoritySubject { .. }),
        "{fault}"
    );
}

#[test]
fn tests_can_ask_for_odd_certificates() {
    let authority = Authority::generate("root").unwrap();
    let mut request = CertificateRequest::client("alice");
    request.names.common_names.clear();
    request.purpose = Purpose::Unstated;
    authority.issue(&request).unwrap();
    request.names.common_names = vec!["a".to_owned(), "b".to_owned()];
    request.names.uris = vec!["urn:a".to_owned(), "urn:b".to_owned()];
    authority.issue(&request).unwrap();
    request.names.common_names.push("c".to_owned());
    assert!(matches!(
        authority.issue(&request),
        Err(IssueError::TooManyCommonNames)
    ));
}

#[test]
fn refuses_times_that_are_none() {
    let authority = Authority::generate("root").unwrap();
    let mut request = CertificateRequest::client("alice");
    let good = request.valid;
    for valid in [
        Validity {
            not_before: good.not_after,
            not_after: good.not_before,
        },
        Validity::days(u32::MAX),
        Validity {
            not_before: DateTime::<Utc>::MIN_UTC,
            ..good
        },
        Validity {
            not_before: DateTime::UNIX_EPOCH - chrono::TimeDelta::seconds(1),
            ..good
        },
    ] {
        request.valid = valid;
        assert!(matches!(
            authority.issue(&request),
            Err(IssueError::Validity { .. })
        ));
    }
}

#[test]
fn no_key_shows_in_debug_text() {
    let authority = Authority::generate("root").unwrap();
    let issued = authority
        .issue(&CertificateRequest::client("alice"))
        .unwrap();
    assert!(!format!("{authority:?} {issued:?}").contains("PRIVATE"));
}
