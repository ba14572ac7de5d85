//! What one client may do.
//!
//! Owns the decision about a topic or filter. Knows nothing about identities, patterns and files:
//! filters arrive here with all names filled in, and a rule is only a line number.
//!
//! **Invariant:** deny wins, what nothing allows is denied, and topics that begin with `$` belong to
//! the server whatever the rules say. Allowing something allocates nothing.

use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

use super::coverage::{helps_to_cover, is_covered};
use crate::{
    protocol::{Code, CodedError},
    text::quoted,
    topic::{Topic, TopicFilter},
};

/// What one client may do.
///
/// Two are equal when they permit the same, whatever the order and the lines of the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    pub(super) publish: Rights,
    pub(super) subscribe: Rights,
    pub(super) presence: bool,
    pub(super) limits: ClientLimits,
}

impl Permissions {
    /// The permissions of a client that may no longer do anything.
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
        self.publish.check_topic(topic).map_err(|reason| {
            reason.denial(&DeniedRequest {
                code: Code::PublishDenied,
                doing: "publishing to",
                text: topic.as_str(),
                is_wide: false,
            })
        })
    }

    /// Whether the client may subscribe to `filter`. A filter of which only a part is denied is
    /// allowed: [`may_receive`](Self::may_receive) withholds that part.
    ///
    /// # Errors
    ///
    /// `reserved_topic` or `subscribe_denied`.
    pub fn may_subscribe(&self, filter: &TopicFilter) -> Result<(), Denial> {
        self.subscribe.check_filter(filter).map_err(|reason| {
            reason.denial(&DeniedRequest {
                code: Code::SubscribeDenied,
                doing: "subscribing to",
                text: filter.as_str(),
                is_wide: filter.has_wildcard(),
            })
        })
    }

    /// Whether a message on `topic` may be delivered to the client. Every delivery asks this.
    #[must_use]
    pub fn may_receive(&self, topic: &Topic<'_>) -> bool {
        self.subscribe.check_topic(topic).is_ok()
    }

    /// Whether the client appears in presence and receives presence.
    #[must_use]
    pub fn presence(&self) -> bool {
        self.presence
    }

    /// The limits of the client.
    #[must_use]
    pub fn limits(&self) -> &ClientLimits {
        &self.limits
    }

    /// These permissions reduced to `scope`. Nothing is ever added.
    #[must_use]
    pub fn narrowed_to(self: Arc<Self>, scope: &TokenScope) -> Arc<Self> {
        if *scope == TokenScope::default() {
            return self;
        }
        let mut permissions = Self::clone(&self);
        permissions.publish.restrict_to(scope.publish.as_deref());
        permissions
            .subscribe
            .restrict_to(scope.subscribe.as_deref());
        Arc::new(permissions)
    }
}

/// The limits that the rules set for a client. `None` means that the server's flag applies, and
/// `Some(0)` means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientLimits {
    /// Messages that the client may publish per second.
    pub publish_messages_per_second: Option<u32>,
    /// Bytes of lines that the client may publish per second.
    pub publish_bytes_per_second: Option<u64>,
    /// Errors that the client may cause per minute.
    pub errors_per_minute: Option<u32>,
}

impl ClientLimits {
    /// These limits, with those of `default` in the place of each `None`.
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

    /// The stricter of each pair of limits.
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

/// The smaller of two limits. Any number is stricter than 0, and 0 is stricter than `None`.
fn stricter<T: Ord + Default + Copy>(one: Option<T>, other: Option<T>) -> Option<T> {
    let is_limit = |limit: &T| *limit != T::default();
    let limits = one.into_iter().chain(other);
    limits.filter(is_limit).min().or(one).or(other)
}

/// What a signed token restricts a client to. `None` restricts nothing, and an empty list allows
/// nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenScope {
    /// Filters for publishing. Topics outside of them are denied.
    pub publish: Option<Vec<TopicFilter>>,
    /// Filters for subscribing. Topics outside of them are denied.
    pub subscribe: Option<Vec<TopicFilter>>,
}

/// Why something is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// `identity_denied`, `publish_denied`, `subscribe_denied` or `reserved_topic`.
    pub code: Code,
    /// A sentence for the client. Text from outside is quoted and escaped in it.
    pub reason: Cow<'static, str>,
    /// The denied topic or filter as it was received, not escaped.
    pub topic: Option<Box<str>>,
    /// The line of the rule that denies it, counted from 1, if one does. Only for the log.
    pub rule: Option<usize>,
}

impl From<Denial> for CodedError {
    fn from(denial: Denial) -> Self {
        Self::new(denial.code, denial.reason)
    }
}

/// A filter that a rule allows or denies.
#[derive(Clone, Debug)]
pub(super) struct Clause {
    pub(super) filter: TopicFilter,
    /// The line of the rule; `None` without an access file.
    pub(super) rule: Option<usize>,
}

/// The rights to publish, or those to subscribe.
#[derive(Clone, Debug)]
pub(super) struct Rights {
    /// In the order of the file, like `denied`.
    allowed: Arc<[Clause]>,
    denied: Arc<[Clause]>,
    /// Each of these must allow a topic as well.
    scopes: Vec<Arc<[TopicFilter]>>,
    /// Whether everything that is not reserved is allowed. Computed once, because every message
    /// asks for it.
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

    fn restrict_to(&mut self, filters: Option<&[TopicFilter]>) {
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

    fn check_topic(&self, topic: &Topic<'_>) -> Result<(), DenialReason> {
        let matches = |filter: &TopicFilter| filter.matches(topic);
        if topic.is_reserved() {
            return Err(DenialReason::Reserved);
        }
        if self.is_unrestricted {
            return Ok(());
        }
        if let Some(clause) = self.denied.iter().find(|clause| matches(&clause.filter)) {
            return Err(DenialReason::Denied(clause.rule));
        }
        if !self.allowed.iter().any(|clause| matches(&clause.filter)) {
            return Err(DenialReason::NotAllowed);
        }
        if !self
            .scopes
            .iter()
            .all(|filters| filters.iter().any(matches))
        {
            return Err(DenialReason::OutOfScope);
        }
        Ok(())
    }

    /// All topics that `filter` matches must be allowed, and not all of them denied.
    fn check_filter(&self, filter: &TopicFilter) -> Result<(), DenialReason> {
        if filter.is_reserved() {
            return Err(DenialReason::Reserved);
        }
        if self.is_unrestricted {
            return Ok(());
        }
        let cover = |clauses: &[Clause]| is_covered(filter, clauses.iter().map(Clause::filter));
        if cover(&self.denied) {
            let mut denied = self.denied.iter();
            let first = denied.find(|clause| helps_to_cover(filter, &clause.filter));
            return Err(DenialReason::Denied(first.and_then(|clause| clause.rule)));
        }
        if !cover(&self.allowed) {
            return Err(DenialReason::NotAllowed);
        }
        if !self
            .scopes
            .iter()
            .all(|filters| is_covered(filter, &**filters))
        {
            return Err(DenialReason::OutOfScope);
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
    // Usually nothing has changed, and the order is the same.
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

/// Why a topic or filter is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DenialReason {
    Reserved,
    /// A rule denies it. Holds the line of that rule.
    Denied(Option<usize>),
    NotAllowed,
    /// The rules allow it, but the scope of the token does not.
    OutOfScope,
}

/// What a client wanted to do, for the message of the denial.
struct DeniedRequest<'a> {
    code: Code,
    doing: &'static str,
    text: &'a str,
    /// Whether it matches more than one topic.
    is_wide: bool,
}

impl DenialReason {
    #[cold]
    fn denial(self, request: &DeniedRequest<'_>) -> Denial {
        let DeniedRequest { doing, text, .. } = request;
        let all_of_it = if request.is_wide { "all of it" } else { "it" };
        let (code, why) = match self {
            Self::Reserved => (
                Code::ReservedTopic,
                "topics that begin with `$` belong to the server".to_owned(),
            ),
            Self::Denied(_) => (request.code, format!("access rules deny {all_of_it}")),
            Self::NotAllowed => (request.code, format!("no access rule allows {all_of_it}")),
            Self::OutOfScope => (
                request.code,
                format!("the token does not allow {all_of_it}"),
            ),
        };
        Denial {
            code,
            reason: format!("{doing} {} is refused: {why}", quoted(text)).into(),
            topic: Some((*text).into()),
            rule: match self {
                Self::Denied(rule) => rule,
                Self::Reserved | Self::NotAllowed | Self::OutOfScope => None,
            },
        }
    }
}

#[cfg(test)]
mod tests;
