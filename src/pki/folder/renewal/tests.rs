use std::os::unix::fs::PermissionsExt;

use chrono::TimeDelta;

use super::*;
use crate::pki::{
    RevocationReason,
    folder::tests::{certificate, crl, made_folder, text},
};

#[test]
fn a_revoked_name_is_renewed_only_when_that_is_meant() {
    let (_temporary, folder) = made_folder();
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
    let (_temporary, folder) = made_folder();
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
fn a_renewed_certificate_says_the_same_with_another_key() {
    let (_temporary, folder) = made_folder();
    let mut request = CertificateRequest::client("carol");
    request.purpose = Purpose::Both;
    request.names.dns.push("carol.example".to_owned());
    request.names.uris.push("urn:carol".to_owned());
    request.valid = Validity {
        not_before: Utc::now() - TimeDelta::days(20),
        not_after: Utc::now() - TimeDelta::days(10),
    };
    let files = folder.issue("carol", &request).unwrap();
    let (old_certificate, old_key) = (text(&files.certificate), text(&files.key));
    let old = CertificateSummary::read_first(&files.certificate).unwrap();

    let report = folder.renew("carol", IfRevoked::Refuse).unwrap();

    let new = CertificateSummary::read_first(&files.certificate).unwrap();
    assert_eq!((&new.subject, &new.names), (&old.subject, &old.names));
    assert_eq!(
        new.not_after - new.not_before,
        old.not_after - old.not_before
    );
    assert!(new.not_after > Utc::now());
    assert_ne!(new.serial, old.serial);
    assert_ne!(text(&files.key), old_key);
    assert!(keys::is_for(new.der(), &files.key).unwrap());
    assert_eq!(text(&report.old_certificate), old_certificate);
    assert_eq!(text(report.old_key.as_ref().unwrap()), old_key);
    for key in [&files.key, report.old_key.as_ref().unwrap()] {
        let mode = fs::metadata(key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert!(crl(&folder).revocations.is_empty());
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
        CertificateSummary::read_first(&report.old_certificate)
            .unwrap()
            .serial,
        new.serial
    );
}

#[test]
fn a_renewal_that_stopped_half_way_loses_no_key() {
    let (_temporary, folder) = made_folder();
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
    let (_temporary, folder) = made_folder();
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
    let (_temporary, folder) = made_folder();
    let (_other_temporary, other) = made_folder();
    fs::copy(other.certificate("bob"), folder.certificate("bob")).unwrap();
    let fault = folder.renew("bob", IfRevoked::Refuse).unwrap_err();
    assert!(matches!(fault, IssueError::NotIssuedHere { .. }), "{fault}");
    let fault = folder.renew("nobody", IfRevoked::Refuse).unwrap_err();
    assert!(fault.to_string().contains("nobody.crt"), "{fault}");

    let old = CertificateSummary::read_first(&folder.certificate("alice")).unwrap();
    let authority = folder.authority().unwrap();
    let mut request = CertificateRequest::client("alice");
    request.names.dns.push("another".to_owned());
    let other = authority.issue(&request).unwrap().certificate_pem;
    let fault = check_is_repeated(&old, &other, Path::new("alice.crt")).unwrap_err();
    assert!(fault.to_string().contains("alternative names"), "{fault}");
}
