//! What stands in the `content` of a client's events: the types, and how each is read from the line.

use std::{borrow::Cow, fmt};

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    fields::Fields,
    value::{given, invalid, required, string},
};
use crate::{
    protocol::{Code, CodedError, OnlyRef, reference::with_reference},
    topic::{Topic, TopicFilter},
};

/// Content that can be read from the members of a line.
pub(super) trait Content<'a>: Sized {
    /// Checks the members that it needs. The `ref` has been read already.
    fn read(fields: &Fields<'a>, reference: Option<Cow<'a, str>>) -> Result<Self, CodedError>;
}

with_reference! {
    /// Content of `request_authentication`.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
    pub struct RequestAuthentication<'a> {
        /// Proves who the client is, beside its certificate, where the server asks for that.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub token: Option<Token<'a>>,
        /// Whether the client wants to be told when other clients come and go.
        pub presence: bool,
    }

    /// Content of `publish`. With a `ref`, it is answered with `published`.
    #[derive(Clone, Debug, Serialize)]
    pub struct Publish<'a> {
        /// Where the message goes.
        pub topic: Topic<'a>,
        /// Any JSON value. It is checked to be one, never read, and passed on byte for byte.
        pub payload: &'a RawValue,
    }

    /// Content of `subscribe` and `unsubscribe`.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
    pub struct Subscribe<'a> {
        /// Which topics.
        pub topic: TopicFilter,
    }
}

impl<'a> Content<'a> for RequestAuthentication<'a> {
    fn read(fields: &Fields<'a>, reference: Option<Cow<'a, str>>) -> Result<Self, CodedError> {
        let token = given(fields.token)
            .map(|raw| string(raw).ok_or_else(|| invalid("`token` must be a string")))
            .transpose()?;
        let presence = match given(fields.presence).map(RawValue::get) {
            None | Some("true") => true,
            Some("false") => false,
            Some(_) => return Err(invalid("`presence` must be true or false")),
        };
        Ok(Self {
            token: token.map(Token::new),
            presence,
            reference,
        })
    }
}

impl<'a> Content<'a> for Publish<'a> {
    fn read(fields: &Fields<'a>, reference: Option<Cow<'a, str>>) -> Result<Self, CodedError> {
        Ok(Self {
            topic: Topic::parse(topic(fields)?)
                .map_err(|error| CodedError::new(Code::InvalidTopic, error.to_string()))?,
            payload: required(fields.payload, "payload")?,
            reference,
        })
    }
}

impl<'a> Content<'a> for Subscribe<'a> {
    fn read(fields: &Fields<'a>, reference: Option<Cow<'a, str>>) -> Result<Self, CodedError> {
        Ok(Self {
            topic: TopicFilter::parse(&topic(fields)?)
                .map_err(|error| CodedError::new(Code::InvalidFilter, error.to_string()))?,
            reference,
        })
    }
}

impl<'a> Content<'a> for OnlyRef<'a> {
    fn read(_: &Fields<'a>, reference: Option<Cow<'a, str>>) -> Result<Self, CodedError> {
        Ok(Self { reference })
    }
}

fn topic<'a>(fields: &Fields<'a>) -> Result<Cow<'a, str>, CodedError> {
    string(required(fields.topic, "topic")?).ok_or_else(|| invalid("`topic` must be a string"))
}

/// A token as a client sends it. It is a secret, which `Debug` does not show.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Token<'a>(Cow<'a, str>);

impl<'a> Token<'a> {
    /// Wraps the text of a token.
    #[must_use]
    pub fn new(text: impl Into<Cow<'a, str>>) -> Self {
        Self(text.into())
    }

    /// The secret.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(not shown)")
    }
}
