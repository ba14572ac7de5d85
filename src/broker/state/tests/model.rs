//! A model of the state that is too simple to be wrong: what each step brings about.

mod checks;
mod reevaluation;
mod step;

use std::collections::{BTreeMap, BTreeSet};

use proptest::sample::Index;

pub(super) use self::step::{Step, any_limits, any_step};
use super::*;
use crate::{protocol::Code, topic::Topic};

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
    Reevaluated(
        oneshot::Receiver<crate::broker::Reevaluated>,
        usize,
        Vec<Lost>,
    ),
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
            assert!(self.world.table.route(&topic).recipients.is_empty());
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
        let count = |of: &dyn Fn(&Member) -> bool| self.members.values().filter(|m| of(m)).count();
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
        let alone = alone.map(|session| vec![(client_id, member.identity.clone(), session.since)]);
        member.tell(Heard::Clients(alone.unwrap_or(everyone)));
        self.expected.push(Expected::Done(received));
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
