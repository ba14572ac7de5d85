//! Every line in every state has its answer, and answers come in the order of the requests.

mod counting;
mod held;
mod model;
mod table;
mod together;

use std::{
    net::Ipv4Addr,
    pin::pin,
    sync::LazyLock,
    task::{Context, Poll, Waker},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::{
    broker::{Limits, OutboxLimits, Registry},
    pki::{CertificateFolder, ServerNames, Validity},
    policy::PolicyFiles,
    protocol::Frame,
    server::{limits::IdentityRateLimiters, test_registry::TestRegistry},
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

/// A registry, and clients that come to it.
struct Broker {
    test: TestRegistry,
    registry: Registry,
}

impl Broker {
    fn start() -> Self {
        let test = TestRegistry::start(Limits {
            connections: 0,
            connections_per_identity: 0,
            connections_per_address: 0,
            subscriptions_per_client: 3,
            subscriptions_per_identity: 0,
            subscriptions_total: 0,
            filter_shapes_per_identity: 0,
            presence: true,
        });
        let registry = test.registry.clone();
        Self { test, registry }
    }

    /// As when the registry fails: a client that asks it for something is told so.
    async fn fail(&mut self) {
        self.test.actor.abort();
        assert!((&mut self.test.actor).await.unwrap_err().is_cancelled());
    }

    /// Someone who came through TLS as `identity`, and has taken the greeting.
    async fn admit(&self, identity: &str) -> TestClient {
        let mut talk = self.admit_unread(identity).await;
        let [greeting] = talk.answers().try_into().unwrap();
        assert_eq!(greeting["event"], "connection_accepted");
        talk
    }

    async fn admit_unread(&self, identity: &str) -> TestClient {
        let outbox = Arc::new(Outbox::new(OutboxLimits {
            hard_bytes: usize::MAX,
            soft_bytes: usize::MAX,
            soft_time: Duration::MAX,
        }));
        let identity = Identity::parse(identity).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let (registry, its_outbox) = (&self.registry, Arc::clone(&outbox));
        let admission = Admission::request(registry, identity.clone(), address, its_outbox);
        let admission = admission.await.unwrap();
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
        TestClient {
            conversation,
            outbox,
            end: None,
        }
    }

    async fn authenticate(&self, identity: &str) -> TestClient {
        let mut talk = self.admit(identity).await;
        talk.say(&[r#"{"event":"request_authentication","id":"__"}"#])
            .await;
        assert_eq!(events(&talk.answers()), ["authentication_accepted"]);
        talk
    }
}

/// One client's side of a conversation.
struct TestClient {
    conversation: Conversation,
    outbox: Arc<Outbox>,
    end: Option<ConnectionEnd>,
}

impl TestClient {
    /// Says lines in one go, as the connection hands them on.
    async fn say<L: AsRef<[u8]>>(&mut self, lines: &[L]) {
        let lines: Vec<_> = lines.iter().map(|line| Ok(line.as_ref())).collect();
        self.say_or_overflow(&lines).await;
    }

    async fn say_or_overflow(&mut self, lines: &[Result<&[u8], LineTooLong>]) {
        self.conversation.begin_lines();
        for line in lines {
            while self.end.is_none() && !self.conversation.takes_lines() {
                self.conversation.end_lines();
                self.answered().await;
                self.conversation.begin_lines();
            }
            assert_eq!(self.end, None, "nobody listens any more");
            let flow = self.conversation.handle_line(*line);
            self.went_on(flow);
            if self.end.is_some() || self.conversation.leaves_at().is_some() {
                break;
            }
        }
        self.conversation.end_lines();
        self.all_answered().await;
    }

    /// Waits for the next answer that is outstanding.
    async fn answered(&mut self) {
        let flow = self.conversation.answered().await;
        self.went_on(flow);
    }

    async fn all_answered(&mut self) {
        while self.end.is_none() && self.conversation.is_waiting() {
            self.answered().await;
        }
    }

    fn went_on(&mut self, flow: ControlFlow<ConnectionEnd>) {
        self.end = flow.break_value();
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
