//! What goes on while an answer is outstanding, and what waits for it.

use super::*;

const LIST: EventName = EventName::ListClients;

impl TestClient {
    /// Says lines whose answers nobody waits for, up to one that has to wait: how many were heard.
    fn say_at_once(&mut self, lines: &[String]) -> usize {
        let mut heard = 0;
        self.conversation.begin_lines();
        for line in lines {
            if self.end.is_some() || !self.conversation.takes_lines() {
                break;
            }
            let flow = self.conversation.handle_line(Ok(line.as_bytes()));
            self.went_on(flow);
            heard += 1;
        }
        self.conversation.end_lines();
        heard
    }

    fn gists(&mut self) -> Vec<(String, Option<String>, Option<String>)> {
        self.answers().iter().map(gist).collect()
    }
}

/// An answer without a code.
fn done(event: &str, reference: &str) -> (String, Option<String>, Option<String>) {
    (event.to_owned(), None, Some(reference.to_owned()))
}

#[tokio::test]
async fn messages_and_pings_flow_past_an_outstanding_answer_and_answers_wait_behind_it() {
    let broker = Broker::start();
    let mut alice = broker.authenticate("alice").await;
    let mut bob = broker.authenticate("bob").await;
    alice.say(&[line(EventName::Subscribe, None)]).await;
    alice.answers();

    broker.test.hold();
    let lines = [
        line(LIST, Some("1")),
        line(EventName::Ping, Some("2")),
        line(EventName::Publish, Some("3")),
        line(LIST, Some("4")),
        "nonsense".to_owned(),
        line(EventName::Help, Some("5")),
    ];
    assert_eq!(alice.say_at_once(&lines), lines.len());
    bob.say_at_once(&[line(EventName::Publish, None)]);
    alice.conversation.ping();
    assert_eq!(events(&alice.answers()), ["message", "message", "ping"]);

    broker.test.release();
    alice.all_answered().await;
    let malformed = ("error".to_owned(), Some("malformed_event".to_owned()), None);
    let expected = [
        done("clients", "1"),
        done("pong", "2"),
        done("published", "3"),
        done("clients", "4"),
        malformed,
        done("help", "5"),
    ];
    assert_eq!(alice.gists(), expected);
}

#[tokio::test]
async fn lines_wait_for_what_changes_their_meaning() {
    let broker = Broker::start();
    for (name, answer) in [
        (EventName::RequestAuthentication, "authentication_accepted"),
        (EventName::Subscribe, "subscribed"),
        (EventName::Unsubscribe, "unsubscribed"),
    ] {
        let mut alice = if name == EventName::RequestAuthentication {
            broker.admit("alice").await
        } else {
            broker.authenticate("alice").await
        };
        if name == EventName::Unsubscribe {
            alice.say(&[line(EventName::Subscribe, None)]).await;
            alice.answers();
        }
        broker.test.hold();
        let lines = [line(name, Some("1")), line(EventName::Ping, Some("2"))];
        assert_eq!(alice.say_at_once(&lines), 1, "{name}");
        assert!(alice.answers().is_empty(), "{name}");
        broker.test.release();
        alice.all_answered().await;
        assert_eq!(alice.gists(), [done(answer, "1")]);
        assert_eq!(alice.say_at_once(&lines[1..]), 1);
        assert_eq!(alice.gists(), [done("pong", "2")]);
    }
}

#[tokio::test]
async fn a_request_of_the_registry_waits_for_the_answers_before_it() {
    let broker = Broker::start();
    let mut alice = broker.authenticate("alice").await;
    broker.test.hold();
    let lines = [
        line(LIST, Some("1")),
        line(EventName::Ping, Some("2")),
        line(EventName::Subscribe, Some("3")),
    ];
    assert_eq!(alice.say_at_once(&lines), 3);
    assert!(!alice.conversation.takes_lines());
    broker.test.release();
    alice.all_answered().await;
    let expected = [
        done("clients", "1"),
        done("pong", "2"),
        done("subscribed", "3"),
    ];
    assert_eq!(alice.gists(), expected);
}

#[tokio::test]
async fn no_more_lines_are_taken_than_answers_may_wait() {
    let broker = Broker::start();
    for name in [EventName::Ping, LIST] {
        let mut alice = broker.authenticate("alice").await;
        broker.test.hold();
        assert_eq!(alice.say_at_once(&[line(LIST, None)]), 1);
        let heard = 1 + alice.say_at_once(&vec![line(name, None); 2000]);
        assert_eq!(heard, 1024, "{name}");
        assert!(alice.answers().is_empty());
        broker.test.release();
        alice.all_answered().await;
        assert_eq!(alice.answers().len(), heard);
        assert!(alice.conversation.takes_lines());
    }
}

#[tokio::test]
async fn the_last_line_waits_for_the_answers_before_it() {
    let broker = Broker::start();
    let mut alice = broker.authenticate("alice").await;
    broker.test.hold();
    let lines = [
        line(LIST, Some("1")),
        line(EventName::Publish, Some("2")),
        line(EventName::Disconnecting, Some("3")),
        line(EventName::Ping, Some("4")),
    ];
    assert_eq!(alice.say_at_once(&lines), 3);
    assert_eq!(alice.end, None);
    assert!(alice.conversation.leaves_at().is_some());
    broker.test.release();
    alice.all_answered().await;
    assert_eq!(alice.closed_as(), Some(CloseReason::ClientDisconnecting));
    let closing = (
        "connection_closing".to_owned(),
        Some("client_disconnecting".to_owned()),
        Some("3".to_owned()),
    );
    let expected = [done("clients", "1"), done("published", "2"), closing];
    assert_eq!(alice.gists(), expected);
}

#[tokio::test]
async fn a_client_that_goes_is_forgotten_with_what_it_asked_for() {
    let broker = Broker::start();
    let mut watcher = broker.authenticate("watcher").await;
    let authenticate = line(EventName::RequestAuthentication, None);
    for (lines, is_new) in [
        (vec![line(LIST, None); 3], false),
        (vec![line(EventName::Subscribe, None)], false),
        (vec![authenticate], true),
    ] {
        let mut alice = if is_new {
            broker.admit("alice").await
        } else {
            broker.authenticate("alice").await
        };
        watcher.answers();
        broker.test.hold();
        assert_eq!(alice.say_at_once(&lines), lines.len());
        // The first request is on its way.
        let mut cx = Context::from_waker(Waker::noop());
        assert!(
            pin!(alice.conversation.answered())
                .poll(&mut cx)
                .is_pending()
        );
        let id = alice.id();
        let TestClient {
            conversation,
            outbox,
            ..
        } = alice;
        let end = ConnectionEnd::from(CloseReason::KeepaliveTimeout);
        conversation.depart(&end);
        broker.test.release();
        // This is answered after all that was asked before.
        watcher.say(&[line(LIST, None)]).await;
        let told = watcher.answers();
        let mut expected = vec!["client_disconnected", "clients"];
        if is_new {
            expected.insert(0, "client_authenticated");
        }
        assert_eq!(events(&told), expected);
        let gone = &told[told.len() - 2]["content"];
        assert_eq!(
            (&gone["client_id"], &gone["reason"]),
            (&json!(id), &json!("keepalive_timeout"))
        );
        assert_eq!(
            told[told.len() - 1]["content"]["clients"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
        assert_eq!(Arc::strong_count(&outbox), 1, "nothing holds its outbox");
    }
}
