//! What a certificate is asked to contain.
//!
//! Owns which requests make certificates that work.

use chrono::{DateTime, TimeDelta, Utc};
use rustls::pki_types::DnsName;

use super::{CERTIFICATE_DAYS, IssueError, SubjectNames};
use crate::clock;

/// How far the start of a certificate is dated back, so that a peer whose clock is a little slow
/// accepts it.
const BACKDATED: TimeDelta = TimeDelta::hours(1);

/// A request for a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRequest {
    /// Whom it is for.
    pub names: SubjectNames,
    /// What it may be used for.
    pub purpose: Purpose,
    /// When it is valid.
    pub valid: Validity,
}

/// What a certificate may be used for: its extended key usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Presented to servers: `clientAuth`.
    Client,
    /// Presented to clients: `serverAuth`.
    Server,
    /// Both of these.
    Both,
    /// No extended key usage. The broker accepts it for neither.
    Unstated,
}

/// The period in which a certificate is valid, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub not_before: DateTime<Utc>,
    /// The last moment.
    pub not_after: DateTime<Utc>,
}

impl CertificateRequest {
    /// For a client whose common name is `name`.
    #[must_use]
    pub fn client(name: &str) -> Self {
        Self {
            names: SubjectNames {
                common_names: vec![name.to_owned()],
                ..SubjectNames::default()
            },
            purpose: Purpose::Client,
            valid: Validity::default(),
        }
    }

    /// For a server that clients connect to as `name`, a DNS name or an IP address.
    #[must_use]
    pub fn server(name: &str) -> Self {
        let mut request = Self {
            purpose: Purpose::Server,
            ..Self::client(name)
        };
        match name.parse() {
            Ok(ip) => request.names.ips.push(ip),
            Err(_) => request.names.dns.push(name.to_owned()),
        }
        request
    }

    /// For a development server on this machine.
    pub(super) fn localhost() -> Self {
        let mut request = Self::server("localhost");
        request.names.ips = vec![[127, 0, 0, 1].into(), [0, 0, 0, 0, 0, 0, 0, 1].into()];
        request
    }

    /// Rejects a request whose certificate would not work.
    pub(super) fn check(&self) -> Result<(), IssueError> {
        let names = &self.names;
        check_each(
            &names.dns,
            is_dns,
            "a DNS name",
            "give one such as `broker.example.org`; addresses go into --ip",
        )?;
        check_each(
            &names.uris,
            is_uri,
            "a URI",
            "give one such as `spiffe://example.org/sensor`",
        )?;
        check_each(
            &names.emails,
            is_email,
            "an e-mail address",
            "give one such as `alice@example.org`",
        )?;
        let is_for_server = matches!(self.purpose, Purpose::Server | Purpose::Both);
        if is_for_server && names.dns.is_empty() && names.ips.is_empty() {
            return Err(IssueError::ServerWithoutName);
        }
        Ok(())
    }
}

fn check_each(
    texts: &[String],
    is_good: fn(&str) -> bool,
    kind: &'static str,
    remedy: &'static str,
) -> Result<(), IssueError> {
    match texts.iter().find(|text| !is_good(text)) {
        Some(text) => Err(IssueError::AlternativeName {
            text: text.clone(),
            kind,
            remedy,
        }),
        None => Ok(()),
    }
}

/// A host name, or `*.` followed by one.
fn is_dns(text: &str) -> bool {
    DnsName::try_from(text.strip_prefix("*.").unwrap_or(text)).is_ok()
}

/// A scheme, a colon, and something after it. What follows is not checked further.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        && !rest.is_empty()
        && rest.chars().all(|c| c.is_ascii_graphic())
}

fn is_email(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_graphic())
        && text.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.is_empty() && !domain.contains('@')
        })
}

impl Validity {
    /// From an hour ago until `days` days from now.
    #[must_use]
    pub fn days(days: u32) -> Self {
        let now = clock::now();
        Self {
            not_before: now - BACKDATED,
            // A date that a certificate cannot hold is rejected when it is signed.
            not_after: now
                .checked_add_signed(TimeDelta::days(days.into()))
                .unwrap_or(DateTime::<Utc>::MAX_UTC),
        }
    }
}

impl Default for Validity {
    /// [`CERTIFICATE_DAYS`] from now.
    fn default() -> Self {
        Self::days(CERTIFICATE_DAYS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(change: impl FnOnce(&mut CertificateRequest)) -> Result<(), IssueError> {
        let mut request = CertificateRequest::client("alice");
        change(&mut request);
        request.check()
    }

    #[test]
    fn accepts_names_that_verifiers_accept() {
        checked(|request| {
            request.names.dns = vec!["broker.example.org".into(), "*.example.org".into()];
            request.names.uris = vec!["spiffe://example.org/sensor".into(), "urn:a:b".into()];
            request.names.emails = vec!["alice@example.org".into()];
        })
        .unwrap();
    }

    #[test]
    fn rejects_names_that_no_verifier_accepts() {
        for text in [
            "",
            "127.0.0.1",
            "a b",
            "http://x",
            "*.*.example.org",
            "ex\u{e4}mple.org",
        ] {
            assert!(
                checked(|request| request.names.dns = vec![text.into()]).is_err(),
                "{text}"
            );
        }
        for text in ["", "plain", "a:", "1a:b", "a:b c", "a:\u{202e}"] {
            assert!(
                checked(|request| request.names.uris = vec![text.into()]).is_err(),
                "{text}"
            );
        }
        for text in ["", "alice", "@b", "a@", "a@b@c", "a b@c", "a\n@b"] {
            assert!(
                checked(|request| request.names.emails = vec![text.into()]).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_server_needs_a_name() {
        let mut request = CertificateRequest::server("::1");
        assert_eq!((request.names.ips.len(), request.names.dns.len()), (1, 0));
        request.check().unwrap();
        request.names.ips.clear();
        assert!(matches!(
            request.check(),
            Err(IssueError::ServerWithoutName)
        ));
    }
}
