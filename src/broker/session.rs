//! An authenticated client: the only one that can publish, subscribe and list the clients.
//!
//! Owns the order of what it answers: every answer to a client comes after the messages that were
//! accepted before it.

use std::{borrow::Cow, sync::Arc};

use super::{
    Answers, ClientHandle, DisconnectGuard, Outbox, OutboxEntry, Registry, RequestError,
    publisher::{Origin, Publisher},
};
use crate::{
    access::ClientLimits,
    identity::Identity,
    protocol::{
        ClientId, CloseReason, Frame, ServerEvent,
        client_event::{Publish, Subscribe},
        server_event::Subscription,
    },
    topic::TopicFilter,
};

/// What only an authenticated client can do: publish, subscribe, see which clients are here.
///
/// Publishes in its own task, by the routing table that is in force: publishing scales with the
/// cores and waits for nothing. For everything else it asks the registry.
#[derive(Debug)]
pub struct Session {
    registry: Registry,
    publisher: Publisher,
    guard: DisconnectGuard,
    /// Behind the answers that are outstanding.
    answers: Answers,
}

impl Session {
    pub(super) fn new(
        registry: Registry,
        client_id: ClientId,
        identity: Identity,
        handle: Arc<ClientHandle>,
        guard: DisconnectGuard,
    ) -> Self {
        let answers = Answers::new(Arc::clone(handle.outbox()));
        let origin = Origin {
            server_id: registry.server_id(),
            client_id,
            identity,
            handle,
        };
        let publisher = Publisher::new(origin, Arc::clone(registry.routes()));
        Self {
            registry,
            publisher,
            guard,
            answers,
        }
    }

    /// The id that the registry gave this client.
    #[must_use]
    pub const fn client_id(&self) -> ClientId {
        self.publisher.origin().client_id
    }

    /// The identity that the client's certificate proves.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.publisher.origin().identity
    }

    /// The limits that the access rules set for the client, as of now.
    #[must_use]
    pub fn limits(&self) -> ClientLimits {
        *self.publisher.origin().handle.permissions().limits()
    }

    /// Reads the clock for the lines that follow: once for all lines that came in one read.
    pub fn begin(&mut self) {
        self.publisher.begin();
    }

    /// Accepts a message. It goes out with the next [`flush`](Self::flush) at the latest, in the
    /// order in which messages were accepted.
    ///
    /// # Errors
    ///
    /// When the client is not allowed to publish to the topic.
    pub fn publish(&mut self, event: Publish<'_>) -> Result<(), RequestError> {
        Ok(self.publisher.publish(event, &mut self.answers)?)
    }

    /// Sends what was accepted, and answers where an answer is wanted.
    pub fn flush(&mut self) {
        self.publisher.flush(&mut self.answers);
    }

    /// A recipient of what was published last that is far behind but reads. A session that has much
    /// more to publish does well to wait a little for it.
    #[must_use]
    pub fn receiver_catching_up(&self) -> Option<Arc<Outbox>> {
        self.publisher.recipient_catching_up()
    }

    /// Lets go of what is remembered for messages to come: a silent client should hold nothing,
    /// least of all the outboxes of clients that are gone.
    pub fn rest(&mut self) {
        self.publisher.rest(&mut self.answers);
    }

    /// Subscribes, and answers with `subscribed`.
    ///
    /// # Errors
    ///
    /// When the client is not allowed to subscribe to the filter, or has too many subscriptions.
    pub fn subscribe(
        &mut self,
        event: Subscribe<'_>,
    ) -> impl Future<Output = Result<(), RequestError>> + Send + use<> {
        let Subscribe { topic, reference } = event;
        self.flush();
        let subscribed = ServerEvent::Subscribed(subscription(&topic, reference));
        let answer = self.encode(&subscribed);
        let registry = self.registry.clone();
        registry.subscribe(self.client_id(), topic, answer)
    }

    /// Ends a subscription, and answers with `unsubscribed`.
    ///
    /// # Errors
    ///
    /// When there is none with exactly this filter.
    pub fn unsubscribe(
        &mut self,
        event: Subscribe<'_>,
    ) -> impl Future<Output = Result<(), RequestError>> + Send + use<> {
        let Subscribe { topic, reference } = event;
        self.flush();
        let unsubscribed = ServerEvent::Unsubscribed(subscription(&topic, reference));
        let answer = self.encode(&unsubscribed);
        let registry = self.registry.clone();
        registry.unsubscribe(self.client_id(), topic, answer)
    }

    /// Answers with `clients`.
    ///
    /// # Errors
    ///
    /// When the registry has ended.
    pub fn list_clients(
        &mut self,
        reference: Option<Cow<'_, str>>,
    ) -> impl Future<Output = Result<(), RequestError>> + Send + use<> {
        self.flush();
        let registry = self.registry.clone();
        registry.list_clients(self.client_id(), reference.map(Cow::into_owned))
    }

    /// The answers that have not been given yet.
    #[must_use]
    pub const fn answers(&self) -> &Answers {
        &self.answers
    }

    /// The same, to change.
    pub const fn answers_mut(&mut self) -> &mut Answers {
        &mut self.answers
    }

    /// Answers a request, behind the answers before it.
    pub fn answer(&mut self, event: &ServerEvent<'_>) {
        self.flush();
        let answer = self.encode(event);
        self.answers.push(answer);
    }

    /// Tells this client alone something that waits for no answer.
    pub fn tell(&mut self, event: &ServerEvent<'_>) {
        self.flush();
        let line = OutboxEntry::Control(self.encode(event));
        self.publisher.origin().handle.outbox().push(line);
    }

    fn encode(&self, event: &ServerEvent<'_>) -> Frame {
        self.publisher.encode(event)
    }

    /// Reports the departure, with its reason. What was accepted still goes out.
    pub fn depart(mut self, reason: CloseReason) {
        self.flush();
        self.guard.report(reason);
    }

    #[cfg(test)]
    pub(super) const fn publisher(&mut self) -> &mut Publisher {
        &mut self.publisher
    }
}

fn subscription<'a>(topic: &'a TopicFilter, reference: Option<Cow<'a, str>>) -> Subscription<'a> {
    Subscription {
        topic: topic.as_str().into(),
        reference,
    }
}
