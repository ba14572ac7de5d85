use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use rustls::pki_types::DnsName;

use super::{CERTIFICATE_DAYS, IssueError};
use crate::clock;

/// How far a certificate is dated back, so that a peer whose clock is a little late takes it.
const BACKDATED: TimeDelta = TimeDelta::hours(1);

/// What a certificate is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRequest {
    /// Common names of the subject: one as a rule; none and two for tests.
    pub common_names: Vec<String>,
    /// DNS names.
    pub dns: Vec<String>,
    /// IP addresses.
    pub ips: Vec<IpAddr>,
    /// URIs.
    pub uris: Vec<String>,
    /// E-mail addresses.
    pub emails: Vec<String>,
    /// What it may be used for.
    pub purpose: Purpose,
    /// When it is good.
    pub valid: Validity,
}

/// What a certificate may be used for: its extended key usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To show to a server: `clientAuth`.
    Client,
    /// To show to clients: `serverAuth`.
    Server,
    /// Both of these.
    Both,
    /// Nothing said. The broker takes it for neither.
    Unstated,
}

/// From when to when a certificate is good, to the second.
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
            common_names: vec![name.to_owned()],
            dns: Vec::new(),
            ips: Vec::new(),
            uris: Vec::new(),
            emails: Vec::new(),
            purpose: Purpose::Client,
            valid: Validity::default(),
        }
    }

    /// For a server that clients reach as `name`, a DNS name or an IP address.
    #[must_use]
    pub fn server(name: &str) -> Self {
        let mut request = Self {
            purpose: Purpose::Server,
            ..Self::client(name)
        };
        match name.parse() {
            Ok(ip) => request.ips.push(ip),
            Err(_) => request.dns.push(name.to_owned()),
        }
        request
    }

    /// For a server on this machine, as development has it.
    pub(super) fn localhost() -> Self {
        let mut request = Self::server("localhost");
        request.ips = vec![[127, 0, 0, 1].into(), [0, 0, 0, 0, 0, 0, 0, 1].into()];
        request
    }

    /// Refuses what would make a certificate that does not work.
    pub(super) fn check(&self) -> Result<(), IssueError> {
        check_each(
            &self.dns,
            is_dns,
            "a DNS name",
            "give one such as `broker.example.org`; addresses go into --ip",
        )?;
        check_each(
            &self.uris,
            is_uri,
            "a URI",
            "give one such as `spiffe://example.org/sensor`",
        )?;
        check_each(
            &self.emails,
            is_email,
            "an e-mail address",
            "give one such as `alice@example.org`",
        )?;
        let is_for_server = matches!(self.purpose, Purpose::Server | Purpose::Both);
        if is_for_server && self.dns.is_empty() && self.ips.is_empty() {
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

/// A host's name, or `*.` and one.
fn is_dns(text: &str) -> bool {
    DnsName::try_from(text.strip_prefix("*.").unwrap_or(text)).is_ok()
}

/// A scheme, a colon, and something after it. More is up to who reads it.
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
    /// From an hour ago until `days` from now.
    #[must_use]
    pub fn days(days: u32) -> Self {
        let now = clock::now();
        Self {
            not_before: now - BACKDATED,
            // An end too far for the calendar is refused when it comes to signing.
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
    fn takes_names_that_verifiers_take() {
        checked(|request| {
            request.dns = vec!["broker.example.org".into(), "*.example.org".into()];
            request.uris = vec!["spiffe://example.org/sensor".into(), "urn:a:b".into()];
            request.emails = vec!["alice@example.org".into()];
        })
        .unwrap();
    }

    #[test]
    fn refuses_names_that_no_verifier_takes() {
        for text in [
            "",
            "127.0.0.1",
            "a b",
            "http://x",
            "*.*.example.org",
            "ex\u{e4}mple.org",
        ] {
            assert!(
                checked(|request| request.dns = vec![text.into()]).is_err(),
                "{text}"
            );
        }
        for text in ["", "plain", "a:", "1a:b", "a:b c", "a:\u{202e}"] {
            assert!(
                checked(|request| request.uris = vec![text.into()]).is_err(),
                "{text}"
            );
        }
        for text in ["", "alice", "@b", "a@", "a@b@c", "a b@c", "a\n@b"] {
            assert!(
                checked(|request| request.emails = vec![text.into()]).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_server_needs_a_name_to_be_called_by() {
        let mut request = CertificateRequest::server("::1");
        assert_eq!((request.ips.len(), request.dns.len()), (1, 0));
        request.check().unwrap();
        request.ips.clear();
        assert!(matches!(
            request.check(),
            Err(IssueError::ServerWithoutName)
        ));
    }
}
