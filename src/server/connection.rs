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
    time::{Instant, timeout},
};
use tokio_rustls::server::TlsStream;
use tracing::debug;

use super::{
    context::ServerContext,
    conversation::{Arrival, ConnectionEnd, Conversation, closing_event},
    credentials::CredentialStatus,
    link::{Link, Wake},
    wire::{Wire, peer_certificates},
};
use crate::{
    broker::{Outbox, RequestError},
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
    let admission = context
        .registry
        .admit(identity.clone(), address, Arc::clone(&outbox))
        .await;
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
    let mut conversation = Conversation::begin(
        admission,
        credentials,
        arrival,
        context.registry.server_id(),
        Arc::clone(&outbox),
        &context.settings.connection,
    );
    let mut link = Link::new(Wire::new(tls), outbox);
    let end = converse(&mut link, &mut conversation, context).await;
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

/// Hears the client out until it, the broker or the time ends it.
async fn converse(
    link: &mut Link,
    conversation: &mut Conversation,
    context: &ServerContext,
) -> ConnectionEnd {
    let settings = &context.settings.connection;
    let mut lines = LineSplitter::new(conversation.line_bytes_max());
    let mut keepalive = Keepalive::new(settings.ping_interval);
    let authentication_due = Instant::now() + settings.authentication_timeout;
    // Since the handshake began, another policy may have come into force. From its admission on, a
    // client is asked to check again.
    if let Err(end) = review(link, conversation, context) {
        return end;
    }
    loop {
        let authenticated = conversation.is_authenticated();
        let due = if authenticated {
            keepalive.due()
        } else {
            authentication_due
        };
        match link.wait(due.min(conversation.review_at())).await {
            Wake::Received => match take_lines(link, &mut lines, conversation).await {
                ControlFlow::Continue(0) => {}
                ControlFlow::Continue(_) => keepalive.heard(),
                ControlFlow::Break(end) => return end,
            },
            Wake::Ended(end) => {
                conversation.note_end(&end);
                // Only an orderly end tells that nothing of the line is missing on the way.
                if end.is_ok() && lines.is_within_line() {
                    conversation.reject_unfinished_line();
                }
                return CloseReason::ConnectionLost.into();
            }
            Wake::Closed(reason) => return reason.into(),
            Wake::Recheck => {
                if let Err(end) = review(link, conversation, context) {
                    return end;
                }
            }
            Wake::Due => {
                if Instant::now() >= conversation.review_at()
                    && let Err(end) = review(link, conversation, context)
                {
                    return end;
                }
                match Instant::now() >= due {
                    false => {}
                    true if !authenticated => return CloseReason::AuthenticationTimeout.into(),
                    // It is we who do not listen. The ping still tells whether it is there at all.
                    true if link.holds_client_to_rate() => {
                        keepalive.heard();
                        conversation.ping();
                    }
                    true if keepalive.may_ask() => conversation.ping(),
                    true => return CloseReason::KeepaliveTimeout.into(),
                }
            }
        }
    }
}

/// Judges the client again by the policy in force.
fn review(
    link: &mut Link,
    conversation: &mut Conversation,
    context: &ServerContext,
) -> Result<(), ConnectionEnd> {
    conversation.review(
        context.policy(),
        link.wire.peer_certificates(),
        SystemTime::now(),
    )?;
    link.hold_to_rate(conversation.over_rate_until(Instant::now()));
    Ok(())
}

/// Takes every whole line of what has come: how many there were.
///
/// Stops in between when too much waits for the client; the rest is taken when it has been read.
async fn take_lines(
    link: &mut Link,
    lines: &mut LineSplitter,
    conversation: &mut Conversation,
) -> ControlFlow<ConnectionEnd, usize> {
    let turn_ends = link.turn_ends();
    let (mut heard, mut flow) = (0, ControlFlow::Continue(()));
    let mut over_rate_until = None;
    let (received, outbox) = link.received();
    let mut rest = received;
    conversation.begin_lines();
    while let Some(line) = lines.next_line(&mut rest) {
        flow = conversation.handle_line(line).await;
        heard += 1;
        // Before any way out: the next line may come with the next turn.
        lines.set_line_bytes_max(conversation.line_bytes_max());
        let now = Instant::now();
        over_rate_until = conversation.over_rate_until(now);
        let goes_on = flow.is_continue() && over_rate_until.is_none();
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
    flow.map_continue(|()| heard)
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
