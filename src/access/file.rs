//! The file of access rules: TOML in, rules with their lines out.
//!
//! Owns what may stand in the file, and tells the first thing in it that may not. Knows nothing of
//! clients, and leaves it to `pattern` what a text means.

use std::path::{Path, PathBuf};

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use super::{
    pattern::{FilterTemplate, IdentityPattern},
    permissions::ClientLimits,
};
use crate::{identity::Identity, text::quoted};

/// One `[[rule]]`.
#[derive(Debug)]
pub(super) struct Rule {
    /// Of its header, counted from 1.
    pub(super) line: usize,
    identities: Vec<IdentityPattern>,
    pub(super) publish: Vec<FilterTemplate>,
    pub(super) subscribe: Vec<FilterTemplate>,
    pub(super) deny_publish: Vec<FilterTemplate>,
    pub(super) deny_subscribe: Vec<FilterTemplate>,
    /// `None` where it says nothing about it.
    pub(super) presence: Option<bool>,
    pub(super) limits: ClientLimits,
}

impl Rule {
    pub(super) fn is_about(&self, identity: &Identity) -> bool {
        let mut patterns = self.identities.iter();
        patterns.any(|pattern| pattern.matches(identity))
    }

    pub(super) fn has_client_id(&self) -> bool {
        self.templates().any(FilterTemplate::has_client_id)
    }

    /// Whether it comes to something else for every client.
    pub(super) fn names_client(&self) -> bool {
        self.templates().any(FilterTemplate::names_client)
    }

    fn templates(&self) -> impl Iterator<Item = &FilterTemplate> {
        let lists = [
            &self.publish,
            &self.subscribe,
            &self.deny_publish,
            &self.deny_subscribe,
        ];
        lists.into_iter().flatten()
    }
}

/// A file of access rules that cannot be used. One line: the file, the line, the fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: {reason}", path.display())]
pub struct AccessError {
    path: PathBuf,
    line: usize,
    reason: String,
}

impl AccessError {
    /// The file at fault.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The line at fault, counted from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }
}

/// The rules of a file, in its order: at least one.
pub(super) fn rules(path: &Path, contents: &[u8]) -> Result<Vec<Rule>, AccessError> {
    let source = Source::new(path, contents);
    let text = std::str::from_utf8(contents)
        .map_err(|fault| source.fault(fault.valid_up_to(), "it is not UTF-8"))?;
    let table = DeTable::parse(text).map_err(|fault| {
        let start = fault.span().map_or(0, |span| span.start);
        source.fault(
            start,
            format!("it is not TOML: {}; {FORM}", fault.message()),
        )
    })?;
    let mut rules = Vec::new();
    for (key, value) in in_order(table.get_ref()) {
        match (&**key.get_ref(), value.get_ref()) {
            ("rule", DeValue::Array(tables)) => {
                for table in tables.iter() {
                    rules.push(source.rule(table)?);
                }
            }
            ("rule", _) => {
                return Err(source.fault(key.span().start, "a rule begins with `[[rule]]`"));
            }
            (unknown, _) => {
                let reason = format!(
                    "unknown key {}: there are only `[[rule]]`s here",
                    quoted(unknown)
                );
                return Err(source.fault(key.span().start, reason));
            }
        }
    }
    if rules.is_empty() {
        let reason = "there is no `[[rule]]` in it, so nobody would be admitted";
        return Err(source.fault(0, reason));
    }
    Ok(rules)
}

type Key<'t> = Spanned<DeString<'t>>;
type Value<'t> = Spanned<DeValue<'t>>;

/// As they stand in the file: the first fault is the one to be told.
fn in_order<'a, 't>(table: &'a DeTable<'t>) -> Vec<(&'a Key<'t>, &'a Value<'t>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// Whether a filter says what may be done or what may not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Allow,
    Deny,
}

/// Where in the file something stands.
struct Source<'a> {
    path: &'a Path,
    /// Where each line ends, in bytes from the start.
    line_ends: Vec<usize>,
}

impl<'a> Source<'a> {
    fn new(path: &'a Path, contents: &[u8]) -> Self {
        Self {
            path,
            line_ends: memchr::memchr_iter(b'\n', contents).collect(),
        }
    }

    /// The line of a place, counted from 1.
    fn line(&self, offset: usize) -> usize {
        1 + self.line_ends.partition_point(|end| *end < offset)
    }

    fn fault(&self, offset: usize, reason: impl Into<String>) -> AccessError {
        AccessError {
            path: self.path.to_owned(),
            line: self.line(offset),
            reason: reason.into(),
        }
    }

    fn rule(&self, value: &Value<'_>) -> Result<Rule, AccessError> {
        let start = value.span().start;
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self.fault(start, "a rule begins with `[[rule]]`"));
        };
        let mut rule = Rule {
            line: self.line(start),
            identities: Vec::new(),
            publish: Vec::new(),
            subscribe: Vec::new(),
            deny_publish: Vec::new(),
            deny_subscribe: Vec::new(),
            presence: None,
            limits: ClientLimits::default(),
        };
        for (key, value) in in_order(table) {
            self.set(&mut rule, key, value)?;
        }
        if rule.identities.is_empty() {
            let reason = "this rule has no `identity`: give it a list of names or patterns";
            return Err(self.fault(start, reason));
        }
        Ok(rule)
    }

    fn set(&self, rule: &mut Rule, key: &Key<'_>, value: &Value<'_>) -> Result<(), AccessError> {
        let name = &**key.get_ref();
        match name {
            "identity" => rule.identities = self.identities(name, value)?,
            "publish" => rule.publish = self.filters(name, value, Effect::Allow)?,
            "subscribe" => rule.subscribe = self.filters(name, value, Effect::Allow)?,
            "deny_publish" => rule.deny_publish = self.filters(name, value, Effect::Deny)?,
            "deny_subscribe" => rule.deny_subscribe = self.filters(name, value, Effect::Deny)?,
            "presence" => match value.get_ref() {
                DeValue::Boolean(presence) => rule.presence = Some(*presence),
                _ => return Err(self.fault(value.span().start, "`presence` is true or false")),
            },
            "max_publish_messages_per_second" => {
                rule.limits.publish_messages_per_second =
                    Some(self.number(name, value, u32::MAX)?);
            }
            "max_publish_bytes_per_second" => {
                rule.limits.publish_bytes_per_second = Some(self.number(name, value, u64::MAX)?);
            }
            "max_errors_per_minute" => {
                rule.limits.errors_per_minute = Some(self.number(name, value, u32::MAX)?);
            }
            unknown => {
                let reason = format!("unknown key {}: a rule has {KEYS}", quoted(unknown));
                return Err(self.fault(key.span().start, reason));
            }
        }
        Ok(())
    }

    fn identities(
        &self,
        name: &str,
        value: &Value<'_>,
    ) -> Result<Vec<IdentityPattern>, AccessError> {
        let patterns = self.texts(name, value)?.map(|text| {
            let (text, start) = text?;
            IdentityPattern::parse(text).map_err(|fault| {
                self.fault(
                    start,
                    format!("no identity is like {}: {fault}", quoted(text)),
                )
            })
        });
        let patterns: Vec<_> = patterns.collect::<Result<_, _>>()?;
        if patterns.is_empty() {
            let reason = "`identity` is empty, so the rule is about nobody";
            return Err(self.fault(value.span().start, reason));
        }
        Ok(patterns)
    }

    fn filters(
        &self,
        name: &str,
        value: &Value<'_>,
        effect: Effect,
    ) -> Result<Vec<FilterTemplate>, AccessError> {
        let templates = self.texts(name, value)?.map(|text| {
            let (text, start) = text?;
            let template = FilterTemplate::parse(text).map_err(|fault| {
                self.fault(start, format!("{} in `{name}`: {fault}", quoted(text)))
            })?;
            if effect == Effect::Allow && template.is_reserved() {
                let reason = format!(
                    "{} in `{name}`: topics that begin with `$` belong to the server, and \
                     cannot be allowed",
                    quoted(text)
                );
                return Err(self.fault(start, reason));
            }
            Ok(template)
        });
        templates.collect()
    }

    /// The texts of a list, each with where it stands.
    fn texts<'v>(
        &'v self,
        name: &'v str,
        value: &'v Value<'_>,
    ) -> Result<impl Iterator<Item = Result<(&'v str, usize), AccessError>>, AccessError> {
        let wrong = move |value: &Value<'_>| {
            let reason = format!("`{name}` is a list of texts: {name} = [\"...\"]");
            self.fault(value.span().start, reason)
        };
        let DeValue::Array(items) = value.get_ref() else {
            return Err(wrong(value));
        };
        let texts = items.iter().map(move |item| match item.get_ref() {
            DeValue::String(text) => Ok((text.as_ref(), item.span().start)),
            _ => Err(wrong(item)),
        });
        Ok(texts)
    }

    fn number<T: TryFrom<u64> + std::fmt::Display>(
        &self,
        name: &str,
        value: &Value<'_>,
        most: T,
    ) -> Result<T, AccessError> {
        value
            .get_ref()
            .as_integer()
            .and_then(|number| u64::from_str_radix(number.as_str(), number.radix()).ok())
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| {
                let reason = format!("`{name}` is a whole number from 0, for no limit, to {most}");
                self.fault(value.span().start, reason)
            })
    }
}

const FORM: &str = "a rule begins with `[[rule]]`, and a value is true, false, a number or a list of \
                    texts: [\"...\"]";

const KEYS: &str = "identity, publish, subscribe, deny_publish, deny_subscribe, presence, \
                    max_publish_messages_per_second, max_publish_bytes_per_second and \
                    max_errors_per_minute";

#[cfg(test)]
mod tests;
