//! A client that comes in a batch is told only of what follows its own coming.

use tokio::sync::oneshot;

use super::*;
use crate::broker::test_support::{NO_LIMITS, address, outbox};

#[test]
fn who_comes_in_a_batch_hears_what_follows_in_it() {
    let mut world = World::new(NO_LIMITS);
    let outboxes = [outbox(), outbox(), outbox()];
    let (mut ids, mut departures) = (Vec::new(), Vec::new());
    for (who, outbox) in (1..).zip(&outboxes) {
        let (reply, mut answer) = oneshot::channel();
        let candidate = world.candidate(identity(who), address(1), Arc::clone(outbox));
        world.apply_and_reply(vec![Command::Admit { candidate, reply }]);
        let admitted = answer.try_recv().unwrap().unwrap();
        ids.push(admitted.client_id);
        departures.push(admitted.guard);
    }
    let authenticate = |client_id| {
        let (reply, _) = oneshot::channel();
        Command::Authenticate {
            client_id,
            presence: true,
            scope: None,
            welcome: answer(WELCOME),
            reply,
        }
    };
    let reason = CloseReason::KeepaliveTimeout;
    world.apply_and_reply(vec![
        authenticate(ids[0]),
        authenticate(ids[1]),
        Command::Depart {
            client_id: ids[0],
            reason,
        },
        authenticate(ids[2]),
    ]);
    let id = |number: u8| ids[usize::from(number) - 1];
    let came = |number| Heard::Came(id(number), identity(number));
    let went = Heard::Went(ids[0], identity(1), reason.code().as_str().to_owned());
    let welcome = || Heard::answer(WELCOME);
    assert_eq!(heard(&outboxes[0]), [welcome(), came(2)]);
    assert_eq!(heard(&outboxes[1]), [welcome(), went, came(3)]);
    assert_eq!(heard(&outboxes[2]), [welcome()]);
}
