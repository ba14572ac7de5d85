//! The registry's state: commands in, and what clients and tasks get of it out.

mod departures;
mod limits;
mod model;
mod presence;
mod reevaluation;
mod rules;

use std::{net::SocketAddr, sync::Arc};

use chrono::DateTime;
use proptest::{collection::vec, option, prelude::*, sample::Index};
use tokio::sync::{mpsc, oneshot};

use self::rules::Rules;
use super::*;
use crate::{
    broker::{
        DisconnectGuard, RequestError,
        command::{Admitted, Candidate},
        routes::RoutingTable,
        test_support::{self, address, outbox},
    },
    protocol::{
        CloseReason, Frame, OnlyRef, ServerEvent, ServerId,
        server_event::{ClientEntry, ServerLine, encode},
    },
};

/// Departures that can wait in the queue at once: more than any test admits.
const QUEUE_LEN: usize = 256;

const REASONS: &[CloseReason] = &[
    CloseReason::ClientDisconnecting,
    CloseReason::ConnectionLost,
    CloseReason::SlowConsumer,
    CloseReason::KeepaliveTimeout,
    CloseReason::TooManyErrors,
];

const FILTERS: &[&str] = &[
    "a", "a/b", "a/b/c", "b", "+", "#", "a/+", "a/#", "+/b", "a/b/#", "b/+/c",
];

const TOPICS: &[&str] = &[
    "a", "b", "c", "a/b", "a/c", "c/b", "a/b/c", "a/b/c/d", "b/x/c", "$x/b",
];

fn identity(number: u8) -> Identity {
    Identity::parse(&format!("identity-{number}")).unwrap()
}

fn filter(text: &str) -> TopicFilter {
    TopicFilter::parse(text).unwrap()
}

/// An answer that the registry is given to pass on: any line that can be told from others.
fn answer(text: &str) -> Frame {
    let pong = ServerEvent::Pong(OnlyRef {
        reference: Some(text.into()),
    });
    encode(&pong, &ServerId::fresh(), at(0))
}

const WELCOME: &str = "welcome";

/// The time of batch number `batch`.
fn at(batch: usize) -> Timestamp {
    DateTime::from_timestamp(1_769_860_800 + i64::try_from(batch).unwrap(), 0)
        .unwrap()
        .into()
}

/// The state with the parts of the actor that carry out its effects, and the connections around it.
struct World {
    state: State,
    commands: mpsc::Sender<Command>,
    queue: mpsc::Receiver<Command>,
    batches: usize,
    /// The table in force.
    table: Arc<RoutingTable>,
}

impl World {
    fn new(limits: Limits) -> Self {
        let (commands, queue) = mpsc::channel(QUEUE_LEN);
        let mut last_id = 0;
        let new_client_id = move || {
            last_id += 1;
            ClientId::from_number(last_id)
        };
        Self {
            state: State::new(limits, Arc::new(AccessRules::open()), new_client_id),
            commands,
            queue,
            batches: 0,
            table: Arc::default(),
        }
    }

    fn candidate(&self, identity: Identity, address: SocketAddr, outbox: Arc<Outbox>) -> Candidate {
        Candidate {
            identity,
            address,
            outbox,
            permit: self.commands.clone().try_reserve_owned().unwrap(),
        }
    }

    /// As the actor does it, in its order. Gives back the replies unsent.
    fn apply(&mut self, commands: Vec<Command>) -> Vec<Reply> {
        let now = at(self.batches);
        self.batches += 1;
        let effects = self.state.apply(commands, now);
        for (handle, permissions) in effects.permissions {
            handle.set_permissions(permissions);
        }
        if let Some(table) = effects.routes {
            assert_eq!(table.generation(), self.table.generation() + 1);
            self.table = table;
        }
        effects.outgoing.deliver(ServerId::fresh(), now);
        effects.replies
    }

    fn apply_and_reply(&mut self, commands: Vec<Command>) {
        self.apply(commands).into_iter().for_each(Reply::send);
    }

    /// The departures that were reported.
    fn reported(&mut self) -> Vec<(ClientId, CloseReason)> {
        let mut reported = Vec::new();
        while let Ok(command) = self.queue.try_recv() {
            let Command::Depart { client_id, reason } = command else {
                panic!("only departures come through a permit: {command:?}");
            };
            reported.push((client_id, reason));
        }
        reported
    }

    fn admit(&mut self, who: u8, from: u8) -> Result<Admitted, RequestError> {
        let (reply, mut answer) = oneshot::channel();
        let candidate = self.candidate(identity(who), address(from), outbox());
        self.apply_and_reply(vec![Command::Admit { candidate, reply }]);
        answer.try_recv().unwrap()
    }

    fn session(&mut self, who: u8) -> Admitted {
        let admitted = self.admit(who, 1).unwrap();
        let (reply, _) = oneshot::channel();
        self.apply_and_reply(vec![Command::Authenticate {
            client_id: admitted.client_id,
            presence: true,
            scope: None,
            welcome: answer(WELCOME),
            reply,
        }]);
        admitted
    }

    fn subscribe(&mut self, client_id: ClientId, text: &str) -> Result<(), RequestError> {
        let (reply, mut result) = oneshot::channel();
        self.apply_and_reply(vec![Command::Subscribe {
            client_id,
            filter: filter(text),
            answer: answer("subscribed"),
            reply,
        }]);
        result.try_recv().unwrap()
    }

    fn unsubscribe(&mut self, client_id: ClientId, text: &str) -> Result<(), RequestError> {
        let (reply, mut result) = oneshot::channel();
        self.apply_and_reply(vec![Command::Unsubscribe {
            client_id,
            filter: filter(text),
            answer: answer("unsubscribed"),
            reply,
        }]);
        result.try_recv().unwrap()
    }
}

/// A client in a list of them.
type Entry = (ClientId, Identity, Timestamp);

/// What a client is told, as it reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Heard {
    Answer(String),
    Came(ClientId, Identity),
    Went(ClientId, Identity, String),
    SubscriptionClosed(String),
    Clients(Vec<Entry>),
    /// It is to look again at what lets it be here. Comes before all else.
    Recheck,
}

impl Heard {
    fn answer(text: impl Into<String>) -> Self {
        Self::Answer(text.into())
    }

    fn of(line: &[u8]) -> Self {
        let identity = |text: &str| Identity::parse(text).unwrap();
        match ServerLine::parse(line).unwrap().event.unwrap() {
            ServerEvent::Pong(told) => Self::answer(told.reference.unwrap()),
            ServerEvent::ClientAuthenticated(told) => {
                Self::Came(told.client_id, identity(&told.identity))
            }
            ServerEvent::ClientDisconnected(told) => Self::Went(
                told.client_id,
                identity(&told.identity),
                told.reason.into_owned(),
            ),
            ServerEvent::SubscriptionClosed(told) => {
                Self::SubscriptionClosed(told.topic.into_owned())
            }
            ServerEvent::Clients(told) => {
                let entry = |entry: &ClientEntry<'_>| {
                    let since: DateTime<chrono::Utc> = entry.since.parse().unwrap();
                    (entry.client_id, identity(&entry.identity), since.into())
                };
                Self::Clients(told.clients.iter().map(entry).collect())
            }
            other => panic!("the registry says no such thing: {other:?}"),
        }
    }
}

/// Takes what was told to a client.
fn heard(outbox: &Outbox) -> Vec<Heard> {
    let (recheck, frames) = test_support::take(outbox);
    let mut heard = Vec::new();
    heard.extend(recheck.then_some(Heard::Recheck));
    let lines = frames
        .iter()
        .flat_map(|frame| frame.as_ref().split_inclusive(|b| *b == b'\n'));
    heard.extend(lines.map(|line| Heard::of(line.strip_suffix(b"\n").unwrap())));
    heard
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever is asked in whatever batches, the answers, the presence, the counts, the roster and
    /// the routes are those of the model, and nothing is left of who has gone.
    #[test]
    fn does_what_the_model_does(
        limits in model::any_limits(),
        batches in vec(vec(model::any_step(), 0..12), 0..25),
        drain in option::weighted(0.3, (any::<Index>(), any::<Index>())),
    ) {
        let mut batches = batches;
        if let Some((batch, place)) = drain
            && !batches.is_empty()
        {
            let at = batch.index(batches.len());
            let steps = &mut batches[at];
            steps.insert(place.index(steps.len() + 1), model::Step::Drain);
        }
        let mut model = model::Model::new(limits);
        for batch in &batches {
            model.run_batch(batch);
        }
        model.end();
    }
}
