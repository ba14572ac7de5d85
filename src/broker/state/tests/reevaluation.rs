//! Other rules come into force while clients are here.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::*;
use crate::broker::test_support::NO_LIMITS;

#[test]
fn the_same_rules_again_summon_everyone_and_change_nothing() {
    let mut world = World::new(NO_LIMITS);
    let client = world.session(1);
    let generation = world.table.generation();
    let (reply, mut answer) = oneshot::channel();
    let access = Arc::clone(&world.state.access);
    world.apply_and_reply(vec![Command::Reevaluate { access, reply }]);
    assert_eq!(answer.try_recv().unwrap().clients, 1);
    assert_eq!(world.table.generation(), generation);
    let told = heard(client.handle.outbox());
    assert_eq!(told, [Heard::Recheck, Heard::answer(WELCOME)]);
}

/// A client that ignored the end of a subscription that it does not have yet would believe in it for
/// ever.
#[test]
fn a_subscription_ends_after_it_began_though_both_come_in_one_batch() {
    let mut world = World::new(NO_LIMITS);
    let client = world.session(1);
    let outbox = client.handle.outbox();
    assert_eq!(heard(outbox), [Heard::answer(WELCOME)]);
    let (reply, mut subscribed) = oneshot::channel();
    let subscribe = Command::Subscribe {
        client_id: client.client_id,
        filter: filter("b"),
        answer: answer("subscribed b"),
        reply,
    };
    let (reply, _) = oneshot::channel();
    let access = Rules::BelowA.parse();
    world.apply_and_reply(vec![subscribe, Command::Reevaluate { access, reply }]);
    assert_eq!(
        subscribed
            .try_recv()
            .unwrap()
            .map_err(|refusal| refusal.code()),
        Ok(())
    );
    assert_eq!(
        heard(outbox),
        [
            Heard::Recheck,
            Heard::answer("subscribed b"),
            Heard::SubscriptionClosed("b".to_owned()),
        ]
    );
}
