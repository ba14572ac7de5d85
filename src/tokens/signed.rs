//! Signed tokens: JSON Web Tokens (RFC 7519) of one issuer for one audience.
//!
//! Owns every rule by which one is taken. The crate checks the signature and nothing else: its
//! checks of claims pass what is missing, use a clock of their own, and allow a minute after the end.

use std::{fmt, path::Path, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Validation, decode, decode_header, errors::ErrorKind};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{
    Origin, TokenError, TokenFileError, VerifiedToken,
    key_set::{self, VerifyingKey},
};
use crate::{
    access::TokenScope,
    identity::Identity,
    protocol::{Code, describe_json_error},
    text::{escaped, hex},
    topic::TopicFilter,
};

/// By how much the issuer's clock may be ahead.
const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(60);

/// Characters of a token's name in the log.
const TOKEN_ID_LEN_MAX: usize = 64;

/// The public keys of an issuer, and what its tokens must say.
#[derive(Clone, Debug)]
pub struct SignedTokenKeys {
    keys: Vec<VerifyingKey>,
    issuer: Box<str>,
    audience: Box<str>,
}

impl SignedTokenKeys {
    /// Reads a JSON Web Key Set; `path` is for messages. Tokens must come from `issuer` and be for
    /// `audience`, word for word.
    ///
    /// # Errors
    ///
    /// When the file is not a key set, holds a secret, or no key that can be used.
    pub fn parse(
        path: &Path,
        contents: &[u8],
        issuer: &str,
        audience: &str,
    ) -> Result<Self, TokenFileError> {
        Ok(Self {
            keys: key_set::parse(path, contents)?,
            issuer: issuer.into(),
            audience: audience.into(),
        })
    }

    /// Whether the key with this digest is among them.
    pub(super) fn has_key(&self, digest: &[u8; 32]) -> bool {
        self.keys.iter().any(|key| key.digest == *digest)
    }

    pub(super) fn verify(
        &self,
        token: &str,
        identity: &Identity,
        now: DateTime<Utc>,
    ) -> Result<VerifiedToken, TokenError> {
        let (claims, key) = self.verified(token)?;
        let token_id = token_id(&claims, key);
        let scope = self
            .check_claims(&claims, now)
            .map_err(|reason| TokenError::new(Code::TokenInvalid, reason, Some(&token_id)))?;
        if claims.sub != identity.as_str() {
            return Err(TokenError::identity_mismatch(&token_id));
        }
        let verified = VerifiedToken {
            token_id,
            identity: identity.clone(),
            expires: Some(claims.exp.0),
            scope: scope.map(Arc::new),
            origin: Origin::Signed(key.digest),
        };
        verified.unexpired(now)
    }

    /// The claims of a token that one of the keys has signed, with that key.
    fn verified(&self, token: &str) -> Result<(Claims, &VerifyingKey), TokenError> {
        let unknown = || TokenError::unknown(None);
        let header = decode_header(token).map_err(|_| unknown())?;
        // What an issuer calls critical must be understood, and nothing of the kind is.
        if header.crit.is_some() {
            return Err(unknown());
        }
        let candidates = self.keys.iter().filter(|key| {
            let is_named = |kid| key.kid.as_ref() == Some(kid);
            key.algorithm == header.alg && header.kid.as_ref().is_none_or(is_named)
        });
        for key in candidates {
            match decode::<Claims>(token, &key.key, &signature_alone(key)) {
                Ok(verified) => return Ok((verified.claims, key)),
                Err(error) => {
                    // The header was read already: what cannot be read now are claims, after the
                    // signature held.
                    if let ErrorKind::Json(error) = error.kind() {
                        let fault = describe_json_error(error);
                        let reason = format!("the token's claims cannot be taken: {fault}");
                        return Err(TokenError::new(Code::TokenInvalid, reason, None));
                    }
                }
            }
        }
        Err(unknown())
    }

    /// All but whose the token is and when it ends. A fault is a sentence for who has a token with
    /// a good signature.
    fn check_claims(
        &self,
        claims: &Claims,
        now: DateTime<Utc>,
    ) -> Result<Option<TokenScope>, &'static str> {
        if claims.iss != *self.issuer {
            return Err("the token is from another issuer");
        }
        if !claims.aud.holds(&self.audience) {
            return Err("the token is for another audience");
        }
        let is_ahead = |time: &Moment| time.0 > now + CLOCK_SKEW;
        if claims.nbf.as_ref().is_some_and(is_ahead) || claims.iat.as_ref().is_some_and(is_ahead) {
            return Err("the token is not good yet");
        }
        let Some(scope) = &claims.tidings else {
            return Ok(None);
        };
        let no_filter = "the token's claim `tidings` holds what is not a topic filter";
        scope.read().map(Some).ok_or(no_filter)
    }
}

/// What the crate is to check: that this key has signed it by this key's own algorithm.
fn signature_alone(key: &VerifyingKey) -> Validation {
    let mut validation = Validation::new(key.algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

/// The issuer's name for the token, or else that of the key. Both are strangers' texts.
fn token_id(claims: &Claims, key: &VerifyingKey) -> String {
    let name = claims.jti.as_ref().or(key.kid.as_ref());
    let name = name.map_or_else(|| hex(&key.digest[..6]), |name| escaped(name));
    name.chars().take(TOKEN_ID_LEN_MAX).collect()
}

/// The claims that are looked at; there may be more.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    sub: String,
    exp: Moment,
    #[serde(default, deserialize_with = "given")]
    nbf: Option<Moment>,
    #[serde(default, deserialize_with = "given")]
    iat: Option<Moment>,
    jti: Option<String>,
    #[serde(default, deserialize_with = "given_object")]
    tidings: Option<TokenScopeClaim>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected `aud` as a string or a list of strings"
)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn holds(&self, wanted: &str) -> bool {
        match self {
            Self::One(name) => name == wanted,
            Self::Several(names) => names.iter().any(|name| name == wanted),
        }
    }
}

/// Seconds since 1970, as RFC 7519 has a `NumericDate`: whole or not.
struct Moment(DateTime<Utc>);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "what is cut off is a part of a second; what is too large ends as a number that is no date"
        )]
        let seconds = number
            .as_i64()
            .or_else(|| number.as_f64().map(|seconds| seconds.floor() as i64));
        seconds
            .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
            .map(Self)
            .ok_or_else(|| D::Error::custom("expected seconds since 1970"))
    }
}

/// What a token takes away. A member that is not understood would be a restriction that is not kept.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenScopeClaim {
    #[serde(default, deserialize_with = "given")]
    publish: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    subscribe: Option<Vec<String>>,
}

impl TokenScopeClaim {
    /// `None` when one of them is not a filter.
    fn read(&self) -> Option<TokenScope> {
        let filters = |texts: &Option<Vec<String>>| {
            let parsed = texts.as_ref().map(|texts| {
                let filters = texts.iter().map(|text| TopicFilter::parse(text));
                filters.collect::<Result<Vec<_>, _>>()
            });
            parsed.transpose().ok()
        };
        Some(TokenScope {
            publish: filters(&self.publish)?,
            subscribe: filters(&self.subscribe)?,
        })
    }
}

/// A member that may be left out, and must not be `null`: that would say nothing of what is meant.
fn given<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// The same, and no list: serde would take one for an object without names, and an empty one for
/// an object in which all is left out.
fn given_object<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<TokenScopeClaim>, D::Error> {
    struct Object;

    impl<'de> Visitor<'de> for Object {
        type Value = TokenScopeClaim;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object with `publish` and `subscribe`")
        }

        fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
            TokenScopeClaim::deserialize(MapAccessDeserializer::new(members))
        }
    }

    deserializer.deserialize_map(Object).map(Some)
}

#[cfg(test)]
mod tests;
