//! Random lines against a model of the protocol.

use std::collections::BTreeSet;

use proptest::{collection::vec, option, prelude::*, sample::select};
use tokio::runtime;

use super::*;

/// One line, and what is to become of it.
#[derive(Clone, Debug)]
enum Said {
    Whole(EventName, Option<String>, usize),
    Malformed,
    Blank,
    TooLong,
    /// Its event is not known.
    Unknown(Option<String>),
    /// Its `id` is not the client's.
    Forged(EventName, Option<String>),
    /// Its `ref` is none.
    BadReference(EventName),
    /// Something in its content is wrong, as the code says.
    Faulty(ContentFault, Option<String>),
}

/// A line that only a session hears of what is wrong with.
#[derive(Clone, Copy, Debug)]
enum ContentFault {
    NoTopic,
    NoPayload,
    Wildcard,
    Reserved,
    ReservedFilter,
    BadFilter,
    Retain,
}

const RANDOM_TOPICS: &[&str] = &["a", "a/b", "b", "c"];
const RANDOM_FILTERS: &[&str] = &["a", "a/#", "+", "#", "b"];

impl Said {
    /// The line; `number` is told apart from all others by its payload.
    fn line(&self, number: usize) -> Result<Vec<u8>, LineTooLong> {
        let value = match self {
            Self::TooLong => return Err(LineTooLong),
            Self::Blank => return Ok(Vec::new()),
            Self::Malformed => return Ok(b"{\"event\":\"ping\",\"id\":\"__\"".to_vec()),
            Self::Whole(name, reference, which) => {
                let mut line: Value =
                    serde_json::from_str(&line(*name, reference.as_deref())).unwrap();
                match name {
                    EventName::Publish => {
                        line["content"]["topic"] =
                            RANDOM_TOPICS[which % RANDOM_TOPICS.len()].into();
                        line["content"]["payload"] = number.into();
                    }
                    EventName::Subscribe | EventName::Unsubscribe => {
                        line["content"]["topic"] =
                            RANDOM_FILTERS[which % RANDOM_FILTERS.len()].into();
                    }
                    _ => {}
                }
                line
            }
            Self::Unknown(reference) => {
                json!({"event": "message", "id": "__", "content": with_ref(json!({}), reference)})
            }
            Self::Forged(name, reference) => {
                json!({"event": name.as_str(), "id": "me", "content": with_ref(json!({}), reference)})
            }
            Self::BadReference(name) => {
                let mut line: Value = serde_json::from_str(&line(*name, None)).unwrap();
                line["content"]["ref"] = "x".repeat(65).into();
                line
            }
            Self::Faulty(fault, reference) => {
                let (event, content) = match fault {
                    ContentFault::NoTopic => ("publish", json!({"payload": 1})),
                    ContentFault::NoPayload => ("publish", json!({"topic": "a"})),
                    ContentFault::Wildcard => ("publish", json!({"topic": "a/+", "payload": 1})),
                    ContentFault::Reserved => ("publish", json!({"topic": "$a", "payload": 1})),
                    ContentFault::ReservedFilter => ("subscribe", json!({"topic": "$a/#"})),
                    ContentFault::BadFilter => ("subscribe", json!({"topic": "#/a"})),
                    ContentFault::Retain => (
                        "publish",
                        json!({"topic": "a", "payload": 1, "retain": true}),
                    ),
                };
                json!({"event": event, "id": "__", "content": with_ref(content, reference)})
            }
        };
        Ok(value.to_string().into_bytes())
    }
}

fn with_ref(mut content: Value, reference: &Option<String>) -> Value {
    if let Some(reference) = reference {
        content["ref"] = reference.as_str().into();
    }
    content
}

fn any_said() -> impl Strategy<Value = Said> {
    const FAULTS: &[ContentFault] = &[
        ContentFault::NoTopic,
        ContentFault::NoPayload,
        ContentFault::Wildcard,
        ContentFault::Reserved,
        ContentFault::ReservedFilter,
        ContentFault::BadFilter,
        ContentFault::Retain,
    ];
    let reference = || option::of("[a-z]{0,3}");
    let name = || select(EventName::ALL);
    // Most of them say what keeps the conversation going.
    let lively = prop_oneof![
        6 => Just(EventName::Publish),
        3 => Just(EventName::Subscribe),
        2 => Just(EventName::Unsubscribe),
        1 => Just(EventName::ListClients),
        1 => Just(EventName::Ping),
        1 => Just(EventName::Pong),
        1 => Just(EventName::Help),
    ];
    prop_oneof![
        30 => (lively, reference(), any::<usize>())
            .prop_map(|(name, reference, which)| Said::Whole(name, reference, which)),
        4 => reference()
            .prop_map(|reference| Said::Whole(EventName::RequestAuthentication, reference, 0)),
        1 => reference().prop_map(|reference| Said::Whole(EventName::Disconnecting, reference, 0)),
        2 => Just(Said::Malformed),
        2 => Just(Said::Blank),
        1 => Just(Said::TooLong),
        2 => reference().prop_map(Said::Unknown),
        2 => (name(), reference()).prop_map(|(name, reference)| Said::Forged(name, reference)),
        2 => name().prop_map(Said::BadReference),
        6 => (select(FAULTS), reference()).prop_map(|(fault, reference)| Said::Faulty(fault, reference)),
    ]
}

/// The protocol as `docs/events.md` tells it, for one client alone.
#[derive(Default)]
struct Protocol {
    authenticated: bool,
    closed: bool,
    not_authenticated: usize,
    already_authenticated: usize,
    long_lines: usize,
    filters: BTreeSet<&'static str>,
    answers: Vec<(String, Option<String>, Option<String>)>,
    /// Numbers of the publishes that come back as messages.
    messages: Vec<usize>,
}

impl Protocol {
    fn handle_line(&mut self, said: &Said, number: usize) {
        match said {
            Said::Blank => {}
            Said::Malformed => self.refuse("malformed_event", None),
            Said::TooLong => {
                self.refuse("line_too_long", None);
                self.long_lines += 1;
                self.close_when(self.long_lines == 2);
            }
            Said::Unknown(reference) => self.refuse("unknown_event", reference.as_ref()),
            Said::Forged(_, reference) => self.refuse("id_mismatch", reference.as_ref()),
            Said::BadReference(name) => {
                if self.check_state(*name, None) {
                    self.refuse("invalid_field", None);
                }
            }
            Said::Faulty(fault, reference) => {
                // All of them are events that need a session.
                if self.check_state(EventName::Publish, reference.as_ref()) {
                    let code = match fault {
                        ContentFault::NoTopic | ContentFault::NoPayload => "missing_field",
                        ContentFault::Wildcard => "invalid_topic",
                        ContentFault::Reserved | ContentFault::ReservedFilter => "reserved_topic",
                        ContentFault::BadFilter => "invalid_filter",
                        ContentFault::Retain => "invalid_field",
                    };
                    self.refuse(code, reference.as_ref());
                }
            }
            Said::Whole(name, reference, which) => {
                if self.check_state(*name, reference.as_ref()) {
                    self.dispatch(*name, reference.as_ref(), *which, number);
                }
            }
        }
    }

    fn check_state(&mut self, name: EventName, reference: Option<&String>) -> bool {
        let is_request = name == EventName::RequestAuthentication;
        if self.authenticated && is_request {
            self.refuse("already_authenticated", reference);
            self.already_authenticated += 1;
            self.close_when(self.already_authenticated == 3);
            return false;
        }
        let always = matches!(name, EventName::Ping | EventName::Disconnecting);
        if !self.authenticated && !is_request && !always {
            self.refuse("not_authenticated", reference);
            self.not_authenticated += 1;
            self.close_when(self.not_authenticated == 3);
            return false;
        }
        true
    }

    fn dispatch(
        &mut self,
        name: EventName,
        reference: Option<&String>,
        which: usize,
        number: usize,
    ) {
        let filter = RANDOM_FILTERS[which % RANDOM_FILTERS.len()];
        match name {
            EventName::RequestAuthentication => {
                self.authenticated = true;
                self.answer("authentication_accepted", reference);
            }
            EventName::Publish => {
                let topic = RANDOM_TOPICS[which % RANDOM_TOPICS.len()];
                if self.filters.iter().any(|filter| is_for(filter, topic)) {
                    self.messages.push(number);
                }
                if reference.is_some() {
                    self.answer("published", reference);
                }
            }
            EventName::Subscribe if self.filters.len() == 3 && !self.filters.contains(filter) => {
                self.refuse("too_many_subscriptions", reference);
            }
            EventName::Subscribe => {
                self.filters.insert(filter);
                self.answer("subscribed", reference);
            }
            EventName::Unsubscribe if self.filters.remove(filter) => {
                self.answer("unsubscribed", reference);
            }
            EventName::Unsubscribe => self.refuse("not_subscribed", reference),
            EventName::ListClients => self.answer("clients", reference),
            EventName::Ping => self.answer("pong", reference),
            EventName::Pong if reference.is_none() => {}
            EventName::Pong => self.answer("pong", reference),
            EventName::Help => self.answer("help", reference),
            EventName::Disconnecting => {
                self.closed = true;
                if reference.is_some() {
                    let code = Some("client_disconnecting".to_owned());
                    self.answers
                        .push(("connection_closing".to_owned(), code, reference.cloned()));
                }
            }
        }
    }

    fn answer(&mut self, event: &str, reference: Option<&String>) {
        self.answers
            .push((event.to_owned(), None, reference.cloned()));
    }

    fn refuse(&mut self, code: &str, reference: Option<&String>) {
        self.answers.push((
            "error".to_owned(),
            Some(code.to_owned()),
            reference.cloned(),
        ));
    }

    fn close_when(&mut self, too_many: bool) {
        if too_many {
            self.closed = true;
            let code = Some("too_many_errors".to_owned());
            self.answers
                .push(("connection_closing".to_owned(), code, None));
        }
    }
}

/// For [`RANDOM_FILTERS`] and [`RANDOM_TOPICS`] alone.
fn is_for(filter: &str, topic: &str) -> bool {
    match filter {
        "#" => true,
        "+" => !topic.contains('/'),
        "a/#" => topic.starts_with('a'),
        exact => exact == topic,
    }
}

async fn hold(goes: &[Vec<Said>]) {
    let broker = Broker::start();
    let mut talk = broker.admit("alice").await;
    let mut protocol = Protocol::default();
    let mut number = 0;
    for go in goes {
        if protocol.closed {
            break;
        }
        let mut lines = Vec::new();
        for said in go {
            number += 1;
            lines.push(said.line(number));
            protocol.handle_line(said, number);
            if protocol.closed {
                break;
            }
        }
        let lines: Vec<_> = lines
            .iter()
            .map(|line| line.as_deref().map_err(|fault| *fault))
            .collect();
        talk.say_or_overflow(&lines).await;
        assert_eq!(talk.conversation.is_authenticated(), protocol.authenticated);
        assert_eq!(talk.end.is_some(), protocol.closed);
    }
    let (messages, answers): (Vec<Value>, Vec<Value>) = talk
        .answers()
        .into_iter()
        .partition(|answer| answer["event"] == "message");
    assert_eq!(
        answers.iter().map(gist).collect::<Vec<_>>(),
        protocol.answers
    );
    let messages: Vec<_> = messages
        .iter()
        .map(|message| message["content"]["payload"].as_u64().unwrap())
        .collect();
    let expected: Vec<_> = protocol
        .messages
        .iter()
        .map(|number| u64::try_from(*number).unwrap())
        .collect();
    assert_eq!(messages, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whatever is said in whatever order and portions: each line that wants an answer gets its
    /// own, once, in the order of the lines, and messages come as often as they are to.
    #[test]
    fn every_sequence_of_lines_has_its_answers(
        pipelined in any::<bool>(),
        goes in vec(vec(any_said(), 0..8), 0..6),
    ) {
        let mut goes = goes;
        if pipelined {
            goes.insert(0, vec![Said::Whole(EventName::RequestAuthentication, None, 0)]);
        }
        runtime::Builder::new_current_thread().build().unwrap().block_on(hold(&goes));
    }

    /// Bytes that mean nothing, in both states: never a panic, and one refusal for each line.
    #[test]
    fn nonsense_is_refused_line_by_line(
        authenticated in any::<bool>(),
        lines in vec(
            vec(any::<u8>().prop_filter("no object", |byte| !b"\n{".contains(byte)), 1..40),
            0..20,
        ),
    ) {
        runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            let broker = Broker::start();
            let mut talk = if authenticated {
                broker.authenticate("alice").await
            } else {
                broker.admit("alice").await
            };
            talk.say(&lines).await;
            let answers: Vec<_> = talk.answers().iter().map(gist).collect();
            let refusal = ("error".to_owned(), Some("malformed_event".to_owned()), None);
            assert_eq!(answers, vec![refusal; lines.len()]);
            assert_eq!(talk.end, None);
        });
    }
}
