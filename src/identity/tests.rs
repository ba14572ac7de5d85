//! Which names are identities, and which field of a certificate gives one.

use rcgen::{CertificateParams, CustomExtension, DnType, DnValue, KeyPair};

use super::*;
use crate::text::turns_direction;

#[test]
fn accepts_visible_characters_of_any_script() {
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
fn reports_the_first_invisible_character() {
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
fn a_space_is_single_and_between_two_other_characters() {
    for (name, position) in [(" ", 1), (" a", 1), ("a ", 2), ("ü  b", 3), ("a b  ", 5)] {
        let fault = Identity::parse(name).unwrap_err();
        assert_eq!(fault, IdentityError::LooseSpace { position }, "{name:?}");
    }
}

/// Compared with the standard library, which has its own tables of some of the properties.
#[test]
fn no_control_character_and_no_white_space_is_accepted() {
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
            Err("is a BMPString, which is not supported: have it reissued"),
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

/// Otherwise a second value that cannot be read would not count.
#[test]
fn a_value_that_cannot_be_read_is_not_skipped() {
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
