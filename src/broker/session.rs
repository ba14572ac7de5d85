use std::{borrow::Cow, mem, sync::Arc};

use super::{
    Answers, ClientHandle, DisconnectGuard, Outbox, Registry, RequestError,
    recent::{RecentRoutes, Route},
    routes::RoutingTable,
};
use crate::{
    access::ClientLimits,
    identity::Identity,
    protocol::{
        ClientId, CloseReason, Frame, LineBuffer, ServerEvent, Timestamp,
        client_event::{Publish, Subscribe},
        server_event::{Published, Subscription, encode},
    },
    topic::{Topic, TopicFilter},
};

/// Bytes at which a run of messages is sent on as a frame, though more of it may follow.
const FRAME_BYTES_MAX: usize = 64 * 1024;

/// What only an authenticated client can do: publish, subscribe, see who is here.
///
/// Routes its own messages, in its own task: publishing scales with the cores and waits for nobody.
/// Consecutive messages to one topic become one [`Frame`], so a burst costs each receiver one push.
#[derive(Debug)]
pub struct Session {
    registry: Registry,
    client_id: ClientId,
    identity: Identity,
    handle: Arc<ClientHandle>,
    guard: DisconnectGuard,
    answers: Answers,
    run: Option<Box<Run>>,
    /// Of other topics than that of the run.
    recent: RecentRoutes,
    accepted_at: AcceptedAt,
}

/// Messages to one topic, in one go. Between runs it remembers where the last one went.
#[derive(Debug)]
struct Run {
    topic: Topic<'static>,
    route: Route,
    lines: LineBuffer,
    /// Of the messages in `lines` that want to be answered.
    references: Vec<String>,
}

/// The time at which the lines in hand were taken, as time and as the wire shows it.
#[derive(Debug)]
struct AcceptedAt {
    time: Timestamp,
    text: String,
}

impl Session {
    pub(super) fn new(
        registry: Registry,
        client_id: ClientId,
        identity: Identity,
        handle: Arc<ClientHandle>,
        guard: DisconnectGuard,
    ) -> Self {
        Self {
            registry,
            client_id,
            identity,
            answers: Answers::new(Arc::clone(handle.outbox())),
            handle,
            guard,
            run: None,
            recent: RecentRoutes::default(),
            accepted_at: AcceptedAt::now(),
        }
    }

    /// The id that the registry gave this client.
    #[must_use]
    pub const fn client_id(&self) -> ClientId {
        self.client_id
    }

    /// Who the client is.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What the access rules hold the client to, as of now.
    #[must_use]
    pub fn limits(&self) -> ClientLimits {
        *self.handle.permissions().limits()
    }

    /// Takes the time for the lines that follow: one look at the clock for all that came at once.
    pub fn begin(&mut self) {
        self.accepted_at = AcceptedAt::now();
    }

    /// Accepts a message. It goes out with the next [`flush`](Self::flush) at the latest, in the
    /// order in which messages were accepted.
    ///
    /// # Errors
    ///
    /// When the topic is not the client's to publish to.
    pub fn publish(&mut self, event: Publish<'_>) -> Result<(), RequestError> {
        let Publish {
            topic,
            payload,
            reference,
        } = event;
        let table = self.registry.routes().load();
        let generation = table.generation();
        let fits = |run: &Run| run.topic == topic && run.route.generation() == generation;
        let mut run = match self.run.take_if(|run| fits(run)) {
            Some(run) => run,
            None => {
                self.flush();
                let next = self.next_run(&topic, &table)?;
                self.follow_up(next)
            }
        };
        run.append(payload, reference, &self.accepted_at.text);
        if run.lines.len() >= FRAME_BYTES_MAX {
            self.send(&mut run);
        }
        self.run = Some(run);
        Ok(())
    }

    /// Sends what was accepted, and answers where an answer is wanted.
    pub fn flush(&mut self) {
        if let Some(mut run) = self.run.take() {
            self.send(&mut run);
            self.run = Some(run);
        }
    }

    /// One who receives what was published last and is far behind, but reads. A session that has
    /// much more to publish does well to wait a little for it.
    #[must_use]
    pub fn receiver_catching_up(&self) -> Option<Arc<Outbox>> {
        let receivers = &self.run.as_ref()?.route.receivers;
        let behind = receivers
            .iter()
            .find(|receiver| receiver.outbox.is_catching_up())?;
        Some(Arc::clone(&behind.outbox))
    }

    /// Lets go of what is remembered for messages to come. A client that says nothing is to hold
    /// nothing, least of all the outboxes of clients that have gone.
    pub fn rest(&mut self) {
        self.flush();
        self.run = None;
        self.recent = RecentRoutes::default();
    }

    /// A run to `topic`. What allows it and where it goes is remembered of this generation, or asked
    /// anew.
    fn next_run(&mut self, topic: &Topic<'_>, table: &RoutingTable) -> Result<Run, RequestError> {
        let (topic, route) = match self.recent.take(topic, table.generation()) {
            Some(remembered) => remembered,
            None => {
                self.handle.permissions().may_publish(topic)?;
                let route = Route::look_up(table, topic, self.client_id, &self.identity);
                (topic.to_owned(), route)
            }
        };
        Ok(Run {
            topic,
            route,
            lines: LineBuffer::default(),
            references: Vec::new(),
        })
    }

    /// Puts `next` in the place of the last run, whose route is remembered.
    fn follow_up(&mut self, next: Run) -> Box<Run> {
        let Some(mut run) = self.run.take() else {
            return Box::new(next);
        };
        let last = mem::replace(&mut *run, next);
        self.recent.keep(last.topic, last.route);
        run
    }

    fn send(&mut self, run: &mut Run) {
        if run.lines.is_empty() {
            return;
        }
        run.route.last_frame_len = run.lines.len();
        let frame = Frame::from(mem::take(&mut run.lines));
        let receivers = run
            .route
            .receivers
            .iter()
            .filter(|receiver| receiver.outbox.push(frame.clone()))
            .count();
        for reference in mem::take(&mut run.references) {
            self.queue(&ServerEvent::Published(Published {
                topic: run.topic.as_str().into(),
                receivers,
                reference: reference.into(),
            }));
        }
    }

    /// Subscribes, and answers with `subscribed`.
    ///
    /// # Errors
    ///
    /// When the filter is not the client's to subscribe to, or it has too many.
    pub fn subscribe(
        &mut self,
        event: Subscribe<'_>,
    ) -> impl Future<Output = Result<(), RequestError>> + Send + use<> {
        let Subscribe { topic, reference } = event;
        self.flush();
        let subscribed = ServerEvent::Subscribed(subscription(&topic, reference));
        let answer = self.encode(&subscribed);
        let registry = self.registry.clone();
        registry.subscribe(self.client_id, topic, answer)
    }

    /// Ends a subscription, and answers with `unsubscribed`.
    ///
    /// # Errors
    ///
    /// When there is none with this very filter.
    pub fn unsubscribe(
        &mut self,
        event: Subscribe<'_>,
    ) -> impl Future<Output = Result<(), RequestError>> + Send + use<> {
        let Subscribe { topic, reference } = event;
        self.flush();
        let unsubscribed = ServerEvent::Unsubscribed(subscription(&topic, reference));
        let answer = self.encode(&unsubscribed);
        let registry = self.registry.clone();
        registry.unsubscribe(self.client_id, topic, answer)
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
        registry.list_clients(self.client_id, reference.map(Cow::into_owned))
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
        self.queue(event);
    }

    /// Tells this client alone something that waits for no answer.
    pub fn tell(&mut self, event: &ServerEvent<'_>) {
        self.flush();
        self.handle.outbox().push(self.encode(event));
    }

    fn queue(&mut self, event: &ServerEvent<'_>) {
        let answer = self.encode(event);
        self.answers.push(answer);
    }

    fn encode(&self, event: &ServerEvent<'_>) -> Frame {
        encode(event, &self.registry.server_id(), self.accepted_at.time)
    }

    /// Reports the departure, with its reason. What was accepted still goes out.
    pub fn depart(mut self, reason: CloseReason) {
        self.flush();
        self.guard.report(reason);
    }
}

impl Run {
    fn append(
        &mut self,
        payload: &serde_json::value::RawValue,
        reference: Option<Cow<'_, str>>,
        accepted_at: &str,
    ) {
        if self.lines.capacity() == 0 {
            let line_len = self.route.template.line_len(payload.get().len());
            let frame_len = line_len.max(self.route.last_frame_len);
            self.lines.reserve_exact(frame_len);
        }
        let template = &self.route.template;
        template.write(payload, accepted_at, &mut self.lines);
        self.references.extend(reference.map(Cow::into_owned));
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

fn subscription<'a>(topic: &'a TopicFilter, reference: Option<Cow<'a, str>>) -> Subscription<'a> {
    Subscription {
        topic: topic.as_str().into(),
        reference,
    }
}

#[cfg(test)]
mod tests;
