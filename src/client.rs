//! The Rust client: the command line and the tests speak through it, and so can any program.
//!
//! A [`Client`] is a handle on one connection, which a task of its own reads and writes. Handles
//! are cheap to clone, and the connection ends with the last of them.
//!
//! ```no_run
//! use std::sync::Arc;
//! use tidings::{
//!     client::{Client, Options},
//!     tls::{Credentials, client_config},
//! };
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let tls = client_config(&Credentials {
//!     ca: "certs/ca.crt".into(),
//!     certificate: "certs/alice.crt".into(),
//!     key: "certs/alice.key".into(),
//!     allow_loose_key_permissions: false,
//! })?;
//! let client = Client::connect(Options::new("localhost:4433", Arc::new(tls))).await?;
//!
//! let mut ovens = client.subscribe("plant/+/oven").await?;
//! let receipt = client.publish("plant/7/oven", &serde_json::json!({ "celsius": 181.5 })).await?;
//! println!("queued for {} clients", receipt.receivers);
//!
//! while let Some(delivery) = ovens.next().await {
//!     match delivery {
//!         Ok(message) => println!("{} says {}", message.sender, message.payload),
//!         Err(gap) => eprintln!("{gap}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What is promised is what the broker promises: messages of one publisher arrive in their order,
//! at most once, and no loss is silent. Where a subscriber falls behind or the connection was lost,
//! its [`Subscription`] says so in place of what is missing; and where the broker has ended one.

mod connection;
mod dialogue;
mod driver;
mod error;
mod options;
mod request;
mod silence;
mod state;
mod subscription;

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::{
    sync::{
        mpsc,
        oneshot::{self, error::TryRecvError},
        watch,
    },
    time::{Instant, timeout_at},
};

pub use error::{Error, ServerFault};
pub use options::{Options, Reconnect};
use state::State;
pub use state::{ClientInfo, Me, Receipt};
pub use subscription::{ClosedFilter, Delivery, Gap, Message, Subscription};

use crate::topic::{Topic, TopicFilter};
use driver::Driver;
use request::{Reply, Request};

/// Requests that wait for the connection's task. Beyond it, who asks waits.
const REQUESTS_LEN: usize = 1024;

/// A connection to a broker, authenticated.
#[derive(Clone, Debug)]
pub struct Client {
    requests: mpsc::Sender<Request>,
    state: watch::Receiver<State>,
    queue_len: usize,
    request_timeout: Duration,
}

/// An answer that is on its way. Answers come in the order of the requests, so many can be.
#[derive(Debug)]
#[must_use = "without waiting, nobody hears whether it was refused"]
pub struct Pending<T> {
    answer: oneshot::Receiver<Result<T, Error>>,
    timeout: Duration,
    /// `None` when it is further away than a clock can count.
    deadline: Option<Instant>,
}

impl<T> Pending<T> {
    /// Waits for it, once. Can be cancelled and taken up again.
    ///
    /// # Errors
    ///
    /// What the broker said, or that the connection was lost before it said anything.
    pub async fn wait(&mut self) -> Result<T, Error> {
        let answer = &mut self.answer;
        let answered = match self.deadline {
            Some(deadline) => timeout_at(deadline, answer).await,
            None => Ok(answer.await),
        };
        match answered {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Error::Ended),
            Err(_) => Err(Error::NoAnswer(self.timeout)),
        }
    }

    /// The answer, if it has come.
    pub fn try_take(&mut self) -> Option<Result<T, Error>> {
        match self.answer.try_recv() {
            Ok(answer) => Some(answer),
            Err(TryRecvError::Closed) => Some(Err(Error::Ended)),
            Err(TryRecvError::Empty) => None,
        }
    }
}

impl Client {
    /// Connects and authenticates.
    ///
    /// # Errors
    ///
    /// When the broker cannot be reached, or refuses. Reconnecting is for connections that once
    /// were; the first attempt is the only one.
    pub async fn connect(options: Options) -> Result<Self, Error> {
        let (connection, me) = connection::open(&options).await?;
        let (requests, queue) = mpsc::channel(REQUESTS_LEN);
        let line_bytes_max = connection.limits.line_bytes_max;
        let (state, watched) = watch::channel(State::Connected { me, line_bytes_max });
        let client = Self {
            requests,
            state: watched,
            queue_len: options.queue_len,
            request_timeout: options.request_timeout,
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the task ends by itself with the last handle; `close` waits for it"
        )]
        tokio::spawn(Driver::new(options, queue, state).run(connection));
        Ok(client)
    }

    /// Who this client is to the broker; `None` while the connection is lost.
    #[must_use]
    pub fn me(&self) -> Option<Me> {
        match &*self.state.borrow() {
            State::Connected { me, .. } => Some(me.clone()),
            State::Reconnecting(_) | State::Ended(_) => None,
        }
    }

    /// Bytes that the broker takes in one line; `None` while the connection is lost. A message is
    /// longer as a line than its payload.
    #[must_use]
    pub fn line_bytes_max(&self) -> Option<usize> {
        match *self.state.borrow() {
            State::Connected { line_bytes_max, .. } => Some(line_bytes_max),
            State::Reconnecting(_) | State::Ended(_) => None,
        }
    }

    /// Publishes `payload`, as JSON, and waits for the broker's word on it.
    ///
    /// # Errors
    ///
    /// When it is refused, or whether it was accepted cannot be known.
    pub async fn publish<P>(&self, topic: &str, payload: &P) -> Result<Receipt, Error>
    where
        P: Serialize + ?Sized + Sync,
    {
        let payload = serde_json::value::to_raw_value(payload).map_err(Error::Payload)?;
        self.start_publish(topic, payload).await?.wait().await
    }

    /// Hands a message over and returns, so that others can follow while its answer is on its way.
    ///
    /// # Errors
    ///
    /// When the topic is none, or the connection has ended.
    pub async fn start_publish(
        &self,
        topic: &str,
        payload: Box<RawValue>,
    ) -> Result<Pending<Receipt>, Error> {
        let topic = Topic::parse(topic)?.to_owned();
        self.ask(|reply| Request::Publish {
            topic,
            payload,
            reply: Some(reply),
        })
        .await
    }

    /// Publishes without asking for an answer: the fastest way, in which nobody hears of a refusal.
    ///
    /// # Errors
    ///
    /// When the topic is none, or the connection has ended.
    pub async fn publish_unanswered(
        &self,
        topic: &str,
        payload: Box<RawValue>,
    ) -> Result<(), Error> {
        let topic = Topic::parse(topic)?.to_owned();
        self.request(Request::Publish {
            topic,
            payload,
            reply: None,
        })
        .await
    }

    /// Subscribes. Every message accepted after this returns will come, save where the
    /// [`Subscription`] tells of a [`Gap`].
    ///
    /// # Errors
    ///
    /// When it is refused.
    pub async fn subscribe(&self, filter: &str) -> Result<Subscription, Error> {
        self.subscribe_all([filter]).await
    }

    /// Subscribes to all of `filters` as one: a message comes once, however many of them match it.
    ///
    /// # Errors
    ///
    /// When one of them is refused; then none is in force.
    pub async fn subscribe_all(
        &self,
        filters: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Subscription, Error> {
        let parsed = filters
            .into_iter()
            .map(|filter| TopicFilter::parse(filter.as_ref()));
        let filters = parsed.collect::<Result<Vec<_>, _>>()?;
        if filters.is_empty() {
            return Err(Error::NoFilter);
        }
        let (deliveries, queue) = mpsc::channel(self.queue_len + dialogue::reserve(filters.len()));
        let subscribing = self.ask(|reply| Request::Subscribe {
            filters,
            deliveries,
            reply,
        });
        subscribing.await?.wait().await?;
        Ok(Subscription::new(queue))
    }

    /// Who is here, this client included.
    ///
    /// # Errors
    ///
    /// When no answer comes.
    pub async fn list_clients(&self) -> Result<Vec<ClientInfo>, Error> {
        self.ask(|reply| Request::ListClients { reply })
            .await?
            .wait()
            .await
    }

    /// Waits until the connection has ended for good, and tells why.
    pub async fn ended(&self) -> Arc<Error> {
        let mut state = self.state.clone();
        let ended = state
            .wait_for(|state| matches!(state, State::Ended(_)))
            .await;
        match ended.as_deref() {
            Ok(State::Ended(error)) => Arc::clone(error),
            _ => Arc::new(Error::Ended),
        }
    }

    /// Waits until the connection is lost, or made again after that. For telling a person.
    pub async fn state_changed(&mut self) -> Connectivity {
        if self.state.changed().await.is_err() {
            return Connectivity::Ended(Arc::new(Error::Ended));
        }
        match &*self.state.borrow_and_update() {
            State::Connected { .. } => Connectivity::Connected,
            State::Reconnecting(error) => Connectivity::Reconnecting(Arc::clone(error)),
            State::Ended(error) => Connectivity::Ended(Arc::clone(error)),
        }
    }

    /// Takes leave: all that was handed over is sent and answered, then the connection closes.
    ///
    /// # Errors
    ///
    /// When the connection was lost before all was sent.
    pub async fn close(self) -> Result<(), Error> {
        let mut leaving = self.ask(|reply| Request::Close { reply }).await?;
        leaving.wait().await
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<Pending<T>, Error> {
        let (reply, answer) = oneshot::channel();
        self.request(request(reply)).await?;
        Ok(Pending {
            answer,
            timeout: self.request_timeout,
            deadline: Instant::now().checked_add(self.request_timeout),
        })
    }

    async fn request(&self, request: Request) -> Result<(), Error> {
        self.requests.send(request).await.map_err(|_| Error::Ended)
    }
}

/// How the connection is, as [`Client::state_changed`] tells it.
#[derive(Clone, Debug)]
pub enum Connectivity {
    /// Made again, and every subscription with it.
    Connected,
    /// Lost, and being made again.
    Reconnecting(Arc<Error>),
    /// Lost for good.
    Ended(Arc<Error>),
}
