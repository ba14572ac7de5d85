use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt};

use tempfile::TempDir;

use super::*;
use crate::{identity::IdentityError, pki::RevocationList};

fn folder() -> (TempDir, CertificateFolder) {
    let temporary = tempfile::tempdir().unwrap();
    let folder = CertificateFolder::new(temporary.path().join("deep/certs"));
    (temporary, folder)
}

/// A folder as `init` makes it.
pub(super) fn made_folder() -> (TempDir, CertificateFolder) {
    let temporary = tempfile::tempdir().unwrap();
    let folder = CertificateFolder::new(temporary.path());
    folder
        .init(Validity::default(), &ServerNames::default())
        .unwrap();
    (temporary, folder)
}

pub(super) fn certificate(folder: &CertificateFolder, name: &str) -> RevocationTarget {
    RevocationTarget::Certificate(folder.certificate(name))
}

pub(super) fn crl(folder: &CertificateFolder) -> RevocationList {
    folder.authority().unwrap().read_crl(&folder.crl()).unwrap()
}

pub(super) fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

fn contents(folder: &CertificateFolder) -> BTreeMap<PathBuf, Vec<u8>> {
    fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

#[test]
fn init_makes_what_is_missing_and_overwrites_nothing() {
    let (_temporary, folder) = folder();
    let first = folder
        .init(Validity::default(), &ServerNames::default())
        .unwrap();
    assert!(first.left.is_empty());
    let before = contents(&folder);
    let mut made = first.made.clone();
    made.sort();
    assert!(before.keys().eq(&made), "{made:?}");
    assert_eq!(made.len(), 10);

    let second = folder
        .init(Validity::default(), &ServerNames::default())
        .unwrap();
    assert!(second.made.is_empty());
    assert_eq!(second.left.len(), 10);
    assert_eq!(contents(&folder), before);

    fs::remove_file(folder.key("bob")).unwrap();
    fs::remove_file(folder.certificate("bob")).unwrap();
    let third = folder
        .init(Validity::default(), &ServerNames::default())
        .unwrap();
    assert_eq!(third.made, [folder.key("bob"), folder.certificate("bob")]);
    assert_eq!(
        contents(&folder).get(&folder.ca()),
        before.get(&folder.ca())
    );
}

#[test]
fn many_at_once_make_each_file_once() {
    let (_temporary, folder) = folder();
    let made: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    folder
                        .init(Validity::default(), &ServerNames::default())
                        .unwrap()
                        .made
                        .len()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(made, 10);
}

#[test]
fn keys_are_private_and_certificates_are_not() {
    let (_temporary, folder) = folder();
    for path in folder
        .init(Validity::default(), &ServerNames::default())
        .unwrap()
        .made
    {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let is_key = path.extension().is_some_and(|extension| extension == "key");
        // A stricter umask may take more away from a certificate.
        let expected = if is_key {
            mode == 0o600
        } else {
            mode & !0o644 == 0
        };
        assert!(expected, "{} has mode {mode:o}", path.display());
    }
}

#[test]
fn issue_overwrites_nothing() {
    let (_temporary, folder) = folder();
    let request = CertificateRequest::client("carol");
    assert!(matches!(
        folder.issue("carol", &request),
        Err(IssueError::NoAuthority { .. })
    ));
    folder
        .init(Validity::default(), &ServerNames::default())
        .unwrap();
    let files = folder.issue("carol", &request).unwrap();
    assert_eq!(files.certificate, folder.certificate("carol"));
    let before = contents(&folder);
    assert!(matches!(
        folder.issue("carol", &request),
        Err(IssueError::AlreadyThere { path }) if path == files.certificate
    ));
    assert_eq!(contents(&folder), before);
}

#[test]
fn half_a_pair_is_told_and_left_alone() {
    let (_temporary, folder) = folder();
    folder
        .init(Validity::default(), &ServerNames::default())
        .unwrap();

    // A client's key may have gone to the client.
    fs::remove_file(folder.key("alice")).unwrap();
    assert!(
        folder
            .init(Validity::default(), &ServerNames::default())
            .unwrap()
            .made
            .is_empty()
    );

    fs::remove_file(folder.certificate("bob")).unwrap();
    for fault in [
        folder
            .init(Validity::default(), &ServerNames::default())
            .map(drop),
        folder
            .issue("bob", &CertificateRequest::client("bob"))
            .map(drop),
    ] {
        let fault = fault.unwrap_err();
        assert!(
            matches!(fault, IssueError::KeyWithoutCertificate { .. }),
            "{fault}"
        );
    }
    fs::remove_file(folder.key("bob")).unwrap();

    fs::remove_file(folder.key("ca")).unwrap();
    let fault = folder
        .init(Validity::default(), &ServerNames::default())
        .unwrap_err();
    assert!(
        matches!(fault, IssueError::AuthorityKeyMissing { .. }),
        "{fault}"
    );

    fs::remove_file(folder.ca()).unwrap();
    let before = contents(&folder);
    let fault = folder
        .init(Validity::default(), &ServerNames::default())
        .unwrap_err();
    assert!(
        matches!(fault, IssueError::AuthorityMissing { .. }),
        "{fault}"
    );
    assert_eq!(contents(&folder), before);
}

#[test]
fn a_dangling_link_is_not_written_through() {
    let (temporary, folder) = folder();
    folder
        .init(Validity::default(), &ServerNames::default())
        .unwrap();
    let target = temporary.path().join("elsewhere");
    std::os::unix::fs::symlink(&target, folder.key("carol")).unwrap();
    assert!(
        folder
            .issue("carol", &CertificateRequest::client("carol"))
            .is_err()
    );
    assert!(!target.exists());
}

#[test]
fn a_certificate_does_not_outlive_its_ca() {
    let (_temporary, folder) = folder();
    folder
        .init(Validity::default(), &ServerNames::default())
        .unwrap();
    let mut request = CertificateRequest::client("carol");
    request.valid = Validity::days(5_000);
    let fault = folder.issue("carol", &request).unwrap_err();
    assert!(
        matches!(fault, IssueError::OutlivesAuthority { .. }),
        "{fault}"
    );
    assert!(!folder.key("carol").exists());
}

#[test]
fn refuses_names_that_are_no_file_names() {
    let (_temporary, folder) = folder();
    folder
        .init(Validity::default(), &ServerNames::default())
        .unwrap();
    let before = contents(&folder);
    let long = "x".repeat(65);
    for (name, fault) in [
        ("", NameError::Empty),
        (long.as_str(), NameError::TooLong),
        ("a/b", NameError::Separator),
        ("a\\b", NameError::Separator),
        ("..", NameError::Beginning),
        (".hidden", NameError::Beginning),
        ("-x", NameError::Beginning),
        ("a\nb", NameError::Unprintable),
        ("a\u{202e}b", NameError::Unprintable),
        (
            "alice ",
            NameError::NoIdentity(IdentityError::LooseSpace { position: 6 }),
        ),
        (
            "a\u{2800}",
            NameError::NoIdentity(IdentityError::UnseenCharacter {
                character: '\u{2800}',
                position: 2,
            }),
        ),
        ("ca", NameError::Reserved),
        ("CA", NameError::Reserved),
    ] {
        match folder.issue(name, &CertificateRequest::client("x")) {
            Err(IssueError::Name(told)) => assert_eq!(told, fault, "{name:?}"),
            other => panic!("{name:?}: {other:?}"),
        }
    }
    assert_eq!(contents(&folder), before);
    for name in [
        "sensor 7",
        "o'brien",
        "alice@example.org",
        "j\u{fc}rgen",
        &long[1..],
    ] {
        folder
            .issue(name, &CertificateRequest::client(name))
            .unwrap();
    }
}
