//! What is said on a connection: every line of a client, in every state, has its answer here.
//!
//! Knows no sockets, keeps no timers and never waits. Lines go in, answers go to the client's
//! outbox, and a line that ends the conversation says how. An answer that takes time is outstanding
//! until [`answered`](Conversation::answered) brings it.

mod authentication;
mod departure;
mod end;
mod errors;
mod pending;
mod stage;

use std::{borrow::Cow, net::SocketAddr, ops::ControlFlow, sync::Arc, time::SystemTime};

use rustls::pki_types::CertificateDer;
use tokio::time::Instant;

use super::{
    ConnectionSettings,
    audit::{Audit, Who},
    credentials::{CredentialStatus, CredentialsInvalid},
    limits::SharedRateLimiter,
};
pub(super) use end::{ConnectionEnd, closing_event};
use stage::{Leaving, Stage};

use crate::{
    access::ClientLimits,
    broker::{Admission, FollowingLines, Outbox, OutboxEntry, PendingAnswer, RequestError},
    identity::Identity,
    policy::Policy,
    protocol::{
        ClientEvent, ClientId, CloseReason, Code, CodedError, EventName, LineTooLong, OnlyRef,
        PROTOCOL_VERSION, ServerEvent, ServerId, Timestamp,
        client_event::{Phase, decode},
        server_event::{ConnectionAccepted, Empty, Help, ServerName, encode},
    },
};

/// Bytes of a line before authentication: enough for a token, too little to fill memory with.
pub(super) const UNAUTHENTICATED_LINE_BYTES_MAX: usize = 4 * 1024;

/// Bytes that a client is answered before it authenticates. A script that does its part needs a
/// fraction of it; a peer that only makes the server talk gets no more.
const UNAUTHENTICATED_ANSWER_BYTES_MAX: usize = 16 * 1024;

/// One client and what it may say.
#[derive(Debug)]
pub(super) struct Conversation {
    client_id: ClientId,
    identity: Identity,
    address: SocketAddr,
    server_id: ServerId,
    outbox: Arc<Outbox>,
    stage: Stage,
    credentials: CredentialStatus,
    line_bytes_max: usize,
    /// What holds where the access rules say nothing of it.
    default_limits: ClientLimits,
    rate_limiter: SharedRateLimiter,
    /// Whether `allowance` has a rate to keep to.
    has_rate: bool,
    audit: Arc<Audit>,
    /// How it ends once every outstanding answer has come.
    leaving: Option<Leaving>,
    answered_bytes: usize,
    not_authenticated: u8,
    already_authenticated: u8,
    long_lines: u8,
}

/// One who was let in.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) identity: Identity,
    pub(super) address: SocketAddr,
    pub(super) rate_limiter: SharedRateLimiter,
    pub(super) audit: Arc<Audit>,
}

/// What becomes of a line.
#[derive(Debug)]
enum Handled {
    /// It is carried out, and its answer is queued where it has one.
    Done,
    /// Its answer comes later.
    Pending(PendingAnswer),
    /// It ends the conversation.
    End(ConnectionEnd),
}

impl Conversation {
    /// Greets the client with `connection_accepted`.
    pub(super) fn begin(
        admission: Admission,
        credentials: CredentialStatus,
        Arrival {
            identity,
            address,
            rate_limiter,
            audit,
        }: Arrival,
        server_id: ServerId,
        outbox: Arc<Outbox>,
        settings: &ConnectionSettings,
    ) -> Self {
        let has_rate = rate_limiter.lock().has_rate();
        let mut conversation = Self {
            client_id: admission.client_id(),
            identity,
            address,
            server_id,
            outbox,
            stage: Stage::Admitted(admission),
            credentials,
            line_bytes_max: settings.line_bytes_max,
            default_limits: settings.client_limits,
            has_rate,
            rate_limiter,
            audit,
            leaving: None,
            answered_bytes: 0,
            not_authenticated: 0,
            already_authenticated: 0,
            long_lines: 0,
        };
        let greeting = ConnectionAccepted {
            client_id: conversation.client_id,
            identity: conversation.identity.as_str().to_owned().into(),
            protocol: PROTOCOL_VERSION,
            server: ServerName {
                name: env!("CARGO_PKG_NAME").into(),
                version: env!("CARGO_PKG_VERSION").into(),
            },
            token_required: conversation.credentials.needs_token(),
            limits: settings.as_told(),
        };
        conversation.answer(&ServerEvent::ConnectionAccepted(greeting));
        conversation
    }

    pub(super) const fn is_authenticated(&self) -> bool {
        matches!(self.stage, Stage::Authenticated(_))
    }

    /// Bytes that the next line may have.
    pub(super) fn line_bytes_max(&self) -> usize {
        if self.is_authenticated() {
            self.line_bytes_max
        } else {
            self.line_bytes_max.min(UNAUTHENTICATED_LINE_BYTES_MAX)
        }
    }

    /// Before the lines that came in one go.
    pub(super) fn begin_lines(&mut self) {
        if let Stage::Authenticated(session) = &mut self.stage {
            session.begin();
        }
    }

    /// After them: what was accepted goes out.
    pub(super) fn end_lines(&mut self) {
        if let Stage::Authenticated(session) = &mut self.stage {
            session.flush();
        }
    }

    /// See [`Session::receiver_catching_up`].
    pub(super) fn receiver_catching_up(&self) -> Option<Arc<Outbox>> {
        match &self.stage {
            Stage::Authenticated(session) => session.receiver_catching_up(),
            Stage::Admitted(_) | Stage::Authenticating(_) | Stage::Broken => None,
        }
    }

    /// When to [`review`](Self::review) though nobody asks for it.
    pub(super) const fn review_at(&self) -> Instant {
        self.credentials.review_at()
    }

    /// Judges the client again, by `policy` and as of `now`: why it can no longer be here, if so.
    pub(super) fn review(
        &mut self,
        policy: Arc<Policy>,
        chain: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<(), CredentialsInvalid> {
        self.credentials
            .review(policy, chain, &self.identity, now)?;
        self.take_limits();
        Ok(())
    }

    /// Until when the client publishes faster than it may; `None` when it does not.
    pub(super) fn over_rate_until(&self, now: Instant) -> Option<Instant> {
        // Who is not authenticated cannot publish, and has to be heard to become it.
        if self.has_rate && self.is_authenticated() {
            self.rate_limiter.lock().too_fast_until(now)
        } else {
            None
        }
    }

    /// Takes the limits as the rules have them now.
    fn take_limits(&mut self) {
        let Stage::Authenticated(session) = &self.stage else {
            return;
        };
        let limits = session.limits().or(&self.default_limits);
        let mut rate_limiter = self.rate_limiter.lock();
        rate_limiter.change(&limits, Instant::now());
        self.has_rate = rate_limiter.has_rate();
    }

    fn who(&self) -> Who<'_> {
        Who {
            client_id: self.client_id,
            identity: &self.identity,
            address: self.address,
        }
    }

    /// Takes one line, and answers it or leaves its answer outstanding. Only to be called while
    /// the conversation [takes lines](Self::takes_lines).
    pub(super) fn handle_line(
        &mut self,
        line: Result<&[u8], LineTooLong>,
    ) -> ControlFlow<ConnectionEnd> {
        match self.process(line) {
            ControlFlow::Break(end) => self.leave(end),
            ControlFlow::Continue(()) if self.answered_bytes > UNAUTHENTICATED_ANSWER_BYTES_MAX => {
                ControlFlow::Break(CloseReason::TooManyErrors.into())
            }
            ControlFlow::Continue(()) => ControlFlow::Continue(()),
        }
    }

    fn process(&mut self, line: Result<&[u8], LineTooLong>) -> ControlFlow<ConnectionEnd> {
        let Ok(line) = line else {
            return self.reject_long_line();
        };
        if line.is_empty() {
            return ControlFlow::Continue(());
        }
        let event = match decode(line, self.client_id, |name| self.check_state(name)) {
            Ok(event) => event,
            Err(error) => return self.reject(error),
        };
        let (name, reference) = (event.name(), event.reference().cloned());
        if name == EventName::Publish && self.has_rate {
            self.rate_limiter.lock().count_publish(line.len());
        }
        match self.dispatch(event) {
            Ok(Handled::Done) => ControlFlow::Continue(()),
            Ok(Handled::Pending(answer)) => {
                self.await_answer(answer);
                ControlFlow::Continue(())
            }
            Ok(Handled::End(end)) => ControlFlow::Break(end),
            Err(error) => {
                let error = self.request_failed(error, name, reference);
                self.reject(error)
            }
        }
    }

    /// Asks for a sign of life, after a time of silence.
    pub(super) fn ping(&mut self) {
        if let Stage::Authenticated(session) = &mut self.stage {
            session.rest();
        }
        self.begin_lines();
        self.tell(&ServerEvent::Ping(Empty {}));
    }

    /// What the client's state allows. Decided before the content is looked at.
    fn check_state(&self, name: EventName) -> Result<(), CodedError> {
        match (name.phase(), self.is_authenticated()) {
            (Phase::BeforeAuthentication, true) => Err(CodedError::new(
                Code::AlreadyAuthenticated,
                "this client is authenticated already",
            )),
            (Phase::AfterAuthentication, false) => Err(CodedError::new(
                Code::NotAuthenticated,
                r#"first send {"event":"request_authentication","id":"__"}"#,
            )),
            _ => Ok(()),
        }
    }

    fn dispatch(&mut self, event: ClientEvent<'_>) -> Result<Handled, RequestError> {
        let pending = match (event, &mut self.stage) {
            (ClientEvent::RequestAuthentication(request), _) => return self.authenticate(request),
            (ClientEvent::Publish(publish), Stage::Authenticated(session)) => {
                session.publish(publish)?;
                return Ok(Handled::Done);
            }
            // What a line behind these two means depends on whether they were carried out.
            (ClientEvent::Subscribe(subscribe), Stage::Authenticated(session)) => {
                let reference = own(&subscribe.reference);
                PendingAnswer::new(
                    EventName::Subscribe,
                    reference,
                    FollowingLines::Wait,
                    session.subscribe(subscribe),
                )
            }
            (ClientEvent::Unsubscribe(unsubscribe), Stage::Authenticated(session)) => {
                let reference = own(&unsubscribe.reference);
                PendingAnswer::new(
                    EventName::Unsubscribe,
                    reference,
                    FollowingLines::Wait,
                    session.unsubscribe(unsubscribe),
                )
            }
            // This one changes nothing.
            (ClientEvent::ListClients(bare), Stage::Authenticated(session)) => {
                let reference = own(&bare.reference);
                PendingAnswer::new(
                    EventName::ListClients,
                    reference,
                    FollowingLines::GoOn,
                    session.list_clients(bare.reference),
                )
            }
            (ClientEvent::Help(bare), _) => {
                self.answer(&ServerEvent::Help(Help::new(bare.reference)));
                return Ok(Handled::Done);
            }
            // It answers a ping itself, and is answered in turn only if the client asks for it.
            (ClientEvent::Pong(OnlyRef { reference: None }), _) => return Ok(Handled::Done),
            (ClientEvent::Ping(content) | ClientEvent::Pong(content), _) => {
                self.answer(&ServerEvent::Pong(content));
                return Ok(Handled::Done);
            }
            (ClientEvent::Disconnecting(bare), _) => {
                return Ok(Handled::End(ConnectionEnd::Closing {
                    reason: CloseReason::ClientDisconnecting,
                    cause: None,
                    reference: bare.reference.map(Cow::into_owned),
                }));
            }
            // `check_state` lets none of these through without a session.
            (_, Stage::Admitted(_) | Stage::Authenticating(_) | Stage::Broken) => {
                return Err(RequestError::lost_client().into());
            }
        };
        Ok(Handled::Pending(pending))
    }

    /// Answers a line, behind the answers that are outstanding.
    fn answer(&mut self, event: &ServerEvent<'_>) {
        match &mut self.stage {
            Stage::Authenticated(session) => session.answer(event),
            _ => self.tell(event),
        }
    }

    /// Tells this client alone something that does not wait for the answers outstanding.
    fn tell(&mut self, event: &ServerEvent<'_>) {
        if let Stage::Authenticated(session) = &mut self.stage {
            session.tell(event);
            return;
        }
        let line = encode(event, &self.server_id, Timestamp::now());
        self.answered_bytes += line.len();
        self.outbox.push(OutboxEntry::Answer(line));
    }
}

fn own(reference: &Option<Cow<'_, str>>) -> Option<String> {
    reference.as_deref().map(str::to_owned)
}

#[cfg(test)]
mod tests;
