//! Words for why two peers did not come together, where rustls has but a name for it: what is
//! wrong, and what to do.
//!
//! Owns no verdict. Of what a peer sent, none of it is quoted.

use std::io;

use rustls::{
    AlertDescription, CertificateError, ContentType, Error, InvalidMessage, PeerIncompatible,
    PeerMisbehaved,
};

/// The keys that certificates and handshakes can be verified with.
pub(super) const KEY_KINDS: &str =
    "ECDSA on P-256, P-384 or P-521, Ed25519, and RSA of 2048 to 8192 bits are taken";

/// What is wrong with a certificate, to be put behind its name. `None` where the verifier has
/// better words, or none are known.
pub(crate) fn certificate_fault(fault: &CertificateError) -> Option<&'static str> {
    use webpki::Error as Fault;
    let fault = match fault {
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            return Some(
                "is signed in a way that is not taken, as with SHA-1 or with a key of a rare kind: have it issued anew",
            );
        }
        CertificateError::Other(other) => other.0.downcast_ref()?,
        _ => return None,
    };
    Some(match fault {
        Fault::UnsupportedCertVersion => {
            "is of X.509 version 1, which cannot state any use: have it issued anew as version 3, with extensions (openssl x509 -req: give -extfile)"
        }
        Fault::UnsupportedCriticalExtension => {
            "has a critical extension that is not known here: have it issued anew without that, or not critical"
        }
        Fault::CaUsedAsEndEntity => {
            "is a CA's own (basic constraint CA:TRUE): have one issued that is none"
        }
        Fault::EndEntityUsedAsCa => {
            "was signed with a certificate that is no CA's (no basic constraint CA:TRUE): have it issued by a CA"
        }
        Fault::PathLenConstraintViolated => {
            "stands below more CAs than one of them permits (path length constraint): have it issued by a CA further up"
        }
        Fault::NameConstraintViolation => {
            "has a name that the name constraints of a CA above it do not permit: have it issued with another, or by another CA"
        }
        Fault::MaximumPathDepthExceeded
        | Fault::MaximumPathBuildCallsExceeded
        | Fault::MaximumSignatureChecksExceeded
        | Fault::MaximumNameConstraintComparisonsExceeded => {
            "takes too much work to verify: send its own chain alone"
        }
        Fault::EmptyEkuExtension
        | Fault::ExtensionValueInvalid
        | Fault::InvalidNetworkMaskConstraint
        | Fault::InvalidSerialNumber
        | Fault::MalformedDnsIdentifier
        | Fault::MalformedExtensions
        | Fault::MalformedNameConstraint
        | Fault::SignatureAlgorithmMismatch => {
            "breaks the rules for certificates (RFC 5280): have it issued anew"
        }
        _ => return None,
    })
}

/// Why TLS with a client failed before its certificate was looked at, and for no fault of that.
pub(super) fn handshake_fault(fault: &Error) -> Option<String> {
    let text = match fault {
        Error::PeerIncompatible(incompatible) => return Some(incompatibility(incompatible)),
        Error::PeerMisbehaved(PeerMisbehaved::ServerNameMustContainOneHostName) => {
            "the name that the client asks for (SNI) is no host name: it must be the name alone, without a port"
        }
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => NO_TLS,
        Error::InappropriateMessage {
            got_type: ContentType::Alert,
            ..
        } => {
            "the client gave up before it began: it finds nothing in its own TLS settings to offer"
        }
        Error::AlertReceived(alert) => return Some(refusal_by_client(*alert)),
        _ => return None,
    };
    Some(text.to_owned())
}

const NO_TLS: &str = "what came is no TLS: the client must speak TLS from the first byte on";

fn incompatibility(fault: &PeerIncompatible) -> String {
    let missing = match fault {
        PeerIncompatible::SupportedVersionsExtensionRequired => {
            return "the client offers no TLS above 1.2: update it, or allow that version with --tls-min 1.2".to_owned();
        }
        PeerIncompatible::SignatureAlgorithmsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => {
            return "the client offers neither TLS 1.3 nor 1.2: update it".to_owned();
        }
        PeerIncompatible::NoCipherSuitesInCommon => "cipher suite",
        PeerIncompatible::NoKxGroupsInCommon
        | PeerIncompatible::NamedGroupsExtensionRequired
        | PeerIncompatible::KeyShareExtensionRequired => "key exchange",
        PeerIncompatible::NoSignatureSchemesInCommon => {
            return "the client takes no signature that the key of the server's certificate can make: update it, or give the server a key of another kind".to_owned();
        }
        other => {
            return format!("the client's TLS does not fit the server's ({other:?}): update it");
        }
    };
    format!(
        "the client offers no {missing} that is taken here: update it, or mend its TLS settings"
    )
}

/// The client's own verdict, on the server's certificate as a rule.
fn refusal_by_client(alert: AlertDescription) -> String {
    use AlertDescription as Alert;
    let remedy = match alert {
        Alert::UnknownCA => "it does not trust the CA: give it the CA of the server's certificate",
        Alert::BadCertificate
        | Alert::CertificateUnknown
        | Alert::CertificateExpired
        | Alert::CertificateRevoked
        | Alert::UnsupportedCertificate
        | Alert::DecryptError => {
            "it does not take the server's certificate: look at its dates, and by which of its names the client connects"
        }
        _ => "its own log may say why",
    };
    format!("the client refused, with alert {alert:?}: {remedy}")
}

/// A peer that speaks something else than TLS, told by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTls {
    /// A browser, a health check.
    #[error(
        "the client speaks plain HTTP: what listens here is tidings over TLS, and no web server"
    )]
    Http,
    /// A client of another broker.
    #[error("the client speaks MQTT: what listens here is tidings, lines of JSON over TLS")]
    Mqtt,
    /// A client of ours that has forgotten the lock.
    #[error("the client speaks JSON without TLS: it must speak TLS from the first byte on")]
    PlainJson,
    /// A load balancer that announces whom it forwards.
    #[error(
        "a load balancer sends the PROXY protocol, which is not spoken here: switch it off there, and let TCP through as it is"
    )]
    ProxyProtocol,
    /// A login.
    #[error("the client speaks SSH: it has the wrong port")]
    Ssh,
    /// Nothing that is known here.
    #[error("{NO_TLS}")]
    Unknown,
}

impl NotTls {
    /// How many of the first bytes are enough to tell.
    pub const BYTES: usize = 16;

    /// What a connection speaks that opens with these bytes; `None` where it may be TLS.
    #[must_use]
    pub fn in_opening(opening: &[u8]) -> Option<Self> {
        const HTTP: [&[u8]; 8] = [
            b"GET ",
            b"HEAD ",
            b"POST ",
            b"PUT ",
            b"DELETE ",
            b"OPTIONS ",
            b"PRI * HTTP",
            b"CONNECT ",
        ];
        let is_of = |start: &&[u8]| opening.starts_with(start);
        Some(match opening {
            // The types of TLS records, from change_cipher_spec to application_data.
            [] | [20..=23, ..] => return None,
            _ if HTTP.iter().any(is_of) => Self::Http,
            // CONNECT, the length of what follows, and the length and text of the protocol's name.
            [0x10, _, 0, 4, b'M', b'Q', b'T', b'T', ..]
            | [0x10, _, _, 0, 4, b'M', b'Q', b'T', b'T', ..]
            | [0x10, _, 0, 6, b'M', b'Q', b'I', b's', ..] => Self::Mqtt,
            _ if opening.starts_with(b"PROXY ") || opening.starts_with(b"\r\n\r\n\0\r\nQUIT\n") => {
                Self::ProxyProtocol
            }
            _ if opening.starts_with(b"SSH-") => Self::Ssh,
            _ if opening.trim_ascii_start().starts_with(b"{") => Self::PlainJson,
            _ => Self::Unknown,
        })
    }
}

impl From<NotTls> for io::Error {
    fn from(not_tls: NotTls) -> Self {
        Self::new(io::ErrorKind::InvalidData, not_tls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_by_the_first_bytes_what_is_spoken() {
        for (opening, spoken) in [
            (&b""[..], None),
            (b"\x16\x03\x01\x02\x00\x01", None),
            (b"\x15\x03\x03\x00\x02\x02\x32", None),
            (b"GET / HTTP/1.1\r\n", Some(NotTls::Http)),
            (b"POST /a HTTP/1.1", Some(NotTls::Http)),
            (b"PRI * HTTP/2.0\r\n", Some(NotTls::Http)),
            (b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c", Some(NotTls::Mqtt)),
            (b"\x10\x90\x01\x00\x04MQTT\x05\x02", Some(NotTls::Mqtt)),
            (b"\x10\x18\x00\x06MQIsdp\x03\x02", Some(NotTls::Mqtt)),
            (b"{\"event\":\"ping\"", Some(NotTls::PlainJson)),
            (b"\r\n {\"event\":", Some(NotTls::PlainJson)),
            (b"PROXY TCP4 1.2.3", Some(NotTls::ProxyProtocol)),
            (
                b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c",
                Some(NotTls::ProxyProtocol),
            ),
            (b"SSH-2.0-OpenSSH_", Some(NotTls::Ssh)),
            (b"G", Some(NotTls::Unknown)),
            (b"\x10\x10", Some(NotTls::Unknown)),
            (b"\x80\x2e\x01", Some(NotTls::Unknown)),
            (b"\xff", Some(NotTls::Unknown)),
        ] {
            assert_eq!(NotTls::in_opening(opening), spoken, "{opening:?}");
        }
    }
}
