//! Publishing: the way of a message from its acceptance to the outboxes of its recipients.
//!
//! Owns the batch in hand, the routes of recent topics and the time at which messages are accepted.
//! Asks the routing table and the permissions once for a topic and generation, and never the
//! registry. Knows nothing of requests: whatever has messages to publish keeps a [`Publisher`].

mod batch;
mod recent;

use std::{mem, sync::Arc};

use arc_swap::ArcSwap;

use self::{
    batch::{Destination, MessageBatch},
    recent::RecentRoutes,
};
use super::{Answers, ClientHandle, Outbox, routes::RoutingTable};
use crate::{
    access::Denial,
    identity::Identity,
    protocol::{
        ClientId, Frame, MessageTemplate, ServerEvent, ServerId, Timestamp,
        client_event::Publish,
        server_event::{Published, encode},
    },
    topic::Topic,
};

/// Publishes messages of one origin, in the order in which it accepts them.
///
/// Consecutive messages to one topic become one [`Frame`], so that a burst costs each recipient one
/// push. Nothing here waits for a recipient.
#[derive(Debug)]
pub(super) struct Publisher {
    origin: Origin,
    routes: Arc<ArcSwap<RoutingTable>>,
    /// Once it has gone out, it stays for messages that continue it.
    batch: Option<Box<MessageBatch>>,
    /// Of other topics than that of the batch.
    recent: RecentRoutes,
    accepted_at: AcceptedAt,
}

/// In whose name messages are published.
#[derive(Debug)]
pub(super) struct Origin {
    /// The server that answers.
    pub(super) server_id: ServerId,
    /// The `id` of its messages.
    pub(super) client_id: ClientId,
    /// The `sender` of its messages.
    pub(super) identity: Identity,
    /// What it may publish.
    pub(super) handle: Arc<ClientHandle>,
}

/// The time at which the lines of one read were accepted, also as the wire shows it.
#[derive(Debug)]
struct AcceptedAt {
    time: Timestamp,
    text: String,
}

impl Publisher {
    pub(super) fn new(origin: Origin, routes: Arc<ArcSwap<RoutingTable>>) -> Self {
        Self {
            origin,
            routes,
            batch: None,
            recent: RecentRoutes::default(),
            accepted_at: AcceptedAt::now(),
        }
    }

    pub(super) const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Reads the clock, once for all the messages and answers until the next call.
    pub(super) fn begin(&mut self) {
        self.accepted_at = AcceptedAt::now();
    }

    /// Accepts a message. It goes out with the next [`flush`](Self::flush) at the latest.
    ///
    /// # Errors
    ///
    /// When the origin is not allowed to publish to the topic.
    pub(super) fn publish(
        &mut self,
        message: Publish<'_>,
        answers: &mut Answers,
    ) -> Result<(), Denial> {
        let Publish {
            topic,
            payload,
            reference,
        } = message;
        let table = self.routes.load();
        let generation = table.generation();
        let continues = |batch: &mut Box<MessageBatch>| batch.continues(&topic, generation);
        let mut batch = match self.batch.take_if(continues) {
            Some(batch) => batch,
            None => {
                self.flush(answers);
                self.next_batch(&topic, &table)?
            }
        };
        batch.append(payload, reference, &self.accepted_at.text);
        if batch.is_full() {
            self.send(&mut batch, answers);
        }
        self.batch = Some(batch);
        Ok(())
    }

    /// Sends what was accepted, and gives `answers` one for each message whose publisher wants it.
    pub(super) fn flush(&mut self, answers: &mut Answers) {
        if let Some(mut batch) = self.batch.take() {
            self.send(&mut batch, answers);
            self.batch = Some(batch);
        }
    }

    /// Sends what was accepted, and forgets all routes.
    pub(super) fn rest(&mut self, answers: &mut Answers) {
        self.flush(answers);
        self.batch = None;
        self.recent = RecentRoutes::default();
    }

    /// A line to the origin, with the time of [`begin`](Self::begin).
    pub(super) fn encode(&self, event: &ServerEvent<'_>) -> Frame {
        encode(event, &self.origin.server_id, self.accepted_at.time)
    }

    /// A recipient of the last batch that is far behind but catching up.
    pub(super) fn recipient_catching_up(&self) -> Option<Arc<Outbox>> {
        let recipients = &self.batch.as_ref()?.destination.route.recipients;
        let behind = recipients
            .iter()
            .find(|recipient| recipient.outbox.is_catching_up())?;
        Some(Arc::clone(&behind.outbox))
    }

    /// An empty batch to `topic` in the place of the last one, whose destination is remembered.
    fn next_batch(
        &mut self,
        topic: &Topic<'_>,
        table: &RoutingTable,
    ) -> Result<Box<MessageBatch>, Denial> {
        let (topic, destination) = match self.recent.take(topic, table.generation()) {
            Some(remembered) => remembered,
            None => (topic.to_owned(), self.look_up(topic, table)?),
        };
        let next = MessageBatch::new(topic, destination);
        let Some(mut batch) = self.batch.take() else {
            return Ok(Box::new(next));
        };
        let last = mem::replace(&mut *batch, next);
        self.recent.keep(last.topic, last.destination);
        Ok(batch)
    }

    fn look_up(&self, topic: &Topic<'_>, table: &RoutingTable) -> Result<Destination, Denial> {
        let Origin {
            client_id,
            identity,
            handle,
            ..
        } = &self.origin;
        handle.permissions().may_publish(topic)?;
        Ok(Destination {
            route: table.route(topic),
            template: MessageTemplate::new(*client_id, identity.as_str(), topic.as_str()),
            last_frame_len: 0,
        })
    }

    fn send(&self, batch: &mut MessageBatch, answers: &mut Answers) {
        let Some(delivery) = batch.send() else {
            return;
        };
        for reference in delivery.references {
            let published = Published {
                topic: batch.topic.as_str().into(),
                receivers: delivery.recipients,
                reference: reference.into(),
            };
            answers.push(self.encode(&ServerEvent::Published(published)));
        }
    }
}

impl AcceptedAt {
    fn now() -> Self {
        let time = Timestamp::now();
        Self {
            time,
            text: time.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
