//! Explains a decision of the rules to people: `tidings explain`.
//!
//! Owns the text, and which rules it names. The decision comes from the same [`Permissions`] that the
//! broker uses, looked up the same way.

use std::fmt::{self, Display};

use super::{
    AccessRules, Denial, Permissions, RuleSource,
    coverage::{helps_to_cover, overlap},
    file::Rule,
    permissions::Clause,
};
use crate::{
    identity::Identity,
    protocol::ClientId,
    text::harmless_path,
    topic::{Topic, TopicFilter},
};

/// What a client wants to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Publish to a topic.
    Publish(Topic<'static>),
    /// Subscribe to a filter.
    Subscribe(TopicFilter),
}

/// Whether the rules allow it, and why. Its text has one fact per line, the verdict first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The verdict.
    pub allowed: bool,
    /// Lines of text, escaped.
    facts: Vec<String>,
}

impl Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.allowed { "allowed" } else { "denied" })?;
        self.facts.iter().try_for_each(|fact| write!(f, "\n{fact}"))
    }
}

impl AccessRules {
    /// Decides whether a client with this identity may do this, and names the rules that decide.
    /// Without a client id, a new one is used.
    #[must_use]
    pub fn explain(
        &self,
        identity: &Identity,
        client_id: Option<ClientId>,
        action: &Action,
    ) -> Explanation {
        let client = client_id.unwrap_or_else(ClientId::fresh);
        let (rules, permissions) = self.look_up(identity, client);
        let (verdict, mut facts) =
            match permissions {
                Ok(permissions) => self.decide(&permissions, &rules, action),
                Err(denial) => {
                    let mut facts = vec![code_and_reason(&denial)];
                    facts.extend(denial.rule.map(|rule| {
                        format!("{} puts it into a topic filter", self.place(Some(rule)))
                    }));
                    (Err(denial), facts)
                }
            };
        if !rules.is_empty() {
            let places: Vec<_> = rules
                .iter()
                .map(|rule| self.place(Some(rule.line)))
                .collect();
            facts.push(format!("rules for {identity:?}: {}", places.join(", ")));
        }
        if client_id.is_none() && rules.iter().any(|rule| rule.has_client_id()) {
            facts.push(format!("{{client_id}} is a new one here: {client}"));
        }
        Explanation {
            allowed: verdict.is_ok(),
            facts,
        }
    }

    fn decide(
        &self,
        permissions: &Permissions,
        rules: &[&Rule],
        action: &Action,
    ) -> (Result<(), Denial>, Vec<String>) {
        let (verdict, mut facts) = match action {
            Action::Publish(topic) => {
                let verdict = permissions.may_publish(topic);
                let facts = self.on_publishing(permissions, topic, &verdict);
                (verdict, facts)
            }
            Action::Subscribe(filter) => {
                let verdict = permissions.may_subscribe(filter);
                let facts = self.on_subscribing(permissions, filter, &verdict);
                (verdict, facts)
            }
        };
        facts.extend(self.switches(permissions, rules));
        (verdict, facts)
    }

    fn on_publishing(
        &self,
        permissions: &Permissions,
        topic: &Topic<'_>,
        verdict: &Result<(), Denial>,
    ) -> Vec<String> {
        let matching = |clause: &&Clause| clause.filter.matches(topic);
        let allowed = permissions.publish.allowed().iter().filter(matching);
        let denied = permissions.publish.denied().iter().filter(matching);
        let fact = |says, clause| self.fact(clause, says, "publishing to");
        match verdict {
            Ok(()) => allowed
                .take(1)
                .map(|clause| fact("allows", clause))
                .collect(),
            Err(denial) => [code_and_reason(denial)]
                .into_iter()
                .chain(denied.map(|clause| fact("denies", clause)))
                .collect(),
        }
    }

    fn on_subscribing(
        &self,
        permissions: &Permissions,
        filter: &TopicFilter,
        verdict: &Result<(), Denial>,
    ) -> Vec<String> {
        let (allowed, denied) = (
            permissions.subscribe.allowed(),
            permissions.subscribe.denied(),
        );
        let fact = |says, clause| self.fact(clause, says, "subscribing to");
        let helping = |clause: &&Clause| helps_to_cover(filter, &clause.filter);
        let overlapping = |clause: &&Clause| overlap(filter, &clause.filter);
        let denial = match verdict {
            Ok(()) => {
                let withheld = denied.iter().filter(overlapping);
                let mut facts: Vec<_> = allowed
                    .iter()
                    .filter(helping)
                    .map(|clause| fact("allows", clause))
                    .collect();
                let before = facts.len();
                facts.extend(withheld.map(|clause| self.fact(clause, "withholds", "what matches")));
                if facts.len() == before {
                    facts.push("nothing is withheld".to_owned());
                }
                return facts;
            }
            Err(denial) => denial,
        };
        let mut facts = vec![code_and_reason(denial)];
        if denial.rule.is_some() {
            let denied = denied.iter().filter(helping);
            facts.extend(denied.map(|clause| fact("denies", clause)));
        } else {
            // A reserved filter is reserved as a whole, so no allowed filter overlaps with it.
            let allowed = allowed.iter().filter(overlapping);
            facts.extend(allowed.map(|clause| fact("allows only", clause)));
        }
        facts
    }

    /// The switches and limits that apply, each with the first rule that sets it.
    fn switches(&self, permissions: &Permissions, rules: &[&Rule]) -> Vec<String> {
        let limits = permissions.limits();
        let presence = Some(permissions.presence());
        [
            self.switch("presence", presence, rules, |rule| rule.presence),
            self.switch(
                "max_publish_messages_per_second",
                limits.publish_messages_per_second,
                rules,
                |rule| rule.limits.publish_messages_per_second,
            ),
            self.switch(
                "max_publish_bytes_per_second",
                limits.publish_bytes_per_second,
                rules,
                |rule| rule.limits.publish_bytes_per_second,
            ),
            self.switch(
                "max_errors_per_minute",
                limits.errors_per_minute,
                rules,
                |rule| rule.limits.errors_per_minute,
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn switch<T: PartialEq + Display>(
        &self,
        name: &str,
        value: Option<T>,
        rules: &[&Rule],
        said: impl Fn(&Rule) -> Option<T>,
    ) -> Option<String> {
        let value = value?;
        let rule = rules
            .iter()
            .find(|rule| said(rule).is_some_and(|said| said == value))?;
        Some(format!(
            "{} sets {name} = {value}",
            self.place(Some(rule.line))
        ))
    }

    fn fact(&self, clause: &Clause, says: &str, doing: &str) -> String {
        let filter = clause.filter.as_str();
        format!("{} {says} {doing} {filter:?}", self.place(clause.rule))
    }

    /// The place of a rule, in the form that editors can open.
    fn place(&self, rule: Option<usize>) -> String {
        match (&self.0, rule) {
            (RuleSource::File { path, .. }, Some(line)) => {
                format!("{}:{line}", harmless_path(path))
            }
            _ => "the default without an access file".to_owned(),
        }
    }
}

/// What the client receives.
fn code_and_reason(denial: &Denial) -> String {
    format!("{}: {}", denial.code, denial.reason)
}

#[cfg(test)]
mod tests;
