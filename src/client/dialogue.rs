//! What client and server say to each other on one connection after the other: requests become
//! lines, and lines become answers and deliveries. No socket, no clock.

use std::{borrow::Cow, collections::HashMap};

use bytes::BytesMut;
use serde_json::value::RawValue;
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

use super::{ClientInfo, Error, Gap, Message, Receipt, subscription::Delivery};
use crate::{
    protocol::{
        ClientEvent, ServerEvent,
        client_event::{Bare, Publish, Subscribe, encode},
        server_event::{self, ServerLine},
    },
    topic::{Topic, TopicFilter},
};

pub(super) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What a handle asks for.
#[derive(Debug)]
pub(super) enum Request {
    Publish {
        topic: Topic<'static>,
        payload: Box<RawValue>,
        reply: Option<Reply<Receipt>>,
    },
    Subscribe {
        filter: TopicFilter,
        deliveries: mpsc::Sender<Delivery>,
        reply: Reply<()>,
    },
    ListClients {
        reply: Reply<Vec<ClientInfo>>,
    },
    Close {
        reply: Reply<()>,
    },
}

/// Who waits for an answer.
enum Waiting {
    Publish(Reply<Receipt>),
    /// With the number of the subscription. Nobody waits where it is renewed.
    Subscribe(u64, Option<Reply<()>>),
    ListClients(Reply<Vec<ClientInfo>>),
}

struct Subscriber {
    filter: TopicFilter,
    deliveries: mpsc::Sender<Delivery>,
    /// What could not be delivered since the last delivery.
    missed: u64,
    /// Whether a renewal is still to be told.
    renewed: bool,
}

#[derive(Default)]
pub(super) struct Dialogue {
    /// Bytes to be written.
    pub(super) outgoing: BytesMut,
    subscribers: HashMap<u64, Subscriber>,
    /// By the `ref` of the request.
    waiting: HashMap<u64, Waiting>,
    /// Numbers requests and subscriptions alike.
    last_number: u64,
    /// `Some` once `disconnecting` is said, with who waits for the end.
    leaving: Option<Vec<Reply<()>>>,
}

impl Dialogue {
    pub(super) const fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// Turns a request into a line.
    pub(super) fn ask(&mut self, request: Request) {
        match request {
            Request::Publish {
                topic,
                payload,
                reply,
            } => {
                let reference = reply.map(|reply| self.expect(Waiting::Publish(reply)));
                self.say(&ClientEvent::Publish(Publish {
                    topic,
                    payload: &payload,
                    reference,
                }));
            }
            Request::Subscribe {
                filter,
                deliveries,
                reply,
            } => {
                let number = self.number();
                let subscriber = Subscriber {
                    filter: filter.clone(),
                    deliveries,
                    missed: 0,
                    renewed: false,
                };
                self.subscribers.insert(number, subscriber);
                self.subscribe(filter, Waiting::Subscribe(number, Some(reply)));
            }
            Request::ListClients { reply } => {
                let reference = Some(self.expect(Waiting::ListClients(reply)));
                self.say(&ClientEvent::ListClients(Bare { reference }));
            }
            Request::Close { reply } => {
                self.leave();
                self.leaving.get_or_insert_default().push(reply);
            }
        }
    }

    /// Takes leave of the server, once.
    pub(super) fn leave(&mut self) {
        if !self.is_leaving() {
            self.leaving = Some(Vec::new());
            self.say(&ClientEvent::Disconnecting(Bare::default()));
        }
    }

    /// Renews every subscription on a new connection.
    pub(super) fn subscribe_again(&mut self) {
        self.forget_unread();
        let filters: Vec<_> = self
            .subscribers
            .iter()
            .map(|(number, s)| (*number, s.filter.clone()))
            .collect();
        for (number, filter) in filters {
            self.subscribe(filter, Waiting::Subscribe(number, None));
        }
    }

    /// Everyone who waits is told that no answer will come.
    pub(super) fn connection_ended(&mut self, error: &Error) {
        // The server closes after a farewell: where that was sent, the end is the one asked for.
        let left = matches!(error, Error::Lost(_)) && self.outgoing.is_empty();
        self.outgoing.clear();
        for (_, waiting) in self.waiting.drain() {
            let lost = || Error::Unanswered(error.to_string());
            match waiting {
                Waiting::Publish(reply) => drop(reply.send(Err(lost()))),
                Waiting::Subscribe(number, Some(reply)) => {
                    self.subscribers.remove(&number);
                    drop(reply.send(Err(lost())));
                }
                Waiting::Subscribe(_, None) => {}
                Waiting::ListClients(reply) => drop(reply.send(Err(lost()))),
            }
        }
        for reply in self
            .leaving
            .iter_mut()
            .flat_map(|replies| replies.drain(..))
        {
            let outcome = if left { Ok(()) } else { Err(Error::Ended) };
            drop(reply.send(outcome));
        }
    }

    /// Takes one line of the server; `raw` is the same as it came.
    pub(super) fn hear(&mut self, line: ServerLine<'_>, raw: &[u8]) -> Result<(), Error> {
        match line.event {
            Some(ServerEvent::Message(message)) => {
                self.deliver(&message, &line.id, &line.timestamp, raw)?;
            }
            Some(ServerEvent::Ping(_)) => self.say(&ClientEvent::Pong(Bare::default())),
            Some(ServerEvent::Published(published)) => {
                if let Some(Waiting::Publish(reply)) = self.answered(&published.reference) {
                    let receivers = published.receivers;
                    drop(reply.send(Ok(Receipt { receivers })));
                }
            }
            Some(ServerEvent::Subscribed(subscribed)) => self.subscribed(subscribed.reference),
            Some(ServerEvent::Clients(clients)) => self.clients(clients),
            Some(ServerEvent::Error(error)) => self.refused(error),
            Some(ServerEvent::ConnectionClosing(closing)) => {
                return Err(Error::Closed(closing.into()));
            }
            // Presence, which this client does not ask for; answers to what it does not say; and
            // what a newer server may add.
            Some(_) | None => {}
        }
        Ok(())
    }

    fn deliver(
        &mut self,
        message: &server_event::Message<'_>,
        publisher: &str,
        timestamp: &str,
        raw: &[u8],
    ) -> Result<(), Error> {
        let nonsense = |what: &str| Error::Protocol(format!("a message with {what}"));
        let topic = Topic::parse(&*message.topic).map_err(|_| nonsense("a bad topic"))?;
        let publisher = serde_json::from_value(publisher.into())
            .map_err(|_| nonsense("a publisher that is no client"))?;
        let line = std::str::from_utf8(raw).map_err(|_| nonsense("bytes that are no text"))?;
        let mut unread = false;
        for subscriber in self.subscribers.values_mut() {
            if subscriber.filter.matches(&topic) {
                unread |= !subscriber.deliver(|| Message {
                    topic: topic.as_str().to_owned(),
                    payload: message.payload.to_owned(),
                    sender: message.sender.clone().into_owned(),
                    publisher,
                    timestamp: timestamp.to_owned(),
                    line: line.to_owned(),
                });
            }
        }
        if unread {
            self.forget_unread();
        }
        Ok(())
    }

    /// Drops the subscribers whose reader is gone, and unsubscribes where nobody else wants the
    /// same.
    fn forget_unread(&mut self) {
        let gone: Vec<TopicFilter> = self
            .subscribers
            .extract_if(|_, subscriber| subscriber.deliveries.is_closed())
            .map(|(_, subscriber)| subscriber.filter)
            .collect();
        for filter in gone {
            if !self
                .subscribers
                .values()
                .any(|other| other.filter == filter)
            {
                self.say(&ClientEvent::Unsubscribe(Subscribe {
                    topic: filter,
                    reference: None,
                }));
            }
        }
    }

    fn subscribed(&mut self, reference: Option<Cow<'_, str>>) {
        let answered = reference.and_then(|reference| self.answered(&reference));
        let Some(Waiting::Subscribe(number, reply)) = answered else {
            return;
        };
        match (reply, self.subscribers.get_mut(&number)) {
            (Some(reply), _) => drop(reply.send(Ok(()))),
            (None, Some(subscriber)) => {
                subscriber.renewed = true;
                subscriber.tell_gaps();
            }
            (None, None) => {}
        }
    }

    fn clients(&mut self, clients: server_event::Clients<'_>) {
        let answered = clients
            .reference
            .and_then(|reference| self.answered(&reference));
        if let Some(Waiting::ListClients(reply)) = answered {
            let info = |entry: server_event::ClientEntry<'_>| ClientInfo {
                client_id: entry.client_id,
                identity: entry.identity.into_owned(),
                since: entry.since.into_owned(),
            };
            drop(reply.send(Ok(clients.clients.into_iter().map(info).collect())));
        }
    }

    fn refused(&mut self, error: server_event::ErrorContent<'_>) {
        let Some(reference) = error.reference.clone() else {
            tracing::warn!(code = ?error.code, reason = ?error.reason, event = ?error.event, "refused");
            return;
        };
        let rejected = Error::Rejected(error.into());
        match self.answered(&reference) {
            Some(Waiting::Publish(reply)) => drop(reply.send(Err(rejected))),
            Some(Waiting::ListClients(reply)) => drop(reply.send(Err(rejected))),
            Some(Waiting::Subscribe(number, reply)) => {
                // Its stream ends here.
                self.subscribers.remove(&number);
                match reply {
                    Some(reply) => drop(reply.send(Err(rejected))),
                    None => tracing::warn!(%rejected, "a subscription was not renewed"),
                }
            }
            None => {}
        }
    }

    fn subscribe(&mut self, topic: TopicFilter, waiting: Waiting) {
        let reference = Some(self.expect(waiting));
        self.say(&ClientEvent::Subscribe(Subscribe { topic, reference }));
    }

    fn say(&mut self, event: &ClientEvent<'_>) {
        self.outgoing.extend_from_slice(&encode(event));
    }

    /// Notes who waits for an answer, and gives the `ref` that it will carry.
    fn expect(&mut self, waiting: Waiting) -> Cow<'static, str> {
        let number = self.number();
        self.waiting.insert(number, waiting);
        number.to_string().into()
    }

    fn answered(&mut self, reference: &str) -> Option<Waiting> {
        self.waiting.remove(&reference.parse().ok()?)
    }

    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

impl Subscriber {
    /// Whether someone still reads.
    fn deliver(&mut self, message: impl FnOnce() -> Message) -> bool {
        if !self.tell_gaps() {
            self.missed += 1;
            return !self.deliveries.is_closed();
        }
        match self.deliveries.try_send(Ok(message())) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.missed += 1;
                true
            }
            Err(TrySendError::Closed(_)) => false,
        }
    }

    /// Tells what is missing before what follows it: whether there was room for that.
    fn tell_gaps(&mut self) -> bool {
        if self.missed > 0 {
            if self
                .deliveries
                .try_send(Err(Gap::Missed(self.missed)))
                .is_err()
            {
                return false;
            }
            self.missed = 0;
        }
        if self.renewed {
            if self.deliveries.try_send(Err(Gap::Reconnected)).is_err() {
                return false;
            }
            self.renewed = false;
        }
        true
    }
}
