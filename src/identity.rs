//! The one name that a client's certificate proves.
//!
//! Owns which field of a certificate that is, and what a name may be made of.

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind};
use rustls::pki_types::CertificateDer;
use x509_parser::{
    asn1_rs::Tag,
    prelude::{FromDer, GeneralName, X509Certificate},
    x509::AttributeTypeAndValue,
};

/// Bytes of an identity. X.509 bounds a common name at 64 characters; URIs may be longer.
pub(super) const IDENTITY_BYTES_MAX: usize = 256;

/// The characters that no identity holds, by their Unicode properties: those that do not show, or
/// not everywhere alike. They would make two names of what looks like one, or forge a line of a log.
/// The last three are blank by their shape alone. `docs/security.md` states the same expression.
///
/// U+0020 is the one separator that an identity may hold, and [`check_characters`] says where.
const UNSEEN: &str =
    r"[\p{Other}\p{Separator}\p{Default_Ignorable_Code_Point}\x{2800}\x{16FE4}\x{1D159}]";

static UNSEEN_RANGES: LazyLock<ClassUnicode> = LazyLock::new(|| {
    match regex_syntax::parse(UNSEEN).map(Hir::into_kind) {
        Ok(HirKind::Class(Class::Unicode(class))) => class,
        // Tests hold that it is one. If it were none, no identity would be good.
        _ => ClassUnicode::new([ClassUnicodeRange::new('\0', char::MAX)]),
    }
});

/// Who a client is: the one name that its certificate proves.
///
/// Never empty, and every character of it can be seen.
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
        check_characters(name)?;
        Ok(Self(name.into()))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Judges the characters of a name, and those of a pattern of names.
///
/// # Errors
///
/// With the first that does not show, or the first blank that cannot be seen for what it is: one at
/// an end, or beside another.
pub(super) fn check_characters(name: &str) -> Result<(), IdentityError> {
    let mut follows_space = true;
    for (index, character) in name.chars().enumerate() {
        let position = index + 1;
        if character == ' ' {
            if follows_space {
                return Err(IdentityError::LooseSpace { position });
            }
        } else if is_unseen(character) {
            return Err(IdentityError::UnseenCharacter {
                character,
                position,
            });
        }
        follows_space = character == ' ';
    }
    if name.ends_with(' ') {
        let position = name.chars().count();
        return Err(IdentityError::LooseSpace { position });
    }
    Ok(())
}

fn is_unseen(character: char) -> bool {
    let ranges = UNSEEN_RANGES.ranges();
    let after = ranges.partition_point(|range| range.start() <= character);
    after > 0 && character <= ranges[after - 1].end()
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

impl IdentitySource {
    /// Every source.
    pub const ALL: [Self; 4] = [Self::CommonName, Self::SanDns, Self::SanUri, Self::SanEmail];

    /// The name in settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CommonName => "cn",
            Self::SanDns => "san-dns",
            Self::SanUri => "san-uri",
            Self::SanEmail => "san-email",
        }
    }
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
        return certificate
            .subject()
            .iter_common_name()
            .map(|name| name.as_str().map_err(|_| why_unreadable(name)))
            .collect();
    }
    let extension = certificate
        .subject_alternative_name()
        .map_err(|_| IdentityError::Unreadable)?;
    let names = extension
        .iter()
        .flat_map(|extension| &extension.value.general_names);
    names
        .filter_map(|name| match (source, name) {
            (IdentitySource::SanDns, GeneralName::DNSName(name))
            | (IdentitySource::SanUri, GeneralName::URI(name))
            | (IdentitySource::SanEmail, GeneralName::RFC822Name(name)) => Some(Ok(*name)),
            // The numbers of the three kinds, in the same order (RFC 5280 §4.2.1.6).
            (IdentitySource::SanDns, GeneralName::Invalid(Tag(2), _))
            | (IdentitySource::SanUri, GeneralName::Invalid(Tag(6), _))
            | (IdentitySource::SanEmail, GeneralName::Invalid(Tag(1), _)) => {
                Some(Err(IdentityError::Unreadable))
            }
            _ => None,
        })
        .collect()
}

/// Of a common name without text.
fn why_unreadable(name: &AttributeTypeAndValue<'_>) -> IdentityError {
    match name.attr_value().tag() {
        Tag::BmpString => IdentityError::Encoding("BMPString"),
        Tag::T61String => IdentityError::Encoding("T61String (TeletexString)"),
        Tag::UniversalString => IdentityError::Encoding("UniversalString"),
        Tag::VisibleString => IdentityError::Encoding("VisibleString"),
        _ => IdentityError::Unreadable,
    }
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
    #[error("the certificate's names cannot be read: have it issued anew, with names in UTF-8")]
    Unreadable,
    /// The common name is in one of the encodings that RFC 5280 keeps for old certificates alone.
    #[error(
        "the certificate's common name is a {0}, which is not read here: have it issued anew with a UTF8String (openssl: string_mask = utf8only)"
    )]
    Encoding(&'static str),
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
    /// A control character, a separator, or another that does not show.
    #[error(
        "character {position} of the name is U+{:04X}, which does not show or not everywhere alike",
        u32::from(*.character)
    )]
    UnseenCharacter {
        /// Which one.
        character: char,
        /// Counted from 1.
        position: usize,
    },
    /// A space that stands at an end, or beside another.
    #[error(
        "character {position} of the name is a space at its start, at its end or after another, where nobody sees it"
    )]
    LooseSpace {
        /// Counted from 1.
        position: usize,
    },
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, CustomExtension, DnType, DnValue, KeyPair};

    use super::*;
    use crate::text::turns_direction;

    #[test]
    fn takes_what_can_be_seen_in_any_script() {
        for name in [
            "sensor-7 ü",
            "a b c",
            "spiffe://example.org/sensor/7",
            "مستشعر",
            "संवेदक",
            "センサー",
            "датчик",
            "e\u{301}",
            "🛰",
        ] {
            assert_eq!(Identity::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn names_the_first_character_that_cannot_be_seen() {
        for character in [
            '\0',
            '\t',
            '\n',
            '\u{1b}',
            '\u{85}',
            '\u{a0}',
            '\u{ad}',
            '\u{34f}',
            '\u{378}',
            '\u{600}',
            '\u{61c}',
            '\u{70f}',
            '\u{115f}',
            '\u{17b4}',
            '\u{180b}',
            '\u{2003}',
            '\u{200b}',
            '\u{200d}',
            '\u{2028}',
            '\u{202e}',
            '\u{202f}',
            '\u{2066}',
            '\u{2800}',
            '\u{3000}',
            '\u{3164}',
            '\u{e000}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fffb}',
            '\u{ffff}',
            '\u{110bd}',
            '\u{13430}',
            '\u{16fe4}',
            '\u{1bca0}',
            '\u{1d159}',
            '\u{1d173}',
            '\u{e0041}',
            '\u{e0100}',
            '\u{10fffd}',
        ] {
            for (before, after) in [("a", "b"), ("", "b"), ("a", ""), ("", "")] {
                let fault = Identity::parse(&format!("{before}{character}{after}")).unwrap_err();
                let expected = IdentityError::UnseenCharacter {
                    character,
                    position: before.len() + 1,
                };
                assert_eq!(fault, expected);
                let code = format!("U+{:04X}", u32::from(character));
                assert!(fault.to_string().contains(&code), "{fault}");
            }
        }
    }

    #[test]
    fn a_space_stands_alone_between_two_other_characters() {
        for (name, position) in [(" ", 1), (" a", 1), ("a ", 2), ("ü  b", 3), ("a b  ", 5)] {
            let fault = Identity::parse(name).unwrap_err();
            assert_eq!(fault, IdentityError::LooseSpace { position }, "{name:?}");
        }
    }

    /// Against the standard library, which knows some of the properties by tables of its own.
    #[test]
    fn no_control_character_and_no_white_space_is_taken() {
        let taken = |c: char| Identity::parse(&format!("a{c}b")).is_ok();
        for character in ('\0'..=char::MAX).filter(|c| c.is_control() || c.is_whitespace()) {
            assert_eq!(taken(character), character == ' ', "{character:?}");
        }
        for character in ('\0'..=char::MAX).filter(|c| turns_direction(*c)) {
            assert!(!taken(character), "{character:?}");
        }
        assert!(('!'..='~').all(taken));
    }

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn a_common_name_in_an_old_encoding_is_refused_by_its_name() {
        let alice = || "alice".to_owned();
        for (value, expected) in [
            (DnValue::Utf8String(alice()), Ok("alice")),
            (
                DnValue::PrintableString(alice().try_into().unwrap()),
                Ok("alice"),
            ),
            (DnValue::Ia5String(alice().try_into().unwrap()), Ok("alice")),
            (
                DnValue::BmpString(alice().try_into().unwrap()),
                Err("is a BMPString, which is not read here: have it issued anew"),
            ),
            (
                DnValue::TeletexString(alice().try_into().unwrap()),
                Err("is a T61String (TeletexString), which"),
            ),
            (
                DnValue::UniversalString(alice().try_into().unwrap()),
                Err("is a UniversalString, which"),
            ),
        ] {
            let certificate = certificate(|params| {
                params.distinguished_name = rcgen::DistinguishedName::new();
                params.distinguished_name.push(DnType::CommonName, value);
            });
            match (
                identity_of(&certificate, IdentitySource::CommonName),
                expected,
            ) {
                (Ok(identity), Ok(name)) => assert_eq!(identity.as_str(), name),
                (Err(fault), Err(text)) => assert!(fault.to_string().contains(text), "{fault}"),
                (found, _) => panic!("{found:?}, {expected:?}"),
            }
        }
    }

    /// A second value that cannot be read would otherwise not count.
    #[test]
    fn a_value_that_cannot_be_read_is_not_passed_over() {
        let alternative = |second: &[u8]| {
            let names = [b"\x86\x05urn:a\x86\x05", second].concat();
            let content = [&[0x30, names.len().try_into().unwrap()][..], &names].concat();
            certificate(|params| {
                let extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], content);
                params.custom_extensions.push(extension);
            })
        };
        let uri = |second| identity_of(&alternative(second), IdentitySource::SanUri);
        assert_eq!(
            uri(b"urn:b"),
            Err(IdentityError::Ambiguous(IdentitySource::SanUri))
        );
        assert_eq!(uri(b"urn:\xff"), Err(IdentityError::Unreadable));
        let other_field = identity_of(&alternative(b"urn:\xff"), IdentitySource::SanDns);
        assert_eq!(
            other_field,
            Err(IdentityError::Missing(IdentitySource::SanDns))
        );
    }

    #[test]
    fn a_name_has_a_length() {
        assert_eq!(Identity::parse(""), Err(IdentityError::Empty));
        assert!(Identity::parse(&"x".repeat(256)).is_ok());
        let fault = Identity::parse(&"x".repeat(257)).unwrap_err();
        assert_eq!(fault, IdentityError::TooLong);
    }
}
