//! The identity of a client: the one name that its certificate proves.
//!
//! Owns which field of a certificate holds it, and which characters it may have.

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

/// The maximum length of an identity in bytes. X.509 limits a common name to 64 characters, but URIs
/// can be longer.
pub(super) const IDENTITY_BYTES_MAX: usize = 256;

/// The characters that an identity must not hold, by their Unicode properties: those that are invisible
/// or look different from place to place. With them, two names could look the same, or a name could
/// forge a log line. The last three are blank only by their shape. `docs/security.md` has the same
/// expression.
///
/// U+0020 is the only separator that an identity may hold. [`check_characters`] says where.
const UNSEEN: &str =
    r"[\p{Other}\p{Separator}\p{Default_Ignorable_Code_Point}\x{2800}\x{16FE4}\x{1D159}]";

static UNSEEN_RANGES: LazyLock<ClassUnicode> = LazyLock::new(|| {
    match regex_syntax::parse(UNSEEN).map(Hir::into_kind) {
        Ok(HirKind::Class(Class::Unicode(class))) => class,
        // Tests ensure that this cannot happen. It would refuse every identity.
        _ => ClassUnicode::new([ClassUnicodeRange::new('\0', char::MAX)]),
    }
});

/// The one name that a client's certificate proves.
///
/// It is not empty, and every character is visible.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(Arc<str>);

impl Identity {
    /// Checks `name`.
    ///
    /// # Errors
    ///
    /// When it is empty, too long, or holds a character that an identity must not hold.
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

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks the characters of a name or of a pattern.
///
/// # Errors
///
/// The first invisible character, or the first space that is easily overlooked: one at either end or
/// next to another.
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

/// The field of a certificate that holds the identity. One field is chosen for all clients, without
/// falling back to another: if two fields could name a client, there would be two ways in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdentitySource {
    /// The common name of the subject.
    #[default]
    CommonName,
    /// The DNS name among the subject alternative names.
    SanDns,
    /// The URI among the subject alternative names, as in SPIFFE.
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

/// Reads the identity from a client's certificate.
///
/// # Errors
///
/// When the chosen field is missing, occurs more than once, or holds no usable name.
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
            // The tags of the three kinds, in the same order (RFC 5280 §4.2.1.6).
            (IdentitySource::SanDns, GeneralName::Invalid(Tag(2), _))
            | (IdentitySource::SanUri, GeneralName::Invalid(Tag(6), _))
            | (IdentitySource::SanEmail, GeneralName::Invalid(Tag(1), _)) => {
                Some(Err(IdentityError::Unreadable))
            }
            _ => None,
        })
        .collect()
}

/// Why a common name has no text.
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
    /// TLS accepted the certificate, but its names cannot be read.
    #[error("the certificate's names cannot be read: have it reissued with names in UTF-8")]
    Unreadable,
    /// The common name has an encoding that RFC 5280 allows only for old certificates.
    #[error(
        "the certificate's common name is a {0}, which is not supported: have it reissued with a UTF8String (openssl: string_mask = utf8only)"
    )]
    Encoding(&'static str),
    /// The chosen field is missing.
    #[error("the certificate has no {0}")]
    Missing(IdentitySource),
    /// The chosen field occurs more than once.
    #[error("the certificate has more than one {0}")]
    Ambiguous(IdentitySource),
    /// The name has no characters.
    #[error("the name is empty")]
    Empty,
    /// The name has more than 256 bytes.
    #[error("the name is longer than {IDENTITY_BYTES_MAX} bytes")]
    TooLong,
    /// A control character, a separator, or another invisible character.
    #[error(
        "character {position} of the name is U+{:04X}, which is invisible or not displayed alike everywhere",
        u32::from(*.character)
    )]
    UnseenCharacter {
        /// The character.
        character: char,
        /// Its position, counted from 1.
        position: usize,
    },
    /// A space at either end or next to another.
    #[error(
        "character {position} of the name is a space at its start, at its end or after another space"
    )]
    LooseSpace {
        /// Its position, counted from 1.
        position: usize,
    },
}

#[cfg(test)]
mod tests;
