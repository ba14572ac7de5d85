use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader, DuplexStream, duplex, split},
    sync::oneshot,
    task::JoinSet,
    time::{Instant, interval},
};

use super::*;
use crate::{protocol::server_event::ConnectionLimits, topic::Topic};

const PING_INTERVAL: Duration = Duration::from_secs(30);

/// A client and the broker's end of its connection. Time passes as soon as both wait.
struct Connected {
    requests: mpsc::Sender<Request>,
    driver: JoinSet<Error>,
    broker: BufReader<DuplexStream>,
}

impl Connected {
    fn new() -> Self {
        let (client, broker) = duplex(1024 * 1024);
        let (requests, queue) = mpsc::channel(1);
        let (state, _) = watch::channel(State::Ended(Arc::new(Error::Ended)));
        let mut driver = Driver::new(Options::to_nowhere(), queue, state);
        let (reader, writer) = split(client);
        let connection = Connection {
            lines: Lines::new(reader, 1024),
            writer,
            limits: ConnectionLimits {
                line_bytes_max: 1024,
                authentication_timeout_ms: 5000,
                ping_interval_ms: PING_INTERVAL.as_millis().try_into().unwrap(),
            },
        };
        let mut task = JoinSet::new();
        task.spawn(async move { driver.drive(connection).await });
        Self {
            requests,
            driver: task,
            broker: BufReader::new(broker),
        }
    }

    fn has_ended(&mut self) -> bool {
        self.driver.try_join_next().is_some()
    }

    async fn publish(&self) {
        let request = Request::Publish {
            topic: Topic::parse("a").unwrap().to_owned(),
            payload: serde_json::value::RawValue::NULL.to_owned(),
            reply: None,
        };
        self.requests.send(request).await.unwrap();
    }

    /// What the client sends next; `None` once it has closed.
    async fn received(&mut self) -> Option<Value> {
        let mut line = String::new();
        self.broker.read_line(&mut line).await.unwrap();
        serde_json::from_str(&line).ok()
    }

    async fn send(&mut self, event: &str) {
        let line = format!(
            r#"{{"event":"{event}","id":"s","content":{{}},"timestamp":"2026-01-31T12:00:00Z"}}"#
        );
        self.broker.write_all(line.as_bytes()).await.unwrap();
        self.broker.write_all(b"\n").await.unwrap();
    }
}

/// The broker pings silent clients alone, and nothing else comes for one that subscribes to nothing.
#[tokio::test(start_paused = true)]
async fn a_client_that_only_publishes_keeps_its_connection() {
    let mut client = Connected::new();
    let mut clock = interval(PING_INTERVAL / 2);
    let mut pings = 0;
    for _ in 0..20 {
        clock.tick().await;
        client.publish().await;
        loop {
            let line = client.received().await.expect("the client has closed");
            if line["event"] == "publish" {
                break;
            }
            assert_eq!(line["event"], "ping");
            assert!(line["content"]["ref"].is_string(), "{line}");
            pings += 1;
            client.send("pong").await;
        }
    }
    assert!(pings > 0, "the time did not pass");
    assert!(!client.has_ended());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_the_broker_pings_sends_no_ping() {
    let mut client = Connected::new();
    for _ in 0..5 {
        tokio::time::advance(PING_INTERVAL).await;
        client.send("ping").await;
        assert_eq!(client.received().await.unwrap()["event"], "pong");
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_answers_no_ping_is_given_up() {
    let mut client = Connected::new();
    let start = Instant::now();
    assert_eq!(client.received().await.unwrap()["event"], "ping");
    assert_eq!(start.elapsed().as_secs(), 2 * PING_INTERVAL.as_secs());
    assert_eq!(client.received().await, None);
    assert_eq!(start.elapsed().as_secs(), 3 * PING_INTERVAL.as_secs());
    let lost = client.driver.join_next().await.unwrap().unwrap();
    assert!(matches!(lost, Error::Lost(error) if error.kind() == io::ErrorKind::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_was_idle_waits_for_what_it_sent_last() {
    let mut client = Connected::new();
    tokio::time::advance(PING_INTERVAL / 2).await;
    let (reply, _answer) = oneshot::channel();
    client.publish().await;
    client
        .requests
        .send(Request::Close { reply })
        .await
        .unwrap();
    assert_eq!(client.received().await.unwrap()["event"], "publish");
    assert_eq!(client.received().await.unwrap()["event"], "disconnecting");
    tokio::time::advance(CLOSE_TIMEOUT / 2).await;
    tokio::task::yield_now().await;
    assert!(!client.has_ended(), "it waits for the broker to close");
    drop(client.broker);
    let lost = client.driver.join_next().await.unwrap().unwrap();
    assert!(matches!(lost, Error::Lost(error) if error.kind() == io::ErrorKind::UnexpectedEof));
}
