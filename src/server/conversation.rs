//! What is said on a connection: every line of a client in every state has its answer here.
//!
//! Knows no sockets and keeps no timers. Lines go in, answers go to the client's outbox, and a line that
//! ends the conversation says how.

use std::{borrow::Cow, io, mem, net::SocketAddr, ops::ControlFlow, sync::Arc, time::SystemTime};

use rustls::pki_types::CertificateDer;
use tokio::time::Instant;
use tracing::debug;

use super::{
    ConnectionSettings,
    audit::{Audit, Who},
    credentials::{CredentialStatus, CredentialsInvalid},
    limits::SharedRateLimiter,
};
use crate::{
    access::ClientLimits,
    broker::{Admission, Outbox, RequestError, Session},
    identity::Identity,
    policy::Policy,
    protocol::{
        ClientEvent, ClientId, CloseReason, Code, CodedError, EventName, LineTooLong, OnlyRef,
        PROTOCOL_VERSION, ServerEvent, ServerId, Timestamp,
        client_event::{LineError, Phase, RequestAuthentication, Token, decode},
        server_event::{
            AuthenticationAccepted, ConnectionAccepted, Empty, Help, Refused, ServerName, encode,
        },
    },
};

/// Bytes of a line before authentication: enough for a token, too little to fill memory with.
pub(super) const UNAUTHENTICATED_LINE_BYTES_MAX: usize = 4 * 1024;

/// Bytes that a client is answered before it authenticates. A script that does its part needs a
/// fraction of it; a peer that only makes the server talk gets no more.
const UNAUTHENTICATED_ANSWER_BYTES_MAX: usize = 16 * 1024;

/// How often a client may ask for what its state does not allow, before the connection closes.
const STATE_ERRORS_MAX: u8 = 3;

/// How often a line may be too long, before the connection closes.
const LONG_LINES_MAX: u8 = 2;

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

#[derive(Debug)]
enum Stage {
    Admitted(Admission),
    Authenticated(Session),
    /// The registry ended while it was asked for a session, or the client has given way by then.
    Broken,
}

/// How a conversation ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ConnectionEnd {
    /// It closes, which the others are told of where they were told of its beginning.
    Closing {
        reason: CloseReason,
        /// The reason in full, for the log alone.
        cause: Option<String>,
        /// The `ref` of the `disconnecting` that asked for it.
        reference: Option<String>,
    },
    /// It is not authenticated, and so has never begun for the others.
    NotAuthenticated {
        fault: CodedError,
        /// The `ref` of the `request_authentication`.
        reference: Option<String>,
    },
}

impl From<CloseReason> for ConnectionEnd {
    fn from(reason: CloseReason) -> Self {
        Self::Closing {
            reason,
            cause: None,
            reference: None,
        }
    }
}

impl From<CredentialsInvalid> for ConnectionEnd {
    fn from(CredentialsInvalid { reason, cause }: CredentialsInvalid) -> Self {
        Self::Closing {
            reason,
            cause: Some(cause),
            reference: None,
        }
    }
}

impl ConnectionEnd {
    pub(super) fn is_for(&self, wanted: CloseReason) -> bool {
        matches!(self, Self::Closing { reason, .. } if *reason == wanted)
    }

    /// See [`CloseReason::forfeits_queued`].
    pub(super) fn forfeits_queued(&self) -> bool {
        matches!(self, Self::Closing { reason, .. } if reason.forfeits_queued())
    }
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
            Stage::Admitted(_) | Stage::Broken => None,
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

    /// Takes one line and answers it.
    pub(super) async fn handle_line(
        &mut self,
        line: Result<&[u8], LineTooLong>,
    ) -> ControlFlow<ConnectionEnd> {
        let flow = self.process(line).await;
        if flow.is_continue() && self.answered_bytes > UNAUTHENTICATED_ANSWER_BYTES_MAX {
            return ControlFlow::Break(CloseReason::TooManyErrors.into());
        }
        flow
    }

    async fn process(&mut self, line: Result<&[u8], LineTooLong>) -> ControlFlow<ConnectionEnd> {
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
        match self.dispatch(event).await {
            Ok(flow) => flow,
            Err(refusal) => {
                if let RequestError::Denied(denial) = &refusal {
                    self.audit.denied(self.who(), denial);
                }
                self.reject(LineError {
                    cause: refusal.into(),
                    event: Some(name.as_str().into()),
                    reference,
                })
            }
        }
    }

    /// Asks for a sign of life, after a time of silence.
    pub(super) fn ping(&mut self) {
        if let Stage::Authenticated(session) = &mut self.stage {
            session.rest();
        }
        self.begin_lines();
        self.answer(&ServerEvent::Ping(Empty {}));
    }

    /// How the stream ended, where no farewell says more.
    pub(super) fn note_end(&self, end: &io::Result<()>) {
        debug!(
            client_id = %self.client_id, identity = self.identity.as_str(), address = %self.address,
            ?end, "the stream ended"
        );
    }

    /// Reports the departure to the others.
    pub(super) fn depart(self, end: &ConnectionEnd) {
        let ConnectionEnd::Closing { reason, cause, .. } = end else {
            // Nobody was told of its coming.
            return;
        };
        let reason = *reason;
        let is_for_audit = match reason {
            CloseReason::CertificateRevoked
            | CloseReason::CertificateExpired
            | CloseReason::TokenExpired
            | CloseReason::TooManyErrors => true,
            // What the rules withdrew is told where the rules were taken.
            CloseReason::PermissionWithdrawn => cause.is_some(),
            _ => false,
        };
        if is_for_audit {
            self.audit.closed(self.who(), reason, cause.as_deref());
        } else {
            self.audit.gone(self.who(), reason);
        }
        match self.stage {
            Stage::Admitted(admission) => admission.depart(reason),
            Stage::Authenticated(session) => session.depart(reason),
            Stage::Broken => {}
        }
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

    async fn dispatch(
        &mut self,
        event: ClientEvent<'_>,
    ) -> Result<ControlFlow<ConnectionEnd>, RequestError> {
        match (event, &mut self.stage) {
            (ClientEvent::RequestAuthentication(request), _) => {
                return self.authenticate(request).await;
            }
            (ClientEvent::Publish(publish), Stage::Authenticated(session)) => {
                session.publish(publish)?;
            }
            (ClientEvent::Subscribe(subscribe), Stage::Authenticated(session)) => {
                session.subscribe(subscribe).await?;
            }
            (ClientEvent::Unsubscribe(unsubscribe), Stage::Authenticated(session)) => {
                session.unsubscribe(unsubscribe).await?;
            }
            (ClientEvent::ListClients(bare), Stage::Authenticated(session)) => {
                session.list_clients(bare.reference).await?;
            }
            (ClientEvent::Help(bare), _) => {
                self.answer(&ServerEvent::Help(Help::new(bare.reference)));
            }
            // It answers a ping itself, and is answered in turn only where the client asks for it.
            (ClientEvent::Pong(OnlyRef { reference: None }), _) => {}
            (ClientEvent::Ping(content) | ClientEvent::Pong(content), _) => {
                self.answer(&ServerEvent::Pong(content));
            }
            (ClientEvent::Disconnecting(bare), _) => {
                return Ok(ControlFlow::Break(ConnectionEnd::Closing {
                    reason: CloseReason::ClientDisconnecting,
                    cause: None,
                    reference: bare.reference.map(Cow::into_owned),
                }));
            }
            // `check_state` lets none of these through without a session.
            (_, Stage::Admitted(_) | Stage::Broken) => {
                return Err(lost_client().into());
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    async fn authenticate(
        &mut self,
        request: RequestAuthentication<'_>,
    ) -> Result<ControlFlow<ConnectionEnd>, RequestError> {
        let RequestAuthentication {
            token,
            presence,
            reference,
        } = request;
        let token = token.as_ref().map(Token::secret);
        let now = SystemTime::now();
        let scope = match self.credentials.verify(token, &self.identity, now) {
            Ok(scope) => scope,
            Err(fault) => {
                self.audit.authentication_refused(self.who(), &fault);
                return Ok(ControlFlow::Break(ConnectionEnd::NotAuthenticated {
                    fault: fault.into(),
                    reference: reference.map(Cow::into_owned),
                }));
            }
        };
        let Stage::Admitted(admission) = mem::replace(&mut self.stage, Stage::Broken) else {
            return Err(lost_client().into());
        };
        let accepted = AuthenticationAccepted {
            client_id: self.client_id,
            identity: self.identity.as_str().into(),
            reference,
        };
        let welcome = encode(
            &ServerEvent::AuthenticationAccepted(accepted),
            &self.server_id,
            Timestamp::now(),
        );
        let session = admission.authenticate(presence, scope, welcome).await?;
        self.stage = Stage::Authenticated(session);
        self.take_limits();
        self.audit.authenticated(self.who());
        Ok(ControlFlow::Continue(()))
    }

    /// The client has ended the stream in order, within a line: it is not carried out, and it is told.
    pub(super) fn reject_unfinished_line(&mut self) {
        let reason = "the stream ended before the line did: it needs a line feed at its end";
        self.begin_lines();
        // Whether it was an error too many changes nothing any more.
        let _ = self.reject(CodedError::new(Code::MalformedEvent, reason).into());
    }

    fn reject_long_line(&mut self) -> ControlFlow<ConnectionEnd> {
        let reason = format!("a line may have {} bytes", self.line_bytes_max());
        self.reject(CodedError::new(Code::LineTooLong, reason).into())
    }

    fn reject(&mut self, error: LineError<'_>) -> ControlFlow<ConnectionEnd> {
        let code = error.cause.code;
        debug!(
            client_id = %self.client_id, identity = self.identity.as_str(), address = %self.address,
            %code, reason = &*error.cause.reason, "refused a line"
        );
        self.answer(&ServerEvent::Error(error.into()));
        // A certificate without its token is not to use up what is the identity's. Before
        // authentication the answers of each connection are bounded, and so are its errors.
        if self.is_authenticated() && self.rate_limiter.lock().count_error(Instant::now()) {
            return ControlFlow::Break(CloseReason::TooManyErrors.into());
        }
        let (count, limit) = match code {
            Code::NotAuthenticated => (&mut self.not_authenticated, STATE_ERRORS_MAX),
            Code::AlreadyAuthenticated => (&mut self.already_authenticated, STATE_ERRORS_MAX),
            Code::LineTooLong => (&mut self.long_lines, LONG_LINES_MAX),
            _ => return ControlFlow::Continue(()),
        };
        *count += 1;
        if *count < limit {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(CloseReason::TooManyErrors.into())
    }

    /// Says something to this client alone.
    fn answer(&mut self, event: &ServerEvent<'_>) {
        if let Stage::Authenticated(session) = &mut self.stage {
            session.answer(event);
            return;
        }
        let line = encode(event, &self.server_id, Timestamp::now());
        self.answered_bytes += line.len();
        self.outbox.push(line);
    }
}

fn lost_client() -> CodedError {
    CodedError::new(Code::InternalError, "the server has lost this client")
}

/// The last line that a client is told, where the way its connection ends lets it be told any.
pub(super) fn closing_event(end: &ConnectionEnd) -> Option<ServerEvent<'_>> {
    let (refused, reference) = match end {
        ConnectionEnd::Closing {
            reason: CloseReason::ConnectionLost,
            ..
        }
        | ConnectionEnd::Closing {
            reason: CloseReason::ClientDisconnecting,
            reference: None,
            ..
        } => return None,
        ConnectionEnd::Closing {
            reason, reference, ..
        } => (Refused::new(reason.code(), reason.sentence()), reference),
        ConnectionEnd::NotAuthenticated { fault, reference } => {
            (Refused::new(fault.code, &*fault.reason), reference)
        }
    };
    let refused = Refused {
        reference: reference.as_deref().map(Into::into),
        ..refused
    };
    Some(match end {
        ConnectionEnd::Closing { .. } => ServerEvent::ConnectionClosing(refused),
        ConnectionEnd::NotAuthenticated { .. } => ServerEvent::AuthenticationRefused(refused),
    })
}

#[cfg(test)]
mod tests;
