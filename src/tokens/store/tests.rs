//! The format of the token store.

use chrono::TimeZone;

use super::*;

const HASH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn parse(text: &str) -> Result<TokenStore, String> {
    TokenStore::parse(Path::new("tokens"), text.as_bytes()).map_err(|fault| fault.to_string())
}

fn token(changes: &[(&str, &str)]) -> String {
    let mut lines = vec![
        ("id", "\"0123456789ab\"".to_owned()),
        ("identity", "\"alice\"".to_owned()),
        ("sha256", format!("\"{HASH}\"")),
        ("created", "\"2026-01-31T12:00:00Z\"".to_owned()),
    ];
    for (name, value) in changes {
        lines.retain(|(found, _)| found != name);
        if !value.is_empty() {
            lines.push((name, (*value).to_owned()));
        }
    }
    let lines = lines
        .iter()
        .map(|(name, value)| format!("{name} = {value}\n"));
    format!("[[token]]\n{}", lines.collect::<String>())
}

fn with(changes: &[(&str, &str)]) -> Result<TokenStore, String> {
    parse(&format!("version = 1\n\n{}", token(changes)))
}

fn noon() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 31, 12, 0, 0).unwrap()
}

#[test]
fn reads_a_token() {
    let store = with(&[("expires", "\"2026-02-28T00:00:00Z\"")]).unwrap();
    let [entry] = store.entries() else { panic!() };
    assert_eq!(entry.id, "0123456789ab");
    assert_eq!(entry.identity.as_str(), "alice");
    assert_eq!(entry.created, noon());
    let end = Utc.with_ymd_and_hms(2026, 2, 28, 0, 0, 0).unwrap();
    assert_eq!(entry.expires, Some(end));
    assert_eq!(hex(&entry.hash), HASH);
}

#[test]
fn reads_times_in_both_ways() {
    for time in [
        "2026-01-31T12:00:00Z",
        "2026-01-31T13:30:00+01:30",
        "\"2026-01-31T12:00:00.000Z\"",
    ] {
        let store = with(&[("created", time), ("expires", time)]).unwrap();
        assert_eq!(store.entries()[0].created, noon(), "{time}");
        assert_eq!(store.entries()[0].expires, Some(noon()), "{time}");
    }
}

#[test]
fn a_store_without_tokens_is_valid_and_an_empty_file_is_not() {
    assert!(parse("version = 1").unwrap().entries().is_empty());
    assert!(
        parse("version = 1\ntoken = []")
            .unwrap()
            .entries()
            .is_empty()
    );
    for empty in ["", "# a\n"] {
        let fault = parse(empty).unwrap_err();
        assert!(
            fault.starts_with("tokens: it has no `version = 1`"),
            "{fault}"
        );
        assert!(fault.contains("`tidings token new`"), "{fault}");
    }
    assert!(parse(&token(&[])).is_err());
}

#[test]
fn refuses_with_line_and_reason() {
    for (text, expected) in [
        ("version = 2", "tokens:1: only version 1"),
        ("version = \"1\"", "tokens:1: expected i64"),
        ("\n\nversion 1", "tokens:3: "),
        ("version = 1\nversion = 1", "tokens:2: duplicate key"),
        (
            "version = 1\nsecret = 1",
            "tokens:2: expected `version` or `token`",
        ),
        ("version = 1\ntoken = 7", "tokens:2: expected a sequence"),
        ("version = 1\n[[token]]", "tokens:2: missing field `id`"),
    ] {
        let fault = parse(text).unwrap_err();
        assert!(fault.starts_with(expected), "{text}: {fault}");
        assert!(!fault.contains('\n'), "{fault}");
    }
    for (name, value, expected) in [
        ("id", "", "tokens:3: missing field `id`"),
        ("id", "7", "tokens:7: expected a string"),
        ("id", "\"0123456789AB\"", "tokens:7: an `id` has"),
        ("id", "\"0123456789abc\"", "tokens:7: an `id` has"),
        (
            "identity",
            "\"\"",
            "tokens:7: not an identity: the name is empty",
        ),
        ("identity", "\"a\\nb\"", "tokens:7: not an identity"),
        ("sha256", "\"0123\"", "tokens:7: `sha256` has 64"),
        ("sha256", "", "tokens:3: missing field `sha256`"),
        ("created", "\"yesterday\"", "tokens:7: a time"),
        ("created", "2026-01-31T12:00:00", "tokens:7: a time"),
        ("created", "2026-01-31", "tokens:7: a time"),
        ("created", "", "tokens:3: missing field `created`"),
        ("expires", "0", "tokens:8: a time"),
        ("expires", "\"never\"", "tokens:8: a time"),
        ("note", "\"x\"", "tokens:8: expected one of `id`"),
    ] {
        let fault = with(&[(name, value)]).unwrap_err();
        assert!(fault.starts_with(expected), "{name} = {value}: {fault}");
    }
    let twice = format!("version = 1\n{}{}", token(&[]), token(&[]));
    let fault = parse(&twice).unwrap_err();
    let expected = "tokens:7: the id 0123456789ab is already used above";
    assert_eq!(fault, expected);
    let fault = TokenStore::parse(Path::new("tokens"), b"version = 1\n\xff").unwrap_err();
    assert_eq!(fault.to_string(), "tokens:2: it is not UTF-8");
}

#[test]
fn a_file_that_was_cut_off_lets_nobody_new_in() {
    let mut store = TokenStore::default();
    for name in ["alice", "bob"] {
        let identity = Identity::parse(name).unwrap();
        drop(store.issue(identity, noon(), Some(noon())).unwrap());
    }
    let text = store.to_text().unwrap();
    for end in 0..text.len() {
        if let Ok(cut) = parse(&text[..end]) {
            let known = |entry| store.entries().contains(entry);
            assert!(cut.entries().iter().all(known), "{}", &text[..end]);
            assert!(text[..end].contains("version = 1"));
        }
    }
}

#[test]
fn a_secret_in_the_wrong_place_is_not_shown() {
    let secret = NewToken::generate().unwrap();
    let quoted = format!("\"{}\"", secret.secret());
    let mut faults = vec![
        parse(&format!("version = 1\ntoken = {quoted}")),
        parse(&format!("version = {quoted}")),
        parse(&format!("version = 1\n{} = 1", secret.secret())),
        parse(secret.secret()),
        parse(&quoted),
    ];
    for name in ["id", "identity", "sha256", "created", "expires", "token"] {
        faults.push(with(&[(name, &quoted)]));
        faults.push(with(&[(name, &format!("[{quoted}]"))]));
    }
    for shown in faults.into_iter().filter_map(Result::err) {
        assert!(!shown.contains(&secret.secret()[17..]), "{shown}");
    }
}

#[test]
fn writes_what_it_reads() {
    let mut store = TokenStore::default();
    for (name, expires) in [("alice", None), ("a \"b\" \\ # ü", Some(noon()))] {
        let identity = Identity::parse(name).unwrap();
        drop(store.issue(identity, noon(), expires).unwrap());
    }
    let text = store.to_text().unwrap();
    assert!(text.starts_with("# "), "{text}");
    assert_eq!(parse(&text).unwrap().entries(), store.entries());
    let empty = TokenStore::default().to_text().unwrap();
    assert!(parse(&empty).unwrap().entries().is_empty());
}

#[test]
fn takes_out_one_token_alone() {
    let alice = Identity::parse("alice").unwrap();
    let mut store = TokenStore::default();
    let tokens: Vec<_> = (0..4)
        .map(|_| store.issue(alice.clone(), noon(), None).unwrap())
        .collect();
    assert_eq!(store.revoke("0123456789ab"), None);
    assert_eq!(store.revoke(&tokens[1].id()[..11]), None);
    assert_eq!(store.revoke(tokens[1].id()).unwrap().id, tokens[1].id());
    assert_eq!(store.revoke(tokens[1].id()), None);
    for (index, token) in tokens.iter().enumerate() {
        let outcome = store.verify(token.secret(), &alice, noon());
        assert_eq!(outcome.is_ok(), index != 1, "{index}");
    }
    assert_eq!(store.entries().len(), 3);
}

#[test]
fn shows_no_hash() {
    let shown = format!("{:?}", with(&[]).unwrap());
    assert!(shown.contains("0123456789ab"), "{shown}");
    assert!(!shown.contains(HASH) && !shown.contains("hash"), "{shown}");
}

#[test]
fn what_stays_when_the_expired_go_is_found_still() {
    let mut store = TokenStore::default();
    let alice = Identity::parse("alice").unwrap();
    let [over, good] = [Some(noon()), None].map(|expires| {
        let token = store.issue(alice.clone(), noon(), expires).unwrap();
        token.id().to_owned()
    });
    assert_eq!(store.revoke_expired(noon())[0].id, over);
    assert!(store.revoke(&over).is_none());
    assert!(store.revoke(&good).is_some());
}
