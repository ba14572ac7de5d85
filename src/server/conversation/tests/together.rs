//! Answers keep their order within one go, and others hear of it.

use super::*;

#[tokio::test]
async fn answers_keep_the_order_of_the_requests_within_one_go() {
    let broker = Broker::start();
    let mut talk = broker.authenticate("alice").await;
    let publish = |topic: &str, reference: &str| {
        json!({"event": "publish", "id": "__", "content": {"topic": topic, "payload": reference, "ref": reference}})
            .to_string()
    };
    talk.say(&[
        publish("a", "1"),
        publish("a", "2"),
        publish("a/+", "3"),
        publish("a", "4"),
        publish("b", "5"),
        line(EventName::Ping, Some("6")),
        publish("b", "7"),
        line(EventName::Subscribe, Some("8")),
        publish("a/b", "9"),
        "nonsense".to_owned(),
        publish("a/b", "10"),
        publish("$x", "11"),
        line(EventName::Unsubscribe, Some("12")),
        publish("a/b", "13"),
        line(EventName::RequestAuthentication, Some("14")),
        publish("a/b", "15"),
        line(EventName::ListClients, Some("16")),
        publish("a/b", "17"),
        line(EventName::Help, Some("18")),
        line(EventName::Pong, Some("19")),
        publish("a/b", "20"),
        line(EventName::Disconnecting, Some("21")),
    ])
    .await;
    let answers = talk.answers();
    let references: Vec<_> = answers
        .iter()
        .filter(|answer| answer["event"] != "message")
        .map(|answer| {
            answer["content"]["ref"]
                .as_str()
                .unwrap_or("none")
                .to_owned()
        })
        .collect();
    let mut expected: Vec<String> = (1..=21).map(|number: u8| number.to_string()).collect();
    expected.insert(9, "none".to_owned());
    assert_eq!(references, expected);
    let messages: Vec<_> = answers
        .iter()
        .filter(|answer| answer["event"] == "message")
        .map(|answer| answer["content"]["payload"].as_str().unwrap())
        .collect();
    assert_eq!(messages, ["9", "10"]);
    let receivers: Vec<_> = answers
        .iter()
        .filter(|answer| answer["event"] == "published")
        .map(|answer| answer["content"]["receivers"].as_u64().unwrap())
        .collect();
    assert_eq!(receivers, [0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0]);
}

#[tokio::test]
async fn others_hear_of_a_client_and_from_it() {
    let broker = Broker::start();
    let mut alice = broker.authenticate("alice").await;
    let quiet = r#"{"event":"request_authentication","id":"__","content":{"presence":false}}"#;
    let mut carol = broker.admit("carol").await;
    carol.say(&[quiet]).await;
    assert_eq!(events(&carol.answers()), ["authentication_accepted"]);
    alice.answers();
    let mut unknown = broker.admit("dave").await;

    let mut bob = broker.authenticate("bob").await;
    let [news] = alice.answers().try_into().unwrap();
    assert_eq!(news["event"], "client_authenticated");
    assert_eq!(
        news["content"],
        json!({"client_id": bob.id(), "identity": "bob"})
    );

    for talk in [&mut alice, &mut carol] {
        talk.say(&[line(EventName::Subscribe, None)]).await;
        assert_eq!(events(&talk.answers()), ["subscribed"]);
    }
    bob.say(&[line(EventName::Publish, Some("r"))]).await;
    let [published] = bob.answers().try_into().unwrap();
    assert_eq!(published["content"]["receivers"], 2);
    let (to_alice, to_carol) = (alice.answers(), carol.answers());
    assert_eq!(events(&to_alice), ["message"]);
    assert_eq!(to_alice, to_carol, "the same bytes for all");
    assert_eq!(to_alice[0]["id"], bob.id());
    assert_eq!(to_alice[0]["content"]["sender"], "bob");

    // What was accepted before the end still goes out, and before the news of the end.
    let goodbye = [
        line(EventName::Publish, None),
        line(EventName::Disconnecting, None),
    ];
    bob.say(&goodbye).await;
    let bob_id = bob.id();
    bob.conversation
        .depart(&CloseReason::ClientDisconnecting.into());
    let mut late = broker.authenticate("erin").await;
    let told = alice.answers();
    assert_eq!(
        events(&told),
        ["message", "client_disconnected", "client_authenticated"]
    );
    assert_eq!(
        told[1]["content"],
        json!({"client_id": bob_id, "identity": "bob", "reason": "client_disconnecting"})
    );
    assert_eq!(events(&carol.answers()), ["message"]);
    assert!(unknown.answers().is_empty());
    assert!(late.answers().is_empty());
}
