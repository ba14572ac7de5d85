//! Every admitted client departs exactly once, whatever ends it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use tokio::sync::oneshot;

use super::*;
use crate::broker::test_support::{NO_LIMITS, address, outbox};

#[test]
fn a_departure_is_reported_once_with_its_reason() {
    let mut world = World::new(NO_LIMITS);
    let mut guard = || {
        let admitted = world.admit(1, 1).unwrap();
        (admitted.client_id, admitted.guard)
    };
    let (reported, dropped, unwound) = (guard(), guard(), guard());
    reported.1.report(CloseReason::ClientDisconnecting);
    drop(dropped.1);
    let guard = unwound.1;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let _guard = guard;
        // As a panic, without its message.
        resume_unwind(Box::new("a fault"))
    }));
    assert!(outcome.is_err());
    assert_eq!(
        world.reported(),
        [
            (reported.0, CloseReason::ClientDisconnecting),
            (dropped.0, CloseReason::ConnectionLost),
            (unwound.0, CloseReason::InternalError),
        ]
    );
    assert_eq!(world.commands.capacity(), QUEUE_LEN);
}

#[test]
fn an_admission_that_nobody_waits_for_departs_at_once() {
    let mut world = World::new(NO_LIMITS);
    let (reply, answer) = oneshot::channel();
    let candidate = world.candidate(identity(1), address(1), outbox());
    let replies = world.apply(vec![Command::Admit { candidate, reply }]);
    assert!(world.reported().is_empty());
    drop(answer);
    replies.into_iter().for_each(Reply::send);
    let [departed] = world.reported().try_into().unwrap();
    assert_eq!(departed.1, CloseReason::ConnectionLost);
    assert!(world.state.clients.contains_key(&departed.0));
}

/// The registry itself may end before its clients do.
#[test]
fn a_departure_that_nobody_hears_of_is_no_fault() {
    let mut world = World::new(NO_LIMITS);
    let admitted = world.admit(1, 1).unwrap();
    drop(world);
    drop(admitted);
}
