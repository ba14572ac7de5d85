//! The names that a certificate can give its subject, in requests as in existing certificates.

use std::net::IpAddr;

/// The common names of a subject, and its alternative names of the usual kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectNames {
    /// Common names: normally one. Tests ask for none and for two.
    pub common_names: Vec<String>,
    /// Alternative names: DNS.
    pub dns: Vec<String>,
    /// Alternative names: IP addresses.
    pub ips: Vec<IpAddr>,
    /// Alternative names: URIs.
    pub uris: Vec<String>,
    /// Alternative names: e-mail addresses.
    pub emails: Vec<String>,
}
