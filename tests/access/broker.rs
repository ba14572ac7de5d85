//! The real broker in process: all that these tests know of its programming interface.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use serde_json::value::RawValue;
use tidings::{
    access::{self, AccessRules},
    broker::{Admission, Limits, Outbox, OutboxLimits, Registry, RequestError, Session},
    identity::Identity,
    protocol::{
        CloseReason, Code, Frame, ServerEvent, ServerId, Timestamp,
        client_event::{Publish, Subscribe},
        server_event::{Empty, ServerLine, encode},
    },
    topic::{Topic, TopicFilter},
};

use crate::{
    model::Answer,
    world::{Event, Told},
};

const CONNECTIONS_MAX: usize = 16;

const LIMITS: Limits = Limits {
    connections: 0,
    connections_per_identity: 0,
    connections_per_address: 0,
    subscriptions_per_client: 0,
    subscriptions_per_identity: 0,
    subscriptions_total: 0,
    filter_shapes_per_identity: 0,
    presence: true,
};

/// What is said to a client or by it that these tests do not look at.
const IGNORED_REFERENCE: &str = "r";

/// A broker, and every client that ever came to it in order; `None` who is not here.
pub(crate) struct Broker {
    registry: Registry,
    clients: Vec<Option<Client>>,
}

struct Client {
    session: Session,
    outbox: Arc<Outbox>,
}

/// Rules as the broker has them. `text` is the file; `None` where there is none.
pub(crate) struct Rules(Arc<AccessRules>);

impl Rules {
    pub(crate) fn parse(text: Option<&str>) -> Self {
        let rules = match text {
            Some(text) => AccessRules::parse(Path::new("access.toml"), text.as_bytes()).unwrap(),
            None => AccessRules::open(),
        };
        Self(Arc::new(rules))
    }

    /// Whether `tidings explain` would say that the client may.
    pub(crate) fn explain(&self, who: &str, id: &str, action: Action, topic: &str) -> bool {
        let identity = Identity::parse(who).unwrap();
        let client_id = serde_json::from_value(id.into()).unwrap();
        let action = match action {
            Action::Publish => access::Action::Publish(Topic::parse(topic.to_owned()).unwrap()),
            Action::Subscribe => access::Action::Subscribe(TopicFilter::parse(topic).unwrap()),
        };
        self.0.explain(&identity, Some(client_id), &action).allowed
    }
}

/// What a client may or may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Publish,
    Subscribe,
}

/// Starts a broker for as long as `script` takes.
pub(crate) async fn run<T>(rules: &Rules, script: impl AsyncFnOnce(Broker) -> T) -> T {
    let rules = Arc::clone(&rules.0);
    let (registry, actor) = Registry::new(ServerId::fresh(), LIMITS, rules, CONNECTIONS_MAX);
    let broker = Broker {
        registry,
        clients: Vec::new(),
    };
    tokio::select! {
        result = script(broker) => result,
        () = actor => panic!("the registry has ended"),
    }
}

impl Broker {
    /// The next client comes. Its id, if it was let in.
    pub(crate) async fn connect(
        &mut self,
        identity: &str,
        wants_presence: bool,
    ) -> (Answer, Option<String>, Told) {
        let outbox = Arc::new(Outbox::new(OutboxLimits {
            hard_bytes: usize::MAX,
            soft_bytes: usize::MAX,
            soft_time: Duration::MAX,
        }));
        let identity = Identity::parse(identity).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let admission = Admission::request(&self.registry, identity, address, Arc::clone(&outbox));
        let admission = match admission.await {
            Ok(admission) => admission,
            Err(fault) => {
                self.clients.push(None);
                return (answer(Err(fault)), None, self.told());
            }
        };
        let welcome = encode(
            &ServerEvent::Ping(Empty {}),
            &self.registry.server_id(),
            Timestamp::now(),
        );
        let session = admission.authenticate(wants_presence, None, welcome).await;
        let session = session.unwrap();
        let client_id = session.client_id().to_string();
        self.clients.push(Some(Client { session, outbox }));
        (Answer::Ok, Some(client_id), self.told())
    }

    /// A client that is here goes.
    pub(crate) async fn disconnect(&mut self, number: usize) -> Told {
        let client = self.clients[number].take().unwrap();
        client.session.depart(CloseReason::ClientDisconnecting);
        // Whoever is left asks something, which comes after the departure in the registry's queue.
        if let Some(other) = self.clients.iter_mut().flatten().next() {
            other.session.list_clients(None).await.unwrap();
        }
        self.told()
    }

    pub(crate) async fn subscribe(&mut self, number: usize, filter: &str) -> (Answer, Told) {
        let event = Subscribe {
            topic: TopicFilter::parse(filter).unwrap(),
            reference: None,
        };
        let session = self.session(number);
        let outcome = session.subscribe(event).await;
        session.flush();
        (answer(outcome), self.told())
    }

    pub(crate) fn publish(&mut self, number: usize, topic: &str, payload: &str) -> (Answer, Told) {
        let payload: Box<RawValue> = RawValue::from_string(payload.to_owned()).unwrap();
        let event = Publish {
            topic: Topic::parse(topic).unwrap(),
            payload: &payload,
            reference: Some(IGNORED_REFERENCE.into()),
        };
        let session = self.session(number);
        let outcome = session.publish(event);
        session.flush();
        (answer(outcome), self.told())
    }

    fn session(&mut self, number: usize) -> &mut Session {
        &mut self.clients[number].as_mut().unwrap().session
    }

    /// Takes what is queued for everyone.
    fn told(&self) -> Told {
        let told_to = |client: &Option<Client>| match client {
            Some(client) => events(&client.outbox),
            None => Vec::new(),
        };
        self.clients.iter().map(told_to).collect()
    }
}

fn answer(outcome: Result<(), RequestError>) -> Answer {
    match outcome.map_err(|refusal| refusal.code()) {
        Ok(()) => Answer::Ok,
        Err(Code::IdentityDenied) => Answer::IdentityDenied,
        Err(Code::PublishDenied) => Answer::PublishDenied,
        Err(Code::SubscribeDenied) => Answer::SubscribeDenied,
        Err(Code::ReservedTopic) => Answer::ReservedTopic,
        Err(code) => panic!("{code} was not to be expected"),
    }
}

/// Takes the events in an outbox, sorted.
fn events(outbox: &Outbox) -> Vec<Event> {
    let mut frames: Vec<Frame> = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    if let Poll::Ready(taken) = outbox.poll_take(&mut cx, &mut frames) {
        taken.unwrap();
    }
    let mut events = Vec::new();
    for frame in frames {
        outbox.written(frame.len());
        let lines = frame.as_ref().split(|byte| *byte == b'\n');
        events.extend(lines.filter(|line| !line.is_empty()).filter_map(event));
    }
    events.sort();
    events
}

fn event(line: &[u8]) -> Option<Event> {
    let line = ServerLine::parse(line).unwrap();
    Some(match line.event.unwrap() {
        ServerEvent::Subscribed(content) => Event::Subscribed(content.topic.into_owned()),
        ServerEvent::Published(content) => Event::Published {
            topic: content.topic.into_owned(),
            receivers: content.receivers,
        },
        ServerEvent::Message(content) => Event::Message {
            topic: content.topic.into_owned(),
            payload: content.payload.get().to_owned(),
            sender: content.sender.into_owned(),
            publisher: line.id.into_owned(),
        },
        ServerEvent::ClientAuthenticated(content) => Event::Came {
            client_id: content.client_id.to_string(),
            identity: content.identity.into_owned(),
        },
        ServerEvent::ClientDisconnected(content) => Event::Went {
            client_id: content.client_id.to_string(),
            identity: content.identity.into_owned(),
        },
        ServerEvent::Ping(_) | ServerEvent::Clients(_) => return None,
        other => panic!("not to be expected: {}", other.name()),
    })
}

/// Whether the program says that the client may, by its exit code.
pub(crate) fn explain_by_program(
    rules: &Path,
    identity: &str,
    client_id: &str,
    action: Action,
    topic: &str,
) -> bool {
    let action = match action {
        Action::Publish => "publish",
        Action::Subscribe => "subscribe",
    };
    let output = Command::new(env!("CARGO_BIN_EXE_tidings"))
        .env_remove("TIDINGS_ACCESS")
        .arg("explain")
        .arg("--access")
        .arg(rules)
        // An identity may look like an option.
        .arg(format!("--identity={identity}"))
        .args(["--client-id", client_id, action, topic])
        .output()
        .unwrap();
    match output.status.code() {
        Some(0) => true,
        Some(1) => false,
        other => panic!("{other:?}: {}", String::from_utf8_lossy(&output.stderr)),
    }
}
