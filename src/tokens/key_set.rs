//! The file of public keys that sign tokens: a JSON Web Key Set (RFC 7517).
//!
//! Owns which keys are taken and for which algorithm each is. A key is good for one algorithm: what
//! a token says of itself chooses among the keys, and never the way in which one is used.

use std::{collections::HashSet, fmt, ops::RangeInclusive, path::Path};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents,
};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use serde::{Deserialize, de::IgnoredAny};

use super::TokenFileError;
use crate::{files::sha256, protocol::describe_json_error, text::hex};

/// Keys of one file: a token that names none is tried with each.
const KEYS_MAX: usize = 64;

/// Bits of the shortest RSA modulus that is safe to use (NIST SP 800-131A).
const RSA_BITS_MIN: usize = 2048;

/// What the crate that checks signatures takes: 8192 bits, and an exponent of 33.
const RSA_BYTES_MAX: usize = 1024;
const RSA_EXPONENT_BYTES_MAX: usize = 5;

const FORM: &str = "a key set is {\"keys\": [...]} (RFC 7517)";

/// A public key that signs tokens.
#[derive(Clone)]
pub(super) struct VerifyingKey {
    pub(super) kid: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
    /// SHA-256 of algorithm and key: the key itself, whatever it is called.
    pub(super) digest: [u8; 32],
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// Reads the usable keys of a file.
///
/// Keys of other kinds and for other uses are passed over: providers publish them in one set.
pub(super) fn parse(path: &Path, contents: &[u8]) -> Result<Vec<VerifyingKey>, TokenFileError> {
    let fault = |reason: String| TokenFileError::new(path, reason);
    // Serde would take a list for the fields of a set.
    match contents.trim_ascii().first() {
        None => return Err(fault(format!("it is empty: {FORM}"))),
        Some(b'[') => return Err(fault(format!("it holds a list: {FORM}"))),
        Some(_) => {}
    }
    let set: JwkSet = serde_json::from_slice(contents).map_err(|error| {
        let reason = if error.is_data() {
            format!(
                "not a JSON Web Key Set: {}; {FORM}",
                describe_json_error(&error)
            )
        } else if error.is_eof() {
            format!("the JSON in it is cut off: {FORM}")
        } else {
            format!("it is not JSON: {FORM}")
        };
        TokenFileError::in_line(path, error.line().max(1), reason)
    })?;
    if set.keys.len() > KEYS_MAX {
        return Err(fault(format!("it holds more than {KEYS_MAX} keys")));
    }
    let (mut keys, mut kids) = (Vec::new(), HashSet::new());
    for (index, jwk) in set.keys.iter().enumerate() {
        let in_key = |reason| fault(format!("key {}: {reason}", index + 1));
        let Some(key) = jwk.verifying_key().map_err(in_key)? else {
            continue;
        };
        if let Some(kid) = &key.kid
            && !kids.insert(kid.clone())
        {
            return Err(in_key("another key has the same `kid`"));
        }
        keys.push(key);
    }
    if keys.is_empty() {
        let reason = "it holds no key that can be used: Ed25519, P-256, or RSA of 2048 bits or more, for signatures";
        return Err(fault(reason.to_owned()));
    }
    Ok(keys)
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Jwk>,
}

/// What is looked at of a key; it may hold more.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    /// Of a private key of any kind.
    d: Option<IgnoredAny>,
    /// Of a private RSA key.
    p: Option<IgnoredAny>,
    /// Of a symmetric key.
    k: Option<IgnoredAny>,
}

impl Jwk {
    /// `None` for a key that is well, but not for us.
    fn verifying_key(&self) -> Result<Option<VerifyingKey>, &'static str> {
        if self.kty == "oct" || self.k.is_some() {
            return Err(
                "it is a symmetric key: who can check a token with it can make one, and it has no place in this file",
            );
        }
        if self.d.is_some() || self.p.is_some() {
            return Err(
                "it is a private key: give the server the public part alone, and take this one for known to others",
            );
        }
        let algorithm = match (self.kty.as_str(), self.crv.as_deref()) {
            ("OKP", Some("Ed25519")) => Algorithm::EdDSA,
            ("EC", Some("P-256")) => Algorithm::ES256,
            ("RSA", _) => Algorithm::RS256,
            _ => return Ok(None),
        };
        if !self.is_for_signatures() || !self.is_for_algorithm(algorithm) {
            return Ok(None);
        }
        let key = self.decoding_key(algorithm).ok_or(BROKEN)?;
        if is_short(&key) {
            return Ok(None);
        }
        if !is_sound(algorithm, &key) {
            return Err(BROKEN);
        }
        Ok(Some(VerifyingKey {
            kid: self.kid.clone(),
            algorithm,
            digest: digest_of(algorithm, &key),
            key,
        }))
    }

    fn is_for_signatures(&self) -> bool {
        let verifies = |operations: &Vec<String>| operations.iter().any(|name| name == "verify");
        self.usage.as_ref().is_none_or(|usage| usage == "sig")
            && self.key_ops.as_ref().is_none_or(verifies)
    }

    fn is_for_algorithm(&self, algorithm: Algorithm) -> bool {
        let own_names: &[&str] = match algorithm {
            // The second name is that of RFC 9864.
            Algorithm::EdDSA => &["EdDSA", "Ed25519"],
            Algorithm::ES256 => &["ES256"],
            _ => &["RS256"],
        };
        self.alg
            .as_ref()
            .is_none_or(|alg| own_names.contains(&alg.as_str()))
    }

    fn decoding_key(&self, algorithm: Algorithm) -> Option<DecodingKey> {
        let key = match algorithm {
            Algorithm::EdDSA => DecodingKey::from_ed_components(self.x.as_ref()?),
            Algorithm::ES256 => DecodingKey::from_ec_components(self.x.as_ref()?, self.y.as_ref()?),
            _ => DecodingKey::from_rsa_components(self.n.as_ref()?, self.e.as_ref()?),
        };
        key.ok()
    }
}

const BROKEN: &str = "its numbers are missing or make no key";

fn is_short(key: &DecodingKey) -> bool {
    let DecodingKeyKind::RsaModulusExponent { n, .. } = key.kind() else {
        return false;
    };
    let leading_zeros = n.iter().take_while(|byte| **byte == 0).count();
    let significant = &n[leading_zeros..];
    let bits = significant.first().map_or(0, |first| {
        significant.len() * 8 - first.leading_zeros() as usize
    });
    bits < RSA_BITS_MIN
}

/// Whether signatures can be checked with it, and only who has its private half can make them.
fn is_sound(algorithm: Algorithm, key: &DecodingKey) -> bool {
    match (algorithm, key.kind()) {
        (Algorithm::EdDSA, DecodingKeyKind::SecretOrDer(bytes)) => {
            ParsedPublicKey::new(&ED25519, bytes).is_ok() && !has_small_order(bytes)
        }
        (Algorithm::ES256, DecodingKeyKind::SecretOrDer(bytes)) => {
            bytes.len() == 65 && ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes).is_ok()
        }
        (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            let is_odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
            is_odd(n)
                && is_odd(e)
                && e.as_slice() != [1]
                && n.len() <= RSA_BYTES_MAX
                && e.len() <= RSA_EXPONENT_BYTES_MAX
                && RsaPublicKeyComponents { n, e }
                    .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
                    .is_ok()
        }
        _ => false,
    }
}

/// Whether an Ed25519 key is one of the few points with which anybody can sign: those of order 1, 2,
/// 4 and 8, in every way to write them. The highest bit is a sign.
fn has_small_order(key: &[u8]) -> bool {
    const ORDER_8: [&str; 2] = [
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ];
    let Some((last, rest)) = key.split_last() else {
        return true;
    };
    let unsigned = [rest, &[last & 0x7f]].concat();
    // The `y` of the others is 0, 1 or -1, that is p - 1; it may be written with p = 2^255 - 19 added.
    let is_small = |first: RangeInclusive<u8>, fill: u8, last: u8| {
        matches!(&*unsigned, [byte, middle @ .., end]
            if first.contains(byte) && middle.iter().all(|byte| *byte == fill) && *end == last)
    };
    is_small(0..=1, 0, 0)
        || is_small(0xec..=0xee, 0xff, 0x7f)
        || ORDER_8.contains(&&*hex(&unsigned))
}

fn digest_of(algorithm: Algorithm, key: &DecodingKey) -> [u8; 32] {
    let mut material = format!("{algorithm:?}\n").into_bytes();
    let parts: &[&Vec<u8>] = match key.kind() {
        DecodingKeyKind::SecretOrDer(bytes) => &[bytes],
        DecodingKeyKind::RsaModulusExponent { n, e } => &[n, e],
    };
    for part in parts {
        material.extend_from_slice(&part.len().to_be_bytes());
        material.extend_from_slice(part);
    }
    sha256(&material)
}

#[cfg(test)]
mod tests;
