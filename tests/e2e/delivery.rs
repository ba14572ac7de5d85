//! What is published arrives: once, in order, byte for byte.

use crate::support::{
    AUTHENTICATE, Broker, Client, DEADLINE, DISCONNECT, line, list_of, publish, publish_ref,
    subscribe,
};

fn subscribed(broker: &Broker, name: &str, filters: &[&str]) -> Client {
    let mut client = broker.deaf_client(name);
    for filter in filters {
        client.send(&subscribe(filter));
        assert_eq!(client.expect("subscribed").content()["topic"], *filter);
    }
    client
}

#[test]
fn messages_of_one_publisher_keep_their_order() {
    const COUNT: usize = 2_000;
    let broker = Broker::start();
    let mut subscriber = subscribed(&broker, "subscriber", &["n/#"]);
    let mut publishers = [broker.deaf_client("p0"), broker.deaf_client("p1")];
    for number in 0..COUNT {
        for publisher in &mut publishers {
            // To topics in turn: the order holds across them.
            publisher.send(&publish(&format!("n/{}", number % 3), &number.to_string()));
        }
    }
    let mut next = [0, 0];
    for _ in 0..2 * COUNT {
        let message = subscriber.expect("message");
        let of = usize::from(message.text_of("sender") == "p1");
        assert_eq!(message.id(), publishers[of].id());
        assert_eq!(message.content()["topic"], format!("n/{}", next[of] % 3));
        assert_eq!(message.raw_payload(), next[of].to_string());
        next[of] += 1;
    }
    assert_eq!(next, [COUNT, COUNT]);
    assert_eq!(list_of(&subscriber.fence()), [""; 0]);
}

#[test]
fn wildcards_match_as_documented() {
    let broker = Broker::start();
    let mut publisher = broker.deaf_client("publisher");
    let topics = ["a", "a/b", "a/b/c", "b", "b/b", "plant/7/oven", "été/b"];
    let cases: [(&str, &[&str]); 9] = [
        ("a", &["a"]),
        ("a/#", &["a", "a/b", "a/b/c"]),
        ("#", &topics),
        ("+", &["a", "b"]),
        ("+/b", &["a/b", "b/b", "été/b"]),
        ("+/+/+", &["a/b/c", "plant/7/oven"]),
        ("plant/+/oven", &["plant/7/oven"]),
        ("+/b/#", &["a/b", "a/b/c", "b/b", "été/b"]),
        ("été/+", &["été/b"]),
    ];
    let mut subscribers: Vec<Client> = cases
        .iter()
        .map(|(filter, _)| subscribed(&broker, "subscriber", &[filter]))
        .collect();
    for topic in topics {
        publisher.send(&publish(topic, "1"));
    }
    publisher.fence();
    for (subscriber, (filter, expected)) in subscribers.iter_mut().zip(cases) {
        let messages = subscriber.fence();
        let heard: Vec<_> = messages.iter().map(|m| m.text_of("topic")).collect();
        assert_eq!(heard, expected, "{filter}");
    }
}

#[test]
fn overlapping_filters_deliver_once() {
    let broker = Broker::start();
    let filters = ["a/b", "a/b", "a/+", "a/#", "#", "+/b"];
    let mut subscriber = subscribed(&broker, "subscriber", &filters);
    let mut publisher = broker.deaf_client("publisher");
    for number in 0..3 {
        publisher.send(&publish_ref("a/b", &number.to_string(), "r"));
        assert_eq!(publisher.expect("published").content()["receivers"], 1);
    }
    let messages = subscriber.fence();
    let payloads: Vec<_> = messages.iter().map(|m| m.raw_payload()).collect();
    assert_eq!(payloads, ["0", "1", "2"]);
}

#[test]
fn payloads_arrive_byte_for_byte() {
    let broker = Broker::start();
    let mut subscriber = subscribed(&broker, "subscriber", &["p"]);
    let mut publisher = broker.deaf_client("publisher");
    let large = format!("\"{}\"", "0123456789".repeat(90_000));
    let payloads = [
        "null",
        "true",
        "-0",
        "1.0",
        "1e400",
        "123456789012345678901234567890.000",
        "\"\"",
        r#""\u0041\/\n\ud83d\ude00 é 😀""#,
        r#""\ud800""#,
        "[ 1 ,\t2 ]",
        r#"{ "b" : 1, "a" : {"z":[],"y":{}},  "b":2 }"#,
        r#"{"event":"message","id":"__","content":{}}"#,
        &large,
    ];
    for payload in payloads {
        publisher.send(&publish_ref("p", payload, "r"));
        publisher.expect("published");
        // As it came: some of them are valid JSON that not every reader takes.
        let message = subscriber.next_text(DEADLINE).unwrap();
        let content = format!(
            r#""content":{{"topic":"p","payload":{payload},"sender":"publisher"}},"timestamp":"#
        );
        assert!(
            message.contains(&content),
            "{payload:.80} came as {message:.300}"
        );
    }
}

#[test]
fn every_receiver_gets_the_same_bytes() {
    let broker = Broker::start();
    let mut first = subscribed(&broker, "first", &["a/b"]);
    let mut second = subscribed(&broker, "second", &["#"]);
    let mut publisher = broker.deaf_client("publisher");
    publisher.send(&publish("a/b", r#"{ "x":1 }"#));
    let message = first.expect("message");
    assert_eq!(message.text, second.expect("message").text);
}

#[test]
fn published_tells_how_many_it_was_queued_for() {
    let broker = Broker::start();
    let mut publisher = broker.deaf_client("publisher");
    let mut count = |expected: usize| {
        publisher.send(&publish_ref("a", "1", "r"));
        let published = publisher.expect("published");
        assert_eq!(published.content()["topic"], "a");
        assert_eq!(published.content()["receivers"], expected);
        assert_eq!(published.content()["ref"], "r");
    };
    count(0);
    let mut one = subscribed(&broker, "one", &["a", "#"]);
    count(1);
    let two = subscribed(&broker, "two", &["+"]);
    count(2);
    one.send(&line("unsubscribe", r##"{"topic":"#"}"##));
    one.expect("message");
    one.expect("message");
    one.expect("unsubscribed");
    count(2);
    one.send(&line("unsubscribe", r#"{"topic":"a"}"#));
    one.expect("message");
    one.expect("unsubscribed");
    count(1);
    let mut observer = broker.client("observer");
    drop(two);
    observer.expect("client_disconnected");
    count(0);
}

#[test]
fn unsubscribe_stops_what_it_names_and_nothing_else() {
    let broker = Broker::start();
    let mut subscriber = subscribed(&broker, "subscriber", &["a/#", "a/b"]);
    let mut publisher = broker.deaf_client("publisher");
    subscriber.send(&line("unsubscribe", r#"{"topic":"a/#","ref":"u"}"#));
    let unsubscribed = subscriber.expect("unsubscribed");
    assert_eq!(unsubscribed.content()["topic"], "a/#");
    assert_eq!(unsubscribed.content()["ref"], "u");
    publisher.send(&publish("a/c", "1"));
    publisher.send(&publish("a/b", "2"));
    publisher.fence();
    let messages = subscriber.fence();
    assert_eq!(
        messages.iter().map(|m| m.raw_payload()).collect::<Vec<_>>(),
        ["2"]
    );
    subscriber.send(&line("unsubscribe", r#"{"topic":"a/#"}"#));
    assert_eq!(
        subscriber.expect("error").content()["code"],
        "not_subscribed"
    );
}

#[test]
fn every_message_accepted_after_subscribed_is_delivered() {
    let broker = Broker::start();
    let mut publisher = broker.deaf_client("publisher");
    let mut subscriber = broker.deaf_client("subscriber");
    for round in 0..200 {
        let topic = format!("t/{round}");
        // The publisher's memory of its last topic must not outlive a change of routes.
        publisher.send(&publish_ref(&topic, "0", "r"));
        assert_eq!(publisher.expect("published").content()["receivers"], 0);
        subscriber.send(&subscribe(&topic));
        subscriber.expect("subscribed");
        publisher.send(&publish_ref(&topic, "1", "r"));
        assert_eq!(publisher.expect("published").content()["receivers"], 1);
        assert_eq!(subscriber.expect("message").raw_payload(), "1");
    }
}

/// Subscribes, publishes to itself, and leaves.
fn script() -> String {
    [
        AUTHENTICATE.to_owned(),
        subscribe("s/#"),
        publish("s/1", "1"),
        publish("other", "1"),
        publish_ref("s/2", "2", "r"),
        line("unsubscribe", r#"{"topic":"s/#"}"#),
        publish("s/3", "3"),
        DISCONNECT.to_owned(),
    ]
    .map(|line| line + "\n")
    .concat()
}

const SCRIPT_ANSWERS: [&str; 7] = [
    "connection_accepted",
    "authentication_accepted",
    "subscribed",
    "message",
    "message",
    "published",
    "unsubscribed",
];

#[test]
fn a_script_works_in_one_write() {
    let broker = Broker::start();
    let mut client = broker.dial("script").unwrap();
    client.send_bytes(script().as_bytes()).unwrap();
    assert_eq!(list_of(&client.rest().0), SCRIPT_ANSWERS);
}

#[test]
fn a_script_works_byte_by_byte() {
    let broker = Broker::start();
    let mut client = broker.dial("script").unwrap();
    for byte in script().as_bytes() {
        client.send_bytes(std::slice::from_ref(byte)).unwrap();
    }
    assert_eq!(list_of(&client.rest().0), SCRIPT_ANSWERS);
}

#[test]
fn a_script_works_cut_anywhere() {
    let broker = Broker::start();
    let script = script();
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..20 {
        let mut client = broker.dial("script").unwrap();
        let mut rest = script.as_bytes();
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(random.usize(1..=rest.len()));
            client.send_bytes(part).unwrap();
            rest = behind;
        }
        assert_eq!(list_of(&client.rest().0), SCRIPT_ANSWERS);
    }
}

#[test]
fn answers_keep_the_order_of_the_requests() {
    let broker = Broker::start();
    let mut client = broker.deaf_client("asking");
    let mut asked = Vec::new();
    for number in 0..300_usize {
        let reference = number.to_string();
        let (line, event) = match number % 6 {
            0 => (line("ping", &format!(r#"{{"ref":"{reference}"}}"#)), "pong"),
            1 => (publish_ref("x", "1", &reference), "published"),
            2 => (
                line(
                    "subscribe",
                    &format!(r#"{{"topic":"y","ref":"{reference}"}}"#),
                ),
                "subscribed",
            ),
            3 => (
                line("list_clients", &format!(r#"{{"ref":"{reference}"}}"#)),
                "clients",
            ),
            4 => (
                line(
                    "unsubscribe",
                    &format!(r#"{{"topic":"z","ref":"{reference}"}}"#),
                ),
                "error",
            ),
            _ => (line("help", &format!(r#"{{"ref":"{reference}"}}"#)), "help"),
        };
        client.send(&line);
        asked.push((reference, event));
    }
    for (reference, event) in asked {
        assert_eq!(client.expect(event).text_of("ref"), reference);
    }
}
