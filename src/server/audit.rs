//! The audit trail: one line of the log for everything that was refused or withdrawn. And, since they
//! repeat in the same way, the lines of clients that come and go.
//!
//! Owns the words of it. What a peer chose is escaped, and no secret comes near. What one identity or
//! address brings about again and again is counted, and told of once a minute: no peer decides how
//! long the log is.

use std::{net::SocketAddr, time::Duration};

use tracing::{error, info, warn};

use super::repeats::{Repeated, Repeats, Subject};
use crate::network::Network;
use crate::{
    access::Denial,
    broker::{Reevaluated, RequestError, Withdrawn},
    identity::Identity,
    policy::{FileGroup, Policy},
    protocol::{ClientId, CloseReason, Code},
    text::escaped,
    tokens::TokenError,
};

/// The target under which the log has the audit trail.
pub const AUDIT_TARGET: &str = "tidings::audit";

/// Where the log tells of clients that come and go.
const CLIENTS: &str = "tidings::server::conversation";

/// How many lines of a kind about one identity or address are written in each of these times; more
/// are counted.
const LINES_MAX: u64 = 20;
const REPEATS_INTERVAL: Duration = Duration::from_secs(60);

/// A client, as the log names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who<'a> {
    pub(super) client_id: ClientId,
    pub(super) identity: &'a Identity,
    pub(super) address: SocketAddr,
}

/// What peers bring about. The lines of reloads are functions beside it: none is left out.
#[derive(Debug, Default)]
pub(super) struct Audit {
    repeats: Repeats<Kind>,
}

/// What a line says of its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// An `event` of the audit trail.
    Event(&'static str),
    Authenticated,
    Closed,
}

impl Audit {
    /// Tells of what was only counted, again and again.
    pub(super) async fn keep_telling(&self) {
        loop {
            tokio::time::sleep(REPEATS_INTERVAL).await;
            self.tell_repeated();
        }
    }

    /// Tells of what was only counted since the last time.
    pub(super) fn tell_repeated(&self) {
        for repeated in self.repeats.take() {
            tell_repeated(&repeated);
        }
    }

    fn is_news_of(&self, identity: &Identity, kind: Kind) -> bool {
        let subject = Subject::Identity(identity.clone());
        self.repeats.is_news(kind, subject, LINES_MAX)
    }

    fn is_news_from(&self, address: SocketAddr, event: &'static str) -> bool {
        let subject = Subject::Network(address.ip().into());
        self.repeats.is_news(Kind::Event(event), subject, LINES_MAX)
    }

    /// An attempt beyond the rate of its network. The first says it all.
    pub(super) fn attempt_refused(&self, network: Network) {
        let (event, subject) = ("attempts_refused", Subject::Network(network));
        if self.repeats.is_news(Kind::Event(event), subject, 1) {
            warn!(
                target: AUDIT_TARGET, event, address = %network,
                "too many connection attempts: more from this address are closed before TLS"
            );
        }
    }

    /// A peer that did not come through TLS.
    pub(super) fn tls_refused(&self, address: SocketAddr, reason: &str, code: Option<Code>) {
        let (event, code) = ("tls_refused", code.map(Code::as_str));
        if self.is_news_from(address, event) {
            info!(target: AUDIT_TARGET, event, %address, code, reason, "TLS refused");
        }
    }

    /// A known peer that is not let in.
    pub(super) fn connection_refused(
        &self,
        address: SocketAddr,
        identity: Option<&Identity>,
        refusal: &RequestError,
    ) {
        let event = "connection_refused";
        let is_news = match identity {
            Some(identity) => self.is_news_of(identity, Kind::Event(event)),
            None => self.is_news_from(address, event),
        };
        if !is_news {
            return;
        }
        let (identity, code) = (identity.map(Identity::as_str), refusal.code());
        let (reason, rule) = match refusal {
            RequestError::Fault(fault) => (&fault.reason, None),
            RequestError::Denied(denial) => (&denial.reason, denial.rule),
        };
        info!(
            target: AUDIT_TARGET, event, identity, %address, rule, %code, reason = &**reason, "refused"
        );
    }

    /// A client whose token does not do.
    pub(super) fn authentication_refused(&self, who: Who<'_>, fault: &TokenError) {
        let event = "authentication_refused";
        if self.is_news_of(who.identity, Kind::Event(event)) {
            info!(
                target: AUDIT_TARGET, event, client_id = %who.client_id,
                identity = who.identity.as_str(), address = %who.address,
                token = fault.token_id, code = %fault.code, reason = &*fault.reason,
                "authentication refused"
            );
        }
    }

    /// Something that the access rules do not let a client do.
    pub(super) fn denied(&self, who: Who<'_>, denial: &Denial) {
        let event = denial.code.as_str();
        if self.is_news_of(who.identity, Kind::Event(event)) {
            info!(
                target: AUDIT_TARGET, event, client_id = %who.client_id,
                identity = who.identity.as_str(), address = %who.address,
                topic = denial.topic.as_deref().map(escaped), rule = denial.rule,
                code = %denial.code, "denied"
            );
        }
    }

    /// A client that is closed for a reason that an auditor asks for. `cause` is the reason in full.
    pub(super) fn closed(&self, who: Who<'_>, reason: CloseReason, cause: Option<&str>) {
        let event = reason.code().as_str();
        if self.is_news_of(who.identity, Kind::Event(event)) {
            info!(
                target: AUDIT_TARGET, event, client_id = %who.client_id,
                identity = who.identity.as_str(), address = %who.address,
                code = %reason.code(), reason = cause, "closed"
            );
        }
    }

    /// A client that is in. No line of the audit trail, as long as it goes in order.
    pub(super) fn authenticated(&self, who: Who<'_>) {
        if self.is_news_of(who.identity, Kind::Authenticated) {
            info!(
                target: CLIENTS, client_id = %who.client_id, identity = who.identity.as_str(),
                address = %who.address, "authenticated"
            );
        }
    }

    /// A client that is gone, for a reason that no auditor asks for.
    pub(super) fn gone(&self, who: Who<'_>, reason: CloseReason) {
        if self.is_news_of(who.identity, Kind::Closed) {
            info!(
                target: CLIENTS, client_id = %who.client_id, identity = who.identity.as_str(),
                address = %who.address, reason = %reason.code(), "closed"
            );
        }
    }
}

fn tell_repeated(
    Repeated {
        kind,
        subject,
        times,
    }: &Repeated<Kind>,
) {
    let (identity, address) = match subject {
        Some(Subject::Identity(identity)) => (Some(identity.as_str()), None),
        Some(Subject::Network(network)) => (None, Some(network.to_string())),
        None => (None, None),
    };
    match kind {
        Kind::Event(event) => info!(
            target: AUDIT_TARGET, event, identity, address, repeated = times,
            "more of the same in the last minute"
        ),
        Kind::Authenticated => info!(
            target: CLIENTS, identity, repeated = times, "authenticated: more in the last minute"
        ),
        Kind::Closed => {
            info!(target: CLIENTS, identity, repeated = times, "closed: more in the last minute");
        }
    }
}

/// Another policy is in force, for newcomers and for all who are here.
pub(super) fn reloaded(asked_by: &str, changed: &str, policy: &Policy, judged: &Reevaluated) {
    for withdrawn in &judged.withdrawn {
        tell_withdrawn(withdrawn);
    }
    let is_place = |withdrawn: &&Withdrawn| withdrawn.subscription.is_none();
    let denied = judged.withdrawn.iter().filter(is_place).count();
    info!(
        target: AUDIT_TARGET, event = "reloaded", asked_by, changed,
        rules = policy.access.rule_count(), tokens = policy.tokens.token_count(),
        revoked = policy.tls.clients.revoked_count(), clients = judged.clients, denied,
        subscriptions_closed = judged.withdrawn.len() - denied,
        "reloaded: in force for newcomers and for all who are here"
    );
}

/// There was nothing to take.
pub(super) fn nothing_to_reload(asked_by: &str) {
    info!(
        target: AUDIT_TARGET, event = "reloaded", asked_by,
        "no file has changed; flags and environment are read only at start"
    );
}

/// A fault in a file: all of its group stays as it was. Without a group, everything does.
pub(super) fn reload_refused(asked_by: &str, group: Option<FileGroup>, reason: &str) {
    match group.map(FileGroup::flags) {
        Some(kept) => error!(
            target: AUDIT_TARGET, event = "reload_refused", asked_by, kept, reason,
            "not reloaded: what these files said before stays in force"
        ),
        None => error!(
            target: AUDIT_TARGET, event = "reload_refused", asked_by, reason,
            "not reloaded: everything stays as it was"
        ),
    }
}

fn tell_withdrawn(withdrawn: &Withdrawn) {
    let Withdrawn {
        client_id,
        identity,
        address,
        subscription,
        denial,
    } = withdrawn;
    let event = match subscription {
        Some(_) => "subscription_closed",
        None => Code::PermissionWithdrawn.as_str(),
    };
    info!(
        target: AUDIT_TARGET, event, %client_id, identity = identity.as_str(), %address,
        topic = subscription.as_ref().map(|filter| escaped(filter.as_str())),
        rule = denial.rule, code = %Code::PermissionWithdrawn, reason = &*denial.reason,
        "withdrawn"
    );
}
