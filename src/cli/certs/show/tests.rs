use std::fs;

use chrono::TimeDelta;

use super::*;
use crate::pki::{
    Authority, CertificateFolder, CertificateRequest, IssuedFiles, RevocationReason,
    RevocationTarget, ServerNames, Validity,
};

fn summary_of(request: &CertificateRequest) -> CertificateSummary {
    let folder = tempfile::tempdir().unwrap();
    let files = IssuedFiles {
        certificate: folder.path().join("some.crt"),
        key: folder.path().join("some.key"),
    };
    let authority = Authority::generate("root").unwrap();
    authority.issue(request).unwrap().write(&files).unwrap();
    CertificateSummary::read(&files.certificate)
        .unwrap()
        .remove(0)
}

fn shown(request: &CertificateRequest) -> Vec<(String, String)> {
    rows(Path::new("some.crt"), &summary_of(request), Utc::now())
}

fn value<'a>(rows: &'a [(String, String)], key: &str) -> Option<&'a str> {
    rows.iter()
        .find(|(found, _)| found == key)
        .map(|(_, value)| value.as_str())
}

#[test]
fn show_tells_which_identity_each_field_gives() {
    let mut request = CertificateRequest::client("alice");
    request.names.uris = vec!["urn:a".to_owned(), "urn:b".to_owned()];
    request.names.emails = vec!["alice@example.org".to_owned()];
    let rows = shown(&request);
    assert_eq!(value(&rows, "identity cn"), Some("alice"));
    assert_eq!(value(&rows, "identity san-dns"), Some("none"));
    assert_eq!(value(&rows, "identity san-uri"), Some("ambiguous"));
    assert_eq!(
        value(&rows, "identity san-email"),
        Some("alice@example.org")
    );
}

#[test]
fn show_gives_a_server_no_identity() {
    let rows = shown(&CertificateRequest::server("broker.example.org"));
    assert_eq!(value(&rows, "identity cn"), None);
    assert!(value(&rows, "identity").unwrap().starts_with("none"));
}

#[test]
fn show_spells_out_what_a_stranger_wrote() {
    let rows = shown(&CertificateRequest::client("a\nca: yes\u{202e}\u{1b}[2J"));
    assert_eq!(
        value(&rows, "subject"),
        Some(r"CN=a\nca: yes\u{202e}\u{1b}[2J")
    );
    assert!(value(&rows, "identity cn").unwrap().starts_with("none: "));
    for (_, value) in rows {
        assert!(!value.contains(char::is_control), "{value:?}");
    }
}

#[test]
fn show_tells_how_long_it_is_good() {
    let summary = summary_of(&CertificateRequest::client("alice"));
    let end = summary.not_after;
    for (now, expected) in [
        (summary.not_before - TimeDelta::seconds(1), "not valid yet"),
        (end - TimeDelta::days(30), "valid, 30 days left"),
        (end - TimeDelta::hours(36), "valid, 1 day left"),
        (end, "valid, 0 days left"),
        (end + TimeDelta::days(2), "expired 2 days ago"),
    ] {
        assert_eq!(state(&summary, now), expected);
    }
}

#[test]
fn show_tells_what_is_on_a_list() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = CertificateFolder::new(temporary.path());
    folder
        .init(Validity::default(), &ServerNames::default())
        .unwrap();
    let alice = RevocationTarget::Certificate(folder.certificate("alice"));
    let report = folder
        .revoke(&alice, RevocationReason::KeyCompromise)
        .unwrap();
    let path = find(Path::new("ca.crl"), temporary.path()).unwrap();
    assert_eq!(path, folder.crl());
    assert!(is_list(&path));
    let lists = CrlSummary::read(&path).unwrap();
    let rows = list_rows(&path, &lists[0], Utc::now());
    let certificate = CertificateSummary::read(&folder.certificate("alice")).unwrap();
    let entry = format!(
        "{} since {} (keyCompromise)",
        certificate[0].serial,
        day_and_time(report.revocation.since)
    );
    assert_eq!(value(&rows, "revoked"), Some(entry.as_str()));
    assert_eq!(value(&rows, "crl number"), Some("2"));
    assert_eq!(value(&rows, "state"), Some("valid, 396 days left"));
}

#[test]
fn show_tells_who_stands_beside_a_list() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = CertificateFolder::new(temporary.path());
    folder
        .init(Validity::default(), &ServerNames::default())
        .unwrap();
    let both =
        fs::read_to_string(folder.ca()).unwrap() + &fs::read_to_string(folder.crl()).unwrap();
    let certificate = temporary.path().join("both.crl");
    fs::write(&certificate, both).unwrap();
    let folder = FolderArgument {
        dir: temporary.path().to_owned(),
    };
    let mut out = Vec::new();
    let show = Show {
        certificate,
        folder,
    };
    show.run(&mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    for expected in ["crl number:", "sha256 fingerprint:"] {
        assert!(out.contains(expected), "{out}");
    }
}
