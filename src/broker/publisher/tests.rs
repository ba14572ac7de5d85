//! What is worked out once for the messages to a topic, and when it is worked out anew.

use serde_json::value::RawValue;
use tokio_util::task::TaskTracker;

use super::*;
use crate::{
    access::AccessRules,
    broker::{
        Admission, Limits, Registry, RequestError, Session,
        routes::LOOK_UPS,
        test_support::{self, NO_LIMITS, address, rules},
    },
    protocol::{CloseReason, client_event::Subscribe},
    topic::TopicFilter,
};

fn registry() -> Registry {
    let limits = Limits {
        presence: false,
        ..NO_LIMITS
    };
    let open = Arc::new(AccessRules::open());
    let (registry, actor) = Registry::new(ServerId::fresh(), limits, open, 128);
    TaskTracker::new().spawn(actor);
    registry
}

async fn session(registry: &Registry, identity: &str) -> Session {
    let identity = Identity::parse(identity).unwrap();
    let admission = Admission::request(registry, identity, address(1), test_support::outbox());
    let welcome = b"\n".to_vec().into();
    let admission = admission.await.unwrap();
    let mut session = admission.authenticate(false, None, welcome).await.unwrap();
    lines(&mut session);
    session
}

fn outbox(session: &mut Session) -> &Arc<Outbox> {
    session.publisher().origin().handle.outbox()
}

/// How many lines wait for it.
fn lines(session: &mut Session) -> usize {
    let (_, frames) = test_support::take(outbox(session));
    frames.iter().map(Frame::lines).sum()
}

async fn subscribe(session: &mut Session, filter: &str) {
    let topic = TopicFilter::parse(filter).unwrap();
    let reference = None;
    session
        .subscribe(Subscribe { topic, reference })
        .await
        .unwrap();
    lines(session);
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
        assert_eq!(lines(&mut receiver), 5 * count);
        assert_eq!(look_ups(&mut publisher, &topics), 0);
        assert_eq!(lines(&mut receiver), 5 * count);
        // Any subscription, even to something else.
        let mut other = session(&registry, "other").await;
        subscribe(&mut other, "a/0").await;
        assert_eq!(look_ups(&mut publisher, &topics), count);
        assert_eq!(lines(&mut receiver), 5 * count);
        assert_eq!(lines(&mut other), 5);
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
        assert_eq!(lines(&mut receiver), received, "{rights}");
    }
}

#[tokio::test]
async fn what_is_remembered_is_bounded() {
    let registry = registry();
    let mut publisher = session(&registry, "publisher").await;
    for topic in topics(5000) {
        publish(&mut publisher, &topic).unwrap();
    }
    let few = publisher.publisher().recent.topics();
    assert!((100..2500).contains(&few), "{few}");
    // What came first stays for a while, and gives way when it is not needed.
    assert_eq!(look_ups(&mut publisher, &topics(100)), 0);
    for number in 0..20_000 {
        publish(&mut publisher, &format!("b/{number}")).unwrap();
    }
    publisher.publisher().recent.topics();
    assert_eq!(look_ups(&mut publisher, &topics(1)), 1);
    // The longer, the fewer.
    publisher.rest();
    for number in 0..5000 {
        let topic = format!("{number}/{}", "x".repeat(500));
        publish(&mut publisher, &topic).unwrap();
    }
    let fewer = publisher.publisher().recent.topics();
    assert!((10..500).contains(&fewer), "{fewer}");
    // A route with too many recipients to be kept pushes out no others.
    publisher.rest();
    let mut receiver = session(&registry, "receiver").await;
    subscribe(&mut receiver, "all").await;
    let topic = Topic::parse("all").unwrap();
    let mut kept = |recipients: usize| {
        let publisher = publisher.publisher();
        let table = publisher.routes.load();
        let mut destination = publisher.look_up(&topic, &table).unwrap();
        let recipient = destination.route.recipients[0].clone();
        destination.route.recipients = vec![recipient; recipients];
        drop(publisher.recent.take(&topic, table.generation()));
        publisher.recent.keep(topic.to_owned(), destination);
        publisher.recent.topics()
    };
    assert_eq!(kept(10_000), 1);
    assert_eq!(kept(100_000), 0);
}

#[tokio::test]
async fn a_client_that_says_nothing_holds_no_routes() {
    let registry = registry();
    let mut publisher = session(&registry, "publisher").await;
    let mut receiver = session(&registry, "receiver").await;
    subscribe(&mut receiver, "a/+").await;
    let outbox_left = Arc::downgrade(outbox(&mut receiver));
    for topic in topics(3) {
        publish(&mut publisher, &topic).unwrap();
    }
    receiver.depart(CloseReason::ClientDisconnecting);
    // Its departure is processed before this is answered.
    let mut other = session(&registry, "other").await;
    subscribe(&mut other, "b").await;
    assert!(outbox_left.upgrade().is_some(), "it is still remembered");
    publisher.rest();
    assert!(outbox_left.upgrade().is_none());
}
