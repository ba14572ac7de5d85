use serde_json::{Value, json};

use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::{
    client::{Delivery, Gap},
    protocol::ClientId,
};

type Deliveries = mpsc::Receiver<Delivery>;

/// A dialogue, and the server's side of it.
#[derive(Default)]
struct Conversation {
    dialogue: Dialogue,
}

impl Conversation {
    /// Asks for `filters` with room for `queue_len` messages.
    fn ask(
        &mut self,
        filters: &[&str],
        queue_len: usize,
    ) -> (Deliveries, oneshot::Receiver<Result<(), Error>>) {
        let parsed = filters.iter().map(|text| TopicFilter::parse(text).unwrap());
        let (deliveries, queue) = mpsc::channel(queue_len + reserve(filters.len()));
        let (reply, answer) = oneshot::channel();
        self.dialogue.ask(Request::Subscribe {
            filters: parsed.collect(),
            deliveries,
            reply,
        });
        (queue, answer)
    }

    /// The same, agreed to by the server.
    fn subscribe(&mut self, filters: &[&str], queue_len: usize) -> Deliveries {
        let (queue, mut answer) = self.ask(filters, queue_len);
        self.agree();
        answer.try_recv().unwrap().unwrap();
        queue
    }

    /// What the client has said since it was asked last.
    fn said(&mut self) -> Vec<Value> {
        let bytes = self.dialogue.outgoing.split();
        let lines = std::str::from_utf8(&bytes).unwrap().lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Answers every `subscribe` that was said.
    fn agree(&mut self) {
        for line in self.said() {
            assert_eq!(line["event"], "subscribe");
            self.hear("subscribed", &line["content"]);
        }
    }

    fn hear(&mut self, event: &str, content: &Value) {
        let line = json!({
            "event": event,
            "id": ClientId::fresh(),
            "content": content,
            "timestamp": "2026-01-31T12:00:00.000000Z",
        });
        let line = line.to_string();
        let parsed = ServerLine::parse(line.as_bytes()).unwrap();
        self.dialogue.handle_line(parsed, line.as_bytes()).unwrap();
    }

    fn close(&mut self, filter: &str) {
        let content =
            json!({ "topic": filter, "code": "permission_withdrawn", "reason": "no more" });
        self.hear("subscription_closed", &content);
    }

    fn refuse(&mut self, reference: &Value) {
        let content = json!({
            "code": "subscribe_denied", "reason": "no", "retryable": false, "ref": reference,
        });
        self.hear("error", &content);
    }

    fn publish(&mut self, topic: &str) {
        let content = json!({ "topic": topic, "payload": 1, "sender": "alice" });
        self.hear("message", &content);
    }

    fn reconnect(&mut self) {
        let lost = Error::Lost(std::io::ErrorKind::UnexpectedEof.into());
        self.dialogue.connection_ended(&lost);
        self.dialogue.subscribe_again();
    }
}

/// All that came, in words; the last is `end` when nothing more can come.
fn told(queue: &mut Deliveries) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        told.push(match queue.try_recv() {
            Ok(Ok(message)) => message.topic,
            Ok(Err(Gap::Closed(closed))) => {
                format!("closed {} {}", closed.topic, closed.fault.code)
            }
            Ok(Err(gap)) => format!("{gap:?}"),
            Err(mpsc::error::TryRecvError::Empty) => return told,
            Err(mpsc::error::TryRecvError::Disconnected) => "end".to_owned(),
        });
        if told.last().is_some_and(|last| last == "end") {
            return told;
        }
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_closed_filter_is_told_and_the_others_go_on() {
    let mut talk = Conversation::default();
    let mut queue = talk.subscribe(&["a", "b/#"], 8);
    talk.publish("a");
    talk.close("a");
    talk.publish("a");
    talk.publish("b/1");
    let expected = ["a", "closed a permission_withdrawn", "b/1"];
    assert_eq!(told(&mut queue), expected);
    talk.close("b/#");
    assert_eq!(told(&mut queue), ["closed b/# permission_withdrawn", "end"]);
    assert!(talk.said().is_empty(), "the server knows already");
}

#[test]
fn an_end_that_overtakes_the_beginning_is_an_end() {
    let mut talk = Conversation::default();
    let (mut queue, mut answer) = talk.ask(&["a"], 8);
    let asked = talk.said();
    talk.close("a");
    talk.hear("subscribed", &asked[0]["content"]);
    let error = answer.try_recv().unwrap().unwrap_err();
    assert!(matches!(error, Error::Rejected(fault) if fault.code == "permission_withdrawn"));
    assert_eq!(told(&mut queue), ["end"]);
}

#[test]
fn an_end_that_overtakes_a_renewal_ends_that_filter_alone() {
    let mut talk = Conversation::default();
    let mut queue = talk.subscribe(&["b", "c"], 8);
    talk.reconnect();
    let asked = talk.said();
    talk.close("b");
    for line in &asked {
        talk.hear("subscribed", &line["content"]);
    }
    talk.publish("b");
    talk.publish("c");
    let expected = ["closed b permission_withdrawn", "Reconnected", "c"];
    assert_eq!(told(&mut queue), expected);
}

#[test]
fn a_closed_filter_is_not_renewed() {
    let mut talk = Conversation::default();
    let mut queue = talk.subscribe(&["a", "b"], 8);
    talk.close("a");
    talk.reconnect();
    let said = talk.said();
    assert_eq!(said.len(), 1);
    assert_eq!(said[0]["content"]["topic"], "b");
    talk.hear("subscribed", &said[0]["content"]);
    let expected = ["closed a permission_withdrawn", "Reconnected"];
    assert_eq!(told(&mut queue), expected);
    talk.close("b");
    talk.reconnect();
    assert!(talk.said().is_empty());
}

#[test]
fn a_filter_that_is_not_renewed_is_told_as_closed() {
    let mut talk = Conversation::default();
    let mut queue = talk.subscribe(&["a", "b"], 8);
    talk.reconnect();
    let said = talk.said();
    talk.refuse(&said[0]["content"]["ref"]);
    talk.hear("subscribed", &said[1]["content"]);
    talk.publish("b");
    let expected = ["closed a subscribe_denied", "Reconnected", "b"];
    assert_eq!(told(&mut queue), expected);
    talk.reconnect();
    let said = talk.said();
    assert_eq!(said.len(), 1);
    talk.refuse(&said[0]["content"]["ref"]);
    assert_eq!(told(&mut queue), ["closed b subscribe_denied", "end"]);
    assert!(talk.said().is_empty());
}

#[test]
fn a_subscription_that_is_refused_at_first_does_not_begin() {
    let mut talk = Conversation::default();
    let (mut queue, mut answer) = talk.ask(&["a", "b"], 8);
    let said = talk.said();
    talk.hear("subscribed", &said[0]["content"]);
    talk.refuse(&said[1]["content"]["ref"]);
    let outcome = answer.try_recv().unwrap();
    assert!(matches!(outcome, Err(Error::Rejected(_))), "{outcome:?}");
    assert_eq!(told(&mut queue), ["end"]);
    assert!(
        talk.said()
            .iter()
            .any(|line| line["event"] == "unsubscribe")
    );
}

#[test]
fn all_who_share_a_filter_are_told() {
    let mut talk = Conversation::default();
    let mut queues = [talk.subscribe(&["a"], 8), talk.subscribe(&["a", "b"], 8)];
    talk.close("a");
    let expected = "closed a permission_withdrawn";
    assert_eq!(told(&mut queues[0]), [expected, "end"]);
    assert_eq!(told(&mut queues[1]), [expected]);
    talk.close("a");
    talk.close("never asked for");
    assert_eq!(told(&mut queues[1]), NOTHING);
}

/// The server ended it for another; what was asked for since then has an answer of its own.
#[test]
fn who_has_only_just_asked_waits_for_the_answer() {
    let mut talk = Conversation::default();
    let mut first = talk.subscribe(&["a"], 8);
    let (mut second, mut answer) = talk.ask(&["a"], 8);
    talk.close("a");
    assert_eq!(told(&mut first), ["closed a permission_withdrawn", "end"]);
    assert_eq!(told(&mut second), NOTHING);
    talk.agree();
    answer.try_recv().unwrap().unwrap();
    talk.publish("a");
    assert_eq!(told(&mut second), ["a"]);
}

#[test]
fn a_part_can_end_before_all_has_begun() {
    let mut talk = Conversation::default();
    let (mut queue, mut answer) = talk.ask(&["a", "b"], 8);
    let said = talk.said();
    talk.hear("subscribed", &said[0]["content"]);
    talk.close("a");
    assert!(answer.try_recv().is_err());
    talk.hear("subscribed", &said[1]["content"]);
    answer.try_recv().unwrap().unwrap();
    talk.publish("b");
    assert_eq!(told(&mut queue), ["closed a permission_withdrawn", "b"]);
}

#[test]
fn a_full_queue_loses_messages_and_no_word_on_what_is_lost() {
    let mut talk = Conversation::default();
    let mut queue = talk.subscribe(&["a", "b"], 2);
    for _ in 0..5 {
        talk.publish("a");
    }
    talk.reconnect();
    talk.agree();
    talk.close("a");
    talk.publish("b");
    talk.reconnect();
    talk.agree();
    talk.close("b");
    let expected = [
        "a",
        "a",
        "Missed(3)",
        "Reconnected",
        "closed a permission_withdrawn",
        "Missed(1)",
        "Reconnected",
        "closed b permission_withdrawn",
        "end",
    ];
    assert_eq!(told(&mut queue), expected);
}

#[test]
fn a_queue_takes_as_many_messages_as_it_was_given() {
    let mut talk = Conversation::default();
    let mut queue = talk.subscribe(&["a", "b", "c"], 1);
    for _ in 0..3 {
        talk.publish("a");
    }
    assert_eq!(told(&mut queue), ["a"]);
    talk.publish("a");
    assert_eq!(told(&mut queue), ["Missed(2)"]);
    talk.publish("a");
    assert_eq!(told(&mut queue), ["Missed(1)"]);
}

#[test]
fn a_reader_that_is_gone_is_nobody_to_tell() {
    let mut talk = Conversation::default();
    drop(talk.subscribe(&["a", "b"], 8));
    talk.close("a");
    talk.publish("b");
    let said = talk.said();
    assert_eq!(said.len(), 1);
    assert_eq!(said[0]["event"], "unsubscribe");
    assert_eq!(said[0]["content"]["topic"], "b");
}

#[test]
fn nothing_is_said_after_the_farewell() {
    let mut talk = Conversation::default();
    let queue = talk.subscribe(&["a"], 1);
    drop(queue);
    talk.dialogue.disconnect();
    let farewell = talk.said();
    assert_eq!(farewell[0]["event"], "disconnecting");
    // On its way to a reader that is gone.
    talk.publish("a");
    assert_eq!(talk.said(), [Value::Null; 0]);
}

#[test]
fn a_server_that_asks_and_does_not_read_is_not_answered_without_end() {
    let mut talk = Conversation::default();
    talk.hear("ping", &json!({}));
    assert_eq!(talk.said().len(), 1);
    let answer = r#"{"event":"pong","id":"__","content":{}}"#.len() + 1;
    (0..UNWRITTEN_BYTES_MAX / 10).for_each(|_| talk.hear("ping", &json!({})));
    let waiting = talk.dialogue.outgoing.len();
    assert!(waiting < UNWRITTEN_BYTES_MAX + answer, "{waiting}");
}
