//! Key sets of signed tokens, and tokens presented against them.

use std::{path::Path, sync::LazyLock};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, crypto::sign, jwk::Jwk};
use serde_json::{Value, json};
use tidings::{identity::Identity, tokens::{VerifiedToken, SignedTokenKeys, TokenError, TokenPolicy}};

use crate::{
    certificate_authority::ed25519_pkcs8,
    oracle::{check_bounded_message, check_message, take_byte},
};

const ISSUER: &str = "https://id.example.org";
const AUDIENCE: &str = "plant-broker";
/// 2026-01-31T12:00:00Z
const NOW: i64 = 1_769_860_800;

struct Issuer {
    keys: Vec<(Algorithm, EncodingKey)>,
    set: Value,
    policy: TokenPolicy,
}

/// The key for Ed25519 is the same in each run, so that a token stays as good as it was.
static ISSUERS: LazyLock<Issuer> = LazyLock::new(|| {
    let curve = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let p256 = EcdsaKeyPair::generate_pkcs8(curve, &SystemRandom::new()).expect("a key");
    let keys = vec![
        (Algorithm::EdDSA, EncodingKey::from_ed_der(&ed25519_pkcs8())),
        (Algorithm::ES256, EncodingKey::from_ec_der(p256.as_ref())),
    ];
    let jwks = keys.iter().map(|(algorithm, key)| {
        let jwk = Jwk::from_encoding_key(key, *algorithm).expect("a public key");
        let mut jwk = serde_json::to_value(jwk).expect("JSON");
        jwk["kid"] = format!("{algorithm:?}").into();
        jwk
    });
    let set = json!({ "keys": jwks.collect::<Vec<_>>() });
    let keys_of_set = parse(set.to_string().as_bytes()).expect("a key set");
    let policy = TokenPolicy::new(None, Some(keys_of_set));
    Issuer { keys, set, policy }
});

/// The first byte chooses what the rest is: a key set, a token, or what a token is to say, which
/// is then signed.
pub fn run(mut input: &[u8]) {
    match take_byte(&mut input) % 3 {
        0 => check_key_set(input),
        1 => check_token(input),
        _ => check_claims(input),
    }
}

fn parse(set: &[u8]) -> Result<SignedTokenKeys, String> {
    SignedTokenKeys::parse(Path::new("jwks.json"), set, ISSUER, AUDIENCE)
        .map_err(|fault| fault.to_string())
}

fn verify(policy: &TokenPolicy, token: &str) -> Result<VerifiedToken, TokenError> {
    let alice = Identity::parse("alice").expect("a name");
    let now: DateTime<Utc> = DateTime::from_timestamp(NOW, 0).expect("a date");
    let proof = policy.verify(Some(token), &alice, now)?.expect("a token is wanted");
    assert!(proof.expires().is_some_and(|end| end > now));
    check_bounded_message(&proof.token_id());
    assert!(policy.reverify(&proof, &alice, now).is_ok());
    Ok(proof)
}

fn check_key_set(set: &[u8]) {
    let keys = match parse(set) {
        Ok(keys) => keys,
        Err(message) => {
            check_message(&message);
            return;
        }
    };
    let policy = TokenPolicy::new(None, Some(keys));
    let (_, key) = &ISSUERS.keys[0];
    let (header, claims) = (json!({ "alg": "EdDSA" }), good_claims());
    let token = signed(&header.to_string(), &claims.to_string(), Algorithm::EdDSA, key);
    if verify(&policy, &token).is_ok() {
        let x = ISSUERS.set["keys"][0]["x"].as_str().expect("a public key");
        let text = String::from_utf8_lossy(set);
        assert!(text.contains(x) || text.contains('\\'), "a key that is not in the set");
    }
}

fn check_token(token: &[u8]) {
    let Ok(token) = std::str::from_utf8(token) else {
        return;
    };
    if let Err(fault) = verify(&ISSUERS.policy, token) {
        check_bounded_message(&fault.reason);
    } else {
        // All but the signature is to be found in the token.
        let mut parts = token.split('.');
        let (header, claims) = (parts.next().expect("a part"), parts.next().expect("a part"));
        let signature = parts.next().expect("a part");
        let message = format!("{header}.{claims}");
        let (algorithm, key) = &ISSUERS.keys[0];
        assert_eq!(sign(message.as_bytes(), key, *algorithm).as_deref(), Ok(signature));
    }
}

/// Header and claims, one line each.
fn check_claims(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let (header, claims) = text.split_once('\n').unwrap_or(("{\"alg\":\"EdDSA\"}", text));
    for (algorithm, key) in &ISSUERS.keys {
        match verify(&ISSUERS.policy, &signed(header, claims, *algorithm, key)) {
            Ok(_) => check_accepted(header, claims, *algorithm),
            Err(fault) => {
                check_bounded_message(&fault.reason);
                check_bounded_message(&fault.token_id.unwrap_or_default());
            }
        }
    }
}

fn check_accepted(header: &str, claims: &str, algorithm: Algorithm) {
    let header: Value = serde_json::from_str(header).expect("JSON");
    let claims: Value = serde_json::from_str(claims).expect("JSON");
    assert_eq!(header["alg"], format!("{algorithm:?}"));
    assert!(header.get("crit").is_none_or(Value::is_null));
    let is_for_us = |audience: &Value| audience == AUDIENCE;
    let audience = &claims["aud"];
    assert!(is_for_us(audience) || audience.as_array().is_some_and(|all| all.iter().any(is_for_us)));
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["sub"], "alice");
    assert!(claims["exp"].as_f64().is_some_and(|end| end > NOW as f64));
    for name in ["nbf", "iat"] {
        let begin = claims.get(name).map(|begin| begin.as_f64().expect("a number"));
        assert!(begin.is_none_or(|begin| begin < (NOW + 61) as f64), "{name}");
    }
    assert!(claims.get("tidings").is_none_or(Value::is_object));
}

fn good_claims() -> Value {
    json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": NOW + 60 })
}

fn signed(header: &str, claims: &str, algorithm: Algorithm, key: &EncodingKey) -> String {
    let message = format!("{}.{}", base64url(header), base64url(claims));
    let signature = sign(message.as_bytes(), key, algorithm).expect("a signature");
    format!("{message}.{signature}")
}

/// RFC 4648, section 5, without padding.
fn base64url(text: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut encoded = String::new();
    for group in text.as_bytes().chunks(3) {
        let byte = |index| u32::from(*group.get(index).unwrap_or(&0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..=group.len() {
            encoded.push(char::from(ALPHABET[(bits >> (18 - 6 * index) & 63) as usize]));
        }
    }
    encoded
}

pub fn seeds() -> Vec<Vec<u8>> {
    let issuers = &*ISSUERS;
    let mut several = good_claims();
    several["aud"] = json!([AUDIENCE, "other"]);
    several["nbf"] = (NOW - 1).into();
    several["iat"] = json!(1.5e9);
    several["jti"] = "\u{202e}\n".into();
    several["tidings"] = json!({ "publish": ["a/#"], "subscribe": [] });
    let (algorithm, key) = &issuers.keys[0];
    let header = r#"{"alg":"EdDSA","kid":"EdDSA","typ":"JWT"}"#;
    let good = good_claims().to_string();
    let rsa = json!({ "kty": "RSA", "n": "v".repeat(342), "e": "AQAB", "use": "sig", "alg": "RS256" });
    let private = json!({ "kty": "OKP", "crv": "Ed25519", "x": "AA", "d": "AA" });
    let symmetric = json!({ "kty": "oct", "k": "AA" });
    let mut seeds = vec![
        format!("\u{1}{}", signed(header, &good, *algorithm, key)),
        format!("\u{2}{header}\n{good}"),
        format!("\u{2}{header}\n{several}"),
        format!("\u{2}{}\n{good}", r#"{"alg":"ES256"}"#),
        format!("\u{2}{}\n{good}", r#"{"alg":"EdDSA","crit":["x"]}"#),
        format!("\u{2}{}\n{good}", r#"{"alg":"none"}"#),
        format!("\0{}", issuers.set),
    ];
    let sets = [rsa, private, symmetric].map(|key| json!({ "keys": [key] }));
    seeds.extend(sets.map(|set| format!("\0{set}")));
    seeds.into_iter().map(String::into_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_token_of_each_key_is_taken() {
        for (algorithm, key) in &ISSUERS.keys {
            let header = format!(r#"{{"alg":"{algorithm:?}"}}"#);
            let token = signed(&header, &good_claims().to_string(), *algorithm, key);
            assert!(verify(&ISSUERS.policy, &token).is_ok());
        }
    }
}
