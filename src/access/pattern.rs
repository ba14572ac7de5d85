//! What rules are made of: patterns for identities, and topic filters with placeholders.
//!
//! Owns the guarantee that an identity in a filter means itself and nothing more: it is checked here
//! before it replaces a placeholder, and replacements are not expanded again.

use crate::{
    identity::{self, IDENTITY_BYTES_MAX, Identity, IdentityError},
    protocol::ClientId,
    topic::{FilterError, TopicFilter},
};

/// An identity, or a pattern for several: `*` matches any characters, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IdentityPattern {
    Exact(Box<str>),
    Wide {
        start: Box<str>,
        /// The parts between start and end, in order and without overlap.
        middles: Box<[Box<str>]>,
        end: Box<str>,
    },
}

impl IdentityPattern {
    /// # Errors
    ///
    /// When no identity can match it.
    pub(super) fn parse(text: &str) -> Result<Self, IdentityError> {
        // A `*` can stand for a character next to a space, and for no character at all.
        identity::check_characters(&text.replace('*', "x"))?;
        match text.len() - text.matches('*').count() {
            _ if text.is_empty() => return Err(IdentityError::Empty),
            len if len > IDENTITY_BYTES_MAX => return Err(IdentityError::TooLong),
            _ => {}
        }
        let Some((start, rest)) = text.split_once('*') else {
            return Ok(Self::Exact(text.into()));
        };
        let (middles, end) = rest.rsplit_once('*').unwrap_or(("", rest));
        let middles = middles.split('*').filter(|middle| !middle.is_empty());
        Ok(Self::Wide {
            start: start.into(),
            middles: middles.map(Into::into).collect(),
            end: end.into(),
        })
    }

    pub(super) fn matches(&self, identity: &Identity) -> bool {
        let name = identity.as_str();
        match self {
            Self::Exact(exact) => **exact == *name,
            Self::Wide {
                start,
                middles,
                end,
            } => name
                .strip_prefix(&**start)
                .and_then(|rest| rest.strip_suffix(&**end))
                .is_some_and(|between| holds_in_order(between, middles)),
        }
    }
}

/// Taking the first occurrence of each part is enough: it leaves the most text for the next parts.
fn holds_in_order(mut text: &str, parts: &[Box<str>]) -> bool {
    parts.iter().all(|part| match text.split_once(&**part) {
        Some((_, rest)) => {
            text = rest;
            true
        }
        None => false,
    })
}

/// The client whose identity and id replace the placeholders.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    identity: &'a Identity,
    client_id: String,
    /// The character that keeps the identity out of filters.
    unsafe_character: Option<char>,
}

impl<'a> Subject<'a> {
    pub(super) fn new(identity: &'a Identity, client_id: ClientId) -> Self {
        let is_unsafe =
            |c: &char| matches!(c, '+' | '#' | '/' | '$') || c.is_whitespace() || c.is_control();
        Self {
            identity,
            client_id: client_id.to_string(),
            unsafe_character: identity.as_str().chars().find(is_unsafe),
        }
    }

    pub(super) fn identity(&self) -> &'a Identity {
        self.identity
    }
}

/// A topic filter in which `{identity}` and `{client_id}` stand for those of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FilterTemplate {
    Plain(TopicFilter),
    Filled(Box<[Part]>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(Box<str>),
    Identity,
    ClientId,
}

/// The shortest possible identity: a filter that is too long with it is too long with any.
const SHORTEST_IDENTITY: &str = "x";

/// A client id. All have the same length.
const SOME_CLIENT_ID: &str = "00000000-0000-0000-0000-000000000000";

impl FilterTemplate {
    /// # Errors
    ///
    /// When a brace is not part of a placeholder, or when no identity makes it a valid topic filter.
    pub(super) fn parse(text: &str) -> Result<Self, TemplateError> {
        let parts = parts(text)?;
        let sample = TopicFilter::parse(&fill(&parts, SHORTEST_IDENTITY, SOME_CLIENT_ID))?;
        let is_plain = parts.iter().all(|part| matches!(part, Part::Text(_)));
        Ok(if is_plain {
            Self::Plain(sample)
        } else {
            Self::Filled(parts.into())
        })
    }

    /// Whether it matches topics of the server whatever the identity.
    pub(super) fn is_reserved(&self) -> bool {
        match self {
            Self::Plain(filter) => filter.is_reserved(),
            Self::Filled(parts) => {
                matches!(parts.first(), Some(Part::Text(text)) if text.starts_with('$'))
            }
        }
    }

    /// Whether it has a placeholder.
    pub(super) fn names_client(&self) -> bool {
        matches!(self, Self::Filled(_))
    }

    pub(super) fn has_client_id(&self) -> bool {
        matches!(self, Self::Filled(parts) if parts.contains(&Part::ClientId))
    }

    /// The filter for one client. The error is a reason for the client.
    pub(super) fn fill(&self, subject: &Subject<'_>) -> Result<TopicFilter, String> {
        let parts = match self {
            Self::Plain(filter) => return Ok(filter.clone()),
            Self::Filled(parts) => parts,
        };
        let identity = subject.identity;
        if let (Some(character), true) = (subject.unsafe_character, parts.contains(&Part::Identity))
        {
            return Err(format!(
                "the identity {identity:?} is refused: an access rule puts it into a topic filter, \
                 where it must not hold {character:?}"
            ));
        }
        let text = fill(parts, identity.as_str(), &subject.client_id);
        TopicFilter::parse(&text).map_err(|fault| {
            format!(
                "the identity {identity:?} is refused: an access rule puts it into a topic filter, \
                 and that is {fault}"
            )
        })
    }
}

/// Splits a template into text and placeholders.
fn parts(text: &str) -> Result<Vec<Part>, TemplateError> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(brace) = rest.find(['{', '}']) {
        let (before, from_brace) = rest.split_at(brace);
        if !before.is_empty() {
            parts.push(Part::Text(before.into()));
        }
        let (part, after) = if let Some(after) = from_brace.strip_prefix("{identity}") {
            (Part::Identity, after)
        } else if let Some(after) = from_brace.strip_prefix("{client_id}") {
            (Part::ClientId, after)
        } else {
            return Err(TemplateError::Brace);
        };
        parts.push(part);
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.into()));
    }
    Ok(parts)
}

/// Replaces the placeholders in one pass, so that replacements are not expanded again.
fn fill(parts: &[Part], identity: &str, client_id: &str) -> String {
    let texts = parts.iter().map(|part| match part {
        Part::Text(text) => text,
        Part::Identity => identity,
        Part::ClientId => client_id,
    });
    // One allocation, because a reload fills in all rules for all clients.
    let mut filled = String::with_capacity(texts.clone().map(str::len).sum());
    filled.extend(texts);
    filled
}

/// Why a text is not a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateError {
    #[error("`{{` and `}}` are allowed only in `{{identity}}` and `{{client_id}}`")]
    Brace,
    #[error(transparent)]
    Filter(#[from] FilterError),
}

#[cfg(test)]
mod tests;
