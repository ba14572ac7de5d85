//! The audit trail: one line of the log for everything that was refused or withdrawn.
//!
//! Owns the words of it. What a peer chose is escaped, and no secret comes near.

use std::net::SocketAddr;

use tracing::{error, info, warn};

use crate::{
    broker::{Judged, Refusal, Withdrawn},
    protocol::{ClientId, CloseReason, Code},
    security::{Group, Identity, Policy, access::Denial, inspect::escaped, tokens::TokenFault},
};

/// Where the log tells of it.
const AUDIT: &str = "tidings::audit";

/// A client, as the log names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who<'a> {
    pub(super) client_id: ClientId,
    pub(super) identity: &'a Identity,
    pub(super) address: SocketAddr,
}

/// More attempts of an address than its rate allows. Told once until it has kept quiet.
pub(super) fn attempts_refused(address: SocketAddr) {
    warn!(
        target: AUDIT, event = "attempts_refused", address = %address.ip(),
        "too many connection attempts: more of this address are closed unheard"
    );
}

/// A peer that did not come through TLS.
pub(super) fn tls_refused(address: SocketAddr, reason: &str, code: Option<Code>) {
    let code = code.map(Code::as_str);
    info!(target: AUDIT, event = "tls_refused", %address, code, reason, "TLS refused");
}

/// A known peer that is not let in.
pub(super) fn connection_refused(
    address: SocketAddr,
    identity: Option<&Identity>,
    refusal: &Refusal,
) {
    let (identity, code) = (identity.map(Identity::as_str), refusal.code());
    let (reason, rule) = match refusal {
        Refusal::Fault(fault) => (&fault.reason, None),
        Refusal::Denied(denial) => (&denial.reason, denial.rule),
    };
    info!(
        target: AUDIT, event = "connection_refused", identity, %address, rule, %code,
        reason = &**reason, "refused"
    );
}

/// A client whose token does not do.
pub(super) fn authentication_refused(who: Who<'_>, fault: &TokenFault) {
    info!(
        target: AUDIT, event = "authentication_refused", client_id = %who.client_id,
        identity = who.identity.as_str(), address = %who.address,
        token = fault.token_id, code = %fault.code, reason = &*fault.reason,
        "authentication refused"
    );
}

/// Something that the access rules do not let a client do.
pub(super) fn denied(who: Who<'_>, denial: &Denial) {
    info!(
        target: AUDIT, event = denial.code.as_str(), client_id = %who.client_id,
        identity = who.identity.as_str(), address = %who.address,
        topic = denial.topic.as_deref().map(escaped), rule = denial.rule, code = %denial.code,
        "denied"
    );
}

/// A client that is closed for a reason that an auditor asks for. `cause` is the reason in full.
pub(super) fn closed(who: Who<'_>, reason: CloseReason, cause: Option<&str>) {
    info!(
        target: AUDIT, event = reason.code().as_str(), client_id = %who.client_id,
        identity = who.identity.as_str(), address = %who.address,
        code = %reason.code(), reason = cause, "closed"
    );
}

/// Another policy is in force, for newcomers and for all who are here.
pub(super) fn reloaded(asked_by: &str, changed: &str, policy: &Policy, judged: &Judged) {
    for withdrawn in &judged.withdrawn {
        tell_withdrawn(withdrawn);
    }
    let is_place = |withdrawn: &&Withdrawn| withdrawn.subscription.is_none();
    let denied = judged.withdrawn.iter().filter(is_place).count();
    info!(
        target: AUDIT, event = "reloaded", asked_by, changed,
        rules = policy.access.rule_count(), tokens = policy.tokens.token_count(),
        revoked = policy.tls.clients.revoked_count(), clients = judged.clients, denied,
        subscriptions_closed = judged.withdrawn.len() - denied,
        "reloaded: in force for newcomers and for all who are here"
    );
}

/// There was nothing to take.
pub(super) fn nothing_to_reload(asked_by: &str) {
    info!(
        target: AUDIT, event = "reloaded", asked_by,
        "no file has changed; flags and environment are read only at start"
    );
}

/// A fault in a file: all of its group stays as it was. Without a group, everything does.
pub(super) fn reload_refused(asked_by: &str, group: Option<Group>, reason: &str) {
    match group.map(Group::flags) {
        Some(kept) => error!(
            target: AUDIT, event = "reload_refused", asked_by, kept, reason,
            "not reloaded: what these files said before stays in force"
        ),
        None => error!(
            target: AUDIT, event = "reload_refused", asked_by, reason,
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
        target: AUDIT, event, %client_id, identity = identity.as_str(), %address,
        topic = subscription.as_ref().map(|filter| escaped(filter.as_str())),
        rule = denial.rule, code = %Code::PermissionWithdrawn, reason = &*denial.reason,
        "withdrawn"
    );
}
