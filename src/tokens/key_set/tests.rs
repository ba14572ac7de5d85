use serde_json::{Value, json};

use super::*;
use crate::tokens::issuer::{Issuer, base64};

fn read(keys: &[Value]) -> Result<Vec<VerifyingKey>, String> {
    let text = json!({ "keys": keys }).to_string();
    parse(Path::new("jwks"), text.as_bytes()).map_err(|fault| fault.to_string())
}

fn changed(jwk: &Value, name: &str, value: impl Into<Value>) -> Value {
    let mut jwk = jwk.clone();
    jwk[name] = value.into();
    jwk
}

fn without(jwk: &Value, name: &str) -> Value {
    let mut jwk = jwk.clone();
    jwk.as_object_mut().unwrap().remove(name);
    jwk
}

fn all() -> Vec<Value> {
    let issuers = [
        Issuer::new(Algorithm::EdDSA, "ed"),
        Issuer::new(Algorithm::ES256, "ec"),
        Issuer::new(Algorithm::RS256, "rsa"),
    ];
    issuers.iter().map(Issuer::jwk).collect()
}

#[test]
fn takes_one_algorithm_for_each_key() {
    let keys = read(&all()).unwrap();
    let algorithms: Vec<_> = keys.iter().map(|key| key.algorithm).collect();
    let expected = [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256];
    assert_eq!(algorithms, expected);
    for (jwk, alg) in all().iter().zip(["EdDSA", "ES256", "RS256"]) {
        let jwk = changed(jwk, "alg", alg);
        assert_eq!(read(&[changed(&jwk, "use", "sig")]).unwrap().len(), 1);
        let for_verifying = changed(&jwk, "key_ops", json!(["verify"]));
        assert_eq!(read(&[for_verifying]).unwrap().len(), 1);
    }
}

#[test]
fn passes_over_what_is_not_for_it() {
    let [ed, ec, rsa]: [Value; 3] = all().try_into().unwrap();
    let short = base64([0xff; 255]);
    let padded = base64([&[0; 8], &[0x7f; 256][..]].concat());
    for other in [
        changed(&ec, "use", "enc"),
        changed(&ec, "use", ""),
        changed(&ec, "alg", "ES384"),
        changed(&ec, "alg", "ECDH-ES"),
        changed(&ec, "alg", "HS256"),
        changed(&ec, "crv", "P-384"),
        changed(&ec, "crv", "secp256k1"),
        changed(&ec, "key_ops", json!(["deriveBits"])),
        changed(&ec, "kty", "AKP"),
        changed(&rsa, "alg", "PS256"),
        changed(&rsa, "alg", "RSA-OAEP"),
        changed(&rsa, "n", short),
        changed(&rsa, "n", padded),
    ] {
        let keys = read(&[other.clone(), ed.clone()]).unwrap();
        assert_eq!(keys.len(), 1, "{other}");
        assert_eq!(keys[0].kid.as_deref(), Some("ed"));
        let fault = read(std::slice::from_ref(&other)).unwrap_err();
        assert!(
            fault.contains("no key that can be used"),
            "{other}: {fault}"
        );
    }
}

#[test]
fn refuses_secrets_and_never_shows_them() {
    let [ed, ec, rsa]: [Value; 3] = all().try_into().unwrap();
    let secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQ";
    for jwk in [
        json!({ "kty": "oct", "k": secret }),
        json!({ "kty": "oct", "k": secret, "use": "enc" }),
        changed(&ed, "d", secret),
        changed(&changed(&ec, "use", "enc"), "d", secret),
        changed(&rsa, "d", secret),
        changed(&changed(&ed, "kty", "AKP"), "d", secret),
        changed(&rsa, "p", secret),
        changed(&rsa, "k", secret),
    ] {
        let fault = read(&[ed.clone(), jwk]).unwrap_err();
        assert!(fault.starts_with("jwks: key 2: it is a "), "{fault}");
        assert!(!fault.contains(secret), "{fault}");
    }
    for text in [
        format!("\"{secret}\""),
        format!("{{\"keys\":\"{secret}\"}}"),
        format!("{{\"keys\":[\"{secret}\"]}}"),
        format!("{{\"keys\":[{{\"kty\":{{\"{secret}\":1}}}}]}}"),
        format!("{{\"keys\":[{{\"kty\":\"oct\",\"k\":\"{secret}\"}}"),
        secret.to_owned(),
    ] {
        let fault = parse(Path::new("jwks"), text.as_bytes()).unwrap_err();
        let told = format!("{fault} {fault:?}");
        assert!(!told.contains(secret), "{told}");
        assert!(told.starts_with("jwks:1: "), "{told}");
    }
}

#[test]
fn says_what_a_key_set_is_where_there_is_none() {
    for (text, expected) in [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("[]", "it holds a list"),
        ("[[]]", "it holds a list"),
        ("{}", "missing field `keys`"),
        ("{\"keys\": [", "cut off"),
        ("keys", "not JSON"),
    ] {
        let fault = parse(Path::new("jwks"), text.as_bytes())
            .unwrap_err()
            .to_string();
        assert!(fault.contains(expected), "{text}: {fault}");
        assert!(
            fault.contains("a key set is {\"keys\": [...]}"),
            "{text}: {fault}"
        );
    }
}

#[test]
fn refuses_what_is_broken() {
    let [ed, ec, rsa]: [Value; 3] = all().try_into().unwrap();
    for jwk in [
        without(&ed, "x"),
        changed(&ed, "x", base64([1; 31])),
        changed(&ed, "x", "***"),
        without(&ec, "y"),
        changed(&ec, "x", base64([1; 31])),
        changed(&ec, "y", base64([1; 32])),
        without(&rsa, "n"),
        without(&rsa, "e"),
        changed(&rsa, "e", base64([0])),
        changed(&rsa, "e", base64([1])),
        changed(&rsa, "e", base64([2])),
        changed(&rsa, "e", base64([1; 9])),
        changed(&rsa, "n", base64([0xfe; 256])),
        changed(&rsa, "n", base64([0xff; 1025])),
        changed(&rsa, "n", format!("{}=", rsa["n"].as_str().unwrap())),
    ] {
        let fault = read(std::slice::from_ref(&jwk)).unwrap_err();
        assert_eq!(fault, format!("jwks: key 1: {BROKEN}"), "{jwk}");
    }
}

/// With these as its key, a signature of zeros can be good for everything.
#[test]
fn refuses_keys_with_which_anybody_can_sign() {
    let ed: Value = all().swap_remove(0);
    let point = |first: u8, fill: u8, last: u8| {
        let mut point = [fill; 32];
        (point[0], point[31]) = (first, last);
        point
    };
    let mut points: Vec<[u8; 32]> = [
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ]
    .map(|text| {
        let byte = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap();
        std::array::from_fn(byte)
    })
    .to_vec();
    points.extend([0, 1].map(|first| point(first, 0, 0)));
    points.extend([0xec, 0xed, 0xee].map(|first| point(first, 0xff, 0x7f)));
    for mut point in points {
        for sign in [0, 0x80] {
            point[31] = point[31] & 0x7f | sign;
            let jwk = changed(&ed, "x", base64(point));
            let fault = read(std::slice::from_ref(&jwk)).unwrap_err();
            assert_eq!(fault, format!("jwks: key 1: {BROKEN}"), "{jwk}");
        }
    }
}

#[test]
fn refuses_two_keys_of_one_name() {
    let [ed, ec, rsa]: [Value; 3] = all().try_into().unwrap();
    let fault = read(&[ed.clone(), changed(&ec, "kid", "ed")]).unwrap_err();
    assert_eq!(fault, "jwks: key 2: another key has the same `kid`");
    let nameless = [without(&ed, "kid"), without(&ec, "kid"), rsa];
    assert_eq!(read(&nameless).unwrap().len(), 3);
    let too_many = vec![without(&ed, "kid"); KEYS_MAX + 1];
    assert!(read(&too_many).unwrap_err().contains("more than 64 keys"));
}

#[test]
fn refuses_an_empty_or_cut_off_file() {
    assert!(read(&[]).is_err());
    let whole = json!({ "keys": all() }).to_string();
    for end in 0..whole.len() {
        let fault = parse(Path::new("jwks"), &whole.as_bytes()[..end]);
        assert!(fault.is_err(), "{}", &whole[..end]);
    }
    assert!(parse(Path::new("jwks"), whole.as_bytes()).is_ok());
}

#[test]
fn knows_a_key_by_what_it_is() {
    let [ed, ec, _]: [Value; 3] = all().try_into().unwrap();
    let digest = |jwk: &Value| read(std::slice::from_ref(jwk)).unwrap()[0].digest;
    assert_eq!(digest(&ed), digest(&changed(&ed, "kid", "other")));
    assert_ne!(digest(&ed), digest(&ec));
    assert_ne!(
        digest(&ed),
        digest(&Issuer::new(Algorithm::EdDSA, "ed").jwk())
    );
}
