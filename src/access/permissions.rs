//! What one client may do, ready to be asked.
//!
//! Owns the judgement on a topic or filter. Knows nothing of identities, patterns and files: what is
//! here was filled in for one client, and a rule is only a line to point at.
//!
//! **Invariant:** deny wins; what nothing allows is denied; topics that begin with `$` are the
//! server's, whatever the rules say. A yes allocates nothing.

use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

use super::coverage::{helps_to_cover, is_covered};
use crate::{
    protocol::{Code, CodedError},
    text::quoted,
    topic::{Topic, TopicFilter},
};

/// What one client may do.
///
/// Equal are those that permit the same, whatever the order and the lines of the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    pub(super) publish: Rights,
    pub(super) subscribe: Rights,
    pub(super) presence: bool,
    pub(super) limits: ClientLimits,
}

impl Permissions {
    /// Those of a client that may do nothing more.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            publish: Rights::new(Vec::new(), Vec::new()),
            subscribe: Rights::new(Vec::new(), Vec::new()),
            presence: false,
            limits: ClientLimits::default(),
        }
    }

    /// Whether the client may publish to `topic`.
    ///
    /// # Errors
    ///
    /// `reserved_topic` or `publish_denied`.
    pub fn may_publish(&self, topic: &Topic<'_>) -> Result<(), Denial> {
        self.publish.check_topic(topic).map_err(|refusal| {
            refusal.denial(&Asked {
                code: Code::PublishDenied,
                doing: "publishing to",
                text: topic.as_str(),
                is_wide: false,
            })
        })
    }

    /// Whether the client may subscribe to `filter`. It may also where a part of what the filter
    /// matches is denied: [`may_receive`](Self::may_receive) withholds that part.
    ///
    /// # Errors
    ///
    /// `reserved_topic` or `subscribe_denied`.
    pub fn may_subscribe(&self, filter: &TopicFilter) -> Result<(), Denial> {
        self.subscribe.check_filter(filter).map_err(|refusal| {
            refusal.denial(&Asked {
                code: Code::SubscribeDenied,
                doing: "subscribing to",
                text: filter.as_str(),
                is_wide: filter.has_wildcard(),
            })
        })
    }

    /// Whether a message on `topic` may reach the client: the gate of every way to it.
    #[must_use]
    pub fn may_receive(&self, topic: &Topic<'_>) -> bool {
        self.subscribe.check_topic(topic).is_ok()
    }

    /// Whether the client is shown to others and told of them.
    #[must_use]
    pub fn presence(&self) -> bool {
        self.presence
    }

    /// What the client is held to.
    #[must_use]
    pub fn limits(&self) -> &ClientLimits {
        &self.limits
    }

    /// These permissions, without what `scope` leaves out. Nothing is ever added.
    #[must_use]
    pub fn narrowed_to(self: Arc<Self>, scope: &TokenScope) -> Arc<Self> {
        if *scope == TokenScope::default() {
            return self;
        }
        let mut permissions = Self::clone(&self);
        permissions.publish.narrow(scope.publish.as_deref());
        permissions.subscribe.narrow(scope.subscribe.as_deref());
        Arc::new(permissions)
    }
}

/// What a client is held to by the rules. `None` leaves it to the server's flags; `Some(0)` stands
/// for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientLimits {
    /// Messages that the client may publish in a second.
    pub publish_messages_per_second: Option<u32>,
    /// Bytes of lines with which the client may publish in a second.
    pub publish_bytes_per_second: Option<u64>,
    /// Errors that the client may make in a minute.
    pub errors_per_minute: Option<u32>,
}

impl ClientLimits {
    /// These limits, and where they say nothing those of `default`.
    #[must_use]
    pub fn or(self, default: &Self) -> Self {
        Self {
            publish_messages_per_second: self
                .publish_messages_per_second
                .or(default.publish_messages_per_second),
            publish_bytes_per_second: self
                .publish_bytes_per_second
                .or(default.publish_bytes_per_second),
            errors_per_minute: self.errors_per_minute.or(default.errors_per_minute),
        }
    }

    /// Of each pair of limits the stricter one.
    pub(super) fn strictest(self, other: Self) -> Self {
        Self {
            publish_messages_per_second: stricter(
                self.publish_messages_per_second,
                other.publish_messages_per_second,
            ),
            publish_bytes_per_second: stricter(
                self.publish_bytes_per_second,
                other.publish_bytes_per_second,
            ),
            errors_per_minute: stricter(self.errors_per_minute, other.errors_per_minute),
        }
    }
}

/// The smaller one; but any number is stricter than 0, and that than nothing said.
fn stricter<T: Ord + Default + Copy>(one: Option<T>, other: Option<T>) -> Option<T> {
    let is_limit = |limit: &T| *limit != T::default();
    let limits = one.into_iter().chain(other);
    limits.filter(is_limit).min().or(one).or(other)
}

/// A part of a client's rights to which something else than the rules keeps it, such as a signed
/// token. `None` leaves them as they are; an empty list leaves nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenScope {
    /// What it may publish to, of what the rules allow.
    pub publish: Option<Vec<TopicFilter>>,
    /// What it may subscribe to, of what the rules allow.
    pub subscribe: Option<Vec<TopicFilter>>,
}

/// A no, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// `identity_denied`, `publish_denied`, `subscribe_denied` or `reserved_topic`.
    pub code: Code,
    /// A sentence for the peer: text from outside in it is quoted and escaped.
    pub reason: Cow<'static, str>,
    /// The topic or filter that was refused, as it came. To be escaped where it is shown.
    pub topic: Option<Box<str>>,
    /// The line of the rule that denies, counted from 1, where one does. For the log alone.
    pub rule: Option<usize>,
}

impl From<Denial> for CodedError {
    fn from(denial: Denial) -> Self {
        Self::new(denial.code, denial.reason)
    }
}

/// One filter of a rule.
#[derive(Clone, Debug)]
pub(super) struct Clause {
    pub(super) filter: TopicFilter,
    /// The line of the rule; `None` where no file says so.
    pub(super) rule: Option<usize>,
}

/// To publish, or to subscribe.
#[derive(Clone, Debug)]
pub(super) struct Rights {
    /// In the order of the file, as is `denied`.
    allowed: Arc<[Clause]>,
    denied: Arc<[Clause]>,
    /// Each of them must allow it too.
    scopes: Vec<Arc<[TopicFilter]>>,
    /// Whether all is allowed that is not reserved: known beforehand, as it is asked the most.
    is_unrestricted: bool,
}

impl Rights {
    pub(super) fn new(allowed: Vec<Clause>, denied: Vec<Clause>) -> Self {
        let allows_all = allowed.iter().any(|clause| clause.filter.as_str() == "#");
        let denies_none = denied.iter().all(|clause| clause.filter.is_reserved());
        Self {
            allowed: allowed.into(),
            denied: denied.into(),
            scopes: Vec::new(),
            is_unrestricted: allows_all && denies_none,
        }
    }

    fn narrow(&mut self, filters: Option<&[TopicFilter]>) {
        if let Some(filters) = filters {
            self.scopes.push(filters.into());
            self.is_unrestricted = false;
        }
    }

    pub(super) fn allowed(&self) -> &[Clause] {
        &self.allowed
    }

    pub(super) fn denied(&self) -> &[Clause] {
        &self.denied
    }

    fn check_topic(&self, topic: &Topic<'_>) -> Result<(), Refusal> {
        let matches = |filter: &TopicFilter| filter.matches(topic);
        if topic.is_reserved() {
            return Err(Refusal::Reserved);
        }
        if self.is_unrestricted {
            return Ok(());
        }
        if let Some(clause) = self.denied.iter().find(|clause| matches(&clause.filter)) {
            return Err(Refusal::Denied(clause.rule));
        }
        if !self.allowed.iter().any(|clause| matches(&clause.filter)) {
            return Err(Refusal::NotAllowed);
        }
        if !self
            .scopes
            .iter()
            .all(|filters| filters.iter().any(matches))
        {
            return Err(Refusal::LeftOut);
        }
        Ok(())
    }

    /// Of all topics that `filter` matches: they must be allowed, and not all of them denied.
    fn check_filter(&self, filter: &TopicFilter) -> Result<(), Refusal> {
        if filter.is_reserved() {
            return Err(Refusal::Reserved);
        }
        if self.is_unrestricted {
            return Ok(());
        }
        let cover = |clauses: &[Clause]| is_covered(filter, clauses.iter().map(Clause::filter));
        if cover(&self.denied) {
            let mut denied = self.denied.iter();
            let first = denied.find(|clause| helps_to_cover(filter, &clause.filter));
            return Err(Refusal::Denied(first.and_then(|clause| clause.rule)));
        }
        if !cover(&self.allowed) {
            return Err(Refusal::NotAllowed);
        }
        if !self
            .scopes
            .iter()
            .all(|filters| is_covered(filter, &**filters))
        {
            return Err(Refusal::LeftOut);
        }
        Ok(())
    }
}

impl PartialEq for Rights {
    fn eq(&self, other: &Self) -> bool {
        fn scopes(rights: &Rights) -> BTreeSet<BTreeSet<&TopicFilter>> {
            let sets = rights.scopes.iter();
            sets.map(|filters| filters.iter().collect()).collect()
        }
        same_filters(&self.allowed, &other.allowed)
            && same_filters(&self.denied, &other.denied)
            && scopes(self) == scopes(other)
    }
}

impl Eq for Rights {}

fn same_filters(some: &[Clause], others: &[Clause]) -> bool {
    // Mostly nothing has changed, and then they are in the same order.
    some.iter()
        .map(Clause::filter)
        .eq(others.iter().map(Clause::filter))
        || some.iter().map(Clause::filter).collect::<BTreeSet<_>>()
            == others.iter().map(Clause::filter).collect()
}

impl Clause {
    pub(super) fn filter(&self) -> &TopicFilter {
        &self.filter
    }
}

/// Why a topic or filter is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Reserved,
    /// With the line of a rule that does.
    Denied(Option<usize>),
    NotAllowed,
    /// Allowed by the rules, but not by the scope of the token.
    LeftOut,
}

/// What was judged, for a denial to tell.
struct Asked<'a> {
    code: Code,
    doing: &'static str,
    text: &'a str,
    /// Whether it stands for more than one topic.
    is_wide: bool,
}

impl Refusal {
    #[cold]
    fn denial(self, asked: &Asked<'_>) -> Denial {
        let Asked { doing, text, .. } = asked;
        let all_of_it = if asked.is_wide { "all of it" } else { "it" };
        let (code, why) = match self {
            Self::Reserved => (
                Code::ReservedTopic,
                "topics that begin with `$` belong to the server".to_owned(),
            ),
            Self::Denied(_) => (asked.code, format!("access rules deny {all_of_it}")),
            Self::NotAllowed => (asked.code, format!("no access rule allows {all_of_it}")),
            Self::LeftOut => (asked.code, format!("the token does not allow {all_of_it}")),
        };
        Denial {
            code,
            reason: format!("{doing} {} is refused: {why}", quoted(text)).into(),
            topic: Some((*text).into()),
            rule: match self {
                Self::Denied(rule) => rule,
                Self::Reserved | Self::NotAllowed | Self::LeftOut => None,
            },
        }
    }
}

#[cfg(test)]
mod tests;
