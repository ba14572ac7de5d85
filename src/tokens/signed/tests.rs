//! Which signed tokens are accepted.

use std::path::Path;

use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey, crypto::sign, jwk::Jwk};
use serde_json::{Value, json};

use super::*;
use crate::tokens::TokenPolicy;
use crate::tokens::issuer::{AUDIENCE, ISSUER, Issuer, NOW, at, base64, claims, key_set, now};

const ALGORITHMS: [Algorithm; 3] = [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256];

fn alice() -> Identity {
    Identity::parse("alice").unwrap()
}

fn verify(keys: &SignedTokenKeys, token: &str) -> Result<VerifiedToken, TokenError> {
    keys.verify(token, &alice(), now())
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

/// The one sentence for who has no good signature.
fn is_unknown(outcome: &Result<VerifiedToken, TokenError>) -> bool {
    matches!(outcome, Err(fault) if *fault == TokenError::unknown(None))
}

#[test]
fn takes_what_each_kind_of_key_signed() {
    for algorithm in ALGORITHMS {
        let issuer = Issuer::new(algorithm, "k");
        let keys = key_set(&[issuer.jwk()]).unwrap();
        let verified = verify(&keys, &issuer.token(&claims())).unwrap();
        assert_eq!(verified.token_id(), "t-1");
        assert_eq!(verified.expires(), Some(at(60)));
        assert!(verified.scope().is_none());
    }
}

#[test]
fn checks_every_claim() {
    let issuer = Issuer::new(Algorithm::EdDSA, "k");
    let keys = key_set(&[issuer.jwk()]).unwrap();
    let good = [
        with("aud", json!([AUDIENCE])),
        with("aud", json!(["other", AUDIENCE])),
        with("exp", json!(NOW + 1)),
        with("exp", json!(NOW as f64 + 1.5)),
        with("nbf", json!(NOW + 60)),
        with("iat", json!(NOW + 60)),
        with("iat", json!(NOW as f64 - 0.5)),
        with("unknown", json!({ "a": [1] })),
        without("jti"),
    ];
    for claims in good {
        assert!(verify(&keys, &issuer.token(&claims)).is_ok(), "{claims}");
    }
    use Code::{TokenExpired, TokenIdentityMismatch, TokenInvalid};
    let bad = [
        (without("exp"), TokenInvalid),
        (with("exp", json!(NOW)), TokenExpired),
        (with("exp", json!(NOW as f64 + 0.5)), TokenExpired),
        (with("exp", json!(NOW - 1)), TokenExpired),
        (with("exp", json!(-1)), TokenExpired),
        (with("exp", json!("2099-01-01T00:00:00Z")), TokenInvalid),
        (with("exp", json!(u64::MAX)), TokenInvalid),
        (with("exp", json!(1e300)), TokenInvalid),
        (with("exp", Value::Null), TokenInvalid),
        (with("nbf", json!(NOW + 61)), TokenInvalid),
        (with("nbf", json!("soon")), TokenInvalid),
        (with("nbf", Value::Null), TokenInvalid),
        (with("iat", json!(NOW + 61)), TokenInvalid),
        (without("iss"), TokenInvalid),
        (with("iss", json!("https://id.example.org/")), TokenInvalid),
        (with("iss", json!([ISSUER])), TokenInvalid),
        (without("aud"), TokenInvalid),
        (with("aud", json!("plant")), TokenInvalid),
        (with("aud", json!([])), TokenInvalid),
        (with("aud", json!(["Plant-Broker"])), TokenInvalid),
        (with("aud", json!({ "plant-broker": 1 })), TokenInvalid),
        (without("sub"), TokenInvalid),
        (with("sub", json!("")), TokenIdentityMismatch),
        (with("sub", json!("bob")), TokenIdentityMismatch),
        (with("sub", json!("Alice")), TokenIdentityMismatch),
        (with("tidings", Value::Null), TokenInvalid),
        (with("tidings", json!([])), TokenInvalid),
        (with("tidings", json!({ "publsh": ["a"] })), TokenInvalid),
        (with("tidings", json!({ "publish": "a" })), TokenInvalid),
        (with("tidings", json!({ "publish": null })), TokenInvalid),
        (
            with("tidings", json!({ "publish": ["a/#/b"] })),
            TokenInvalid,
        ),
        (with("tidings", json!({ "subscribe": [""] })), TokenInvalid),
        (json!([]), TokenInvalid),
    ];
    for (claims, code) in bad {
        let fault = verify(&keys, &issuer.token(&claims)).unwrap_err();
        assert_eq!(fault.code, code, "{claims}: {fault:?}");
    }
}

#[test]
fn reveals_the_owner_only_after_every_other_check() {
    let issuer = Issuer::new(Algorithm::EdDSA, "k");
    let keys = key_set(&[issuer.jwk()]).unwrap();
    let mut claims = with("sub", json!("bob"));
    let fault = verify(&keys, &issuer.token(&claims)).unwrap_err();
    assert_eq!(fault.code, Code::TokenIdentityMismatch);
    assert_eq!(fault.token_id.as_deref(), Some("t-1"));
    for (name, value) in [("iss", "other"), ("aud", "other")] {
        claims[name] = value.into();
        let fault = verify(&keys, &issuer.token(&claims)).unwrap_err();
        assert_eq!(fault.code, Code::TokenInvalid);
    }
}

#[test]
fn a_client_that_cannot_sign_learns_nothing() {
    let (issuer, stranger) = (
        Issuer::new(Algorithm::EdDSA, "k"),
        Issuer::new(Algorithm::EdDSA, "k"),
    );
    let keys = key_set(&[issuer.jwk()]).unwrap();
    for claims in [
        claims(),
        with("sub", json!("bob")),
        with("exp", json!(0)),
        with("tidings", json!(7)),
        without("aud"),
    ] {
        assert!(is_unknown(&verify(&keys, &stranger.token(&claims))));
    }
    for text in ["", ".", "..", "...", "a.b.c", "é.é.é", "tdg_x", "{}"] {
        assert!(is_unknown(&verify(&keys, text)), "{text:?}");
    }
}

#[test]
fn notices_any_change() {
    let issuer = Issuer::new(Algorithm::ES256, "k");
    let keys = key_set(&[issuer.jwk()]).unwrap();
    let token = issuer.token(&claims());
    let [header, payload, signature]: [&str; 3] =
        token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let other = base64(with("sub", json!("bob")).to_string());
    for changed in [
        format!("{header}.{other}.{signature}"),
        format!("{header}.{payload}."),
        format!("{header}.{payload}"),
        format!("{header}.{payload}.{signature}."),
        format!("{header}.{payload}.{signature}="),
        format!("{header}.{payload}.{}", &signature[..signature.len() - 4]),
        format!("{header}.{payload}.{signature}AAAA"),
        format!(" {token}"),
        format!("{token}\n"),
    ] {
        assert!(is_unknown(&verify(&keys, &changed)), "{changed}");
    }
    assert!(verify(&keys, &token).is_ok());
}

#[test]
fn a_header_does_not_choose_the_algorithm() {
    for algorithm in ALGORITHMS {
        let issuer = Issuer::new(algorithm, "k");
        let keys = key_set(&[issuer.jwk()]).unwrap();
        let claims = claims().to_string();
        for alg in [
            "none", "None", "", "HS256", "HS512", "PS256", "ES384", "RS512",
        ] {
            for header in [json!({ "alg": alg, "kid": "k" }), json!({ "alg": alg })] {
                let token = issuer.token_of(&header.to_string(), &claims);
                assert!(is_unknown(&verify(&keys, &token)), "{algorithm:?} {alg}");
                let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);
                assert!(is_unknown(&verify(&keys, &unsigned)), "{algorithm:?} {alg}");
            }
        }
        for other in ALGORITHMS.into_iter().filter(|other| *other != algorithm) {
            let header = json!({ "alg": format!("{other:?}"), "kid": "k" });
            let token = issuer.token_with(&header, &super::super::issuer::claims());
            assert!(
                is_unknown(&verify(&keys, &token)),
                "{algorithm:?} {other:?}"
            );
        }
    }
}

/// Everyone knows the public key. Used as a shared secret, it would let anyone sign.
#[test]
fn a_public_key_is_no_shared_secret() {
    for algorithm in ALGORITHMS {
        let issuer = Issuer::new(algorithm, "k");
        let keys = key_set(&[issuer.jwk()]).unwrap();
        let jwk = Jwk::from_encoding_key(&issuer.key, algorithm).unwrap();
        let public = match DecodingKey::from_jwk(&jwk).unwrap().kind() {
            DecodingKeyKind::SecretOrDer(bytes) => bytes.clone(),
            DecodingKeyKind::RsaModulusExponent { n, .. } => n.clone(),
        };
        for secret in [public, issuer.jwk().to_string().into_bytes()] {
            let header = json!({ "alg": "HS256", "kid": "k" }).to_string();
            let message = format!("{}.{}", base64(header), base64(claims().to_string()));
            let key = EncodingKey::from_secret(&secret);
            let mac = sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
            assert!(is_unknown(&verify(&keys, &format!("{message}.{mac}"))));
        }
    }
}

#[test]
fn a_header_chooses_among_keys_by_name_only() {
    let (one, two) = (
        Issuer::new(Algorithm::EdDSA, "one"),
        Issuer::new(Algorithm::EdDSA, "two"),
    );
    let keys = key_set(&[one.jwk(), two.jwk()]).unwrap();
    let named = |kid: &str| json!({ "alg": "EdDSA", "kid": kid });
    let unnamed = json!({ "alg": "EdDSA" });
    for header in [&named("two"), &unnamed] {
        assert!(verify(&keys, &two.token_with(header, &claims())).is_ok());
    }
    for kid in ["one", "three", ""] {
        let token = two.token_with(&named(kid), &claims());
        assert!(is_unknown(&verify(&keys, &token)), "{kid}");
    }
    // A key in the header of a token is not trusted.
    let stranger = Issuer::new(Algorithm::EdDSA, "stranger");
    let mut own = stranger.jwk();
    own["alg"] = "EdDSA".into();
    let header = json!({ "alg": "EdDSA", "jwk": own });
    assert!(is_unknown(&verify(
        &keys,
        &stranger.token_with(&header, &claims())
    )));
}

#[test]
fn understands_nothing_that_is_critical() {
    let issuer = Issuer::new(Algorithm::EdDSA, "k");
    let keys = key_set(&[issuer.jwk()]).unwrap();
    for critical in [json!(["exp"]), json!([]), json!("exp")] {
        let mut header = issuer.header();
        header["crit"] = critical;
        let token = issuer.token_with(&header, &claims());
        assert!(is_unknown(&verify(&keys, &token)), "{header}");
    }
}

#[test]
fn takes_no_claim_twice() {
    let issuer = Issuer::new(Algorithm::EdDSA, "k");
    let keys = key_set(&[issuer.jwk()]).unwrap();
    let header = issuer.header().to_string();
    let claims = claims().to_string();
    let twice = format!("{},\"sub\":\"bob\"}}", claims.strip_suffix('}').unwrap());
    let fault = verify(&keys, &issuer.token_of(&header, &twice)).unwrap_err();
    assert_eq!(fault.code, Code::TokenInvalid);
    assert!(fault.reason.contains("duplicate field `sub`"), "{fault:?}");
}

#[test]
fn reads_the_scope_of_a_token() {
    let issuer = Issuer::new(Algorithm::EdDSA, "k");
    let keys = key_set(&[issuer.jwk()]).unwrap();
    let filters = |texts: &[&str]| {
        let parsed = texts.iter().map(|text| TopicFilter::parse(text).unwrap());
        Some(parsed.collect())
    };
    for (claim, publish, subscribe) in [
        (json!({}), None, None),
        (json!({ "publish": [] }), filters(&[]), None),
        (
            json!({ "publish": ["a/+"], "subscribe": ["b/#", "c"] }),
            filters(&["a/+"]),
            filters(&["b/#", "c"]),
        ),
    ] {
        let verified = verify(&keys, &issuer.token(&with("tidings", claim))).unwrap();
        let scope = verified.scope().unwrap();
        assert_eq!(**scope, TokenScope { publish, subscribe });
    }
}

#[test]
fn names_a_token_so_that_a_log_can_hold_it() {
    let mut issuer = Issuer::new(Algorithm::EdDSA, "k");
    let keys = key_set(&[issuer.jwk()]).unwrap();
    let id = |claims: Value| {
        let verified = verify(&keys, &issuer.token(&claims)).unwrap();
        verified.token_id().to_owned()
    };
    assert_eq!(id(with("jti", json!("a\nb\u{202e}"))), "a\\nb\\u{202e}");
    assert_eq!(id(with("jti", json!("é".repeat(100)))), "é".repeat(64));
    assert_eq!(id(without("jti")), "k");
    issuer.kid = None;
    let keys = key_set(&[issuer.jwk()]).unwrap();
    let verified = verify(&keys, &issuer.token(&without("jti"))).unwrap();
    assert_eq!(verified.token_id().len(), 12);
}

#[test]
fn a_key_replaced_under_its_name_ends_what_it_signed() {
    for algorithm in [Algorithm::EdDSA, Algorithm::ES256] {
        let (old, new) = (Issuer::new(algorithm, "k"), Issuer::new(algorithm, "k"));
        let policy = |keys: &[Value]| TokenPolicy::new(None, Some(key_set(keys).unwrap()));
        let verified = policy(&[old.jwk()])
            .verify(Some(&old.token(&claims())), &alice(), now())
            .unwrap()
            .unwrap();
        let again = |keys: &[Value], now| policy(keys).reverify(&verified, &alice(), now);
        let fault = again(&[new.jwk()], now()).unwrap_err();
        assert_eq!(fault.code, Code::TokenInvalid);
        // The same key under another name, beside a new one under the old name.
        let mut renamed = old.jwk();
        renamed["kid"] = "old".into();
        let kept = again(&[new.jwk(), renamed], now()).unwrap();
        assert_eq!(kept.expires(), verified.expires());
        let fault = again(&[old.jwk()], at(60)).unwrap_err();
        assert_eq!(fault.code, Code::TokenExpired);
        assert!(again(&[old.jwk()], at(59)).is_ok());
    }
}

#[test]
fn passes_on_errors_of_the_file() {
    let fault = SignedTokenKeys::parse(Path::new("jwks"), b"", ISSUER, AUDIENCE).unwrap_err();
    let expected = "jwks: it is empty: a key set is {\"keys\": [...]} (RFC 7517)";
    assert_eq!(fault.to_string(), expected);
}
