//! A client as the rest of the broker reaches it, and the gate that messages pass on their way to it.
//!
//! Owns what the client may do and receive as of now.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::Outbox;
use crate::{access::Permissions, topic::Topic};

/// The gate of one message: every message passes it on its way to a client, whatever brings it there,
/// since a subscription may be wider than what its client is allowed to receive.
///
/// Remembers its last verdict, since many clients share the same permissions.
#[derive(Debug)]
pub(super) struct Gate<'t> {
    topic: &'t Topic<'t>,
    last: Option<(Arc<Permissions>, bool)>,
}

impl<'t> Gate<'t> {
    /// For a message on `topic`.
    pub(super) const fn new(topic: &'t Topic<'t>) -> Self {
        Self { topic, last: None }
    }

    /// Whether the client may receive the message.
    pub(super) fn lets_through(&mut self, handle: &ClientHandle) -> bool {
        let permissions = handle.permissions.load();
        if let Some((last, verdict)) = &self.last
            && Arc::ptr_eq(last, &permissions)
        {
            return *verdict;
        }
        let verdict = permissions.may_receive(self.topic);
        self.last = Some((Guard::into_inner(permissions), verdict));
        verdict
    }
}

/// An admitted client as the rest of the broker reaches it: where lines for it go, and what it may do
/// and receive.
///
/// Only the registry changes the permissions. It publishes the next generation of the routing table
/// afterwards, so a publisher that routes by that generation asks the new permissions.
#[derive(Debug)]
pub struct ClientHandle {
    outbox: Arc<Outbox>,
    permissions: ArcSwap<Permissions>,
}

impl ClientHandle {
    /// A client with these permissions.
    #[must_use]
    pub fn new(outbox: Arc<Outbox>, permissions: Arc<Permissions>) -> Self {
        Self {
            outbox,
            permissions: ArcSwap::new(permissions),
        }
    }

    /// Where lines for it go.
    #[must_use]
    pub const fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// What it may do, as of now.
    #[must_use]
    pub fn permissions(&self) -> Guard<Arc<Permissions>> {
        self.permissions.load()
    }

    pub(super) fn set_permissions(&self, permissions: Arc<Permissions>) {
        self.permissions.store(permissions);
    }
}
