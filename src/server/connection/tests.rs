//! Connections over TLS while the registry stands still: what goes on, what waits, and how a client
//! leaves.

use std::{
    net::Ipv4Addr,
    task::{Context, Poll, Waker},
};

use rustls::pki_types::ServerName;
use serde_json::{Value, json, value::RawValue};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client};
use tokio_util::task::TaskTracker;

use super::*;
use crate::{
    access::ClientLimits,
    broker::{Limits, OutboxLimits, Session},
    identity::IdentitySource,
    pki::{CertificateFolder, ServerNames, Validity},
    policy::PolicyFiles,
    protocol::{
        Frame,
        client_event::{Publish, Subscribe},
    },
    server::{ConnectionSettings, Settings, test_registry::TestRegistry},
    tls::{Credentials, client_config},
    topic::{Topic, TopicFilter},
};

const LIMITS: Limits = Limits {
    connections: 0,
    connections_per_identity: 0,
    connections_per_address: 0,
    subscriptions_per_client: 0,
    subscriptions_per_identity: 0,
    subscriptions_total: 0,
    filter_shapes_per_identity: 0,
    presence: false,
};

const OUTBOX: OutboxLimits = OutboxLimits {
    hard_bytes: 8 << 20,
    soft_bytes: 2 << 20,
    soft_time: Duration::from_secs(10),
};

/// A server without an accept loop, whose registry can be held.
struct Site {
    folder: TempDir,
    registry: TestRegistry,
    context: Arc<ServerContext>,
}

impl Site {
    fn new(ping_interval: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificates = CertificateFolder::new(folder.path());
        certificates
            .init(Validity::default(), &ServerNames::default())
            .unwrap();
        let policy = Policy::read(PolicyFiles::of_certificates(&certificates)).unwrap();
        let registry = TestRegistry::start(LIMITS);
        let settings = Settings {
            listen: Vec::new(),
            reload_interval: Duration::ZERO,
            identity_source: IdentitySource::default(),
            broker: LIMITS,
            outbox: OUTBOX,
            connection: ConnectionSettings {
                handshake_timeout: Duration::from_secs(60),
                authentication_timeout: Duration::from_secs(60),
                ping_interval,
                line_bytes_max: 100_000,
                client_limits: ClientLimits::default(),
            },
            sockets_max: 16,
            handshakes_max: 0,
            attempts_per_address_per_minute: 0,
            drain: Duration::ZERO,
        };
        let context =
            ServerContext::new(settings, policy, registry.registry.clone(), Arc::default());
        Self {
            folder,
            registry,
            context: Arc::new(context),
        }
    }

    /// `alice`, authenticated.
    async fn client(&self) -> Client {
        let mut alice = self.connect().await;
        alice.say(&[authenticate()]).await;
        alice.hear_event("connection_accepted").await;
        alice.hear_event("authentication_accepted").await;
        alice
    }

    /// `alice`, through TLS.
    async fn connect(&self) -> Client {
        let certificates = CertificateFolder::new(self.folder.path());
        let config = client_config(&Credentials {
            ca: certificates.ca(),
            certificate: certificates.certificate("alice"),
            key: certificates.key("alice"),
            allow_loose_key_permissions: false,
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap());
        let (tcp, accepted) = tokio::join!(tcp, listener.accept());
        let ((accepted, address), context) = (accepted.unwrap(), Arc::clone(&self.context));
        let served =
            TaskTracker::new().spawn(async move { run(accepted, address, &context).await });
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config.unwrap()));
        let tls = connector.connect(name, tcp.unwrap()).await.unwrap();
        Client {
            tls: BufReader::new(tls),
            served,
        }
    }

    /// A client of the registry alone, subscribed to everything.
    async fn session(&self) -> (Session, Arc<Outbox>) {
        let outbox = Arc::new(Outbox::new(OUTBOX));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let identity = Identity::parse("bob").unwrap();
        let registry = &self.registry.registry;
        let admission = Admission::request(registry, identity, address, Arc::clone(&outbox)).await;
        let welcome = b"\n".to_vec().into();
        let session = admission.unwrap().authenticate(false, None, welcome).await;
        let mut session = session.unwrap();
        let topic = TopicFilter::parse("#").unwrap();
        let subscribed = session.subscribe(Subscribe {
            topic,
            reference: None,
        });
        subscribed.await.unwrap();
        taken(&outbox);
        (session, outbox)
    }
}

/// The frames that wait in an outbox.
fn taken(outbox: &Outbox) -> usize {
    let mut frames: Vec<Frame> = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    let _: Poll<_> = outbox.poll_take(&mut cx, &mut frames);
    frames.len()
}

/// The far end of a connection.
struct Client {
    tls: BufReader<client::TlsStream<TcpStream>>,
    served: JoinHandle<()>,
}

impl Client {
    async fn say(&mut self, lines: &[Value]) {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        self.tls.write_all(text.as_bytes()).await.unwrap();
        self.tls.flush().await.unwrap();
    }

    /// The next line; `null` at the end of the stream.
    async fn hear(&mut self) -> Value {
        let mut line = String::new();
        match self.tls.read_line(&mut line).await.unwrap() {
            0 => Value::Null,
            _ => serde_json::from_str(&line).unwrap(),
        }
    }

    async fn hear_event(&mut self, event: &str) -> Value {
        let line = self.hear().await;
        assert_eq!(line["event"], event, "{line}");
        line
    }
}

fn authenticate() -> Value {
    json!({"event": "request_authentication", "id": "__"})
}

fn ask(event: &str, reference: usize) -> Value {
    json!({"event": event, "id": "__", "content": {"ref": reference.to_string()}})
}

fn subscribe(topic: &str) -> Value {
    json!({"event": "subscribe", "id": "__", "content": {"topic": topic, "ref": "s"}})
}

fn publish(topic: &str) -> Value {
    json!({"event": "publish", "id": "__", "content": {"topic": topic, "payload": 1}})
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn messages_flow_and_order_holds_while_an_answer_is_outstanding() {
    let site = Site::new(LONG);
    let (_bob, outbox) = site.session().await;
    let mut alice = site.client().await;
    alice.say(&[subscribe("a")]).await;
    alice.hear_event("subscribed").await;

    site.registry.hold();
    alice
        .say(&[
            ask("list_clients", 1),
            ask("ping", 2),
            publish("a"),
            ask("list_clients", 3),
            subscribe("b"),
            publish("b"),
        ])
        .await;
    assert_eq!(alice.hear_event("message").await["content"]["topic"], "a");
    assert_eq!(
        taken(&outbox),
        1,
        "the subscription holds up what follows it"
    );

    site.registry.release();
    for (event, reference) in [
        ("clients", "1"),
        ("pong", "2"),
        ("clients", "3"),
        ("subscribed", "s"),
    ] {
        assert_eq!(alice.hear_event(event).await["content"]["ref"], reference);
    }
    assert_eq!(alice.hear_event("message").await["content"]["topic"], "b");
    assert_eq!(taken(&outbox), 1);
}

/// A client that is not listened to is not closed for its silence.
#[tokio::test]
async fn pings_go_on_and_nothing_more_is_read_while_a_line_has_to_wait() {
    let site = Site::new(Duration::from_millis(50));
    let (_bob, outbox) = site.session().await;
    let pings: Vec<Value> = (1..2000).map(|number| ask("ping", number)).collect();
    for first in [subscribe("a"), ask("list_clients", 0)] {
        let mut alice = site.client().await;
        site.registry.hold();
        let is_bound = first["event"] == "list_clients";
        alice.say(&[first]).await;
        let pings = if is_bound { &pings[..] } else { &[] };
        alice.say(pings).await;
        alice.say(&[publish("a")]).await;
        // More than may go unanswered.
        for _ in 0..=UNANSWERED_PINGS_MAX + 1 {
            alice.hear_event("ping").await;
        }
        assert_eq!(taken(&outbox), 0);
        site.registry.release();
        let mut answers = 0;
        while answers <= pings.len() {
            let line = alice.hear().await;
            assert_ne!(line, Value::Null);
            answers += usize::from(line["event"] != "ping" && line["event"] != "message");
        }
        while taken(&outbox) == 0 {
            alice.say(&[ask("pong", 0)]).await;
            alice.hear().await;
        }
    }
}

#[tokio::test]
async fn a_client_whose_stream_breaks_is_forgotten_at_once() {
    let site = Site::new(LONG);
    let (mut bob, outbox) = site.session().await;
    for line in [subscribe("a"), ask("list_clients", 0)] {
        let mut alice = site.client().await;
        site.registry.hold();
        alice.say(&[line]).await;
        // No `close_notify`.
        let Client { tls, served } = alice;
        drop(tls);
        served.await.unwrap();
        site.registry.release();
        assert_eq!(present(&mut bob, &outbox).await, 1);
    }
}

/// How many clients there are.
async fn present(session: &mut Session, outbox: &Outbox) -> usize {
    session.list_clients(None).await.unwrap();
    let mut frames: Vec<Frame> = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(outbox.poll_take(&mut cx, &mut frames).is_ready());
    let list: Value = serde_json::from_slice(frames[0].as_ref()).unwrap();
    list["content"]["clients"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_client_that_closes_its_side_gets_the_answers_to_what_it_said() {
    let site = Site::new(LONG);
    for line in [subscribe("a"), ask("list_clients", 0)] {
        let mut alice = site.client().await;
        site.registry.hold();
        alice.say(&[line]).await;
        alice.tls.shutdown().await.unwrap();
        site.registry.release();
        assert_ne!(alice.hear().await, Value::Null);
        assert_eq!(alice.hear().await, Value::Null);
        alice.served.await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_closes_its_side_does_not_wait_for_ever() {
    let site = Site::new(LONG);
    for line in [subscribe("a"), ask("list_clients", 0)] {
        let mut alice = site.client().await;
        site.registry.hold();
        alice.say(&[line]).await;
        alice.tls.shutdown().await.unwrap();
        tokio::time::pause();
        let before = Instant::now();
        assert_eq!(alice.hear().await, Value::Null);
        alice.served.await.unwrap();
        let waited = before.elapsed();
        assert!(waited < LONG, "{waited:?}");
        tokio::time::resume();
        site.registry.release();
    }
}

#[tokio::test]
async fn an_end_from_elsewhere_waits_for_no_answer() {
    let site = Site::new(LONG);
    let (mut bob, _outbox) = site.session().await;
    for line in [subscribe("b"), ask("list_clients", 0)] {
        let mut alice = site.client().await;
        alice.say(&[subscribe("a")]).await;
        alice.hear_event("subscribed").await;
        site.registry.hold();
        alice.say(&[line]).await;
        // More than alice has read, or ever will.
        let payload = RawValue::from_string(format!("{:?}", "x".repeat(1 << 20))).unwrap();
        for _ in 0..24 {
            let published = bob.publish(Publish {
                topic: Topic::parse("a").unwrap(),
                payload: &payload,
                reference: None,
            });
            published.unwrap();
            bob.flush();
        }
        alice.served.await.unwrap();
        site.registry.release();
    }
}

#[tokio::test]
async fn the_time_for_authentication_ends_though_its_answer_is_outstanding() {
    let site = Site::new(LONG);
    let mut alice = site.connect().await;
    alice.hear_event("connection_accepted").await;
    site.registry.hold();
    alice.say(&[authenticate()]).await;
    tokio::time::pause();
    let closing = alice.hear_event("connection_closing").await;
    assert_eq!(closing["content"]["code"], "authentication_timeout");
    drop(alice.tls);
    alice.served.await.unwrap();
}
