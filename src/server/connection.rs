//! The life of one connection, from the first byte of TLS to the last line.

use std::{
    io,
    net::SocketAddr,
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    net::TcpStream,
    task::yield_now,
    time::{Instant, timeout},
};
use tokio_rustls::server::TlsStream;
use tracing::debug;

use super::{
    context::ServerContext,
    conversation::{Arrival, ConnectionEnd, Conversation, closing_event},
    credentials::CredentialStatus,
    link::{Input, Link, Wake},
    wire::{Wire, peer_certificates},
};
use crate::{
    broker::{Admission, Outbox, RequestError},
    identity::{Identity, identity_of},
    policy::Policy,
    protocol::{
        CloseReason, Code, CodedError, LineSplitter, ServerEvent, Timestamp,
        server_event::{Refused, encode},
    },
    tls::{refusal_code, tls_refusal},
};

/// How long a peer may take for the last lines and for closing its side.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The same for a peer that is not let in: it counts against no limit of connections.
const REFUSED_CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The same for a peer that is known not to read.
const STALLED_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Pings that may go unanswered.
const UNANSWERED_PINGS_MAX: u32 = 2;

/// TLS, a name, a place, a conversation, a farewell.
pub(super) async fn run(tcp: TcpStream, address: SocketAddr, context: &ServerContext) {
    let begun = SystemTime::now();
    let (tls, policy) = match context.handshakes.perform(tcp, &context.policy).await {
        Ok(done) => done,
        // A look whether the port is open is no attempt to get in.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
            ) =>
        {
            debug!(%address, "gone before TLS was done");
            return;
        }
        Err(error) => {
            context
                .audit
                .tls_refused(address, &tls_refusal(&error), refusal_code(&error));
            return;
        }
    };
    // What a peer costs before that is not to include what is needed only from here on.
    Box::pin(meet(tls, policy, begun, address, context)).await;
}

/// A peer that came through TLS, by this policy.
async fn meet(
    tls: TlsStream<TcpStream>,
    policy: Arc<Policy>,
    begun: SystemTime,
    address: SocketAddr,
    context: &ServerContext,
) {
    let outbox = Arc::new(Outbox::new(context.settings.outbox));
    let identity = match identity_in(&tls, context) {
        Ok(identity) => identity,
        Err(fault) => return refuse(tls, address, None, fault.into(), context).await,
    };
    let credentials = CredentialStatus::new(policy, peer_certificates(&tls), begun);
    let (registry, its_outbox) = (&context.registry, Arc::clone(&outbox));
    let admission = Admission::request(registry, identity.clone(), address, its_outbox).await;
    let admission = match admission {
        Ok(admission) => admission,
        Err(refusal) => return refuse(tls, address, Some(&identity), refusal, context).await,
    };
    let arrival = Arrival {
        rate_limiter: context.rate_limiter(&identity),
        identity,
        address,
        audit: Arc::clone(&context.audit),
    };
    let conversation = Conversation::begin(
        admission,
        credentials,
        arrival,
        context.registry.server_id(),
        Arc::clone(&outbox),
        &context.settings.connection,
    );
    let mut connection = Connection::new(Link::new(Wire::new(tls), outbox), conversation, context);
    let end = connection.serve().await;
    let Connection {
        link, conversation, ..
    } = connection;
    // The others hear of it now, not when the peer has found the time for its part of the end.
    conversation.depart(&end);
    close_gracefully(link, &end, context).await;
}

fn identity_in(
    tls: &TlsStream<TcpStream>,
    context: &ServerContext,
) -> Result<Identity, CodedError> {
    let Some(certificate) = peer_certificates(tls).first() else {
        return Err(CodedError::new(
            Code::IdentityMissing,
            "there is no certificate",
        ));
    };
    identity_of(certificate, context.settings.identity_source)
        .map_err(|error| CodedError::new(Code::IdentityMissing, error.to_string()))
}

/// Tells a known peer why it is not let in.
async fn refuse(
    tls: TlsStream<TcpStream>,
    address: SocketAddr,
    identity: Option<&Identity>,
    refusal: RequestError,
    context: &ServerContext,
) {
    context
        .audit
        .connection_refused(address, identity, &refusal);
    let fault = CodedError::from(refusal);
    let refused = ServerEvent::ConnectionRefused(Refused::new(fault.code, fault.reason));
    let mut wire = Wire::new(tls);
    wire.queue().push_back(encode(
        &refused,
        &context.registry.server_id(),
        Timestamp::now(),
    ));
    close(wire, REFUSED_CLOSE_TIMEOUT).await;
}

/// A client that is here: its lines go to the conversation, and what is queued for it goes out.
#[derive(Debug)]
struct Connection<'s> {
    link: Link,
    lines: LineSplitter,
    conversation: Conversation,
    keepalive: Keepalive,
    authentication_due: Instant,
    context: &'s ServerContext,
}

impl<'s> Connection<'s> {
    fn new(link: Link, conversation: Conversation, context: &'s ServerContext) -> Self {
        let settings = &context.settings.connection;
        Self {
            link,
            lines: LineSplitter::new(conversation.line_bytes_max()),
            conversation,
            keepalive: Keepalive::new(settings.ping_interval),
            authentication_due: Instant::now() + settings.authentication_timeout,
            context,
        }
    }

    /// Serves the client until it, the broker or the time ends it.
    async fn serve(&mut self) -> ConnectionEnd {
        // Since the handshake began, another policy may have come into force. From its admission on,
        // a client is asked to check again.
        let mut flow = self.review();
        loop {
            if let ControlFlow::Break(end) = flow {
                return end;
            }
            let (due, input) = (self.due(), self.input());
            // What has been written decides whether answers may be added to it: writing comes first.
            flow = tokio::select! {
                biased;
                wake = self.link.wait(due, input) => match wake {
                    Wake::Received => self.take_lines().await,
                    Wake::Ended(end) => self.input_ended(&end),
                    Wake::Closed(reason) => ControlFlow::Break(reason.into()),
                    Wake::Recheck => self.review(),
                    Wake::Due => self.time_has_come(),
                },
                answered = self.conversation.answered() => answered,
            };
        }
    }

    /// When to look at the client though nothing has happened.
    fn due(&self) -> Instant {
        let due = self.deadline();
        due.min(self.conversation.review_at())
    }

    fn deadline(&self) -> Instant {
        if let Some(leaves_at) = self.conversation.leaves_at() {
            leaves_at
        } else if self.conversation.is_authenticated() {
            self.keepalive.due()
        } else {
            self.authentication_due
        }
    }

    /// What is to be read.
    fn input(&self) -> Input {
        if self.conversation.takes_lines() {
            Input::Lines
        } else if self.conversation.leaves_at().is_none() {
            Input::End
        } else {
            Input::Nothing
        }
    }

    /// Takes every whole line of what has come.
    ///
    /// Stops in between when too much waits for the client, or the next line has to wait for an
    /// answer that does not come at once; the rest is taken later.
    async fn take_lines(&mut self) -> ControlFlow<ConnectionEnd> {
        let (mut has_heard, mut flow) = (false, ControlFlow::Continue(()));
        let mut over_rate_until = None;
        let Self {
            link,
            lines,
            conversation,
            ..
        } = self;
        let turn_ends = link.turn_ends();
        let (received, outbox) = link.received();
        let mut rest = received;
        lines.set_line_bytes_max(conversation.line_bytes_max());
        conversation.begin_lines();
        while let Some(line) = lines.next_line(&mut rest) {
            flow = conversation.handle_line(line);
            has_heard = true;
            if flow.is_continue() && !conversation.takes_lines() {
                flow = answered_soon(conversation).await;
                lines.set_line_bytes_max(conversation.line_bytes_max());
            }
            let now = Instant::now();
            over_rate_until = conversation.over_rate_until(now);
            let goes_on =
                flow.is_continue() && over_rate_until.is_none() && conversation.takes_lines();
            if !goes_on || outbox.is_over_soft_limit() || now >= turn_ends {
                break;
            }
        }
        conversation.end_lines();
        let taken = received.len() - rest.len();
        link.consume(taken);
        if Instant::now() >= turn_ends {
            link.end_turn_soon();
        }
        link.hold_to_rate(over_rate_until);
        if over_rate_until.is_none()
            && link.has_read_its_turn()
            && let Some(receiver) = conversation.receiver_catching_up()
        {
            link.pause_reading(receiver);
        }
        if has_heard {
            self.keepalive.heard();
        }
        flow
    }

    /// The client has ended its side of the stream, or it broke.
    fn input_ended(&mut self, end: &io::Result<()>) -> ControlFlow<ConnectionEnd> {
        self.conversation.note_end(end);
        let lost = ConnectionEnd::from(CloseReason::ConnectionLost);
        if end.is_err() {
            return ControlFlow::Break(lost);
        }
        // Only an orderly end tells that nothing of the line is missing on the way.
        if self.lines.is_within_line() {
            self.conversation.reject_unfinished_line();
        }
        self.conversation.leave(lost)
    }

    /// Judges the client again by the policy in force.
    fn review(&mut self) -> ControlFlow<ConnectionEnd> {
        let reviewed = self.conversation.review(
            self.context.policy(),
            self.link.wire.peer_certificates(),
            SystemTime::now(),
        );
        if let Err(invalid) = reviewed {
            return ControlFlow::Break(invalid.into());
        }
        let over_rate_until = self.conversation.over_rate_until(Instant::now());
        self.link.hold_to_rate(over_rate_until);
        ControlFlow::Continue(())
    }

    /// A time that was waited for has come.
    fn time_has_come(&mut self) -> ControlFlow<ConnectionEnd> {
        if Instant::now() >= self.conversation.review_at() {
            self.review()?;
        }
        if Instant::now() < self.deadline() {
            return ControlFlow::Continue(());
        }
        self.conversation.end_leaving()?;
        if !self.conversation.is_authenticated() {
            return ControlFlow::Break(CloseReason::AuthenticationTimeout.into());
        }
        if self.link.holds_client_to_rate() || !self.conversation.takes_lines() {
            // It is the broker that does not listen. The ping still shows whether the peer is there.
            self.keepalive.heard();
        } else if !self.keepalive.may_ask() {
            return ControlFlow::Break(CloseReason::KeepaliveTimeout.into());
        }
        self.conversation.ping();
        ControlFlow::Continue(())
    }
}

/// Gives an answer the time of one turn of other tasks. The registry rarely needs more, and then the
/// answers to requests that came at once are written together, not each by itself.
async fn answered_soon(conversation: &mut Conversation) -> ControlFlow<ConnectionEnd> {
    tokio::select! {
        biased;
        answered = conversation.answered() => answered,
        () = yield_now() => ControlFlow::Continue(()),
    }
}

/// What is queued, the last line, and the end.
async fn close_gracefully(mut link: Link, end: &ConnectionEnd, context: &ServerContext) {
    link.take_queued();
    if end.forfeits_queued() {
        link.wire.drop_unsent();
    }
    if let Some(event) = closing_event(end) {
        let line = encode(&event, &context.registry.server_id(), Timestamp::now());
        link.wire.queue().push_back(line);
    }
    let time = if end.is_for(CloseReason::SlowConsumer) {
        STALLED_CLOSE_TIMEOUT
    } else {
        CLOSE_TIMEOUT
    };
    close(link.wire, time).await;
}

async fn close(wire: Wire, time: Duration) {
    match timeout(time, wire.close()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "the peer did not wait for the end"),
        Err(_) => debug!("the peer did not close its side in time"),
    }
}

/// When to ask for a sign of life, and when to give up.
#[derive(Debug)]
struct Keepalive {
    interval: Duration,
    /// When something was heard, or asked, last.
    since: Instant,
    unanswered: u32,
}

impl Keepalive {
    fn new(interval: Duration) -> Self {
        // A year stands for never.
        const NEVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);
        Self {
            interval: if interval.is_zero() { NEVER } else { interval },
            since: Instant::now(),
            unanswered: 0,
        }
    }

    fn heard(&mut self) {
        self.since = Instant::now();
        self.unanswered = 0;
    }

    fn due(&self) -> Instant {
        self.since + self.interval
    }

    /// Counts one more ping, unless too many are unanswered already.
    fn may_ask(&mut self) -> bool {
        self.since = Instant::now();
        self.unanswered += 1;
        self.unanswered <= UNANSWERED_PINGS_MAX
    }
}

#[cfg(test)]
mod tests;
