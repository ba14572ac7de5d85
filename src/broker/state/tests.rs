//! The registry's state against a model of it that is too simple to be wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    task::{Context, Poll, Waker},
    time::Duration,
};

use chrono::DateTime;
use proptest::{collection::vec, option, prelude::*, sample::Index, sample::select};
use tokio::sync::{
    mpsc,
    oneshot::{self, error::TryRecvError},
};

use super::{subscriptions::Holding, *};
use crate::{
    broker::{Interrupt, OutboxLimits},
    protocol::{
        Frame, OnlyRef, ServerEvent, ServerId,
        server_event::{ClientEntry, ServerLine, encode},
    },
    topic::Topic,
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

const NO_LIMITS: Limits = Limits {
    connections: 0,
    connections_per_identity: 0,
    connections_per_address: 0,
    subscriptions_per_client: 0,
    subscriptions_per_identity: 0,
    subscriptions_total: 0,
    filter_shapes_per_identity: 0,
    presence: true,
};

fn identity(number: u8) -> Identity {
    Identity::parse(&format!("identity-{number}")).unwrap()
}

fn address(number: u8) -> SocketAddr {
    (Ipv4Addr::new(192, 0, 2, number), 4433).into()
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

fn outbox() -> Arc<Outbox> {
    Arc::new(Outbox::new(OutboxLimits {
        hard_bytes: usize::MAX,
        soft_bytes: usize::MAX,
        soft_time: Duration::MAX,
    }))
}

/// The time of batch number `batch`.
fn at(batch: usize) -> Timestamp {
    DateTime::from_timestamp(1_769_860_800 + i64::try_from(batch).unwrap(), 0)
        .unwrap()
        .into()
}

/// Rules, and in words too plain to be wrong what they come to for the clients of these tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rules {
    /// Everyone may do everything.
    Open,
    /// All but one are let in.
    WithoutIdentity0,
    /// Only what is below `a` can be subscribed to.
    BelowA,
    /// One neither sees nor is seen.
    HiddenIdentity1,
    /// From one, `a/b` is withheld.
    WithheldFromIdentity2,
}

impl Rules {
    const ALL: &[Self] = &[
        Self::Open,
        Self::WithoutIdentity0,
        Self::BelowA,
        Self::HiddenIdentity1,
        Self::WithheldFromIdentity2,
    ];

    fn parse(self) -> Arc<AccessRules> {
        let rule = |identities: &str, rights: &str| {
            format!("[[rule]]\nidentity = [{identities}]\n{rights}\n")
        };
        let everyone = rule(
            r#""*""#,
            r##"publish = ["#"]
subscribe = ["#"]"##,
        );
        let text = match self {
            Self::Open => everyone,
            Self::WithoutIdentity0 => rule(
                r#""identity-1", "identity-2", "identity-3""#,
                r##"subscribe = ["#"]"##,
            ),
            Self::BelowA => rule(r#""*""#, r##"subscribe = ["a/#"]"##),
            Self::HiddenIdentity1 => everyone + &rule(r#""identity-1""#, "presence = false"),
            Self::WithheldFromIdentity2 => {
                everyone + &rule(r#""identity-2""#, r#"deny_subscribe = ["a/b"]"#)
            }
        };
        Arc::new(AccessRules::parse("access.toml".as_ref(), text.as_bytes()).unwrap())
    }

    fn admit(self, who: &Identity) -> bool {
        !(self == Self::WithoutIdentity0 && who.as_str() == "identity-0")
    }

    fn show(self, who: &Identity) -> bool {
        self.admit(who) && !(self == Self::HiddenIdentity1 && who.as_str() == "identity-1")
    }

    /// For a topic, whether it may be received; for a filter, whether it may be subscribed to.
    fn allow(self, who: &Identity, text: &str) -> bool {
        let is_below_a = text == "a" || text.starts_with("a/");
        let is_withheld = who.as_str() == "identity-2" && text == "a/b";
        self.admit(who)
            && (self != Self::BelowA || is_below_a)
            && !(self == Self::WithheldFromIdentity2 && is_withheld)
    }
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
    let mut heard = Vec::new();
    let mut frames: Vec<Frame> = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    let mut take = || outbox.poll_take(&mut cx, &mut frames);
    loop {
        match take() {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(Interrupt::Recheck)) => heard.push(Heard::Recheck),
            Poll::Ready(Err(Interrupt::Closed(_))) | Poll::Pending => break,
        }
    }
    let lines = frames
        .iter()
        .flat_map(|frame| frame.as_ref().split_inclusive(|b| *b == b'\n'));
    heard.extend(lines.map(|line| Heard::of(line.strip_suffix(b"\n").unwrap())));
    heard
}

mod model {
    use super::*;

    /// What is asked for. An [`Index`] picks one of those who are there.
    #[derive(Clone, Debug)]
    pub(super) enum Step {
        Admit {
            identity: u8,
            address: u8,
        },
        /// One who no longer waits for the answer.
        AdmitAndLeave {
            identity: u8,
            address: u8,
        },
        Authenticate {
            who: Index,
            presence: bool,
        },
        Subscribe {
            who: Index,
            filter: &'static str,
        },
        Unsubscribe {
            who: Index,
            filter: &'static str,
        },
        ListClients {
            who: Index,
        },
        Reevaluate {
            rules: Rules,
        },
        Depart {
            who: Index,
            reason: CloseReason,
        },
        /// A departure of nobody, or of one who has gone.
        DepartUnknown {
            number: u8,
        },
        Drain,
    }

    pub(super) fn any_step() -> impl Strategy<Value = Step> {
        let who = any::<Index>;
        prop_oneof![
            20 => (0_u8..4, 0_u8..3)
                .prop_map(|(identity, address)| Step::Admit { identity, address }),
            2 => (0_u8..4, 0_u8..3)
                .prop_map(|(identity, address)| Step::AdmitAndLeave { identity, address }),
            20 => (who(), prop_oneof![4 => Just(true), 1 => Just(false)])
                .prop_map(|(who, presence)| Step::Authenticate { who, presence }),
            20 => (who(), select(FILTERS)).prop_map(|(who, filter)| Step::Subscribe { who, filter }),
            10 => (who(), select(FILTERS))
                .prop_map(|(who, filter)| Step::Unsubscribe { who, filter }),
            6 => who().prop_map(|who| Step::ListClients { who }),
            4 => select(Rules::ALL).prop_map(|rules| Step::Reevaluate { rules }),
            12 => (who(), select(REASONS)).prop_map(|(who, reason)| Step::Depart { who, reason }),
            2 => any::<u8>().prop_map(|number| Step::DepartUnknown { number }),
        ]
    }

    pub(super) fn any_limits() -> impl Strategy<Value = Limits> {
        (
            0_usize..12,
            0_usize..5,
            0_usize..6,
            (0_usize..5, 0_usize..8, 0_usize..16, 0_usize..5),
            prop_oneof![4 => Just(true), 1 => Just(false)],
        )
            .prop_map(
                |(connections, identity, address, subscriptions, presence)| Limits {
                    connections,
                    connections_per_identity: identity,
                    connections_per_address: address,
                    subscriptions_per_client: subscriptions.0,
                    subscriptions_per_identity: subscriptions.1,
                    subscriptions_total: subscriptions.2,
                    filter_shapes_per_identity: subscriptions.3,
                    presence,
                },
            )
    }

    struct Member {
        identity: Identity,
        address: SocketAddr,
        outbox: Arc<Outbox>,
        closed: bool,
        /// In this batch, in order.
        told: Vec<Heard>,
        /// Once the answer has come, and until it is reported.
        guard: Option<DisconnectGuard>,
        session: Option<Session>,
    }

    struct Session {
        since: Timestamp,
        presence: bool,
        filters: BTreeSet<&'static str>,
        /// Whether the others see it, and it sees them.
        shown: bool,
    }

    impl Member {
        fn tell(&mut self, heard: Heard) {
            if !self.closed {
                self.told.push(heard);
            }
        }

        /// Also where it is closed already.
        fn recheck(&mut self) {
            if self.told.first() != Some(&Heard::Recheck) {
                self.told.insert(0, Heard::Recheck);
            }
        }

        fn close(&mut self, reason: CloseReason) {
            self.closed = true;
            if reason.forfeits_queued() {
                self.told.retain(|heard| *heard == Heard::Recheck);
            }
        }
    }

    /// A subscription that a client loses; `None` for its place.
    type Lost = (ClientId, Option<TopicFilter>);

    /// An answer as it is expected, and where it will come.
    enum Expected {
        Admitted(oneshot::Receiver<Result<Admitted, RequestError>>, ClientId),
        AdmittedAndLeft(ClientId),
        Refused(oneshot::Receiver<Result<Admitted, RequestError>>, Code),
        RefusedAndLeft,
        Done(oneshot::Receiver<()>),
        Subscription(
            oneshot::Receiver<Result<(), RequestError>>,
            Result<(), Code>,
        ),
        Reevaluated(oneshot::Receiver<Reevaluated>, usize, Vec<Lost>),
    }

    pub(super) struct Model {
        world: World,
        limits: Limits,
        rules: Rules,
        draining: bool,
        last_id: u128,
        members: BTreeMap<ClientId, Member>,
        // Of the batch in hand.
        commands: Vec<Command>,
        expected: Vec<Expected>,
        routes_change: bool,
        /// Who went in it.
        gone: Vec<Member>,
        /// Departures in the queue after it.
        left_behind: Vec<(ClientId, CloseReason)>,
        /// Tables of earlier batches, with what they route.
        kept: Vec<(Arc<RoutingTable>, Vec<BTreeSet<ClientId>>)>,
    }

    impl Model {
        pub(super) fn new(limits: Limits) -> Self {
            Self {
                world: World::new(limits),
                limits,
                rules: Rules::Open,
                draining: false,
                last_id: 0,
                members: BTreeMap::new(),
                commands: Vec::new(),
                expected: Vec::new(),
                routes_change: false,
                gone: Vec::new(),
                left_behind: Vec::new(),
                kept: Vec::new(),
            }
        }

        pub(super) fn run_batch(&mut self, steps: &[Step]) {
            // Whoever left without waiting was reported meanwhile.
            for (client_id, reason) in std::mem::take(&mut self.left_behind) {
                self.depart(client_id, reason);
            }
            for step in steps {
                self.ask(step);
            }
            self.deliver();
            self.check();
        }

        pub(super) fn end(mut self) {
            self.run_batch(&[]);
            let departures: Vec<DisconnectGuard> = self
                .members
                .values_mut()
                .filter_map(|member| member.guard.take())
                .collect();
            departures
                .into_iter()
                .for_each(|guard| guard.report(CloseReason::ServerShuttingDown));
            self.left_behind = self.world.reported();
            self.run_batch(&[]);
            let state = &self.world.state;
            assert!(state.clients.is_empty());
            assert!(state.by_identity.is_empty());
            assert!(state.by_network.is_empty());
            assert!(state.unauthenticated.is_empty());
            assert!(state.roster.is_empty());
            assert!(state.audience.is_empty());
            for topic in TOPICS {
                let topic = Topic::parse(*topic).unwrap();
                assert!(self.world.table.route(&topic).is_empty());
            }
            assert_eq!(state.subscriptions.counts(), (0, &HashMap::new()));
            assert_eq!(
                self.world.commands.capacity(),
                QUEUE_LEN,
                "every permit came back"
            );
        }

        fn ask(&mut self, step: &Step) {
            match *step {
                Step::Admit { identity, address } => self.admit(identity, address, true),
                Step::AdmitAndLeave { identity, address } => self.admit(identity, address, false),
                Step::Authenticate { ref who, presence } => {
                    if let Some(client_id) = self.pick(who, |member| member.session.is_none()) {
                        self.authenticate(client_id, presence);
                    }
                }
                Step::Subscribe { ref who, filter } => {
                    if let Some(client_id) = self.pick(who, |_| true) {
                        self.subscribe(client_id, filter);
                    }
                }
                Step::Unsubscribe { ref who, filter } => {
                    if let Some(client_id) = self.pick(who, |_| true) {
                        self.unsubscribe(client_id, filter);
                    }
                }
                Step::ListClients { ref who } => {
                    if let Some(client_id) = self.pick(who, |_| true) {
                        self.list_clients(client_id);
                    }
                }
                Step::Reevaluate { rules } => self.reevaluate(rules),
                Step::Depart { ref who, reason } => {
                    if let Some(client_id) = self.pick(who, |_| true) {
                        let member = self.members.get_mut(&client_id).unwrap();
                        member.guard.take().unwrap().report(reason);
                        assert_eq!(self.world.reported(), [(client_id, reason)]);
                        self.depart(client_id, reason);
                    }
                }
                Step::DepartUnknown { number } => {
                    let gone = ClientId::from_number(number.into());
                    if !self.members.contains_key(&gone) && u128::from(number) <= self.last_id {
                        self.depart(gone, CloseReason::ConnectionLost);
                    }
                }
                Step::Drain => {
                    self.commands.push(Command::Drain);
                    self.draining = true;
                    for member in self.members.values_mut() {
                        member.close(CloseReason::ServerShuttingDown);
                    }
                }
            }
        }

        /// One who has its admission in hand, and so can ask for something.
        fn pick(&self, who: &Index, wanted: impl Fn(&Member) -> bool) -> Option<ClientId> {
            let there: Vec<ClientId> = self
                .members
                .iter()
                .filter(|(_, member)| member.guard.is_some() && wanted(member))
                .map(|(client_id, _)| *client_id)
                .collect();
            (!there.is_empty()).then(|| *who.get(&there))
        }

        fn admit(&mut self, who: u8, from: u8, waits: bool) {
            let (who, from, outbox) = (identity(who), address(from), outbox());
            let (reply, answer) = oneshot::channel();
            let answer = waits.then_some(answer);
            let candidate = self.world.candidate(who.clone(), from, Arc::clone(&outbox));
            self.commands.push(Command::Admit { candidate, reply });
            let reached = |limit: usize, held: usize| limit > 0 && held >= limit;
            let count =
                |of: &dyn Fn(&Member) -> bool| self.members.values().filter(|m| of(m)).count();
            let identity_is_full = reached(
                self.limits.connections_per_identity,
                count(&|m| m.identity == who),
            );
            let gives_way = self
                .members
                .iter()
                .find(|(_, m)| identity_is_full && m.identity == who && m.session.is_none())
                .map(|(client_id, _)| *client_id);
            let refusal = if !self.rules.admit(&who) {
                Some(Code::IdentityDenied)
            } else if self.draining {
                Some(Code::ServerDraining)
            } else if reached(self.limits.connections, count(&|_| true)) {
                Some(Code::ServerFull)
            } else if identity_is_full && gives_way.is_none() {
                Some(Code::TooManyConnections)
            } else if reached(
                self.limits.connections_per_address,
                count(&|m| m.address == from),
            ) {
                Some(Code::TooManyConnectionsFromAddress)
            } else {
                None
            };
            self.last_id += 1;
            if let Some(code) = refusal {
                self.expected.push(match answer {
                    Some(answer) => Expected::Refused(answer, code),
                    None => Expected::RefusedAndLeft,
                });
                return;
            }
            if let Some(oldest) = gives_way {
                self.push_out(oldest);
            }
            let client_id = ClientId::from_number(self.last_id);
            let member = Member {
                identity: who,
                address: from,
                outbox,
                closed: false,
                told: Vec::new(),
                guard: None,
                session: None,
            };
            self.members.insert(client_id, member);
            self.expected.push(match answer {
                Some(answer) => Expected::Admitted(answer, client_id),
                None => Expected::AdmittedAndLeft(client_id),
            });
        }

        /// Its place is another's at once, whenever it departs.
        fn push_out(&mut self, client_id: ClientId) {
            let reason = CloseReason::AuthenticationTimeout;
            let mut member = self.members.remove(&client_id).unwrap();
            member.close(reason);
            if let Some(guard) = member.guard.take() {
                guard.report(reason);
                assert_eq!(self.world.reported(), [(client_id, reason)]);
                self.commands.push(Command::Depart { client_id, reason });
            }
            self.gone.push(member);
        }

        fn authenticate(&mut self, client_id: ClientId, presence: bool) {
            let (reply, received) = oneshot::channel();
            self.commands.push(Command::Authenticate {
                client_id,
                presence,
                scope: None,
                welcome: answer(WELCOME),
                reply,
            });
            self.expected.push(Expected::Done(received));
            let member = self.members.get_mut(&client_id).unwrap();
            member.tell(Heard::answer(WELCOME));
            let shown = self.rules.show(&member.identity);
            member.session = Some(Session {
                since: at(self.world.batches),
                presence,
                shown,
                filters: BTreeSet::new(),
            });
            let came = Heard::Came(client_id, member.identity.clone());
            if shown {
                self.announce(client_id, &came);
            }
        }

        /// Tells all but one who see others.
        fn announce(&mut self, subject: ClientId, news: &Heard) {
            if !self.limits.presence {
                return;
            }
            for (client_id, member) in &mut self.members {
                let listens = |session: &Session| session.presence && session.shown;
                if *client_id != subject && member.session.as_ref().is_some_and(listens) {
                    member.tell(news.clone());
                }
            }
        }

        fn subscribe(&mut self, client_id: ClientId, text: &'static str) {
            let (reply, received) = oneshot::channel();
            let subscribed = format!("subscribed {text}");
            self.commands.push(Command::Subscribe {
                client_id,
                filter: filter(text),
                answer: answer(&subscribed),
                reply,
            });
            let is_full = self.is_full(client_id, text);
            let member = self.members.get_mut(&client_id).unwrap();
            let allowed = self.rules.allow(&member.identity, text);
            let result = match &mut member.session {
                None => Err(Code::InternalError),
                Some(_) if !allowed => Err(Code::SubscribeDenied),
                Some(session) if session.filters.contains(text) => Ok(()),
                Some(_) if is_full => Err(Code::TooManySubscriptions),
                Some(session) => {
                    session.filters.insert(text);
                    self.routes_change = true;
                    Ok(())
                }
            };
            if result.is_ok() {
                member.tell(Heard::Answer(subscribed));
            }
            self.expected.push(Expected::Subscription(received, result));
        }

        /// Whether a limit keeps the client from one more subscription.
        fn is_full(&self, client_id: ClientId, text: &str) -> bool {
            let own = &self.members[&client_id];
            let filters_of = |whose: &dyn Fn(&Member) -> bool| -> Vec<&str> {
                let members = self.members.values().filter(|member| whose(member));
                let sessions = members.filter_map(|member| member.session.as_ref());
                sessions
                    .flat_map(|session| &session.filters)
                    .copied()
                    .collect()
            };
            let of_client = filters_of(&|member| std::ptr::eq(member, own));
            let of_identity = filters_of(&|member| member.identity == own.identity);
            let of_all = filters_of(&|_| true);
            let shapes: BTreeSet<_> = of_identity.iter().filter_map(|text| shape(text)).collect();
            let is_new_shape = shape(text).is_some_and(|shape| !shapes.contains(&shape));
            let limits = &self.limits;
            let is_reached = |limit: usize, count: usize| limit > 0 && count == limit;
            is_reached(limits.subscriptions_per_client, of_client.len())
                || is_reached(limits.subscriptions_per_identity, of_identity.len())
                || is_reached(limits.subscriptions_total, of_all.len())
                || (is_new_shape && is_reached(limits.filter_shapes_per_identity, shapes.len()))
        }

        fn unsubscribe(&mut self, client_id: ClientId, text: &'static str) {
            let (reply, received) = oneshot::channel();
            let unsubscribed = format!("unsubscribed {text}");
            self.commands.push(Command::Unsubscribe {
                client_id,
                filter: filter(text),
                answer: answer(&unsubscribed),
                reply,
            });
            let member = self.members.get_mut(&client_id).unwrap();
            let result = match &mut member.session {
                None => Err(Code::InternalError),
                Some(session) => {
                    let held = session.filters.remove(text);
                    self.routes_change |= held;
                    held.then_some(()).ok_or(Code::NotSubscribed)
                }
            };
            if result.is_ok() {
                member.tell(Heard::Answer(unsubscribed));
            }
            self.expected.push(Expected::Subscription(received, result));
        }

        fn list_clients(&mut self, client_id: ClientId) {
            let (reply, received) = oneshot::channel();
            self.commands.push(Command::ListClients {
                client_id,
                reference: None,
                reply,
            });
            let everyone = self.roster();
            let member = self.members.get_mut(&client_id).unwrap();
            let is_alone = !self.rules.show(&member.identity);
            let alone = member.session.as_ref().filter(|_| is_alone);
            let alone =
                alone.map(|session| vec![(client_id, member.identity.clone(), session.since)]);
            member.tell(Heard::Clients(alone.unwrap_or(everyone)));
            self.expected.push(Expected::Done(received));
        }

        /// Those who are here are held to other rules.
        fn reevaluate(&mut self, rules: Rules) {
            let (reply, answer) = oneshot::channel();
            let access = rules.parse();
            self.commands.push(Command::Reevaluate { access, reply });
            self.rules = rules;
            self.routes_change = true;
            // They say who subscribes; who may have it is for the rules in force to say.
            self.kept.clear();
            let mut lost = Vec::new();
            let ids: Vec<ClientId> = self.members.keys().copied().collect();
            for client_id in &ids {
                self.reevaluate_one(*client_id, &mut lost);
            }
            for member in self.members.values_mut() {
                member.recheck();
            }
            self.expected
                .push(Expected::Reevaluated(answer, ids.len(), lost));
        }

        fn reevaluate_one(&mut self, client_id: ClientId, lost: &mut Vec<Lost>) {
            let rules = self.rules;
            let member = self.members.get_mut(&client_id).unwrap();
            let who = member.identity.clone();
            if !rules.admit(&who) {
                lost.push((client_id, None));
                member.close(CloseReason::PermissionWithdrawn);
                return;
            }
            let Some(session) = &mut member.session else {
                return;
            };
            let is_lost = |text: &&str| !rules.allow(&who, text);
            let ended: Vec<_> = session
                .filters
                .extract_if(.., |text| is_lost(&&**text))
                .collect();
            let was_shown = std::mem::replace(&mut session.shown, rules.show(&who));
            let is_shown = session.shown;
            for text in ended {
                lost.push((client_id, Some(filter(text))));
                member.tell(Heard::SubscriptionClosed(text.to_owned()));
            }
            match (was_shown, is_shown) {
                (false, true) => self.announce(client_id, &Heard::Came(client_id, who)),
                (true, false) => {
                    let word = "permission_withdrawn".to_owned();
                    self.announce(client_id, &Heard::Went(client_id, who, word));
                }
                _ => {}
            }
        }

        fn roster(&self) -> Vec<Entry> {
            let entry = |(client_id, member): (&ClientId, &Member)| {
                let session = member.session.as_ref().filter(|session| session.shown)?;
                Some((*client_id, member.identity.clone(), session.since))
            };
            self.members.iter().filter_map(entry).collect()
        }

        fn depart(&mut self, client_id: ClientId, reason: CloseReason) {
            self.commands.push(Command::Depart { client_id, reason });
            let Some(mut member) = self.members.remove(&client_id) else {
                return;
            };
            // Whatever it was told before this batch was taken.
            assert!(heard(&member.outbox).is_empty());
            member.close(reason);
            if let Some(session) = &member.session {
                let word = reason.code().as_str().to_owned();
                if session.shown {
                    let went = Heard::Went(client_id, member.identity.clone(), word);
                    self.announce(client_id, &went);
                }
                self.routes_change |= !session.filters.is_empty();
            }
            self.gone.push(member);
        }

        /// Applies the batch, and holds every answer against what was expected, in order.
        fn deliver(&mut self) {
            let generation = self.world.table.generation();
            let commands = std::mem::take(&mut self.commands);
            let replies = self.world.apply(commands);
            let changed = self.world.table.generation() != generation;
            assert_eq!(
                changed,
                std::mem::take(&mut self.routes_change),
                "a table is published when it changed"
            );
            let expected = std::mem::take(&mut self.expected);
            assert_eq!(replies.len(), expected.len());
            let mut left = Vec::new();
            for (reply, expected) in replies.into_iter().zip(expected) {
                match expected {
                    Expected::Admitted(mut received, client_id) => {
                        assert!(matches!(received.try_recv(), Err(TryRecvError::Empty)));
                        reply.send();
                        let admitted = received.try_recv().unwrap().unwrap();
                        assert_eq!(admitted.client_id, client_id);
                        match self.members.get_mut(&client_id) {
                            Some(member) => member.guard = Some(admitted.guard),
                            // It gave way in the same batch.
                            None => left.push((client_id, CloseReason::ConnectionLost)),
                        }
                    }
                    Expected::AdmittedAndLeft(client_id) => {
                        assert!(matches!(reply, Reply::Admit(_, Ok(_))));
                        reply.send();
                        left.push((client_id, CloseReason::ConnectionLost));
                    }
                    Expected::Refused(mut received, code) => {
                        assert!(matches!(received.try_recv(), Err(TryRecvError::Empty)));
                        reply.send();
                        assert_eq!(received.try_recv().unwrap().unwrap_err().code(), code);
                    }
                    Expected::RefusedAndLeft => {
                        assert!(matches!(reply, Reply::Admit(_, Err(_))));
                        reply.send();
                    }
                    Expected::Done(mut received) => {
                        assert_eq!(received.try_recv(), Err(TryRecvError::Empty));
                        reply.send();
                        assert_eq!(received.try_recv(), Ok(()));
                    }
                    Expected::Reevaluated(mut received, clients, lost) => {
                        reply.send();
                        let reevaluated = received.try_recv().unwrap();
                        assert_eq!(reevaluated.clients, clients);
                        let withdrawn = reevaluated.withdrawn.into_iter();
                        let withdrawn = withdrawn.map(|w| (w.client_id, w.subscription));
                        assert_eq!(sorted(withdrawn.collect()), sorted(lost));
                    }
                    Expected::Subscription(mut received, result) => {
                        assert_eq!(received.try_recv(), Err(TryRecvError::Empty));
                        reply.send();
                        assert_eq!(
                            received
                                .try_recv()
                                .unwrap()
                                .map_err(|refusal| refusal.code()),
                            result
                        );
                    }
                }
            }
            // An answer that nobody took departs its client again, once.
            let reported = self.world.reported();
            assert_eq!(reported, left);
            self.left_behind = reported;
        }

        fn check(&mut self) {
            self.check_told();
            self.check_counts();
            self.check_routes();
        }

        /// Each client is told what it is to be told, and in this order.
        fn check_told(&mut self) {
            for gone in self.gone.drain(..) {
                assert_eq!(heard(&gone.outbox), gone.told);
            }
            for member in self.members.values_mut() {
                assert_eq!(heard(&member.outbox), std::mem::take(&mut member.told));
            }
        }

        fn check_counts(&self) {
            let state = &self.world.state;
            let ids: BTreeSet<_> = state.clients.keys().copied().collect();
            assert!(ids.iter().eq(self.members.keys()));
            let (mut identities, mut networks) = (HashMap::new(), HashMap::new());
            for member in self.members.values() {
                *identities.entry(member.identity.clone()).or_default() += 1;
                *networks.entry(member.address.ip().into()).or_default() += 1;
            }
            assert_eq!(state.by_identity, identities);
            assert_eq!(state.by_network, networks);
            let not_in = self.members.iter().filter(|(_, m)| m.session.is_none());
            let not_in = not_in.map(|(client_id, m)| (m.identity.clone(), *client_id));
            assert_eq!(state.unauthenticated, not_in.collect());
            let (mut total, mut holdings) = (0, HashMap::<_, Holding>::new());
            for member in self.members.values() {
                for text in member.session.iter().flat_map(|session| &session.filters) {
                    total += 1;
                    let holding = holdings.entry(member.identity.clone()).or_default();
                    holding.subscriptions += 1;
                    if let Some(shape) = filter(text).shape() {
                        *holding.by_shape.entry(shape).or_default() += 1;
                    }
                }
            }
            assert_eq!(state.subscriptions.counts(), (total, &holdings));
            let roster: Vec<_> = state
                .roster
                .iter()
                .map(|(id, member)| (*id, member.identity.clone(), member.since))
                .collect();
            assert_eq!(roster, self.roster());
            // Each holds the place of its departure, those in the queue included, and nobody else.
            let left_behind = self.left_behind.iter();
            let in_queue = left_behind
                .filter(|(client_id, _)| self.members.contains_key(client_id))
                .count();
            let held = self
                .members
                .values()
                .filter(|member| member.guard.is_some())
                .count();
            assert_eq!(held + in_queue, self.members.len());
            assert_eq!(self.world.commands.capacity(), QUEUE_LEN - held);
        }

        fn check_routes(&mut self) {
            let expected: Vec<BTreeSet<ClientId>> = TOPICS
                .iter()
                .map(|topic| {
                    let matches = |filter: &&str| naive_match(filter, topic);
                    let receives = |member: &Member| {
                        let session = member.session.as_ref();
                        session.is_some_and(|session| session.filters.iter().any(matches))
                            && self.rules.allow(&member.identity, topic)
                    };
                    let receivers = self.members.iter().filter(|(_, member)| receives(member));
                    receivers.map(|(client_id, _)| *client_id).collect()
                })
                .collect();
            self.kept.push((Arc::clone(&self.world.table), expected));
            // What was published once never changes again.
            for (table, expected) in &self.kept {
                for (topic, expected) in TOPICS.iter().zip(expected) {
                    let routed = table.route(&Topic::parse(*topic).unwrap());
                    let distinct: BTreeSet<_> =
                        routed.iter().map(|receiver| receiver.client_id).collect();
                    assert_eq!(distinct.len(), routed.len(), "each receives once");
                    assert_eq!(&distinct, expected, "{topic}");
                }
            }
            for receiver in TOPICS
                .iter()
                .flat_map(|topic| self.world.table.route(&Topic::parse(*topic).unwrap()))
            {
                let member = &self.members[&receiver.client_id];
                assert!(Arc::ptr_eq(&member.outbox, &receiver.outbox));
            }
            if self.kept.len() > 3 {
                self.kept.remove(1);
            }
        }
    }

    fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
        items.sort();
        items
    }

    /// The filter with its wildcards alone, if it has any.
    fn shape(filter: &str) -> Option<Vec<&str>> {
        let blank = |level| {
            if matches!(level, "+" | "#") {
                level
            } else {
                ""
            }
        };
        let shape: Vec<_> = filter.split('/').map(blank).collect();
        shape.iter().any(|level| !level.is_empty()).then_some(shape)
    }

    /// The rule of `docs/events.md`, level by level.
    fn naive_match(filter: &str, topic: &str) -> bool {
        fn levels(filter: &[&str], topic: &[&str]) -> bool {
            match (filter, topic) {
                (["#"], _) | ([], []) => true,
                (["+", filter @ ..], [_, topic @ ..]) => levels(filter, topic),
                ([f, filter @ ..], [t, topic @ ..]) => f == t && levels(filter, topic),
                _ => false,
            }
        }
        if topic.starts_with('$') && filter.starts_with(['+', '#']) {
            return false;
        }
        let filter: Vec<_> = filter.split('/').collect();
        let topic: Vec<_> = topic.split('/').collect();
        levels(&filter, &topic)
    }
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

#[test]
fn the_same_rules_again_summon_everyone_and_change_nothing() {
    let mut world = World::new(NO_LIMITS);
    let client = world.session(1);
    let generation = world.table.generation();
    let (reply, mut answer) = oneshot::channel();
    let access = Arc::clone(&world.state.access);
    world.apply_and_reply(vec![Command::Reevaluate { access, reply }]);
    assert_eq!(answer.try_recv().unwrap().clients, 1);
    assert_eq!(world.table.generation(), generation);
    let told = heard(client.handle.outbox());
    assert_eq!(told, [Heard::Recheck, Heard::answer(WELCOME)]);
}

#[test]
fn every_limit_has_its_code_and_frees_what_departs() {
    let cases: [(Limits, Code, (u8, u8)); 3] = [
        (
            Limits {
                connections: 2,
                ..NO_LIMITS
            },
            Code::ServerFull,
            (9, 9),
        ),
        (
            Limits {
                connections_per_identity: 2,
                ..NO_LIMITS
            },
            Code::TooManyConnections,
            (1, 9),
        ),
        (
            Limits {
                connections_per_address: 2,
                ..NO_LIMITS
            },
            Code::TooManyConnectionsFromAddress,
            (9, 1),
        ),
    ];
    for (limits, code, (who, from)) in cases {
        let mut world = World::new(limits);
        let (first, _second) = (world.session(1), world.session(1));
        assert_eq!(world.admit(who, from).unwrap_err().code(), code);
        let client_id = first.client_id;
        drop(first);
        let reason = CloseReason::ConnectionLost;
        assert_eq!(world.reported(), [(client_id, reason)]);
        world.apply_and_reply(vec![Command::Depart { client_id, reason }]);
        world.admit(who, from).unwrap();
    }
}

/// Whoever has a certificate and not its token does not keep the owner out.
#[test]
fn the_oldest_that_is_not_authenticated_gives_way_to_its_identity_s_next() {
    let mut world = World::new(Limits {
        connections_per_identity: 3,
        ..NO_LIMITS
    });
    let _session = world.session(1);
    let (oldest, other) = (world.admit(1, 1).unwrap(), world.admit(1, 1).unwrap());
    let _of_another = world.admit(2, 1).unwrap();
    let closed = |admitted: &Admitted| {
        let mut cx = Context::from_waker(Waker::noop());
        admitted.handle.outbox().poll_interrupt(&mut cx)
    };
    let _next = world.session(1);
    let reason = CloseReason::AuthenticationTimeout;
    assert_eq!(closed(&oldest), Poll::Ready(Interrupt::Closed(reason)));
    assert_eq!(closed(&other), Poll::Pending);
    // It is too late for the one that has given way.
    let (reply, mut answer) = oneshot::channel();
    world.apply_and_reply(vec![Command::Authenticate {
        client_id: oldest.client_id,
        presence: true,
        scope: None,
        welcome: self::answer(WELCOME),
        reply,
    }]);
    assert_eq!(answer.try_recv(), Err(TryRecvError::Closed));
    let _last = world.session(1);
    assert_eq!(closed(&other), Poll::Ready(Interrupt::Closed(reason)));
    // Those that are authenticated stay.
    let code = world.admit(1, 1).unwrap_err().code();
    assert_eq!(code, Code::TooManyConnections);
}

#[test]
fn an_identity_and_all_hold_as_many_subscriptions_as_they_may() {
    let mut world = World::new(Limits {
        subscriptions_per_identity: 2,
        subscriptions_total: 3,
        ..NO_LIMITS
    });
    let [first, second, other] = [1, 1, 2].map(|who| world.session(who));
    let mut refused = |client: &Admitted, text| {
        let refusal = world.subscribe(client.client_id, text).err()?;
        assert_eq!(refusal.code(), Code::TooManySubscriptions);
        Some(CodedError::from(refusal).reason.into_owned())
    };
    assert_eq!(refused(&first, "a"), None);
    assert_eq!(refused(&second, "a"), None);
    let of_identity = Some("this identity holds its 2 subscriptions".to_owned());
    assert_eq!(refused(&second, "b"), of_identity);
    // What a client has already is no more.
    assert_eq!(refused(&second, "a"), None);
    assert_eq!(refused(&other, "b"), None);
    let of_all = Some("the server holds its 3 subscriptions".to_owned());
    assert_eq!(refused(&other, "c"), of_all);
    let reason = CloseReason::ConnectionLost;
    let client_id = first.client_id;
    world.apply_and_reply(vec![Command::Depart { client_id, reason }]);
    world.subscribe(second.client_id, "b").unwrap();
    world.unsubscribe(second.client_id, "a").unwrap();
    world.subscribe(other.client_id, "c").unwrap();
}

#[test]
fn an_identity_s_filters_have_as_many_shapes_as_they_may() {
    let mut world = World::new(Limits {
        filter_shapes_per_identity: 2,
        ..NO_LIMITS
    });
    let [first, second, other] = [1, 1, 2].map(|who| world.session(who).client_id);
    world.subscribe(first, "a/+").unwrap();
    world.subscribe(first, "a/#").unwrap();
    for (client_id, text) in [(first, "+/a"), (second, "+"), (second, "a/b/#")] {
        let refusal = world.subscribe(client_id, text).unwrap_err();
        assert_eq!(refusal.code(), Code::TooManySubscriptions, "{text}");
    }
    // Others of the same shapes, and all without a wildcard.
    for text in ["b/+", "b/#", "a", "a/b", "a/b/c"] {
        world.subscribe(second, text).unwrap();
    }
    world.subscribe(other, "+/a").unwrap();
    // A shape is free again with the last filter that has it.
    world.unsubscribe(first, "a/+").unwrap();
    world.subscribe(first, "+/a").unwrap_err();
    world.unsubscribe(second, "b/+").unwrap();
    world.subscribe(first, "+/a").unwrap();
}

#[test]
fn an_ipv6_network_counts_as_one_address() {
    let mut world = World::new(Limits {
        connections_per_address: 1,
        ..NO_LIMITS
    });
    let mut admit = |address: &str| {
        let (reply, answer) = oneshot::channel();
        let candidate = world.candidate(identity(1), address.parse().unwrap(), outbox());
        world.apply_and_reply(vec![Command::Admit { candidate, reply }]);
        let admitted = answer.blocking_recv().unwrap();
        admitted.map_err(|refusal| refusal.code())
    };
    let first = admit("[2001:db8::1]:1");
    let same = admit("[2001:db8::ffff:2]:1");
    let other = admit("[2001:db8:0:1::1]:1");
    assert!(first.is_ok() && other.is_ok());
    assert_eq!(same.unwrap_err(), Code::TooManyConnectionsFromAddress);
}

#[test]
fn a_client_holds_as_many_subscriptions_as_it_may() {
    let mut world = World::new(Limits {
        subscriptions_per_client: 2,
        ..NO_LIMITS
    });
    let client_id = world.session(1).client_id;
    assert_eq!(
        world.unsubscribe(client_id, "a").unwrap_err().code(),
        Code::NotSubscribed
    );
    world.subscribe(client_id, "a").unwrap();
    world.subscribe(client_id, "a/#").unwrap();
    assert_eq!(
        world.subscribe(client_id, "b").unwrap_err().code(),
        Code::TooManySubscriptions
    );
    world.subscribe(client_id, "a").unwrap();
    assert_eq!(
        world.unsubscribe(client_id, "a/+").unwrap_err().code(),
        Code::NotSubscribed
    );
    world.unsubscribe(client_id, "a").unwrap();
    assert_eq!(
        world.unsubscribe(client_id, "a").unwrap_err().code(),
        Code::NotSubscribed
    );
    world.subscribe(client_id, "b").unwrap();
    // Another client's are its own.
    let other = world.session(2).client_id;
    assert_eq!(
        world.unsubscribe(other, "b").unwrap_err().code(),
        Code::NotSubscribed
    );
    world.subscribe(other, "c").unwrap();
}

#[test]
fn who_comes_in_a_batch_hears_what_follows_in_it() {
    let mut world = World::new(NO_LIMITS);
    let outboxes = [outbox(), outbox(), outbox()];
    let (mut ids, mut departures) = (Vec::new(), Vec::new());
    for (who, outbox) in (1..).zip(&outboxes) {
        let (reply, mut answer) = oneshot::channel();
        let candidate = world.candidate(identity(who), address(1), Arc::clone(outbox));
        world.apply_and_reply(vec![Command::Admit { candidate, reply }]);
        let admitted = answer.try_recv().unwrap().unwrap();
        ids.push(admitted.client_id);
        departures.push(admitted.guard);
    }
    let authenticate = |client_id| {
        let (reply, _) = oneshot::channel();
        Command::Authenticate {
            client_id,
            presence: true,
            scope: None,
            welcome: answer(WELCOME),
            reply,
        }
    };
    let reason = CloseReason::KeepaliveTimeout;
    world.apply_and_reply(vec![
        authenticate(ids[0]),
        authenticate(ids[1]),
        Command::Depart {
            client_id: ids[0],
            reason,
        },
        authenticate(ids[2]),
    ]);
    let id = |number: u8| ids[usize::from(number) - 1];
    let came = |number| Heard::Came(id(number), identity(number));
    let went = Heard::Went(ids[0], identity(1), reason.code().as_str().to_owned());
    let welcome = || Heard::answer(WELCOME);
    assert_eq!(heard(&outboxes[0]), [welcome(), came(2)]);
    assert_eq!(heard(&outboxes[1]), [welcome(), went, came(3)]);
    assert_eq!(heard(&outboxes[2]), [welcome()]);
}

/// A client that ignored the end of a subscription that it does not have yet would believe in it for
/// ever.
#[test]
fn a_subscription_ends_after_it_began_though_both_come_in_one_batch() {
    let mut world = World::new(NO_LIMITS);
    let client = world.session(1);
    let outbox = client.handle.outbox();
    assert_eq!(heard(outbox), [Heard::answer(WELCOME)]);
    let (reply, mut subscribed) = oneshot::channel();
    let subscribe = Command::Subscribe {
        client_id: client.client_id,
        filter: filter("b"),
        answer: answer("subscribed b"),
        reply,
    };
    let (reply, _) = oneshot::channel();
    let access = Rules::BelowA.parse();
    world.apply_and_reply(vec![subscribe, Command::Reevaluate { access, reply }]);
    assert_eq!(
        subscribed
            .try_recv()
            .unwrap()
            .map_err(|refusal| refusal.code()),
        Ok(())
    );
    assert_eq!(
        heard(outbox),
        [
            Heard::Recheck,
            Heard::answer("subscribed b"),
            Heard::SubscriptionClosed("b".to_owned()),
        ]
    );
}

#[test]
fn a_departure_is_reported_once_with_its_reason() {
    let mut world = World::new(NO_LIMITS);
    let mut guard = || {
        let admitted = world.admit(1, 1).unwrap();
        (admitted.client_id, admitted.guard)
    };
    let (reported, dropped, unwound) = (guard(), guard(), guard());
    reported.1.report(CloseReason::ClientDisconnecting);
    drop(dropped.1);
    let guard = unwound.1;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let _guard = guard;
        // As a panic, without its message.
        resume_unwind(Box::new("a fault"))
    }));
    assert!(outcome.is_err());
    assert_eq!(
        world.reported(),
        [
            (reported.0, CloseReason::ClientDisconnecting),
            (dropped.0, CloseReason::ConnectionLost),
            (unwound.0, CloseReason::InternalError),
        ]
    );
    assert_eq!(world.commands.capacity(), QUEUE_LEN);
}

#[test]
fn an_admission_that_nobody_waits_for_departs_at_once() {
    let mut world = World::new(NO_LIMITS);
    let (reply, answer) = oneshot::channel();
    let candidate = world.candidate(identity(1), address(1), outbox());
    let replies = world.apply(vec![Command::Admit { candidate, reply }]);
    assert!(world.reported().is_empty());
    drop(answer);
    replies.into_iter().for_each(Reply::send);
    let [departed] = world.reported().try_into().unwrap();
    assert_eq!(departed.1, CloseReason::ConnectionLost);
    assert!(world.state.clients.contains_key(&departed.0));
}

/// The registry itself may end before its clients do.
#[test]
fn a_departure_that_nobody_hears_of_is_no_fault() {
    let mut world = World::new(NO_LIMITS);
    let admitted = world.admit(1, 1).unwrap();
    drop(world);
    drop(admitted);
}
