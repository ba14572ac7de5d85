//! Every event and every broken line has its answer, in each state.

use super::*;

#[tokio::test]
async fn greets_with_all_that_a_client_needs() {
    let broker = Broker::start();
    let mut talk = broker.admit_unread("alice").await;
    let [greeting] = talk.answers().try_into().unwrap();
    assert_eq!(greeting["event"], "connection_accepted");
    assert_eq!(greeting["id"], broker.registry.server_id().to_string());
    assert_eq!(
        greeting["content"],
        json!({
            "client_id": talk.id(),
            "identity": "alice",
            "protocol": 1,
            "server": {"name": "tidings", "version": env!("CARGO_PKG_VERSION")},
            "token_required": false,
            "limits": {
                "line_bytes_max": 100_000,
                "authentication_timeout_ms": 5_000,
                "ping_interval_ms": 30_000,
            },
        })
    );
}

/// What is answered to a whole line of `name` by one who is admitted, and how it ends.
fn when_admitted(name: EventName) -> (Option<&'static str>, Option<&'static str>) {
    match name {
        EventName::RequestAuthentication => (Some("authentication_accepted"), None),
        EventName::Ping => (Some("pong"), None),
        EventName::Disconnecting => (None, None),
        EventName::Publish
        | EventName::Subscribe
        | EventName::Unsubscribe
        | EventName::ListClients
        | EventName::Pong
        | EventName::Help => (Some("error"), Some("not_authenticated")),
    }
}

/// The same for one who is authenticated. The first is without a `ref`, the second with one.
fn when_authenticated(name: EventName) -> [(Option<&'static str>, Option<&'static str>); 2] {
    match name {
        EventName::RequestAuthentication => [(Some("error"), Some("already_authenticated")); 2],
        EventName::Publish => [(None, None), (Some("published"), None)],
        EventName::Subscribe => [(Some("subscribed"), None); 2],
        EventName::Unsubscribe => [(Some("error"), Some("not_subscribed")); 2],
        EventName::ListClients => [(Some("clients"), None); 2],
        EventName::Ping => [(Some("pong"), None); 2],
        EventName::Pong => [(None, None), (Some("pong"), None)],
        EventName::Help => [(Some("help"), None); 2],
        EventName::Disconnecting => [
            (None, None),
            (Some("connection_closing"), Some("client_disconnecting")),
        ],
    }
}

fn assert_answer(
    answers: &[Value],
    expected: (Option<&str>, Option<&str>),
    reference: Option<&str>,
    name: EventName,
) {
    let own = |text: Option<&str>| text.map(str::to_owned);
    let expected: Vec<_> = expected
        .0
        .map(|event| (event.to_owned(), own(expected.1), own(reference)))
        .into_iter()
        .collect();
    let told: Vec<_> = answers.iter().map(gist).collect();
    assert_eq!(told, expected, "{name} {reference:?}");
    for answer in answers {
        if answer["event"] == "error" {
            assert_eq!(answer["content"]["event"], name.as_str());
            assert_eq!(answer["content"]["retryable"], false);
        }
    }
}

#[tokio::test]
async fn every_event_has_its_answer_before_authentication() {
    let broker = Broker::start();
    for name in EventName::ALL {
        for reference in [None, Some("r")] {
            let mut talk = broker.admit("alice").await;
            talk.say(&[line(*name, reference)]).await;
            let mut expected = when_admitted(*name);
            if *name == EventName::Disconnecting {
                assert_eq!(talk.closed_as(), Some(CloseReason::ClientDisconnecting));
                if reference.is_some() {
                    expected = (Some("connection_closing"), Some("client_disconnecting"));
                }
            } else {
                assert_eq!(talk.end, None);
            }
            assert_answer(&talk.answers(), expected, reference, *name);
            let is_in = *name == EventName::RequestAuthentication;
            assert_eq!(talk.conversation.is_authenticated(), is_in);
        }
    }
}

#[tokio::test]
async fn every_event_has_its_answer_after_authentication() {
    let broker = Broker::start();
    for name in EventName::ALL {
        for (reference, expected) in [None, Some("r")].into_iter().zip(when_authenticated(*name)) {
            let mut talk = broker.authenticate("alice").await;
            talk.say(&[line(*name, reference)]).await;
            assert_answer(&talk.answers(), expected, reference, *name);
            let closed =
                (*name == EventName::Disconnecting).then_some(CloseReason::ClientDisconnecting);
            assert_eq!(talk.closed_as(), closed);
        }
    }
}

#[tokio::test]
async fn answers_say_what_was_done() {
    let broker = Broker::start();
    let mut talk = broker.authenticate("alice").await;
    let id = talk.id();
    talk.say(&[
        r#"{"event":"subscribe","id":"__","content":{"topic":"a/+"}}"#.to_owned(),
        format!(r#"{{"event":"publish","id":"{id}","content":{{"topic":"a/b","payload":[ 1 ],"ref":"p"}}}}"#),
        r#"{"event":"unsubscribe","id":"__","content":{"topic":"a/+"}}"#.to_owned(),
        r#"{"event":"publish","id":"__","content":{"topic":"a/b","payload":1,"ref":"q"}}"#.to_owned(),
        r#"{"event":"list_clients","id":"__"}"#.to_owned(),
        r#"{"event":"help","id":"__"}"#.to_owned(),
    ])
    .await;
    let answers = talk.answers();
    let content: Vec<&Value> = answers.iter().map(|answer| &answer["content"]).collect();
    assert_eq!(
        events(&answers),
        [
            "subscribed",
            "message",
            "published",
            "unsubscribed",
            "published",
            "clients",
            "help"
        ]
    );
    assert_eq!(*content[0], json!({"topic": "a/+"}));
    assert_eq!(
        *content[1],
        json!({"topic": "a/b", "payload": [1], "sender": "alice"})
    );
    assert_eq!(answers[1]["id"], id);
    assert_eq!(
        *content[2],
        json!({"topic": "a/b", "receivers": 1, "ref": "p"})
    );
    assert_eq!(*content[3], json!({"topic": "a/+"}));
    assert_eq!(
        *content[4],
        json!({"topic": "a/b", "receivers": 0, "ref": "q"})
    );
    assert_eq!(content[5]["clients"][0]["client_id"], id);
    assert_eq!(content[5]["clients"][0]["identity"], "alice");
    let told: Vec<_> = content[6]["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            (
                entry["event"].as_str().unwrap(),
                entry["example"].as_str().unwrap(),
            )
        })
        .collect();
    let known: Vec<_> = EventName::ALL
        .iter()
        .map(|name| (name.as_str(), name.example()))
        .collect();
    assert_eq!(told, known);
    let server = broker.registry.server_id().to_string();
    assert!(
        answers
            .iter()
            .all(|a| a["event"] == "message" || a["id"] == server)
    );
}

/// Each kind of broken line, in each state.
#[tokio::test]
async fn every_broken_line_has_its_code_and_the_connection_stays() {
    let lines = [
        ("nonsense", "malformed_event", None),
        (
            r#"{"event":"ping","event":"ping","id":"__","content":{"ref":"r"}}"#,
            "malformed_event",
            None,
        ),
        (
            r#"{"event":"acknowledge","id":"__","content":{"ref":"r"}}"#,
            "unknown_event",
            Some("r"),
        ),
        (
            r#"{"event":"message","id":"__","content":{"ref":"r"}}"#,
            "unknown_event",
            Some("r"),
        ),
        (
            r#"{"event":"ping","id":"x","content":{"ref":"r"}}"#,
            "id_mismatch",
            Some("r"),
        ),
        (
            r#"{"event":"ping","content":{"ref":"r"}}"#,
            "missing_field",
            Some("r"),
        ),
        (
            r#"{"event":"ping","id":"__","timestamp":1,"content":{"ref":"r"}}"#,
            "invalid_field",
            Some("r"),
        ),
        (
            r#"{"event":"ping","id":"__","content":{"ref":7}}"#,
            "invalid_field",
            None,
        ),
        (
            r#"{"event":"ping","id":"__","content":[]}"#,
            "invalid_field",
            None,
        ),
    ];
    let lines_of_sessions = [
        (
            r#"{"event":"publish","id":"__","content":{"payload":1,"ref":"r"}}"#,
            "missing_field",
            Some("r"),
        ),
        (
            r#"{"event":"publish","id":"__","content":{"topic":"a","ref":"r"}}"#,
            "missing_field",
            Some("r"),
        ),
        (
            r#"{"event":"publish","id":"__","content":{"topic":"+","payload":1,"ref":"r"}}"#,
            "invalid_topic",
            Some("r"),
        ),
        (
            r#"{"event":"publish","id":"__","content":{"topic":"$SYS/x","payload":1,"ref":"r"}}"#,
            "reserved_topic",
            Some("r"),
        ),
        (
            r#"{"event":"publish","id":"__","content":{"topic":"a","payload":1,"retain":true,"ref":"r"}}"#,
            "invalid_field",
            Some("r"),
        ),
        (
            r#"{"event":"subscribe","id":"__","content":{"topic":"a/#/b","ref":"r"}}"#,
            "invalid_filter",
            Some("r"),
        ),
        (
            r#"{"event":"subscribe","id":"__","content":{"topic":"$SYS/#","ref":"r"}}"#,
            "reserved_topic",
            Some("r"),
        ),
        (
            r#"{"event":"unsubscribe","id":"__","content":{"topic":"none","ref":"r"}}"#,
            "not_subscribed",
            Some("r"),
        ),
    ];
    let broker = Broker::start();
    let (mut admitted, mut session) = (
        broker.admit("alice").await,
        broker.authenticate("bob").await,
    );
    for (line, code, reference) in lines {
        for talk in [&mut admitted, &mut session] {
            talk.say(&[line]).await;
            assert_error(&talk.answers(), line, code, reference);
            assert_eq!(talk.end, None);
        }
    }
    for (line, code, reference) in lines_of_sessions {
        session.say(&[line]).await;
        assert_error(&session.answers(), line, code, reference);
        assert_eq!(session.end, None);
        // Before authentication it does not matter what else is wrong.
        let mut admitted = broker.admit("alice").await;
        admitted.say(&[line]).await;
        assert_error(&admitted.answers(), line, "not_authenticated", reference);
    }
    session.say(&[r#"{"event":"ping","id":"__"}"#]).await;
    assert_eq!(events(&session.answers()), ["pong"]);
}

fn assert_error(answers: &[Value], line: &str, code: &str, reference: Option<&str>) {
    let told: Vec<_> = answers.iter().map(gist).collect();
    let reference = reference.map(str::to_owned);
    assert_eq!(
        told,
        [("error".to_owned(), Some(code.to_owned()), reference)],
        "{line}"
    );
}

#[tokio::test]
async fn blank_lines_are_passed_over() {
    let broker = Broker::start();
    for mut talk in [
        broker.admit("alice").await,
        broker.authenticate("alice").await,
    ] {
        talk.say(&["", "", ""]).await;
        assert_eq!(talk.end, None);
        assert!(talk.answers().is_empty());
    }
}

#[tokio::test]
async fn a_session_holds_as_many_subscriptions_as_it_may() {
    let broker = Broker::start();
    let mut talk = broker.authenticate("alice").await;
    let subscribe = |topic: &str| {
        json!({"event": "subscribe", "id": "__", "content": {"topic": topic}}).to_string()
    };
    talk.say(&["a", "b", "c", "d", "a"].map(subscribe)).await;
    let codes: Vec<_> = talk.answers().iter().map(|answer| gist(answer).1).collect();
    let full = Some("too_many_subscriptions".to_owned());
    assert_eq!(codes, [None, None, None, full, None]);
}

#[tokio::test]
async fn the_end_of_the_registry_is_a_fault_of_ours() {
    let mut broker = Broker::start();
    let mut admitted = broker.admit("alice").await;
    let mut session = broker.authenticate("bob").await;
    admitted.answers();
    broker.fail().await;
    let told = |talk: &mut TestClient| talk.answers().iter().map(gist).collect::<Vec<_>>();
    let error = |code: &str| {
        (
            "error".to_owned(),
            Some(code.to_owned()),
            Some("r".to_owned()),
        )
    };

    for name in [
        EventName::Subscribe,
        EventName::Unsubscribe,
        EventName::ListClients,
    ] {
        session.say(&[line(name, Some("r"))]).await;
        assert_eq!(told(&mut session), [error("internal_error")], "{name}");
    }
    for _ in 0..2 {
        let request = line(EventName::RequestAuthentication, Some("r"));
        admitted.say(&[request]).await;
        assert_eq!(told(&mut admitted), [error("internal_error")]);
    }
    admitted.say(&[line(EventName::Publish, Some("r"))]).await;
    assert_eq!(told(&mut admitted), [error("not_authenticated")]);
    // What needs no registry goes on, and so does the end.
    for talk in [&mut admitted, &mut session] {
        talk.say(&[line(EventName::Ping, Some("r"))]).await;
        assert_eq!(
            told(talk),
            [("pong".to_owned(), None, Some("r".to_owned()))]
        );
        talk.say(&[line(EventName::Disconnecting, None)]).await;
        assert_eq!(talk.closed_as(), Some(CloseReason::ClientDisconnecting));
    }
    admitted
        .conversation
        .depart(&CloseReason::ClientDisconnecting.into());
    session
        .conversation
        .depart(&CloseReason::ClientDisconnecting.into());
}
