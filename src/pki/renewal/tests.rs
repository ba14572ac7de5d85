use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use crate::pki::{ServerNames, inspect::ListSummary};

fn folder() -> (TempDir, CertificateFolder) {
    let temporary = tempfile::tempdir().unwrap();
    let folder = CertificateFolder::new(temporary.path());
    folder
        .init(Validity::default(), &ServerNames::default())
        .unwrap();
    (temporary, folder)
}

fn certificate(folder: &CertificateFolder, name: &str) -> Revoked {
    Revoked::Certificate(folder.certificate(name))
}

fn list(folder: &CertificateFolder) -> RevocationList {
    RevocationList::read(&folder.crl(), &folder.authority().unwrap()).unwrap()
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn a_list_keeps_all_that_is_on_it() {
    let (_temporary, folder) = folder();
    let empty = list(&folder);
    assert_eq!((empty.number, empty.revocations.len()), (1, 0));
    let alice = folder
        .revoke(
            &certificate(&folder, "alice"),
            RevocationReason::KeyCompromise,
        )
        .unwrap();
    let by_number = Revoked::Serial("00:ff:01".parse().unwrap());
    let gone = folder.revoke(&by_number, RevocationReason::Unspecified);
    let gone = gone.unwrap();
    let third = folder.renew_crl().unwrap().list;
    assert_eq!(third.number, 4);
    assert_eq!(third.revocations, [alice.revocation, gone.revocation]);
    assert_eq!(third, list(&folder));
    let shown = ListSummary::read(&folder.crl()).unwrap();
    let shown = &shown[0].revocations;
    assert_eq!(shown[0].reason.as_deref(), Some("keyCompromise"));
    assert_eq!(
        (shown[1].serial.as_str(), &shown[1].reason),
        ("FF01", &None)
    );
}

#[test]
fn a_list_can_be_read_by_all_unless_somebody_decided_otherwise() {
    let (_temporary, folder) = folder();
    let mode = || fs::metadata(folder.crl()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o644);
    for wanted in [0o600, 0o664] {
        fs::set_permissions(folder.crl(), fs::Permissions::from_mode(wanted)).unwrap();
        assert_eq!(folder.renew_crl().unwrap().owner_lost, None);
        assert_eq!(mode(), wanted);
    }
}

#[test]
fn a_revoked_name_is_renewed_only_when_that_is_meant() {
    let (_temporary, folder) = folder();
    let before = text(&folder.certificate("alice"));
    let revoked = folder
        .revoke(&certificate(&folder, "alice"), RevocationReason::default())
        .unwrap();
    let fault = folder.renew("alice", IfRevoked::Refuse).unwrap_err();
    assert!(matches!(fault, IssueError::IsRevoked { .. }), "{fault}");
    assert!(fault.to_string().contains("--even-if-revoked"), "{fault}");
    assert_eq!(text(&folder.certificate("alice")), before);
    let report = folder.renew("alice", IfRevoked::Renew).unwrap();
    assert_eq!(report.old_revocation, Some(revoked.revocation));
    assert_ne!(text(&folder.certificate("alice")), before);
}

#[test]
fn an_old_certificate_that_is_good_is_kept() {
    let (_temporary, folder) = folder();
    assert_eq!(
        folder
            .renew("alice", IfRevoked::Refuse)
            .unwrap()
            .old_revocation,
        None
    );
    let names = [
        folder.certificate("alice"),
        folder.certificate("alice.old"),
        folder.key("alice.old"),
    ];
    let before = names.each_ref().map(|path| text(path));
    let fault = folder.renew("alice", IfRevoked::Refuse).unwrap_err();
    assert!(matches!(fault, IssueError::OldIsGood { .. }), "{fault}");
    assert!(
        fault.to_string().contains("tidings certs revoke "),
        "{fault}"
    );
    assert_eq!(names.each_ref().map(|path| text(path)), before);
    let old = certificate(&folder, "alice.old");
    folder.revoke(&old, RevocationReason::Superseded).unwrap();
    folder.renew("alice", IfRevoked::Refuse).unwrap();
    assert_eq!(text(&folder.certificate("alice.old")), before[0]);
}

#[test]
fn dates_and_reasons_of_a_list_from_elsewhere_are_kept() {
    let (_temporary, folder) = folder();
    let since = Utc::now().trunc_subsecs(0) - TimeDelta::days(400);
    let revocation = |serial: &str, reason, invalid_since| Revocation {
        serial: serial.parse().unwrap(),
        since,
        reason,
        invalid_since,
    };
    let before = RevocationList {
        number: u64::MAX - 1,
        this_update: since,
        next_update: since + TimeDelta::days(1),
        revocations: vec![
            revocation("80", RevocationReason::CertificateHold, None),
            revocation(
                "7F",
                RevocationReason::AaCompromise,
                Some(since - TimeDelta::days(1)),
            ),
        ],
    };
    let authority = folder.authority().unwrap();
    fs::write(folder.crl(), authority.sign_crl(&before).unwrap()).unwrap();
    let after = folder.renew_crl().unwrap().list;
    assert_eq!(after.revocations, before.revocations);
    assert_eq!(list(&folder), after);
}

#[test]
fn revoking_twice_changes_nothing() {
    let (_temporary, folder) = folder();
    let alice = certificate(&folder, "alice");
    let first = folder.revoke(&alice, RevocationReason::Superseded).unwrap();
    let before = text(&folder.crl());
    let second = folder
        .revoke(&alice, RevocationReason::KeyCompromise)
        .unwrap();
    assert!(second.was_there && !first.was_there);
    assert_eq!(second.revocation, first.revocation);
    assert_eq!(text(&folder.crl()), before);
}

#[test]
fn only_what_the_ca_issued_is_revoked_and_never_itself() {
    let (_temporary, folder) = folder();
    let (_other_temporary, other) = self::folder();
    let before = text(&folder.crl());
    let revoke = |what: &Revoked| {
        folder
            .revoke(what, RevocationReason::default())
            .unwrap_err()
    };
    let fault = revoke(&certificate(&other, "alice"));
    assert!(matches!(fault, IssueError::NotIssuedHere { .. }), "{fault}");
    let own = CertificateSummary::read(&folder.ca()).unwrap().remove(0);
    for what in [
        certificate(&folder, "ca"),
        Revoked::Serial(own.serial.parse().unwrap()),
    ] {
        let fault = revoke(&what);
        assert!(
            matches!(fault, IssueError::RevokesAuthority { .. }),
            "{fault}"
        );
    }
    assert_eq!(text(&folder.crl()), before);
}

#[test]
fn a_list_that_is_not_the_cas_is_not_continued() {
    let (_temporary, folder) = folder();
    let (_other_temporary, other) = self::folder();
    let good = text(&folder.crl());
    let (first, second) = (text(&other.crl()), format!("{good}{good}"));
    for text in ["", "garbage", &good[..good.len() / 2], &first, &second] {
        fs::write(folder.crl(), text).unwrap();
        let fault = folder.renew_crl().unwrap_err();
        assert!(
            matches!(fault, IssueError::BadRevocationList { .. }),
            "{fault}"
        );
        assert_eq!(self::text(&folder.crl()), text);
    }
}

#[test]
fn a_lost_list_is_begun_anew() {
    let (_temporary, folder) = folder();
    fs::remove_file(folder.crl()).unwrap();
    let made = folder
        .init(Validity::default(), &ServerNames::default())
        .unwrap()
        .made;
    assert_eq!(made, [folder.crl()]);
    fs::remove_file(folder.crl()).unwrap();
    let alice = certificate(&folder, "alice");
    let report = folder.revoke(&alice, RevocationReason::default()).unwrap();
    assert_eq!(report.list.number, 1);
    // Without the key there is nothing to sign one with, and all else is there.
    fs::remove_file(folder.crl()).unwrap();
    fs::remove_file(folder.key("ca")).unwrap();
    assert!(
        folder
            .init(Validity::default(), &ServerNames::default())
            .unwrap()
            .made
            .is_empty()
    );
}

#[test]
fn a_renewed_certificate_says_the_same_with_another_key() {
    let (_temporary, folder) = folder();
    let mut request = CertificateRequest::client("carol");
    request.purpose = Purpose::Both;
    request.dns.push("carol.example".to_owned());
    request.uris.push("urn:carol".to_owned());
    request.valid = Validity {
        not_before: Utc::now() - TimeDelta::days(20),
        not_after: Utc::now() - TimeDelta::days(10),
    };
    let files = folder.issue("carol", &request).unwrap();
    let (old_certificate, old_key) = (text(&files.certificate), text(&files.key));
    let old = first_of(&files.certificate).unwrap();

    let report = folder.renew("carol", IfRevoked::Refuse).unwrap();

    let new = first_of(&files.certificate).unwrap();
    assert_eq!(
        (&new.subject, &new.dns, &new.uris),
        (&old.subject, &old.dns, &old.uris)
    );
    assert_eq!(
        new.not_after - new.not_before,
        old.not_after - old.not_before
    );
    assert!(new.not_after > Utc::now());
    assert_ne!(new.serial, old.serial);
    assert_ne!(text(&files.key), old_key);
    assert!(has_key(new.der(), &files.key).unwrap());
    assert_eq!(text(&report.old_certificate), old_certificate);
    assert_eq!(text(report.old_key.as_ref().unwrap()), old_key);
    for key in [&files.key, report.old_key.as_ref().unwrap()] {
        let mode = fs::metadata(key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert!(list(&folder).revocations.is_empty());
    let left_over = fs::read_dir(folder.path())
        .unwrap()
        .filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().contains(".new.")
        })
        .count();
    assert_eq!(left_over, 0);

    // The next renewal keeps one generation, and a key that went to its client is no fault.
    fs::remove_file(&files.key).unwrap();
    let report = folder.renew("carol", IfRevoked::Refuse).unwrap();
    assert_eq!(report.old_key, None);
    assert!(!folder.key("carol.old").exists());
    assert_eq!(
        first_of(&report.old_certificate).unwrap().serial,
        new.serial
    );
}

#[test]
fn a_renewal_that_stopped_half_way_loses_no_key() {
    let (_temporary, folder) = folder();
    let old_key = text(&folder.key("alice"));
    let old_certificate = text(&folder.certificate("alice"));
    folder.renew("alice", IfRevoked::Refuse).unwrap();
    // As if the last step had not come.
    fs::write(folder.certificate("alice"), &old_certificate).unwrap();
    folder.renew("alice", IfRevoked::Refuse).unwrap();
    assert_eq!(text(&folder.key("alice.old")), old_key);
    assert_eq!(text(&folder.certificate("alice.old")), old_certificate);
    // A key that was never the certificate's is another matter.
    fs::write(folder.key("bob"), text(&folder.key("alice"))).unwrap();
    let fault = folder.renew("bob", IfRevoked::Refuse).unwrap_err();
    assert!(matches!(fault, IssueError::KeyMismatch { .. }), "{fault}");
}

#[test]
fn a_renewal_overwrites_nothing_of_another() {
    let (_temporary, folder) = folder();
    let request = CertificateRequest::client("somebody else");
    folder.issue("alice.old", &request).unwrap();
    let before = (text(&folder.key("alice")), text(&folder.key("alice.old")));
    let fault = folder.renew("alice", IfRevoked::Refuse).unwrap_err();
    assert!(matches!(fault, IssueError::AlreadyThere { .. }), "{fault}");
    assert_eq!(
        before,
        (text(&folder.key("alice")), text(&folder.key("alice.old")))
    );
}

#[test]
fn only_what_can_be_said_again_is_renewed() {
    let (_temporary, folder) = folder();
    let (_other_temporary, other) = self::folder();
    fs::copy(other.certificate("bob"), folder.certificate("bob")).unwrap();
    let fault = folder.renew("bob", IfRevoked::Refuse).unwrap_err();
    assert!(matches!(fault, IssueError::NotIssuedHere { .. }), "{fault}");
    let fault = folder.renew("nobody", IfRevoked::Refuse).unwrap_err();
    assert!(fault.to_string().contains("nobody.crt"), "{fault}");

    let old = first_of(&folder.certificate("alice")).unwrap();
    let authority = folder.authority().unwrap();
    let mut request = CertificateRequest::client("alice");
    request.dns.push("another".to_owned());
    let other = authority.issue(&request).unwrap().certificate_pem;
    let fault = check_is_repeated(&old, &other, Path::new("alice.crt")).unwrap_err();
    assert!(fault.to_string().contains("alternative names"), "{fault}");
}
