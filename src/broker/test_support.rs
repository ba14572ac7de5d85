//! What tests of the broker build again and again.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{Interrupt, Limits, Outbox, OutboxLimits};
use crate::{access::AccessRules, protocol::Frame};

/// Everyone may have everything, and is told of the others.
pub(crate) const NO_LIMITS: Limits = Limits {
    connections: 0,
    connections_per_identity: 0,
    connections_per_address: 0,
    subscriptions_per_client: 0,
    subscriptions_per_identity: 0,
    subscriptions_total: 0,
    filter_shapes_per_identity: 0,
    presence: true,
};

/// An outbox that never overflows.
pub(crate) fn outbox() -> Arc<Outbox> {
    Arc::new(Outbox::new(OutboxLimits {
        hard_bytes: usize::MAX,
        soft_bytes: usize::MAX,
        soft_time: Duration::MAX,
    }))
}

/// One address of many, as a client's socket has it.
pub(crate) fn address(number: u8) -> SocketAddr {
    (Ipv4Addr::new(192, 0, 2, number), 4433).into()
}

/// The rules of a file.
pub(crate) fn rules(text: &str) -> Arc<AccessRules> {
    Arc::new(AccessRules::parse("access.toml".as_ref(), text.as_bytes()).unwrap())
}

/// Takes what waits, and whether a recheck was requested before.
pub(crate) fn take(outbox: &Outbox) -> (bool, Vec<Frame>) {
    let mut frames = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    let mut take = || outbox.poll_take(&mut cx, &mut frames);
    let mut recheck = false;
    loop {
        match take() {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(Interrupt::Recheck)) => recheck = true,
            Poll::Ready(Err(Interrupt::Closed(_))) | Poll::Pending => break (recheck, frames),
        }
    }
}
