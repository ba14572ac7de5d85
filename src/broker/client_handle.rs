//! A client as others reach it.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::Outbox;
use crate::{access::Permissions, topic::Topic};

/// The gate that every message passes on its way to a client, whatever brings it there: a
/// subscription may be wider than what its client may have.
///
/// Remembers its last verdict: many clients have the very same permissions.
#[derive(Debug)]
pub(super) struct Gate<'t> {
    topic: &'t Topic<'t>,
    last: Option<(Arc<Permissions>, bool)>,
}

impl<'t> Gate<'t> {
    /// Of one message.
    pub(super) const fn new(topic: &'t Topic<'t>) -> Self {
        Self { topic, last: None }
    }

    /// Whether this client may have it.
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

/// An admitted client as others meet it: where things for it go, and what it may do and have.
///
/// The registry alone changes the permissions, and publishes the next generation of the routing
/// table afterwards: whoever routes by that generation asks the new permissions.
#[derive(Debug)]
pub struct ClientHandle {
    outbox: Arc<Outbox>,
    permissions: ArcSwap<Permissions>,
}

impl ClientHandle {
    /// One who may do what `permissions` say.
    #[must_use]
    pub fn new(outbox: Arc<Outbox>, permissions: Arc<Permissions>) -> Self {
        Self {
            outbox,
            permissions: ArcSwap::new(permissions),
        }
    }

    /// Where things for it go.
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
