//! Tokens through the policy: which are accepted, and which stay so.

use std::path::Path;

use jsonwebtoken::Algorithm;
use proptest::prelude::*;

use super::issuer::{Issuer, at, claims, key_set, now};
use super::*;
use crate::{files::sha256, text::hex};

fn identity(name: &str) -> Identity {
    Identity::parse(name).unwrap()
}

fn store_with(expires: Option<DateTime<Utc>>) -> (TokenStore, NewToken) {
    let mut store = TokenStore::default();
    let token = store.issue(identity("alice"), now(), expires).unwrap();
    (store, token)
}

fn policy(store: TokenStore) -> TokenPolicy {
    TokenPolicy::new(Some(store), None)
}

fn code(outcome: Result<Option<VerifiedToken>, TokenError>) -> Option<Code> {
    outcome.err().map(|fault| fault.code)
}

#[test]
fn ignores_tokens_when_none_is_required() {
    let policy = TokenPolicy::default();
    assert!(!policy.is_required());
    for token in [None, Some(""), Some("nonsense")] {
        let verified = policy.verify(token, &identity("alice"), now()).unwrap();
        assert!(verified.is_none());
    }
}

#[test]
fn requires_an_unexpired_token_of_the_identity() {
    let (store, token) = store_with(Some(at(60)));
    let policy = policy(store);
    let verify = |token, name, now| policy.verify(token, &identity(name), now);
    let verified = verify(Some(token.secret()), "alice", at(59))
        .unwrap()
        .unwrap();
    assert_eq!(verified.token_id(), token.id());
    assert_eq!(verified.expires(), Some(at(60)));
    assert!(verified.scope().is_none());
    assert!(policy.is_required());
    for (sent, name, now, expected) in [
        (None, "alice", now(), Code::TokenMissing),
        (Some(""), "alice", now(), Code::TokenMissing),
        (Some("x"), "alice", now(), Code::TokenInvalid),
        (Some(token.secret()), "alice", at(60), Code::TokenExpired),
        (
            Some(token.secret()),
            "bob",
            now(),
            Code::TokenIdentityMismatch,
        ),
        (
            Some(token.secret()),
            "bob",
            at(60),
            Code::TokenIdentityMismatch,
        ),
    ] {
        assert_eq!(
            code(verify(sent, name, now)),
            Some(expected),
            "{name} {now}"
        );
    }
}

#[test]
fn a_wrong_secret_reveals_nothing() {
    let (store, token) = store_with(Some(at(-60)));
    let policy = policy(store);
    let other = NewToken::generate().unwrap();
    let wrong_secret = format!("tdg_{}_{}", token.id(), &other.secret()[17..]);
    let upper = format!("tdg_{}_{}", token.id(), token.secret()[17..].to_uppercase());
    for sent in [
        other.secret(),
        &wrong_secret,
        &upper,
        &token.secret()[..80],
        &format!("{}0", token.secret()),
        &format!("{}\n", token.secret()),
        &token.secret().to_uppercase(),
        &format!("tdg_{}_", token.id()),
        token.id(),
        "tdg_",
        "tdg__",
        &"tdg_é".repeat(30),
        &"x".repeat(TOKEN_BYTES_MAX + 1),
    ] {
        for name in ["alice", "bob"] {
            let fault = policy
                .verify(Some(sent), &identity(name), now())
                .unwrap_err();
            let expected = TokenError::unknown(fault.token_id.as_deref());
            assert_eq!(fault, expected, "{sent}");
        }
    }
    // The log may know which token was guessed at, when there is one.
    let fault = policy.verify(Some(&wrong_secret), &identity("alice"), now());
    assert_eq!(fault.unwrap_err().token_id.as_deref(), Some(token.id()));
    let fault = policy.verify(Some(other.secret()), &identity("alice"), now());
    assert_eq!(fault.unwrap_err().token_id, None);
}

#[test]
fn takes_both_kinds_side_by_side() {
    let issuer = Issuer::new(Algorithm::EdDSA, "k");
    let signed = issuer.token(&claims());
    let (store, listed) = store_with(None);
    let keys = || key_set(&[issuer.jwk()]).unwrap();
    for (policy, takes_listed, takes_signed) in [
        (TokenPolicy::new(Some(store.clone()), None), true, false),
        (TokenPolicy::new(None, Some(keys())), false, true),
        (TokenPolicy::new(Some(store), Some(keys())), true, true),
    ] {
        let takes = |token: &str| {
            let outcome = policy.verify(Some(token), &identity("alice"), now());
            let refused = code(outcome);
            assert!(matches!(refused, None | Some(Code::TokenInvalid)));
            refused.is_none()
        };
        assert_eq!(takes(listed.secret()), takes_listed);
        assert_eq!(takes(&signed), takes_signed);
    }
}

#[test]
fn takes_no_token_that_is_too_long() {
    let issuer = Issuer::new(Algorithm::EdDSA, "k");
    let policy = TokenPolicy::new(None, Some(key_set(&[issuer.jwk()]).unwrap()));
    let of_len = |wanted: usize| {
        let padded = (0..wanted).rev().map(|len| {
            let mut claims = claims();
            claims["padding"] = "x".repeat(len).into();
            issuer.token(&claims)
        });
        padded
            .into_iter()
            .find(|token| token.len() <= wanted)
            .unwrap()
    };
    let longest = of_len(TOKEN_BYTES_MAX);
    let longer = of_len(TOKEN_BYTES_MAX + 2);
    assert!(longer.len() > TOKEN_BYTES_MAX, "{}", longer.len());
    let verify = |token: &str| code(policy.verify(Some(token), &identity("alice"), now()));
    assert_eq!(verify(&longest), None);
    assert_eq!(verify(&longer), Some(Code::TokenInvalid));
}

#[test]
fn verifies_a_token_of_the_store_again() {
    let (mut store, token) = store_with(Some(at(60)));
    let verified = policy(store.clone())
        .verify(Some(token.secret()), &identity("alice"), now())
        .unwrap()
        .unwrap();
    let again = |store: &TokenStore, now| {
        policy(store.clone()).reverify(&verified, &identity("alice"), now)
    };
    assert_eq!(again(&store, now()).unwrap().expires(), Some(at(60)));
    assert_eq!(again(&store, at(60)).unwrap_err().code, Code::TokenExpired);

    // Written anew by hand: another end, another identity, another secret under the same id.
    let text = store.to_text().unwrap();
    let rewritten = |from: &str, to: &str| {
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        TokenStore::parse(Path::new("tokens"), changed.as_bytes()).unwrap()
    };
    let longer = rewritten("2026-01-31T12:01:00Z", "2026-01-31T12:02:00Z");
    assert_eq!(again(&longer, at(60)).unwrap().expires(), Some(at(120)));
    let shorter = rewritten("2026-01-31T12:01:00Z", "2026-01-31T12:00:30Z");
    assert_eq!(
        again(&shorter, at(30)).unwrap_err().code,
        Code::TokenExpired
    );
    let bobs = rewritten("alice", "bob");
    let fault = again(&bobs, now()).unwrap_err();
    assert_eq!(fault.code, Code::TokenIdentityMismatch);
    let hash = hex(&sha256(token.secret().as_bytes()));
    let replaced = rewritten(&hash, &"0".repeat(64));
    assert_eq!(
        again(&replaced, now()).unwrap_err().code,
        Code::TokenInvalid
    );

    store.revoke(token.id());
    let fault = again(&store, now()).unwrap_err();
    assert_eq!(fault, TokenError::withdrawn(token.id()));
}

#[test]
fn what_proved_a_session_must_be_there_still() {
    let issuer = Issuer::new(Algorithm::EdDSA, "k");
    let keys = || Some(key_set(&[issuer.jwk()]).unwrap());
    let (store, token) = store_with(None);
    let alice = identity("alice");
    let both = TokenPolicy::new(Some(store.clone()), keys());
    let verified = |token: &str| both.verify(Some(token), &alice, now()).unwrap().unwrap();
    let (listed, signed) = (verified(token.secret()), verified(&issuer.token(&claims())));
    let code = |policy: &TokenPolicy, verified: &VerifiedToken, who: &Identity| {
        let outcome = policy.reverify(verified, who, now());
        outcome.err().map(|fault| fault.code)
    };
    for (policy, of_listed, of_signed) in [
        (&both, None, None),
        (&policy(store), None, Some(Code::TokenInvalid)),
        (
            &TokenPolicy::new(None, keys()),
            Some(Code::TokenInvalid),
            None,
        ),
        (
            &TokenPolicy::default(),
            Some(Code::TokenInvalid),
            Some(Code::TokenInvalid),
        ),
    ] {
        assert_eq!(code(policy, &listed, &alice), of_listed);
        assert_eq!(code(policy, &signed, &alice), of_signed);
    }
    for verified in [&listed, &signed] {
        let mismatch = code(&both, verified, &identity("bob"));
        assert_eq!(mismatch, Some(Code::TokenIdentityMismatch));
    }
}

#[test]
fn shows_no_secret() {
    let (store, token) = store_with(None);
    let policy = policy(store);
    let verified = policy.verify(Some(token.secret()), &identity("alice"), now());
    let stolen = policy.verify(Some(token.secret()), &identity("bob"), now());
    let shown = format!("{policy:?} {verified:?} {stolen:?}");
    assert!(shown.contains(token.id()), "{shown}");
    let hash = sha256(token.secret().as_bytes());
    for hidden in [&token.secret()[17..], &hex(&hash), &format!("{hash:?}")] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}

proptest! {
    /// Whatever is sent is answered, and lets nobody in.
    #[test]
    fn takes_nothing_that_was_not_made(text in "(tdg_[0-9a-f]{0,13}_?|eyJ)?.{0,80}", dots in "[.a-zA-Z0-9_-]{0,60}") {
        let issuer = Issuer::new(Algorithm::EdDSA, "k");
        let (store, _) = store_with(None);
        let policy = TokenPolicy::new(Some(store), Some(key_set(&[issuer.jwk()]).unwrap()));
        for sent in [text, dots] {
            prop_assert!(policy.verify(Some(&sent), &identity("alice"), now()).is_err());
        }
    }
}
