//! Access rules: who may publish and subscribe to what.
//!
//! Owns how rules are read and what they mean for one client: [`AccessRules`] is a file that was
//! checked as a whole, [`Permissions`] is what that file lets one client do. Knows nothing about
//! connections. All it needs of a client is the identity that the certificate proved.
//!
//! **Invariant:** it fails closed. A file with one error gives no rules at all. What no rule allows is
//! denied; what one rule denies is denied whatever the others allow. An identity that could mean more
//! than itself in a topic filter is never put into one.

mod coverage;
mod explain;
mod file;
mod pattern;
mod permissions;

use std::{
    collections::{HashMap, hash_map::Entry},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

pub use explain::{Action, Explanation};
pub use file::AccessError;
pub use permissions::{ClientLimits, Denial, Permissions, TokenScope};

use file::Rule;
use pattern::Subject;
use permissions::{Clause, Rights};

use crate::identity::Identity;
use crate::{
    protocol::{ClientId, Code},
    topic::TopicFilter,
};

/// The rules in force.
#[derive(Debug)]
pub struct AccessRules(RuleSource);

#[derive(Debug)]
enum RuleSource {
    /// No file: all clients share one set of permissions.
    Open(Arc<Permissions>),
    /// At least one rule. The path is only for messages.
    File {
        path: PathBuf,
        rules: Vec<Rule>,
        shared: SharedPermissions,
    },
}

/// Permissions shared by all clients that match the same rules, as long as none of these rules
/// contains `{identity}` or `{client_id}`. One entry per combination of rules that occurs.
///
/// The key holds the index of each rule. Line numbers would not do: one line can hold several rules.
type SharedPermissions = Mutex<HashMap<Box<[usize]>, Arc<Permissions>>>;

impl AccessRules {
    /// The rules without an access file: every client may do everything.
    #[must_use]
    pub fn open() -> Self {
        #[expect(clippy::expect_used, reason = "`#` is a topic filter")]
        let everything = TopicFilter::parse("#").expect("a filter");
        let rights = || {
            let clause = Clause {
                filter: everything.clone(),
                rule: None,
            };
            Rights::new(vec![clause], Vec::new())
        };
        Self(RuleSource::Open(Arc::new(Permissions {
            publish: rights(),
            subscribe: rights(),
            presence: true,
            limits: ClientLimits::default(),
        })))
    }

    /// Parses the contents of an access file. `path` is only for messages.
    ///
    /// # Errors
    ///
    /// The first error in the file. None of its rules can be used then.
    pub fn parse(path: &Path, contents: &[u8]) -> Result<Self, AccessError> {
        Ok(Self(RuleSource::File {
            path: path.to_owned(),
            rules: file::rules(path, contents)?,
            shared: SharedPermissions::default(),
        }))
    }

    /// What a client may do: all rules that match its identity, combined.
    ///
    /// # Errors
    ///
    /// `identity_denied` when no rule matches, or when a rule that matches would put the identity into
    /// a topic filter where it could mean more than itself.
    pub fn permissions(
        &self,
        identity: &Identity,
        client_id: ClientId,
    ) -> Result<Arc<Permissions>, Denial> {
        self.look_up(identity, client_id).1
    }

    /// The permissions of an identity and the rules that they come from. Everything that needs either
    /// goes through here.
    fn look_up(
        &self,
        identity: &Identity,
        client_id: ClientId,
    ) -> (Vec<&Rule>, Result<Arc<Permissions>, Denial>) {
        let (rules, shared) = match &self.0 {
            RuleSource::Open(permissions) => return (Vec::new(), Ok(Arc::clone(permissions))),
            RuleSource::File { rules, shared, .. } => (rules, shared),
        };
        let is_match = |index: &usize| rules[*index].is_about(identity);
        let indices: Box<[usize]> = (0..rules.len()).filter(is_match).collect();
        let rules: Vec<&Rule> = indices.iter().map(|index| &rules[*index]).collect();
        let combine = || combine(&rules, &Subject::new(identity, client_id)).map(Arc::new);
        let permissions = if rules.is_empty() || rules.iter().any(|rule| rule.names_client()) {
            combine()
        } else {
            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            match shared.entry(indices) {
                Entry::Occupied(known) => Ok(Arc::clone(known.get())),
                Entry::Vacant(place) => {
                    combine().map(|permissions| Arc::clone(place.insert(permissions)))
                }
            }
        };
        (rules, permissions)
    }

    /// The number of rules; 0 without an access file.
    #[must_use]
    pub fn rule_count(&self) -> usize {
        match &self.0 {
            RuleSource::Open(_) => 0,
            RuleSource::File { rules, .. } => rules.len(),
        }
    }

    /// Whether every client may do everything because there is no access file.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.0, RuleSource::Open(_))
    }
}

fn combine(rules: &[&Rule], subject: &Subject<'_>) -> Result<Permissions, Denial> {
    let [
        mut publish,
        mut deny_publish,
        mut subscribe,
        mut deny_subscribe,
    ] = [const { Vec::new() }; 4];
    let (mut presence, mut limits) = (true, ClientLimits::default());
    for rule in rules {
        for (templates, clauses) in [
            (&rule.publish, &mut publish),
            (&rule.deny_publish, &mut deny_publish),
            (&rule.subscribe, &mut subscribe),
            (&rule.deny_subscribe, &mut deny_subscribe),
        ] {
            for template in templates {
                let filter = template
                    .fill(subject)
                    .map_err(|reason| identity_denied(reason, Some(rule.line)))?;
                clauses.push(Clause {
                    filter,
                    rule: Some(rule.line),
                });
            }
        }
        presence &= rule.presence.unwrap_or(true);
        limits = limits.strictest(rule.limits);
    }
    if rules.is_empty() {
        let reason = format!(
            "no access rule admits the identity {:?}",
            subject.identity()
        );
        return Err(identity_denied(reason, None));
    }
    Ok(Permissions {
        publish: Rights::new(publish, deny_publish),
        subscribe: Rights::new(subscribe, deny_subscribe),
        presence,
        limits,
    })
}

fn identity_denied(reason: String, rule: Option<usize>) -> Denial {
    Denial {
        code: Code::IdentityDenied,
        reason: reason.into(),
        topic: None,
        rule,
    }
}

#[cfg(test)]
mod tests;
