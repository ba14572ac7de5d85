use std::{fs, os::unix::fs::PermissionsExt};

use chrono::Utc;

use super::*;
use crate::pki::{
    ServerNames, Validity,
    folder::tests::{certificate, crl, made_folder, text},
    inspect::CrlSummary,
};

#[test]
fn a_list_keeps_all_that_is_on_it() {
    let (_temporary, folder) = made_folder();
    let empty = crl(&folder);
    assert_eq!((empty.number, empty.revocations.len()), (1, 0));
    let alice = folder
        .revoke(
            &certificate(&folder, "alice"),
            RevocationReason::KeyCompromise,
        )
        .unwrap();
    let by_number = RevocationTarget::Serial("00:ff:01".parse().unwrap());
    let gone = folder.revoke(&by_number, RevocationReason::Unspecified);
    let gone = gone.unwrap();
    let third = folder.renew_crl().unwrap().list;
    assert_eq!(third.number, 4);
    assert_eq!(third.revocations, [alice.revocation, gone.revocation]);
    assert_eq!(third, crl(&folder));
    let shown = CrlSummary::read(&folder.crl()).unwrap();
    let shown = &shown[0].revocations;
    assert_eq!(shown[0].reason.as_deref(), Some("keyCompromise"));
    assert_eq!(
        (shown[1].serial.as_str(), &shown[1].reason),
        ("FF01", &None)
    );
}

#[test]
fn a_list_can_be_read_by_all_unless_somebody_decided_otherwise() {
    let (_temporary, folder) = made_folder();
    let mode = || fs::metadata(folder.crl()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o644);
    for wanted in [0o600, 0o664] {
        fs::set_permissions(folder.crl(), fs::Permissions::from_mode(wanted)).unwrap();
        assert_eq!(folder.renew_crl().unwrap().owner_lost, None);
        assert_eq!(mode(), wanted);
    }
}

#[test]
fn dates_and_reasons_of_a_list_from_elsewhere_are_kept() {
    let (_temporary, folder) = made_folder();
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
    assert_eq!(crl(&folder), after);
}

#[test]
fn revoking_twice_changes_nothing() {
    let (_temporary, folder) = made_folder();
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
    let (_temporary, folder) = made_folder();
    let (_other_temporary, other) = made_folder();
    let before = text(&folder.crl());
    let revoke = |what: &RevocationTarget| {
        folder
            .revoke(what, RevocationReason::default())
            .unwrap_err()
    };
    let fault = revoke(&certificate(&other, "alice"));
    assert!(matches!(fault, IssueError::NotIssuedHere { .. }), "{fault}");
    let own = CertificateSummary::read(&folder.ca()).unwrap().remove(0);
    for what in [
        certificate(&folder, "ca"),
        RevocationTarget::Serial(own.serial.parse().unwrap()),
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
    let (_temporary, folder) = made_folder();
    let (_other_temporary, other) = made_folder();
    let good = text(&folder.crl());
    let (first, second) = (text(&other.crl()), format!("{good}{good}"));
    for broken in ["", "garbage", &good[..good.len() / 2], &first, &second] {
        fs::write(folder.crl(), broken).unwrap();
        let fault = folder.renew_crl().unwrap_err();
        assert!(
            matches!(fault, IssueError::BadRevocationList { .. }),
            "{fault}"
        );
        assert_eq!(text(&folder.crl()), broken);
    }
}

#[test]
fn a_lost_list_is_begun_anew() {
    let (_temporary, folder) = made_folder();
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
