//! The store of tokens, and tokens presented against it.

use std::{fmt::Write as _, path::Path, sync::LazyLock};

use aws_lc_rs::digest::{SHA256, digest};
use chrono::DateTime;
use tempfile::TempDir;
use tidings::{identity::Identity, tokens::{TokenStore, TokenFile, TokenPolicy, is_token_id}};

use crate::oracle::{check_identity, check_message, split_at_zero};

/// 2026-01-31T12:00:00Z
const NOW: i64 = 1_769_860_800;

/// A token, a zero byte, and the file.
pub fn run(input: &[u8]) {
    let (token, file) = split_at_zero(input);
    let store = match TokenStore::parse(Path::new("tokens.toml"), file) {
        Ok(store) => store,
        Err(fault) => {
            check_message(&fault);
            return;
        }
    };
    let now = DateTime::from_timestamp(NOW, 0).expect("a date");
    let mut identities = vec![Identity::parse("alice").expect("a name")];
    for entry in store.entries() {
        assert!(is_token_id(&entry.id));
        check_identity(&entry.identity);
        identities.push(entry.identity.clone());
    }
    let entries = store.entries().to_vec();
    let policy = TokenPolicy::new(Some(store), None);
    assert_eq!(policy.token_count(), entries.len());
    let Ok(token) = std::str::from_utf8(token) else {
        return;
    };
    assert!(policy.verify(None, &identities[0], now).is_err());
    for identity in identities.iter().take(8) {
        let proof = match policy.verify(Some(token), identity, now) {
            Ok(proof) => proof.expect("a token is wanted"),
            Err(fault) => {
                check_message(&fault.reason);
                continue;
            }
        };
        let entry = entries.iter().find(|entry| entry.id == proof.token_id());
        let entry = entry.expect("an entry that is in the store");
        assert_eq!(entry.identity, *identity);
        assert!(!entry.is_expired(now));
        assert!(token.starts_with(&format!("tdg_{}_", entry.id)));
        let text = std::str::from_utf8(file).expect("text");
        assert!(may_hold(text, &hash_of(token)), "a token that is not in the store");
        assert!(policy.reverify(&proof, identity, now).is_ok());
    }
}

fn hash_of(token: &str) -> String {
    let hash = digest(&SHA256, token.as_bytes());
    hash.as_ref().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    })
}

/// TOML can spell a text with escapes, and break it over lines.
fn may_hold(file: &str, text: &str) -> bool {
    file.contains(text) || file.contains('\\')
}

/// A store with two tokens, as `tidings token` writes it, and the first of them.
static BOOK: LazyLock<(String, String)> = LazyLock::new(|| {
    let folder = TempDir::new().expect("a folder");
    let file = TokenFile::new(folder.path().join("tokens.toml"));
    let now = DateTime::from_timestamp(NOW, 0).expect("a date");
    let later = DateTime::from_timestamp(NOW + 3600, 0);
    let issue = |name: &str, end| {
        let identity = Identity::parse(name).expect("a name");
        let token = file.issue(identity, now, end).expect("a token").outcome;
        token.secret().to_owned()
    };
    let token = issue("alice", later);
    issue("bob", None);
    (std::fs::read_to_string(file.path()).expect("the store"), token)
});

pub fn seeds() -> Vec<Vec<u8>> {
    let (store, token) = &*BOOK;
    let with = |token: &str, file: &str| [token.as_bytes(), b"\0", file.as_bytes()].concat();
    vec![
        with(token, store),
        with("tdg_0123456789ab_x", store),
        with("", "version = 1\n"),
        with(token, "version = 1\ntoken = [{id='0123456789ab',identity='a',sha256='0',created=2026-01-31T12:00:00Z}]"),
        with("a.b.c", "version = 2\n[[token]]\nid = 1\n"),
        with("", token),
        with("", &format!("version = 1\n[[token]]\nid = \"{token}\"\nidentity = \"a\"\nsha256 = \"{token}\"\ncreated = \"2026\"\n")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_of_the_first_seed_is_taken() {
        let (store, token) = &*BOOK;
        let store = TokenStore::parse(Path::new("tokens.toml"), store.as_bytes()).unwrap();
        let now = DateTime::from_timestamp(NOW, 0).unwrap();
        let alice = Identity::parse("alice").unwrap();
        let proof = TokenPolicy::new(Some(store), None).verify(Some(token), &alice, now);
        assert!(proof.unwrap().is_some());
    }
}
