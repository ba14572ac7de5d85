//! The form of a token of the store: `tdg_<id>_<secret>`.

use std::fmt;

use aws_lc_rs::{error::Unspecified, rand};

use crate::text::hex;

/// The prefix of every token of the store, so that scanners for leaked secrets find it.
const PREFIX: &str = "tdg_";

/// Hexadecimal characters of a token's id.
const ID_LEN: usize = 12;

/// A new token. This is the only time its text is known.
///
/// `tdg_<id>_<secret>`: an id of 12 hexadecimal characters, and a secret of 64, which are 32 random
/// bytes. A secret of that size needs no slow hash, and a slow hash would let clients keep the server
/// busy.
pub struct NewToken {
    id: String,
    text: String,
}

impl NewToken {
    pub(super) fn generate() -> Result<Self, Unspecified> {
        let (mut id, mut secret) = ([0; ID_LEN / 2], [0; 32]);
        rand::fill(&mut id)?;
        rand::fill(&mut secret)?;
        let id = hex(&id);
        let text = format!("{PREFIX}{id}_{}", hex(&secret));
        Ok(Self { id, text })
    }

    /// The id, by which the token can be revoked. It is not secret.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The whole token: the secret.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewToken")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Whether `text` has the form of an id: 12 characters from `0-9` and `a-f`.
#[must_use]
pub fn is_token_id(text: &str) -> bool {
    text.len() == ID_LEN && text.bytes().all(is_lower_hex)
}

/// Whether `token` has the prefix of tokens of the store.
pub(super) fn is_store_token(token: &str) -> bool {
    token.starts_with(PREFIX)
}

/// The id in the text of a token.
pub(super) fn claimed_id(token: &str) -> Option<&str> {
    let (id, _) = token.strip_prefix(PREFIX)?.split_once('_')?;
    is_token_id(id).then_some(id)
}

/// Reads 32 bytes from 64 lower-case hexadecimal characters.
pub(super) fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() || !text.bytes().all(is_lower_hex) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::sha256;

    #[test]
    fn new_tokens_are_well_formed_and_all_different() {
        let (one, two) = (NewToken::generate().unwrap(), NewToken::generate().unwrap());
        assert_eq!(one.secret().len(), 4 + 12 + 1 + 64);
        assert_eq!(claimed_id(one.secret()), Some(one.id()));
        assert!(is_store_token(one.secret()));
        assert_ne!(one.id(), two.id());
        assert_ne!(one.secret()[17..], two.secret()[17..]);
    }

    #[test]
    fn shows_no_secret() {
        let token = NewToken::generate().unwrap();
        let shown = format!("{token:?} {token:#?}");
        assert!(shown.contains(token.id()), "{shown}");
        assert!(!shown.contains(&token.secret()[17..]), "{shown}");
    }

    #[test]
    fn reads_lower_case_hexadecimal_only() {
        let hash = sha256(b"a");
        assert_eq!(from_hex(&hex(&hash)), Some(hash));
        for text in ["", &"+f".repeat(32), &"AA".repeat(32), &"é".repeat(32)] {
            assert_eq!(from_hex(text), None, "{text}");
        }
    }

    #[test]
    fn finds_the_id_only_in_its_place() {
        for token in [
            "",
            "tdg_",
            "tdg_0123456789ab",
            "tdg_0123456789AB_x",
            "x_y_z",
        ] {
            assert_eq!(claimed_id(token), None, "{token}");
        }
        assert_eq!(claimed_id("tdg_0123456789ab_x"), Some("0123456789ab"));
    }
}
