//! What is worked out once for the messages to a topic, and when it is worked out anew.

use std::{
    net::{Ipv4Addr, SocketAddr},
    task::{Context, Poll, Waker},
    time::Duration,
};

use serde_json::value::RawValue;
use tokio_util::task::TaskTracker;

use super::*;
use crate::{
    access::AccessRules,
    broker::{Interrupt, Limits, OutboxLimits, routes::LOOK_UPS},
    protocol::ServerId,
};

fn rules(text: &str) -> Arc<AccessRules> {
    Arc::new(AccessRules::parse("access.toml".as_ref(), text.as_bytes()).unwrap())
}

fn registry() -> Registry {
    let limits = Limits {
        connections: 0,
        connections_per_identity: 0,
        connections_per_address: 0,
        subscriptions_per_client: 0,
        subscriptions_per_identity: 0,
        subscriptions_total: 0,
        filter_shapes_per_identity: 0,
        presence: false,
    };
    let open = Arc::new(AccessRules::open());
    let (registry, actor) = Registry::new(ServerId::fresh(), limits, open, 128);
    TaskTracker::new().spawn(actor);
    registry
}

async fn session(registry: &Registry, identity: &str) -> Session {
    let outbox = Arc::new(Outbox::new(OutboxLimits {
        hard_bytes: usize::MAX,
        soft_bytes: usize::MAX,
        soft_time: Duration::MAX,
    }));
    let identity = Identity::parse(identity).unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let admission = registry.admit(identity, address, outbox).await.unwrap();
    let welcome = b"\n".to_vec().into();
    let session = admission.authenticate(false, None, welcome).await.unwrap();
    heard(&session);
    session
}

/// The lines that wait for it.
fn heard(session: &Session) -> usize {
    let mut frames: Vec<Frame> = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    let mut take = || session.handle.outbox().poll_take(&mut cx, &mut frames);
    if take() == Poll::Ready(Err(Interrupt::Recheck)) {
        assert!(take().is_ready());
    }
    let bytes = frames.iter().flat_map(|frame| frame.as_ref());
    bytes.filter(|byte| **byte == b'\n').count()
}

async fn subscribe(session: &mut Session, filter: &str) {
    let topic = TopicFilter::parse(filter).unwrap();
    let reference = None;
    session
        .subscribe(Subscribe { topic, reference })
        .await
        .unwrap();
    heard(session);
}

fn publish(session: &mut Session, topic: &str) -> Result<(), RequestError> {
    session.publish(Publish {
        topic: Topic::parse(topic).unwrap(),
        payload: RawValue::NULL,
        reference: None,
    })
}

/// How often the table is asked when something is published to each of these in turn, several times.
fn look_ups(session: &mut Session, topics: &[String]) -> usize {
    let before = LOOK_UPS.get();
    for _ in 0..5 {
        for topic in topics {
            publish(session, topic).unwrap();
        }
        session.flush();
    }
    LOOK_UPS.get() - before
}

fn topics(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("a/{number}")).collect()
}

#[tokio::test]
async fn topics_in_turn_are_looked_up_once_each_in_a_generation() {
    let registry = registry();
    let mut publisher = session(&registry, "publisher").await;
    let mut receiver = session(&registry, "receiver").await;
    subscribe(&mut receiver, "a/+").await;
    for count in [1, 2, 3, 64] {
        let topics = topics(count);
        publisher.rest();
        assert_eq!(look_ups(&mut publisher, &topics), count);
        assert_eq!(heard(&receiver), 5 * count);
        assert_eq!(look_ups(&mut publisher, &topics), 0);
        assert_eq!(heard(&receiver), 5 * count);
        // Whoever subscribes, and be it to something else.
        let mut other = session(&registry, "other").await;
        subscribe(&mut other, "a/0").await;
        assert_eq!(look_ups(&mut publisher, &topics), count);
        assert_eq!(heard(&receiver), 5 * count);
        assert_eq!(heard(&other), 5);
    }
}

/// Permissions stand beside the table, and are remembered with the routes.
#[tokio::test]
async fn no_remembered_route_outlives_a_right() {
    const RIGHTS: [&str; 3] = [
        r##"publish = ["#"]
subscribe = ["#"]"##,
        r##"publish = ["#"]
subscribe = ["#"]
deny_subscribe = ["a/1"]"##,
        r##"publish = ["#"]
subscribe = ["#"]
deny_publish = ["a/1"]"##,
    ];
    let registry = registry();
    let mut publisher = session(&registry, "publisher").await;
    let mut receiver = session(&registry, "receiver").await;
    subscribe(&mut receiver, "a/+").await;
    for (rights, published, received) in [
        (RIGHTS[0], true, 6),
        (RIGHTS[1], true, 4),
        (RIGHTS[0], true, 6),
        (RIGHTS[2], false, 4),
        (RIGHTS[0], true, 6),
    ] {
        let access = rules(&format!("[[rule]]\nidentity = [\"*\"]\n{rights}\n"));
        registry.reevaluate(access).await.unwrap();
        for _ in 0..2 {
            for topic in ["a/0", "a/1", "a/2"] {
                let is_published = publish(&mut publisher, topic).is_ok();
                assert_eq!(is_published, published || topic != "a/1", "{rights}");
            }
        }
        publisher.flush();
        assert_eq!(heard(&receiver), received, "{rights}");
    }
}

#[tokio::test]
async fn what_is_remembered_is_bounded() {
    let registry = registry();
    let mut publisher = session(&registry, "publisher").await;
    for topic in topics(5000) {
        publish(&mut publisher, &topic).unwrap();
    }
    let few = publisher.recent.topics();
    assert!((100..2500).contains(&few), "{few}");
    // What came first stays for a while, and gives way when it is not asked for.
    assert_eq!(look_ups(&mut publisher, &topics(100)), 0);
    for number in 0..20_000 {
        publish(&mut publisher, &format!("b/{number}")).unwrap();
    }
    publisher.recent.topics();
    assert_eq!(look_ups(&mut publisher, &topics(1)), 1);
    // The longer, the fewer.
    publisher.rest();
    for number in 0..5000 {
        let topic = format!("{number}/{}", "x".repeat(500));
        publish(&mut publisher, &topic).unwrap();
    }
    let fewer = publisher.recent.topics();
    assert!((10..500).contains(&fewer), "{fewer}");
    // One that has more receivers than are remembered for a while pushes out no others.
    publisher.rest();
    let mut receiver = session(&registry, "receiver").await;
    subscribe(&mut receiver, "all").await;
    let topic = Topic::parse("all").unwrap();
    let mut route = |receivers: usize| {
        let table = registry.routes().load();
        let mut route = Route::look_up(&table, &topic, publisher.client_id, &publisher.identity);
        let receiver = route.receivers[0].clone();
        route.receivers = vec![receiver; receivers];
        let kept = publisher.recent.take(&topic, table.generation());
        drop(kept);
        publisher.recent.keep(topic.to_owned(), route);
        publisher.recent.topics()
    };
    assert_eq!(route(10_000), 1);
    assert_eq!(route(100_000), 0);
}

#[tokio::test]
async fn a_client_that_says_nothing_holds_no_routes() {
    let registry = registry();
    let mut publisher = session(&registry, "publisher").await;
    let mut receiver = session(&registry, "receiver").await;
    subscribe(&mut receiver, "a/+").await;
    let outbox = Arc::downgrade(receiver.handle.outbox());
    for topic in topics(3) {
        publish(&mut publisher, &topic).unwrap();
    }
    receiver.depart(CloseReason::ClientDisconnecting);
    // Its departure is carried out before this is answered.
    let mut other = session(&registry, "other").await;
    subscribe(&mut other, "b").await;
    assert!(outbox.upgrade().is_some(), "it is still remembered");
    publisher.rest();
    assert!(outbox.upgrade().is_none());
}
