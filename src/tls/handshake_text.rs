//! Messages for failed handshakes: what is wrong and how to fix it, where rustls has only a name.
//!
//! Decides nothing. No message quotes what a peer sent.

use std::io;

use rustls::{
    AlertDescription, CertificateError, ContentType, Error, InvalidMessage, PeerIncompatible,
    PeerMisbehaved,
};

/// The keys that certificates and handshakes can be verified with.
pub(super) const KEY_KINDS: &str =
    "ECDSA on P-256, P-384 or P-521, Ed25519, and RSA of 2048 to 8192 bits are accepted";

/// What is wrong with a certificate, as the end of a sentence about it. `None` if the caller has a
/// better message, or none is known.
pub(crate) fn certificate_fault(fault: &CertificateError) -> Option<&'static str> {
    use webpki::Error as Fault;
    let fault = match fault {
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            return Some(
                "has a signature of a kind that is not accepted, such as one with SHA-1 or by a rare kind of key: have it issued anew",
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
            "has a critical extension that is not known here: have it issued anew without it, or with it as not critical"
        }
        Fault::CaUsedAsEndEntity => {
            "is a CA's own (basic constraint CA:TRUE): have one issued that is not a CA"
        }
        Fault::EndEntityUsedAsCa => {
            "was signed with a certificate that is not a CA's (no basic constraint CA:TRUE): have it issued by a CA"
        }
        Fault::PathLenConstraintViolated => {
            "is below more CAs than one of them permits (path length constraint): have it issued by a CA further up"
        }
        Fault::NameConstraintViolation => {
            "has a name that the name constraints of a CA above it do not permit: have it issued with another name, or by another CA"
        }
        Fault::MaximumPathDepthExceeded
        | Fault::MaximumPathBuildCallsExceeded
        | Fault::MaximumSignatureChecksExceeded
        | Fault::MaximumNameConstraintComparisonsExceeded => {
            "takes too much work to verify: send only its own chain"
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

/// Why a handshake with a client failed, if not because of its certificate.
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
        } => "the client gave up before it began: its own TLS settings leave it nothing to offer",
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
            return "the client accepts no signature that the key of the server's certificate can make: update it, or give the server a key of another kind".to_owned();
        }
        other => {
            return format!("the client's TLS does not fit the server's ({other:?}): update it");
        }
    };
    format!(
        "the client offers no {missing} that is accepted here: update it, or correct its TLS settings"
    )
}

/// What the alert of a client means: most often, that it refuses the server's certificate.
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
            "it does not accept the server's certificate: check its dates, and that the client connects to one of its names"
        }
        _ => "its own log may say why",
    };
    format!("the client refused, with alert {alert:?}: {remedy}")
}

/// The protocol of a peer that does not speak TLS, recognized by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTls {
    /// A browser or a health check.
    #[error(
        "the client speaks plain HTTP: what listens here is tidings over TLS, and no web server"
    )]
    Http,
    /// A client of another broker.
    #[error("the client speaks MQTT: what listens here is tidings, lines of JSON over TLS")]
    Mqtt,
    /// A client of this broker, without TLS.
    #[error("the client speaks JSON without TLS: it must speak TLS from the first byte on")]
    PlainJson,
    /// A load balancer that announces the client's address.
    #[error(
        "a load balancer sends the PROXY protocol, which is not supported here: switch it off there, and pass TCP through unchanged"
    )]
    ProxyProtocol,
    /// An SSH client.
    #[error("the client speaks SSH: it has the wrong port")]
    Ssh,
    /// Anything else.
    #[error("{NO_TLS}")]
    Unknown,
}

impl NotTls {
    /// How many of the first bytes are enough to recognize it.
    pub const BYTES: usize = 16;

    /// What a connection that begins with these bytes speaks; `None` if it may be TLS.
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
            // The content types of TLS records, from change_cipher_spec to application_data.
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
    fn recognizes_a_protocol_by_its_first_bytes() {
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
