//! What client and server say to each other on one connection after the other: requests become
//! lines, and lines become answers and deliveries. No socket, no clock.

mod subscriber;

use std::{borrow::Cow, collections::HashMap};

use bytes::BytesMut;

use super::{
    ClientInfo, Error, Message, Receipt, ServerFault,
    request::{Reply, Request},
};
use crate::{
    protocol::{
        ClientEvent, OnlyRef, ServerEvent,
        client_event::{Publish, Subscribe, check_line, encode},
        server_event::{self, ServerLine},
    },
    topic::{Topic, TopicFilter},
};
use subscriber::Subscriber;
pub(super) use subscriber::reserve;

/// Bytes that wait to be written, above which no more requests are taken and no ping is answered.
const UNWRITTEN_BYTES_MAX: usize = 256 * 1024;

/// Who waits for an answer.
enum Waiting {
    Publish(Reply<Receipt>),
    /// One filter of the subscription with this number.
    Subscribe(u64, TopicFilter),
    ListClients(Reply<Vec<ClientInfo>>),
}

#[derive(Default)]
pub(super) struct Dialogue {
    /// Bytes to be written.
    pub(super) outgoing: BytesMut,
    /// Bytes that the server takes in one line, its end not counted.
    pub(super) line_bytes_max: usize,
    subscribers: HashMap<u64, Subscriber>,
    /// By the `ref` of the request.
    waiting: HashMap<u64, Waiting>,
    /// Numbers requests and subscriptions alike.
    last_number: u64,
    /// `Some` once `disconnecting` is said, with who waits for the end.
    closing: Option<Vec<Reply<()>>>,
}

impl Dialogue {
    pub(super) const fn is_disconnecting(&self) -> bool {
        self.closing.is_some()
    }

    pub(super) fn has_room(&self) -> bool {
        self.outgoing.len() < UNWRITTEN_BYTES_MAX
    }

    /// Turns a request into a line.
    pub(super) fn ask(&mut self, request: Request) {
        match request {
            Request::Publish {
                topic,
                payload,
                reply,
            } => {
                let number = reply.is_some().then(|| self.number());
                let line = encode(&ClientEvent::Publish(Publish {
                    topic,
                    payload: &payload,
                    reference: number.map(|number| number.to_string().into()),
                }));
                self.publish(&line, number.zip(reply));
            }
            Request::Subscribe {
                filters,
                deliveries,
                reply,
            } => {
                let number = self.number();
                let subscriber = Subscriber {
                    filters,
                    unanswered: Vec::new(),
                    opening: Some(reply),
                    deliveries,
                    missed: 0,
                    renewed: false,
                };
                self.subscribers.insert(number, subscriber);
                self.subscribe(number);
            }
            Request::ListClients { reply } => {
                let reference = Some(self.expect(Waiting::ListClients(reply)));
                self.send(&ClientEvent::ListClients(OnlyRef { reference }));
            }
            Request::Close { reply } => {
                self.disconnect();
                self.closing.get_or_insert_default().push(reply);
            }
        }
    }

    /// Takes leave of the server, once.
    pub(super) fn disconnect(&mut self) {
        if !self.is_disconnecting() {
            self.closing = Some(Vec::new());
            self.send(&ClientEvent::Disconnecting(OnlyRef::default()));
        }
    }

    /// Asks the broker for a sign of life.
    pub(super) fn ping(&mut self) {
        let reference = Some(self.number().to_string().into());
        self.send(&ClientEvent::Ping(OnlyRef { reference }));
    }

    /// Renews every subscription on a new connection.
    pub(super) fn subscribe_again(&mut self) {
        self.subscribers
            .retain(|_, subscriber| !subscriber.deliveries.is_closed());
        let numbers: Vec<u64> = self.subscribers.keys().copied().collect();
        numbers
            .into_iter()
            .for_each(|number| self.subscribe(number));
    }

    /// Everyone who waits is told that no answer will come.
    pub(super) fn connection_ended(&mut self, error: &Error) {
        // The server closes after a farewell: where that was sent, the end is the one asked for.
        let left = matches!(error, Error::Lost(_)) && self.outgoing.is_empty();
        self.outgoing.clear();
        let unanswered = || Error::Unanswered(error.to_string());
        for (_, waiting) in self.waiting.drain() {
            match waiting {
                Waiting::Publish(reply) => drop(reply.send(Err(unanswered()))),
                Waiting::ListClients(reply) => drop(reply.send(Err(unanswered()))),
                Waiting::Subscribe(..) => {}
            }
        }
        for (_, subscriber) in self.subscribers.extract_if(|_, s| s.opening.is_some()) {
            if let Some(reply) = subscriber.opening {
                drop(reply.send(Err(unanswered())));
            }
        }
        for reply in self
            .closing
            .iter_mut()
            .flat_map(|replies| replies.drain(..))
        {
            let outcome = if left { Ok(()) } else { Err(unanswered()) };
            drop(reply.send(outcome));
        }
    }

    /// Takes one line of the server; `raw` is the same as it came.
    pub(super) fn handle_line(&mut self, line: ServerLine<'_>, raw: &[u8]) -> Result<(), Error> {
        match line.event {
            Some(ServerEvent::Message(message)) => {
                self.deliver(&message, &line.id, &line.timestamp, raw)?;
            }
            // A server that does not read what is there already needs no more of it.
            Some(ServerEvent::Ping(_)) if !self.has_room() => {}
            Some(ServerEvent::Ping(_)) => self.send(&ClientEvent::Pong(OnlyRef::default())),
            Some(ServerEvent::Published(published)) => {
                if let Some(Waiting::Publish(reply)) = self.answered(&published.reference) {
                    let receivers = published.receivers;
                    drop(reply.send(Ok(Receipt { receivers })));
                }
            }
            Some(ServerEvent::Subscribed(subscribed)) => self.subscribed(subscribed.reference),
            Some(ServerEvent::SubscriptionClosed(closed)) => self.closed(closed),
            Some(ServerEvent::Clients(clients)) => self.clients(clients),
            Some(ServerEvent::Error(error)) => self.refused(error),
            Some(ServerEvent::ConnectionClosing(closing)) => {
                return Err(Error::Closed(closing.error.into()));
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
            if subscriber
                .filters
                .iter()
                .any(|filter| filter.matches(&topic))
            {
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
        // Nothing is said after the farewell.
        if unread && !self.is_disconnecting() {
            self.forget_unread();
        }
        Ok(())
    }

    /// Ends the subscriptions whose reader is gone.
    fn forget_unread(&mut self) {
        let is_gone = |subscriber: &Subscriber| subscriber.deliveries.is_closed();
        let gone = self
            .subscribers
            .iter()
            .filter(|(_, subscriber)| is_gone(subscriber));
        let gone: Vec<u64> = gone.map(|(number, _)| *number).collect();
        gone.into_iter()
            .for_each(|number| drop(self.forget(number)));
    }

    /// Ends a subscription, at the server only where nobody else wants the same.
    fn forget(&mut self, number: u64) -> Option<Subscriber> {
        let gone = self.subscribers.remove(&number)?;
        for filter in &gone.filters {
            if !self
                .subscribers
                .values()
                .any(|other| other.filters.contains(filter))
            {
                self.send(&ClientEvent::Unsubscribe(Subscribe {
                    topic: filter.clone(),
                    reference: None,
                }));
            }
        }
        Some(gone)
    }

    fn subscribed(&mut self, reference: Option<Cow<'_, str>>) {
        let answered = reference.and_then(|reference| self.answered(&reference));
        if let Some(Waiting::Subscribe(number, filter)) = answered
            && let Some(subscriber) = self.subscribers.get_mut(&number)
        {
            subscriber.is_answered(filter.as_str());
        }
    }

    /// The server has ended one filter, for all subscriptions that had it in force. One that has
    /// only just asked for it gets an answer of its own.
    ///
    /// Where none had it in force, its end has overtaken its beginning: the answer that is still to
    /// come speaks of what is gone.
    fn closed(&mut self, closed: server_event::SubscriptionClosed<'_>) {
        let fault = ServerFault::from(&closed);
        let is_it = |filter: &TopicFilter| filter.as_str() == closed.topic;
        let has_asked = |subscriber: &Subscriber| subscriber.unanswered.iter().any(is_it);
        let in_force = |subscriber: &Subscriber| {
            subscriber.filters.iter().any(is_it) && !has_asked(subscriber)
        };
        if self.subscribers.values().any(in_force) {
            for subscriber in self.subscribers.values_mut().filter(|s| in_force(s)) {
                subscriber.close(&closed.topic, &fault);
            }
            self.forget_closed();
            return;
        }
        let asked = self.subscribers.iter().filter(|(_, s)| has_asked(s));
        let asked: Vec<u64> = asked.map(|(number, _)| *number).collect();
        for number in asked {
            self.subscription_refused(number, &closed.topic, fault.clone());
        }
    }

    /// The stream of a subscription of which nothing is left ends, once all was told.
    fn forget_closed(&mut self) {
        self.subscribers
            .retain(|_, subscriber| !subscriber.filters.is_empty());
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
        let waiting = error
            .reference
            .clone()
            .and_then(|reference| self.answered(&reference));
        let fault = ServerFault::from(error.error);
        let rejected = Error::Rejected(fault.clone());
        match waiting {
            Some(Waiting::Publish(reply)) => drop(reply.send(Err(rejected))),
            Some(Waiting::ListClients(reply)) => drop(reply.send(Err(rejected))),
            Some(Waiting::Subscribe(number, filter)) => {
                self.subscription_refused(number, filter.as_str(), fault);
            }
            // Of a publish that wants no answer, or of what was taken back in the meantime.
            None => tracing::debug!(%rejected, "refused"),
        }
    }

    /// One that is to begin does not; one that is to be renewed goes on with what is left of it.
    fn subscription_refused(&mut self, number: u64, filter: &str, fault: ServerFault) {
        let Some(subscriber) = self.subscribers.get_mut(&number) else {
            return;
        };
        if subscriber.opening.is_none() {
            subscriber.close(filter, &fault);
            subscriber.is_answered(filter);
            self.forget_closed();
        } else if let Some(reply) = self.forget(number).and_then(|gone| gone.opening) {
            drop(reply.send(Err(Error::Rejected(fault))));
        }
    }

    fn subscribe(&mut self, number: u64) {
        let Some(subscriber) = self.subscribers.get_mut(&number) else {
            return;
        };
        let filters = subscriber.filters.clone();
        subscriber.unanswered.clone_from(&filters);
        for topic in filters {
            let reference = Some(self.expect(Waiting::Subscribe(number, topic.clone())));
            self.send(&ClientEvent::Subscribe(Subscribe { topic, reference }));
        }
    }

    /// Sends a message, unless the server could not even read whose it is: to a line that is too
    /// long or not well formed it gives an answer that names no request.
    fn publish(&mut self, line: &[u8], answer: Option<(u64, Reply<Receipt>)>) {
        let (bytes, limit) = (line.len() - 1, self.line_bytes_max);
        let checked = if bytes > limit {
            Err(Error::LineTooLong { bytes, limit })
        } else {
            check_line(&line[..bytes]).map_err(|fault| Error::Rejected(fault.into()))
        };
        if let Err(error) = checked {
            match answer {
                Some((_, reply)) => drop(reply.send(Err(error))),
                None => tracing::warn!(%error, "a message was not sent"),
            }
            return;
        }
        self.outgoing.extend_from_slice(line);
        if let Some((number, reply)) = answer {
            self.waiting.insert(number, Waiting::Publish(reply));
        }
    }

    fn send(&mut self, event: &ClientEvent<'_>) {
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

#[cfg(test)]
mod tests;
