use std::{fmt, sync::Arc};

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Bytes of an identity. X.509 bounds a common name at 64 characters; URIs may be longer.
const IDENTITY_BYTES_MAX: usize = 256;

/// Who a client is: the one name that its certificate proves.
///
/// Never empty, and free of what could forge a line of a log: no control character, no
/// character that turns the direction of text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(Arc<str>);

impl Identity {
    /// Judges `name`.
    ///
    /// # Errors
    ///
    /// When it is empty, too long or holds a character that a name must not hold.
    pub fn parse(name: &str) -> Result<Self, IdentityError> {
        if name.is_empty() {
            return Err(IdentityError::Empty);
        }
        if name.len() > IDENTITY_BYTES_MAX {
            return Err(IdentityError::TooLong);
        }
        if name
            .chars()
            .any(|c| c.is_control() || turns_direction(c) || is_invisible(c))
        {
            return Err(IdentityError::UnprintableCharacter);
        }
        Ok(Self(name.into()))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The characters that do not show, and so make two names out of what looks like one: soft hyphen,
/// zero-width and format characters, line and paragraph separators, variation selectors, tags.
const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200d}' | '\u{2028}' | '\u{2029}'
            | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// The characters with which one text can be made to look like another (Unicode TR 36, 3.1).
#[must_use]
pub const fn turns_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.0)
    }
}

/// The one field of a certificate that holds the identity. One field is chosen for all, and there
/// is no falling back on another: two fields that can both name a client are two ways in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdentitySource {
    /// The common name of the subject.
    #[default]
    CommonName,
    /// The DNS name among the subject alternative names.
    SanDns,
    /// The URI among the subject alternative names, as SPIFFE has it.
    SanUri,
    /// The e-mail address among the subject alternative names.
    SanEmail,
}

/// Reads the identity out of a client's own certificate.
///
/// # Errors
///
/// When the chosen field is missing, stands more than once, or holds no usable name.
pub fn identity_of(
    certificate: &CertificateDer<'_>,
    source: IdentitySource,
) -> Result<Identity, IdentityError> {
    let (_, certificate) =
        X509Certificate::from_der(certificate).map_err(|_| IdentityError::Unreadable)?;
    let mut names = names(&certificate, source)?.into_iter();
    match (names.next(), names.next()) {
        (Some(name), None) => Identity::parse(name),
        (None, _) => Err(IdentityError::Missing(source)),
        (Some(_), Some(_)) => Err(IdentityError::Ambiguous(source)),
    }
}

/// Every value of the chosen field.
fn names<'a>(
    certificate: &'a X509Certificate<'_>,
    source: IdentitySource,
) -> Result<Vec<&'a str>, IdentityError> {
    if source == IdentitySource::CommonName {
        let names = certificate
            .subject()
            .iter_common_name()
            .map(|name| name.as_str());
        return names
            .collect::<Result<_, _>>()
            .map_err(|_| IdentityError::Unreadable);
    }
    let extension = certificate
        .subject_alternative_name()
        .map_err(|_| IdentityError::Unreadable)?;
    let names = extension
        .iter()
        .flat_map(|extension| &extension.value.general_names);
    Ok(names
        .filter_map(|name| match (source, name) {
            (IdentitySource::SanDns, GeneralName::DNSName(name))
            | (IdentitySource::SanUri, GeneralName::URI(name))
            | (IdentitySource::SanEmail, GeneralName::RFC822Name(name)) => Some(*name),
            _ => None,
        })
        .collect())
}

impl fmt::Display for IdentitySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CommonName => "common name",
            Self::SanDns => "DNS subject alternative name",
            Self::SanUri => "URI subject alternative name",
            Self::SanEmail => "e-mail subject alternative name",
        })
    }
}

/// Why a certificate gives no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// TLS took it, and yet it cannot be read.
    #[error("the certificate's names cannot be read")]
    Unreadable,
    /// The chosen field is not there.
    #[error("the certificate has no {0}")]
    Missing(IdentitySource),
    /// The chosen field is there more than once.
    #[error("the certificate has more than one {0}")]
    Ambiguous(IdentitySource),
    /// Nothing in it.
    #[error("the name is empty")]
    Empty,
    /// Over 256 bytes.
    #[error("the name is longer than {IDENTITY_BYTES_MAX} bytes")]
    TooLong,
    /// A control character, or one that turns the direction of text.
    #[error("the name holds a character that cannot be printed")]
    UnprintableCharacter,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_plain_names_only() {
        assert_eq!(
            Identity::parse("sensor-7 ü").unwrap().as_str(),
            "sensor-7 ü"
        );
        for name in [
            "",
            "a\nb",
            "a\u{1b}[2J",
            "a\u{202e}b",
            "a\u{85}",
            "a\u{200b}",
            "a\u{2028}",
            "a\u{e0041}",
            &"x".repeat(257),
        ] {
            assert!(Identity::parse(name).is_err(), "{name:?}");
        }
    }
}
