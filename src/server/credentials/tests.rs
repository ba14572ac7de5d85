//! Time and policies pass over a client, and take its place or leave it.

use std::{fs, path::PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;

use super::*;
use crate::{
    pki::{CertificateFolder, CertificateRequest, ServerNames, Validity},
    policy::PolicyFiles,
    tokens::TokenFile,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A folder of certificates with a token book, and one client's part of it.
struct Site {
    folder: TempDir,
    identity: Identity,
    chain: Vec<CertificateDer<'static>>,
    token: String,
}

impl Site {
    /// `alice` with a certificate for thirty days and a token for three.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificates = CertificateFolder::new(folder.path());
        certificates
            .init(Validity::default(), &ServerNames::default())
            .unwrap();
        let request = CertificateRequest {
            valid: Validity::days(30),
            ..CertificateRequest::client("carol")
        };
        certificates.issue("carol", &request).unwrap();
        let chain = CertificateDer::pem_file_iter(certificates.certificate("carol")).unwrap();
        let mut site = Self {
            identity: Identity::parse("carol").unwrap(),
            chain: chain.map(Result::unwrap).collect(),
            token: String::new(),
            folder,
        };
        site.token = site.issue_token(TimeDelta::days(3));
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn issue_token(&self, time: TimeDelta) -> String {
        let (file, now) = (TokenFile::new(self.path("tokens.toml")), Utc::now());
        let issued = file.issue(self.identity.clone(), now, Some(now + time));
        issued.unwrap().outcome.secret().to_owned()
    }

    fn policy(&self) -> Arc<Policy> {
        let certificates = CertificateFolder::new(self.folder.path());
        let mut files = PolicyFiles::of_certificates(&certificates);
        files.tls.crls.push(certificates.crl());
        files.tokens = Some(self.path("tokens.toml"));
        Arc::new(Policy::read(files).unwrap())
    }

    /// Carol, let in and proven now.
    fn credentials(&self, policy: &Arc<Policy>) -> CredentialStatus {
        let mut credentials =
            CredentialStatus::new(Arc::clone(policy), &self.chain, SystemTime::now());
        let now = SystemTime::now();
        credentials
            .verify(Some(&self.token), &self.identity, now)
            .unwrap();
        credentials
    }

    fn review(
        &self,
        credentials: &mut CredentialStatus,
        policy: &Arc<Policy>,
        at: SystemTime,
    ) -> Option<CloseReason> {
        let outcome = credentials.review(Arc::clone(policy), &self.chain, &self.identity, at);
        outcome.err().map(|lost| lost.reason)
    }
}

fn in_days(days: u32) -> SystemTime {
    SystemTime::now() + DAY * days
}

#[tokio::test(start_paused = true)]
async fn a_token_that_ends_takes_the_place_at_its_end() {
    let site = Site::new();
    let policy = site.policy();
    let mut credentials = site.credentials(&policy);
    assert_eq!(site.review(&mut credentials, &policy, in_days(2)), None);
    let end = site.review(&mut credentials, &policy, in_days(3));
    assert_eq!(end, Some(CloseReason::TokenExpired));
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_ends_takes_the_place_at_its_end() {
    let site = Site::new();
    let policy = site.policy();
    // A client that has not proven itself yet.
    let mut credentials =
        CredentialStatus::new(Arc::clone(&policy), &site.chain, SystemTime::now());
    assert_eq!(site.review(&mut credentials, &policy, in_days(29)), None);
    let end = site.review(&mut credentials, &policy, in_days(31));
    assert_eq!(end, Some(CloseReason::CertificateExpired));
}

/// As when a peer takes its time between showing its certificate and being let in.
#[tokio::test(start_paused = true)]
async fn what_ended_before_the_first_review_is_found_by_it() {
    let site = Site::new();
    let policy = site.policy();
    let mut credentials =
        CredentialStatus::new(Arc::clone(&policy), &site.chain, SystemTime::now());
    assert!(credentials.review_at() <= Instant::now());
    let end = site.review(&mut credentials, &policy, in_days(31));
    assert_eq!(end, Some(CloseReason::CertificateExpired));
}

#[tokio::test(start_paused = true)]
async fn reviews_are_planned_for_the_next_end_and_no_later_than_a_minute_on() {
    let site = Site::new();
    let policy = site.policy();
    let mut credentials = site.credentials(&policy);
    let now = SystemTime::now();
    assert_eq!(site.review(&mut credentials, &policy, now), None);
    assert_eq!(credentials.review_at(), Instant::now() + REVIEW_INTERVAL);
    let ends: DateTime<Utc> = credentials.verified.as_ref().unwrap().expires().unwrap();
    let shortly_before = SystemTime::from(ends) - Duration::from_secs(7);
    assert_eq!(site.review(&mut credentials, &policy, shortly_before), None);
    assert_eq!(
        credentials.review_at(),
        Instant::now() + Duration::from_secs(7)
    );
    // The clock on the wall is set back: what was planned comes too early, and is planned anew.
    assert_eq!(site.review(&mut credentials, &policy, now), None);
    assert_eq!(credentials.review_at(), Instant::now() + REVIEW_INTERVAL);
}

#[tokio::test(start_paused = true)]
async fn another_policy_takes_the_place_where_it_takes_the_token_that_it_stands_on() {
    let site = Site::new();
    let first = site.policy();
    let now = SystemTime::now();

    // Another token is nothing that this client stands on.
    site.issue_token(TimeDelta::days(1));
    let second = site.policy();
    assert_eq!(
        site.review(&mut site.credentials(&first), &second, now),
        None
    );

    let id = site.token.split('_').nth(1).unwrap();
    let file = TokenFile::new(site.path("tokens.toml"));
    let book = fs::read(file.path()).unwrap();
    assert!(file.revoke(id).unwrap().is_some());
    let without_token = site.policy();
    let lost = site.review(&mut site.credentials(&first), &without_token, now);
    assert_eq!(lost, Some(CloseReason::PermissionWithdrawn));
    fs::write(file.path(), book).unwrap();

    fs::write(site.path("ca.crt"), other_authority()).unwrap();
    fs::write(site.path("ca.crl"), "").unwrap();
    assert_eq!(first.reread(None).errors.len(), 1);
    assert_eq!(
        site.review(&mut site.credentials(&first), &first, now),
        None
    );
}

fn other_authority() -> String {
    let other = crate::pki::Authority::generate("another").unwrap();
    other.certificate_pem().to_owned()
}
