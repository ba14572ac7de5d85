//! Every line in every state has its answer, and answers come in the order of the requests.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    sync::LazyLock,
    task::{Context, Poll, Waker},
    time::Duration,
};

use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Value, json};
use tokio::{runtime, task::JoinHandle};
use tokio_util::task::TaskTracker;

use super::*;
use crate::server::limits::IdentityRateLimiters;
use crate::{
    access::AccessRules,
    broker::{Limits, OutboxLimits, Registry},
    pki::{CertificateFolder, ServerNames, Validity},
    policy::PolicyFiles,
    protocol::Frame,
};

const SETTINGS: ConnectionSettings = ConnectionSettings {
    handshake_timeout: Duration::from_secs(5),
    authentication_timeout: Duration::from_secs(5),
    ping_interval: Duration::from_secs(30),
    line_bytes_max: 100_000,
    client_limits: ClientLimits {
        publish_messages_per_second: None,
        publish_bytes_per_second: None,
        errors_per_minute: None,
    },
};

/// A policy of certificates alone.
static POLICY: LazyLock<Arc<Policy>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let certificates = CertificateFolder::new(folder.path());
    certificates
        .init(Validity::default(), &ServerNames::default())
        .unwrap();
    let files = PolicyFiles::of_certificates(&certificates);
    Arc::new(Policy::read(files).unwrap())
});

/// A registry, running.
struct Broker {
    registry: Registry,
    actor: JoinHandle<()>,
}

impl Broker {
    fn start() -> Self {
        let limits = Limits {
            connections: 0,
            connections_per_identity: 0,
            connections_per_address: 0,
            subscriptions_per_client: 3,
            subscriptions_per_identity: 0,
            subscriptions_total: 0,
            filter_shapes_per_identity: 0,
            presence: true,
        };
        let open = Arc::new(AccessRules::open());
        let (registry, actor) = Registry::new(ServerId::fresh(), limits, open, 16);
        let actor = TaskTracker::new().spawn(actor);
        Self { registry, actor }
    }

    /// As when the registry fails: whoever asks it for something hears of that.
    async fn fail(&mut self) {
        self.actor.abort();
        assert!((&mut self.actor).await.unwrap_err().is_cancelled());
    }

    /// Someone who came through TLS as `identity`, and has taken the greeting.
    async fn admit(&self, identity: &str) -> Stderr {
        let mut talk = self.admit_unread(identity).await;
        let [greeting] = talk.answers().try_into().unwrap();
        assert_eq!(greeting["event"], "connection_accepted");
        talk
    }

    async fn admit_unread(&self, identity: &str) -> Stderr {
        let outbox = Arc::new(Outbox::new(OutboxLimits {
            hard_bytes: usize::MAX,
            soft_bytes: usize::MAX,
            soft_time: Duration::MAX,
        }));
        let identity = Identity::parse(identity).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let admission = self
            .registry
            .admit(identity.clone(), address, Arc::clone(&outbox))
            .await
            .unwrap();
        let limits = &SETTINGS.client_limits;
        let arrival = Arrival {
            rate_limiter: IdentityRateLimiters::default().of(&identity, limits, Instant::now()),
            identity,
            address,
            audit: Arc::default(),
        };
        let conversation = Conversation::begin(
            admission,
            CredentialStatus::new(Arc::clone(&POLICY), &[], SystemTime::now()),
            arrival,
            self.registry.server_id(),
            Arc::clone(&outbox),
            &SETTINGS,
        );
        Stderr {
            conversation,
            outbox,
            end: None,
        }
    }

    async fn authenticate(&self, identity: &str) -> Stderr {
        let mut talk = self.admit(identity).await;
        talk.say(&[r#"{"event":"request_authentication","id":"__"}"#])
            .await;
        assert_eq!(events(&talk.answers()), ["authentication_accepted"]);
        talk
    }
}

/// One client's side of a conversation.
struct Stderr {
    conversation: Conversation,
    outbox: Arc<Outbox>,
    end: Option<ConnectionEnd>,
}

impl Stderr {
    /// Says lines in one go, as the connection hands them on.
    async fn say<L: AsRef<[u8]>>(&mut self, lines: &[L]) {
        let lines: Vec<_> = lines.iter().map(|line| Ok(line.as_ref())).collect();
        self.say_or_overflow(&lines).await;
    }

    async fn say_or_overflow(&mut self, lines: &[Result<&[u8], LineTooLong>]) {
        self.conversation.begin_lines();
        for line in lines {
            assert_eq!(self.end, None, "nobody listens any more");
            if let ControlFlow::Break(end) = self.conversation.handle_line(*line).await {
                self.end = Some(end);
                break;
            }
        }
        self.conversation.end_lines();
    }

    /// Takes what has come, the last line included once there is one.
    fn answers(&mut self) -> Vec<Value> {
        let mut frames: Vec<Frame> = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        while self.outbox.poll_take(&mut cx, &mut frames) == Poll::Ready(Ok(())) {}
        if let Some(event) = self.end.as_ref().and_then(closing_event) {
            frames.push(encode(
                &event,
                &self.conversation.server_id,
                Timestamp::now(),
            ));
        }
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::as_ref).copied().collect();
        let lines = bytes.split_inclusive(|byte| *byte == b'\n');
        lines
            .map(|line| serde_json::from_slice(line.strip_suffix(b"\n").unwrap()).unwrap())
            .collect()
    }

    fn id(&self) -> String {
        self.conversation.client_id.to_string()
    }

    fn closed_as(&self) -> Option<CloseReason> {
        match self.end.as_ref()? {
            ConnectionEnd::Closing { reason, .. } => Some(*reason),
            ConnectionEnd::NotAuthenticated { .. } => None,
        }
    }
}

fn events(answers: &[Value]) -> Vec<&str> {
    answers
        .iter()
        .map(|answer| answer["event"].as_str().unwrap())
        .collect()
}

/// `event`, `code` and `ref` of an answer.
fn gist(answer: &Value) -> (String, Option<String>, Option<String>) {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let content = &answer["content"];
    (
        text(&answer["event"]).unwrap(),
        text(&content["code"]),
        text(&content["ref"]),
    )
}

/// A whole line of `name`, with or without a `ref`.
fn line(name: EventName, reference: Option<&str>) -> String {
    let mut content = match name {
        EventName::Publish => json!({"topic": "a/b", "payload": 1}),
        EventName::Subscribe | EventName::Unsubscribe => json!({"topic": "a/+"}),
        _ => json!({}),
    };
    if let Some(reference) = reference {
        content["ref"] = reference.into();
    }
    json!({"event": name.as_str(), "id": "__", "content": content}).to_string()
}

mod table {
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
            for (reference, expected) in
                [None, Some("r")].into_iter().zip(when_authenticated(*name))
            {
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
        let told = |talk: &mut Stderr| talk.answers().iter().map(gist).collect::<Vec<_>>();
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
}

mod counting {
    use super::*;

    const PING: &[u8] = br#"{"event":"ping","id":"__"}"#;
    const HELP: &[u8] = br#"{"event":"help","id":"__","content":{"ref":"r"}}"#;
    const AUTHENTICATE: &[u8] = br#"{"event":"request_authentication","id":"__"}"#;

    fn codes(talk: &mut Stderr) -> Vec<String> {
        let word = |answer: &Value| {
            let (event, code, _) = gist(answer);
            code.unwrap_or(event)
        };
        talk.answers().iter().map(word).collect()
    }

    #[tokio::test]
    async fn the_third_not_authenticated_closes() {
        let broker = Broker::start();
        let mut talk = broker.admit("alice").await;
        talk.say(&[HELP, PING, HELP, PING]).await;
        assert_eq!(talk.end, None);
        assert_eq!(
            codes(&mut talk),
            ["not_authenticated", "pong", "not_authenticated", "pong"]
        );
        talk.say(&[HELP, PING]).await;
        assert_eq!(talk.closed_as(), Some(CloseReason::TooManyErrors));
        assert_eq!(codes(&mut talk), ["not_authenticated", "too_many_errors"]);
    }

    #[tokio::test]
    async fn the_third_already_authenticated_closes() {
        let broker = Broker::start();
        let mut talk = broker.authenticate("alice").await;
        talk.say(&[AUTHENTICATE, PING, AUTHENTICATE, PING]).await;
        assert_eq!(talk.end, None);
        talk.answers();
        talk.say(&[AUTHENTICATE, PING]).await;
        assert_eq!(talk.closed_as(), Some(CloseReason::TooManyErrors));
        assert_eq!(
            codes(&mut talk),
            ["already_authenticated", "too_many_errors"]
        );
    }

    #[tokio::test]
    async fn the_second_long_line_closes() {
        let broker = Broker::start();
        for authenticate_between in [false, true] {
            let mut talk = broker.admit("alice").await;
            talk.say_or_overflow(&[Err(LineTooLong), Ok(PING)]).await;
            assert_eq!(talk.end, None);
            assert_eq!(codes(&mut talk), ["line_too_long", "pong"]);
            if authenticate_between {
                talk.say(&[AUTHENTICATE]).await;
                talk.answers();
            }
            talk.say_or_overflow(&[Err(LineTooLong), Ok(PING)]).await;
            assert_eq!(talk.closed_as(), Some(CloseReason::TooManyErrors));
            assert_eq!(codes(&mut talk), ["line_too_long", "too_many_errors"]);
        }
    }

    #[tokio::test]
    async fn each_mistake_is_counted_by_itself_and_the_others_not_at_all() {
        let broker = Broker::start();
        let mut talk = broker.admit("alice").await;
        let before = [Ok(HELP), Ok(HELP), Err(LineTooLong), Ok(AUTHENTICATE)];
        talk.say_or_overflow(&before).await;
        talk.say(&[AUTHENTICATE, AUTHENTICATE]).await;
        let harmless: &[&[u8]] = &[
            b"nonsense",
            br#"{"event":"nonsense","id":"__"}"#,
            br#"{"event":"ping","id":"x"}"#,
            br#"{"event":"ping"}"#,
            br#"{"event":"subscribe","id":"__","content":{"topic":"a/#/b"}}"#,
            br#"{"event":"unsubscribe","id":"__","content":{"topic":"a"}}"#,
            br#"{"event":"publish","id":"__","content":{"topic":"$x","payload":1}}"#,
        ];
        talk.say(&harmless.repeat(20)).await;
        assert_eq!(talk.end, None);
        assert_eq!(talk.answers().len(), 6 + 20 * harmless.len());
    }

    #[tokio::test]
    async fn a_line_may_be_longer_once_authenticated() {
        let broker = Broker::start();
        let mut talk = broker.admit("alice").await;
        assert_eq!(talk.conversation.line_bytes_max(), 4096);
        talk.say_or_overflow(&[Err(LineTooLong)]).await;
        let [refusal] = talk.answers().try_into().unwrap();
        assert!(
            refusal["content"]["reason"]
                .as_str()
                .unwrap()
                .contains("4096")
        );
        talk.say(&[AUTHENTICATE]).await;
        assert_eq!(talk.conversation.line_bytes_max(), 100_000);
    }

    #[tokio::test]
    async fn answers_are_bounded_before_authentication() {
        let broker = Broker::start();
        let mut talk = broker.admit_unread("alice").await;
        let mut bytes = 0;
        while talk.end.is_none() {
            assert!(bytes <= 16 * 1024, "{bytes} bytes were answered");
            talk.say(&[PING]).await;
            let mut frames: Vec<Frame> = Vec::new();
            let mut cx = Context::from_waker(Waker::noop());
            let _: Poll<_> = talk.outbox.poll_take(&mut cx, &mut frames);
            assert!(!frames.is_empty());
            bytes += frames.iter().map(Frame::len).sum::<usize>();
        }
        assert!(bytes > 16 * 1024, "closed after {bytes} bytes");
        assert_eq!(talk.closed_as(), Some(CloseReason::TooManyErrors));

        // Whoever authenticates in time may ask for as much as it can take.
        let mut talk = broker.admit("alice").await;
        talk.say(&[PING; 50]).await;
        talk.say(&[AUTHENTICATE]).await;
        talk.say(&[PING; 1000]).await;
        assert_eq!(talk.end, None);
        assert_eq!(talk.answers().len(), 1051);
    }
}

mod together {
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
}

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
