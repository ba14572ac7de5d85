//! An issuer of signed tokens for tests. It has real keys, and signs valid and invalid tokens alike.

use std::{path::Path, sync::LazyLock};

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, crypto::sign, jwk::Jwk};
use serde_json::{Value, json};

use super::{SignedTokenKeys, TokenFileError};

pub(super) const ISSUER: &str = "https://id.example.org";
pub(super) const AUDIENCE: &str = "plant-broker";

/// 2026-01-31T12:00:00Z
pub(super) const NOW: i64 = 1_769_860_800;

pub(super) fn now() -> DateTime<Utc> {
    at(0)
}

/// This many seconds after [`now`].
pub(super) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(NOW + seconds, 0).unwrap()
}

pub(super) struct Issuer {
    pub(super) algorithm: Algorithm,
    pub(super) key: EncodingKey,
    pub(super) kid: Option<&'static str>,
}

impl Issuer {
    pub(super) fn new(algorithm: Algorithm, kid: &'static str) -> Self {
        let random = SystemRandom::new();
        let key = match algorithm {
            Algorithm::EdDSA => {
                let key = Ed25519KeyPair::generate_pkcs8v1(&random).unwrap();
                EncodingKey::from_ed_der(key.as_ref())
            }
            Algorithm::ES256 => {
                let curve = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let key = EcdsaKeyPair::generate_pkcs8(curve, &random).unwrap();
                EncodingKey::from_ec_der(key.as_ref())
            }
            Algorithm::RS256 => EncodingKey::from_rsa_der(&RSA_KEY),
            other => panic!("{other:?}"),
        };
        Self {
            algorithm,
            key,
            kid: Some(kid),
        }
    }

    /// The public key as in a key set.
    pub(super) fn jwk(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        let parts = serde_json::to_value(jwk).unwrap();
        let mut jwk = json!({ "kty": parts["kty"] });
        for name in ["crv", "x", "y", "n", "e"] {
            if let Some(part) = parts.get(name) {
                jwk[name] = part.clone();
            }
        }
        if let Some(kid) = self.kid {
            jwk["kid"] = kid.into();
        }
        jwk
    }

    pub(super) fn header(&self) -> Value {
        let mut header = json!({ "typ": "JWT", "alg": format!("{:?}", self.algorithm) });
        if let Some(kid) = self.kid {
            header["kid"] = kid.into();
        }
        header
    }

    pub(super) fn token(&self, claims: &Value) -> String {
        self.token_with(&self.header(), claims)
    }

    pub(super) fn token_with(&self, header: &Value, claims: &Value) -> String {
        self.token_of(&header.to_string(), &claims.to_string())
    }

    /// Signs any two texts as header and claims.
    pub(super) fn token_of(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", base64(header), base64(claims));
        let signature = sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

/// The claims of a valid token of `alice`.
pub(super) fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": NOW + 60, "jti": "t-1" })
}

pub(super) fn key_set(keys: &[Value]) -> Result<SignedTokenKeys, TokenFileError> {
    let text = json!({ "keys": keys }).to_string();
    SignedTokenKeys::parse(Path::new("jwks"), text.as_bytes(), ISSUER, AUDIENCE)
}

/// Shared by all tests, because generating it is slow.
static RSA_KEY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    /// PKCS#8 puts two lengths, the version and the algorithm before the key.
    const PKCS8_HEADING_BYTES: usize = 26;
    let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
    key.as_der().unwrap().as_ref()[PKCS8_HEADING_BYTES..].to_vec()
});

/// Base64url without padding (RFC 4648, section 5).
pub(super) fn base64(text: impl AsRef<[u8]>) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut encoded = String::new();
    for group in text.as_ref().chunks(3) {
        let mut bits = 0;
        for index in 0..3 {
            bits = bits << 8 | usize::from(*group.get(index).unwrap_or(&0));
        }
        for index in 0..=group.len() {
            encoded.push(char::from(ALPHABET[bits >> (18 - 6 * index) & 63]));
        }
    }
    encoded
}
