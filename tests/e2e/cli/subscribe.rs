//! `tidings sub`.

use std::{process::Command, sync::Arc};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Broker, Certificates, Process, publish, publish_ref, serve};

#[test]
fn sub_ends_after_its_count_or_its_wait() {
    let broker = Broker::start();
    let mut publisher = broker.deaf_client("publisher");
    let mut counting = broker.subscriber("s", &["sub", "-t", "a", "-C", "2"]);
    for number in 1..=3 {
        publisher.send(&publish("a", &number.to_string()));
    }
    let counted = counting.wait();
    assert_eq!(
        (counted.code, counted.out),
        (Some(0), vec!["1".to_owned(), "2".to_owned()])
    );

    let mut waiting = broker.subscriber("s", &["sub", "-t", "a", "-W", "1"]);
    let mut wanting = broker.subscriber("s", &["sub", "-t", "a", "-C", "2", "-W", "1"]);
    publisher.send(&publish("a", "1"));
    let waited = waiting.wait();
    assert_eq!((waited.code, waited.out), (Some(0), vec!["1".to_owned()]));
    let wanted = wanting.wait();
    assert_eq!((wanted.code, wanted.out), (Some(1), vec!["1".to_owned()]));
}

#[test]
fn sub_ends_with_0_when_it_is_interrupted_and_takes_leave() {
    let broker = Broker::start();
    let mut observer = broker.client("observer");
    let mut subscriber = broker.subscriber("s", &["sub", "-t", "a", "-t", "b/#"]);
    subscriber.signal(Signal::INT);
    assert_eq!(subscriber.wait().code, Some(0));
    observer.expect("client_authenticated");
    let gone = observer.expect("client_disconnected");
    assert_eq!(gone.text_of("reason"), "client_disconnecting");
}

#[test]
fn sub_prints_payloads_topics_or_whole_events() {
    let broker = Broker::start();
    let mut plain = broker.subscriber("s", &["sub", "-t", "a/#", "-t", "b", "-C", "2"]);
    let mut verbose = broker.subscriber("s", &["sub", "-t", "#", "-v", "-C", "2"]);
    let mut whole = broker.subscriber("s", &["sub", "-t", "#", "--envelope", "-C", "2"]);
    let mut publisher = broker.deaf_client("publisher");
    publisher.send(&publish("a/1", r#"{ "x" : 1 }"#));
    publisher.send(&publish("b", r#""y""#));
    assert_eq!(plain.wait().out, [r#"{ "x" : 1 }"#, r#""y""#]);
    assert_eq!(verbose.wait().out, [r#"a/1 { "x" : 1 }"#, r#"b "y""#]);
    for text in whole.wait().out {
        let event: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(event["event"], "message");
        assert_eq!(event["content"]["sender"], "publisher");
        assert_eq!(event["id"], publisher.id());
    }
}

#[test]
fn sub_into_head_is_success() {
    let broker = Broker::start();
    let subscribing = broker.cli("s", &["sub", "-t", "a"]);
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg("{ \"$0\" \"$@\"; echo \"ended with $?\" >&2; } | head -n 1")
        .arg(subscribing.get_program())
        .args(subscribing.get_args());
    for (name, value) in subscribing.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let mut piped = Process::spawn(command);
    piped.err.wait_for("subscribed at");
    let mut publisher = broker.deaf_client("publisher");
    publisher.send(&publish("a", "1"));
    assert_eq!(piped.out.wait_count(1), ["1"]);
    // Nobody reads any more: it finds out with a message that it cannot print. `head` may take a
    // moment to go, and until then there is room for some.
    let mut number = 1;
    while piped.is_running() {
        number += 1;
        publisher.send(&publish("a", &number.to_string()));
        publisher.fence();
    }
    let outcome = piped.wait();
    assert_eq!(outcome.out, ["1"]);
    assert_eq!(outcome.err.last().unwrap(), "ended with 0", "{outcome:#?}");
}

#[test]
fn sub_comes_back_after_the_broker_says_so_and_receives_again() {
    let certificates = Arc::new(Certificates::new());
    let mut broker = Broker::with_certificates(&certificates, &[]);
    let address = broker.address.to_string();
    let again = || {
        let mut command = serve(&certificates);
        command.args(["--listen", &address]);
        Broker::launch(command, &certificates)
    };
    let mut subscriber = broker.subscriber("s", &["sub", "-t", "a/#", "-v"]);
    let say = |broker: &Broker, payload: &str| {
        let mut publisher = broker.deaf_client("publisher");
        publisher.send(&publish("a/b", payload));
        publisher.fence();
    };
    say(&broker, "1");
    assert_eq!(subscriber.out.wait_count(1), ["a/b 1"]);

    assert_eq!(broker.terminate().code, Some(0));
    let told = subscriber.err.wait_for("trying again");
    assert!(told.contains("server_shutting_down"), "{told}");
    let mut broker = again();
    subscriber.err.wait_for("connected and subscribed again");
    // That is when it asks; this is when it has the broker's word.
    subscriber.err.wait_for("reconnected: ");
    say(&broker, "2");
    assert_eq!(subscriber.out.wait_count(2)[1], "a/b 2");

    broker.signal(Signal::KILL);
    broker.process().wait();
    let times = |text: &str, count: usize| {
        subscriber
            .err
            .wait_until(&format!("{text:?}, {count} times"), |lines| {
                let found = lines.iter().filter(|line| line.contains(text));
                (found.count() >= count).then_some(())
            });
    };
    times("trying again", 2);
    let broker = again();
    times("reconnected: ", 2);
    say(&broker, "3");
    assert_eq!(subscriber.out.wait_count(3)[2], "a/b 3");
    assert!(subscriber.is_running());
}

/// The CAs that it trusts do not change while it runs.
#[test]
fn sub_does_not_try_again_a_broker_that_it_cannot_trust() {
    let mut broker = Broker::start();
    let mut subscriber = broker.subscriber("s", &["sub", "-t", "a"]);
    broker.signal(Signal::KILL);
    broker.process().wait();
    let others = Arc::new(Certificates::new());
    let mut command = serve(&others);
    command.args(["--listen", &broker.address.to_string()]);
    let _impostor = Broker::launch(command, &others);
    let outcome = subscriber.wait();
    assert_eq!(outcome.code, Some(1));
    let last = outcome.err.last().unwrap();
    assert!(
        last.contains("not from a CA that this client trusts"),
        "{last}"
    );
}

#[test]
fn sub_that_must_not_come_back_ends_with_1() {
    let mut broker = Broker::start();
    let mut subscriber = broker.subscriber("s", &["sub", "-t", "a", "--no-reconnect"]);
    broker.terminate();
    let outcome = subscriber.wait();
    assert_eq!(outcome.code, Some(1));
    let [_subscribed, told] = &outcome.err[..] else {
        panic!("two lines: {outcome:#?}");
    };
    assert!(told.contains("server_shutting_down"), "{outcome:#?}");
}

#[test]
fn sub_that_is_quiet_says_nothing_but_what_ends_it() {
    let mut broker = Broker::start();
    let quiet = ["sub", "-t", "a", "--no-reconnect", "-q"];
    let mut subscriber = Process::spawn(broker.cli("s", &quiet));
    let mut publisher = broker.client("publisher");
    // It says nothing of its own accord, so the broker is asked whether it is there yet.
    let mut receivers = 0;
    while receivers == 0 {
        assert!(subscriber.is_running());
        publisher.send(&publish_ref("a", "1", "r"));
        let answer = publisher.next();
        receivers = answer.content()["receivers"].as_u64().unwrap_or(0);
    }
    drop(publisher);
    broker.terminate();
    let outcome = subscriber.wait();
    assert_eq!(
        (outcome.code, outcome.err.len()),
        (Some(1), 1),
        "{outcome:#?}"
    );
}
