//! Every limit has its code, and room comes back with what departs.

use std::task::{Context, Poll, Waker};

use tokio::sync::oneshot::{self, error::TryRecvError};

use super::*;
use crate::{
    broker::{
        Interrupt, Limits,
        test_support::{NO_LIMITS, outbox},
    },
    protocol::{Code, CodedError},
};

#[test]
fn every_limit_has_its_code_and_frees_what_departs() {
    let cases: [(Limits, Code, (u8, u8)); 3] = [
        (
            Limits {
                connections: 2,
                ..NO_LIMITS
            },
            Code::ServerFull,
            (9, 9),
        ),
        (
            Limits {
                connections_per_identity: 2,
                ..NO_LIMITS
            },
            Code::TooManyConnections,
            (1, 9),
        ),
        (
            Limits {
                connections_per_address: 2,
                ..NO_LIMITS
            },
            Code::TooManyConnectionsFromAddress,
            (9, 1),
        ),
    ];
    for (limits, code, (who, from)) in cases {
        let mut world = World::new(limits);
        let (first, _second) = (world.session(1), world.session(1));
        assert_eq!(world.admit(who, from).unwrap_err().code(), code);
        let client_id = first.client_id;
        drop(first);
        let reason = CloseReason::ConnectionLost;
        assert_eq!(world.reported(), [(client_id, reason)]);
        world.apply_and_reply(vec![Command::Depart { client_id, reason }]);
        world.admit(who, from).unwrap();
    }
}

/// A client that has a certificate and not its token does not keep the owner out.
#[test]
fn the_oldest_that_is_not_authenticated_gives_way_to_its_identity_s_next() {
    let mut world = World::new(Limits {
        connections_per_identity: 3,
        ..NO_LIMITS
    });
    let _session = world.session(1);
    let (oldest, other) = (world.admit(1, 1).unwrap(), world.admit(1, 1).unwrap());
    let _of_another = world.admit(2, 1).unwrap();
    let closed = |admitted: &Admitted| {
        let mut cx = Context::from_waker(Waker::noop());
        admitted.handle.outbox().poll_interrupt(&mut cx)
    };
    let _next = world.session(1);
    let reason = CloseReason::AuthenticationTimeout;
    assert_eq!(closed(&oldest), Poll::Ready(Interrupt::Closed(reason)));
    assert_eq!(closed(&other), Poll::Pending);
    // It is too late for the one that has given way.
    let (reply, mut answer) = oneshot::channel();
    world.apply_and_reply(vec![Command::Authenticate {
        client_id: oldest.client_id,
        presence: true,
        scope: None,
        welcome: self::answer(WELCOME),
        reply,
    }]);
    assert_eq!(answer.try_recv(), Err(TryRecvError::Closed));
    let _last = world.session(1);
    assert_eq!(closed(&other), Poll::Ready(Interrupt::Closed(reason)));
    // Those that are authenticated stay.
    let code = world.admit(1, 1).unwrap_err().code();
    assert_eq!(code, Code::TooManyConnections);
}

#[test]
fn an_identity_and_all_hold_as_many_subscriptions_as_they_may() {
    let mut world = World::new(Limits {
        subscriptions_per_identity: 2,
        subscriptions_total: 3,
        ..NO_LIMITS
    });
    let [first, second, other] = [1, 1, 2].map(|who| world.session(who));
    let mut refused = |client: &Admitted, text| {
        let refusal = world.subscribe(client.client_id, text).err()?;
        assert_eq!(refusal.code(), Code::TooManySubscriptions);
        Some(CodedError::from(refusal).reason.into_owned())
    };
    assert_eq!(refused(&first, "a"), None);
    assert_eq!(refused(&second, "a"), None);
    let of_identity = Some("this identity holds its 2 subscriptions".to_owned());
    assert_eq!(refused(&second, "b"), of_identity);
    // What a client has already is no more.
    assert_eq!(refused(&second, "a"), None);
    assert_eq!(refused(&other, "b"), None);
    let of_all = Some("the server holds its 3 subscriptions".to_owned());
    assert_eq!(refused(&other, "c"), of_all);
    let reason = CloseReason::ConnectionLost;
    let client_id = first.client_id;
    world.apply_and_reply(vec![Command::Depart { client_id, reason }]);
    world.subscribe(second.client_id, "b").unwrap();
    world.unsubscribe(second.client_id, "a").unwrap();
    world.subscribe(other.client_id, "c").unwrap();
}

#[test]
fn an_identity_s_filters_have_as_many_shapes_as_they_may() {
    let mut world = World::new(Limits {
        filter_shapes_per_identity: 2,
        ..NO_LIMITS
    });
    let [first, second, other] = [1, 1, 2].map(|who| world.session(who).client_id);
    world.subscribe(first, "a/+").unwrap();
    world.subscribe(first, "a/#").unwrap();
    for (client_id, text) in [(first, "+/a"), (second, "+"), (second, "a/b/#")] {
        let refusal = world.subscribe(client_id, text).unwrap_err();
        assert_eq!(refusal.code(), Code::TooManySubscriptions, "{text}");
    }
    // Others of the same shapes, and all without a wildcard.
    for text in ["b/+", "b/#", "a", "a/b", "a/b/c"] {
        world.subscribe(second, text).unwrap();
    }
    world.subscribe(other, "+/a").unwrap();
    // A shape is free again with the last filter that has it.
    world.unsubscribe(first, "a/+").unwrap();
    world.subscribe(first, "+/a").unwrap_err();
    world.unsubscribe(second, "b/+").unwrap();
    world.subscribe(first, "+/a").unwrap();
}

#[test]
fn an_ipv6_network_counts_as_one_address() {
    let mut world = World::new(Limits {
        connections_per_address: 1,
        ..NO_LIMITS
    });
    let mut admit = |address: &str| {
        let (reply, answer) = oneshot::channel();
        let candidate = world.candidate(identity(1), address.parse().unwrap(), outbox());
        world.apply_and_reply(vec![Command::Admit { candidate, reply }]);
        let admitted = answer.blocking_recv().unwrap();
        admitted.map_err(|refusal| refusal.code())
    };
    let first = admit("[2001:db8::1]:1");
    let same = admit("[2001:db8::ffff:2]:1");
    let other = admit("[2001:db8:0:1::1]:1");
    assert!(first.is_ok() && other.is_ok());
    assert_eq!(same.unwrap_err(), Code::TooManyConnectionsFromAddress);
}

#[test]
fn a_client_holds_as_many_subscriptions_as_it_may() {
    let mut world = World::new(Limits {
        subscriptions_per_client: 2,
        ..NO_LIMITS
    });
    let client_id = world.session(1).client_id;
    assert_eq!(
        world.unsubscribe(client_id, "a").unwrap_err().code(),
        Code::NotSubscribed
    );
    world.subscribe(client_id, "a").unwrap();
    world.subscribe(client_id, "a/#").unwrap();
    assert_eq!(
        world.subscribe(client_id, "b").unwrap_err().code(),
        Code::TooManySubscriptions
    );
    world.subscribe(client_id, "a").unwrap();
    assert_eq!(
        world.unsubscribe(client_id, "a/+").unwrap_err().code(),
        Code::NotSubscribed
    );
    world.unsubscribe(client_id, "a").unwrap();
    assert_eq!(
        world.unsubscribe(client_id, "a").unwrap_err().code(),
        Code::NotSubscribed
    );
    world.subscribe(client_id, "b").unwrap();
    // Another client's are its own.
    let other = world.session(2).client_id;
    assert_eq!(
        world.unsubscribe(other, "b").unwrap_err().code(),
        Code::NotSubscribed
    );
    world.subscribe(other, "c").unwrap();
}
