//! What is said on a connection: every line of a client in every state has its answer here.
//!
//! Knows neither sockets nor time. Lines go in, answers go to the client's outbox, and a line that
//! ends the conversation says how.

use std::{borrow::Cow, io, mem, net::SocketAddr, ops::ControlFlow, sync::Arc};

use tracing::{debug, info};

use crate::{
    broker::{Admission, Outbox, Session},
    protocol::{
        ClientEvent, ClientId, CloseReason, Code, EventName, Fault, LineTooLong, PROTOCOL_VERSION,
        ServerEvent, ServerId, Timestamp,
        client_event::{Bare, Rejected, RequestAuthentication, decode},
        server_event::{
            AuthenticationAccepted, ConnectionAccepted, ConnectionLimits, Empty, ErrorContent,
            Help, Reference, Refused, ServerName, encode,
        },
    },
    security::Identity,
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
    line_bytes_max: usize,
    answered_bytes: usize,
    not_authenticated: u8,
    already_authenticated: u8,
    long_lines: u8,
}

#[derive(Debug)]
enum Stage {
    Admitted(Admission),
    Authenticated(Session),
    /// The registry ended while it was asked for a session.
    Broken,
}

/// How a conversation ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Farewell {
    pub(super) reason: CloseReason,
    /// The `ref` of the `disconnecting` that asked for it.
    pub(super) reference: Option<String>,
}

impl From<CloseReason> for Farewell {
    fn from(reason: CloseReason) -> Self {
        Self {
            reason,
            reference: None,
        }
    }
}

impl Conversation {
    /// Greets the client with `connection_accepted`.
    pub(super) fn begin(
        admission: Admission,
        identity: Identity,
        address: SocketAddr,
        server_id: ServerId,
        outbox: Arc<Outbox>,
        limits: ConnectionLimits,
    ) -> Self {
        let mut conversation = Self {
            client_id: admission.client_id(),
            identity,
            address,
            server_id,
            outbox,
            stage: Stage::Admitted(admission),
            line_bytes_max: limits.line_bytes_max,
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
            token_required: false,
            limits,
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

    /// Takes one line and answers it.
    pub(super) async fn hear(&mut self, line: Result<&[u8], LineTooLong>) -> ControlFlow<Farewell> {
        let flow = self.take(line).await;
        if flow.is_continue() && self.answered_bytes > UNAUTHENTICATED_ANSWER_BYTES_MAX {
            return ControlFlow::Break(CloseReason::TooManyErrors.into());
        }
        flow
    }

    async fn take(&mut self, line: Result<&[u8], LineTooLong>) -> ControlFlow<Farewell> {
        let Ok(line) = line else {
            return self.reject_long_line();
        };
        if line.is_empty() {
            return ControlFlow::Continue(());
        }
        let event = match decode(line, self.client_id, |name| self.may_say(name)) {
            Ok(event) => event,
            Err(rejected) => return self.reject(rejected),
        };
        let (name, reference) = (event.name(), event.reference().cloned());
        match self.carry_out(event).await {
            Ok(flow) => flow,
            Err(fault) => self.reject(Rejected {
                fault,
                event: Some(name.as_str().into()),
                reference,
            }),
        }
    }

    /// Asks for a sign of life.
    pub(super) fn ping(&mut self) {
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
    pub(super) fn depart(self, reason: CloseReason) {
        info!(
            client_id = %self.client_id, identity = self.identity.as_str(), address = %self.address,
            reason = %reason.code(), "closed"
        );
        match self.stage {
            Stage::Admitted(admission) => admission.depart(reason),
            Stage::Authenticated(session) => session.depart(reason),
            Stage::Broken => {}
        }
    }

    /// What the client's state allows. Decided before the content is looked at.
    fn may_say(&self, name: EventName) -> Result<(), Fault> {
        use EventName::{Disconnecting, Ping, RequestAuthentication};
        match (&self.stage, name) {
            (Stage::Authenticated(_), RequestAuthentication) => Err(Fault::new(
                Code::AlreadyAuthenticated,
                "this client is authenticated already",
            )),
            (Stage::Authenticated(_), _) | (_, RequestAuthentication | Ping | Disconnecting) => {
                Ok(())
            }
            _ => Err(Fault::new(
                Code::NotAuthenticated,
                r#"first send {"event":"request_authentication","id":"__"}"#,
            )),
        }
    }

    async fn carry_out(&mut self, event: ClientEvent<'_>) -> Result<ControlFlow<Farewell>, Fault> {
        match (event, &mut self.stage) {
            (ClientEvent::RequestAuthentication(request), _) => self.authenticate(request).await?,
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
            (ClientEvent::Pong(Bare { reference: None }), _) => {}
            (ClientEvent::Ping(Bare { reference }) | ClientEvent::Pong(Bare { reference }), _) => {
                self.answer(&ServerEvent::Pong(Reference { reference }));
            }
            (ClientEvent::Disconnecting(bare), _) => {
                return Ok(ControlFlow::Break(Farewell {
                    reason: CloseReason::ClientDisconnecting,
                    reference: bare.reference.map(Cow::into_owned),
                }));
            }
            // `may_say` lets none of these through without a session.
            (_, Stage::Admitted(_) | Stage::Broken) => {
                return Err(Fault::new(
                    Code::InternalError,
                    "the server has lost this client",
                ));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    async fn authenticate(&mut self, request: RequestAuthentication<'_>) -> Result<(), Fault> {
        let Stage::Admitted(admission) = mem::replace(&mut self.stage, Stage::Broken) else {
            return Err(Fault::new(
                Code::InternalError,
                "the server has lost this client",
            ));
        };
        let accepted = AuthenticationAccepted {
            client_id: self.client_id,
            identity: self.identity.as_str().into(),
            reference: request.reference,
        };
        let welcome = encode(
            &ServerEvent::AuthenticationAccepted(accepted),
            &self.server_id,
            Timestamp::now(),
        );
        let session = admission.authenticate(request.presence, welcome).await?;
        self.stage = Stage::Authenticated(session);
        info!(
            client_id = %self.client_id, identity = self.identity.as_str(), address = %self.address,
            "authenticated"
        );
        Ok(())
    }

    fn reject_long_line(&mut self) -> ControlFlow<Farewell> {
        self.reject(Rejected {
            fault: Fault::new(
                Code::LineTooLong,
                format!("a line may have {} bytes", self.line_bytes_max()),
            ),
            event: None,
            reference: None,
        })
    }

    fn reject(&mut self, rejected: Rejected<'_>) -> ControlFlow<Farewell> {
        let Rejected {
            fault,
            event,
            reference,
        } = rejected;
        let code = fault.code;
        debug!(
            client_id = %self.client_id, identity = self.identity.as_str(), address = %self.address,
            %code, reason = &*fault.reason, "refused a line"
        );
        self.answer(&ServerEvent::Error(ErrorContent::new(
            fault, event, reference,
        )));
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

/// The last line that a client is told, where the way its connection ends lets it be told any.
pub(super) fn last_line(farewell: &Farewell) -> Option<ServerEvent<'_>> {
    let reason = farewell.reason;
    match (reason, &farewell.reference) {
        (CloseReason::ConnectionLost, _) | (CloseReason::ClientDisconnecting, None) => None,
        (_, reference) => Some(ServerEvent::ConnectionClosing(Refused {
            reference: reference.as_deref().map(Into::into),
            ..Refused::new(reason.code(), reason.sentence())
        })),
    }
}

#[cfg(test)]
mod tests;
