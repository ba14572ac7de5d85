//! Tells for people what the rules come to: `tidings explain`.
//!
//! Owns the words, and which rules are named in them. The verdict is that of the same
//! [`Permissions`] that the broker asks, looked up the same way.

use std::fmt::{self, Display};

use super::{
    AccessRules, Basis, Denial, Permissions,
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

/// What somebody would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Publish to a topic.
    Publish(Topic<'static>),
    /// Subscribe to a filter.
    Subscribe(TopicFilter),
}

/// Whether it would be allowed, and why. As text it is one fact a line, the verdict first.
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
    /// Judges what the client of an identity would do, and names the rules by which it is so.
    /// Without a client id it is told for a fresh one.
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
                Ok(permissions) => self.judged(&permissions, &rules, action),
                Err(denial) => {
                    let mut facts = vec![refusal(&denial)];
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
            facts.push(format!("{{client_id}} is a fresh one here: {client}"));
        }
        Explanation {
            allowed: verdict.is_ok(),
            facts,
        }
    }

    fn judged(
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
        let told = |says, clause| self.told(clause, says, "publishing to");
        match verdict {
            Ok(()) => allowed
                .take(1)
                .map(|clause| told("allows", clause))
                .collect(),
            Err(denial) => [refusal(denial)]
                .into_iter()
                .chain(denied.map(|clause| told("denies", clause)))
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
        let told = |says, clause| self.told(clause, says, "subscribing to");
        let helping = |clause: &&Clause| helps_to_cover(filter, &clause.filter);
        let overlapping = |clause: &&Clause| overlap(filter, &clause.filter);
        let denial = match verdict {
            Ok(()) => {
                let withheld = denied.iter().filter(overlapping);
                let mut facts: Vec<_> = allowed
                    .iter()
                    .filter(helping)
                    .map(|clause| told("allows", clause))
                    .collect();
                let before = facts.len();
                facts.extend(withheld.map(|clause| self.told(clause, "withholds", "what matches")));
                if facts.len() == before {
                    facts.push("nothing is withheld".to_owned());
                }
                return facts;
            }
            Err(denial) => denial,
        };
        let mut facts = vec![refusal(denial)];
        if denial.rule.is_some() {
            let denied = denied.iter().filter(helping);
            facts.extend(denied.map(|clause| told("denies", clause)));
        } else {
            // Reserved is all of it or nothing, and then nothing overlaps.
            let allowed = allowed.iter().filter(overlapping);
            facts.extend(allowed.map(|clause| told("allows only", clause)));
        }
        facts
    }

    /// The switches and limits that rules set, with the first rule that says so.
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

    fn told(&self, clause: &Clause, says: &str, doing: &str) -> String {
        let filter = clause.filter.as_str();
        format!("{} {says} {doing} {filter:?}", self.place(clause.rule))
    }

    /// A rule, as a place that editors can open.
    fn place(&self, rule: Option<usize>) -> String {
        match (&self.0, rule) {
            (Basis::File { path, .. }, Some(line)) => format!("{}:{line}", harmless_path(path)),
            _ => "the lack of an access file".to_owned(),
        }
    }
}

/// As the client is told.
fn refusal(denial: &Denial) -> String {
    format!("{}: {}", denial.code, denial.reason)
}

#[cfg(test)]
mod tests;
