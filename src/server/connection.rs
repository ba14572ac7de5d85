//! The life of one connection, from the first byte of TLS to the last line.

use std::{io, net::SocketAddr, ops::ControlFlow, sync::Arc, time::Duration};

use rustls::server::Acceptor;
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};
use tracing::{debug, info};

use super::{
    Settings,
    conversation::{Conversation, Farewell, last_line},
    link::{Link, Wake},
    wire::Wire,
};
use crate::{
    broker::{Outbox, Registry},
    protocol::{
        CloseReason, Code, Fault, LineSplitter, ServerEvent, Timestamp,
        server_event::{Refused, encode},
    },
    security::{Identity, identity_of},
};

/// How long a peer may take for the last lines and for closing its side.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);

/// The same for a peer that is known not to read.
const STALLED_FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a task works on lines before it lets others run: a line can be costly, as a publish is
/// where many thousand wildcard filters have to be looked at.
const TURN_TIME: Duration = Duration::from_millis(2);

/// Pings that may go unanswered.
const UNANSWERED_PINGS_MAX: u32 = 2;

/// What all connections of a server share.
#[derive(Debug)]
pub(super) struct Host {
    settings: Settings,
    registry: Registry,
    sockets: Arc<Semaphore>,
    /// `None` where handshakes are not limited.
    handshakes: Option<Semaphore>,
}

impl Host {
    pub(super) fn new(settings: Settings, registry: Registry) -> Self {
        Self {
            sockets: Arc::new(Semaphore::new(settings.sockets_max)),
            handshakes: (settings.handshakes_max > 0)
                .then(|| Semaphore::new(settings.handshakes_max.min(Semaphore::MAX_PERMITS))),
            settings,
            registry,
        }
    }

    /// A place for one socket; held until it is closed.
    pub(super) async fn socket_permit(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        Arc::clone(&self.sockets).acquire_owned().await.ok()
    }
}

/// TLS, a name, a place, a conversation, a farewell.
pub(super) async fn run(tcp: TcpStream, address: SocketAddr, host: &Host) {
    let tls = match handshake(tcp, host).await {
        Ok(tls) => tls,
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
            info!(%address, reason = error.to_string(), "TLS refused");
            return;
        }
    };
    let outbox = Arc::new(Outbox::new(host.settings.outbox));
    let identity = match identity_in(&tls, host) {
        Ok(identity) => identity,
        Err(fault) => return refuse(tls, address, None, fault, host).await,
    };
    let admission = host
        .registry
        .admit(identity.clone(), address.ip(), Arc::clone(&outbox))
        .await;
    let admission = match admission {
        Ok(admission) => admission,
        Err(fault) => return refuse(tls, address, Some(&identity), fault, host).await,
    };
    let mut conversation = Conversation::begin(
        admission,
        identity,
        address,
        host.registry.server_id(),
        Arc::clone(&outbox),
        host.settings.connection.as_told(),
    );
    let mut link = Link::new(Wire::new(tls), outbox);
    let farewell = converse(&mut link, &mut conversation, host).await;
    // The others hear of it now, not when the peer has found the time for its part of the end.
    conversation.depart(farewell.reason);
    take_leave(link, &farewell, host).await;
}

/// TLS, whole, under one deadline. A peer that says nothing takes no place among the handshakes:
/// it costs a socket until the deadline, and delays nobody.
async fn handshake(tcp: TcpStream, host: &Host) -> io::Result<TlsStream<TcpStream>> {
    let deadline = Instant::now() + host.settings.connection.handshake_timeout;
    let handshake = Box::pin(async {
        let hello = LazyConfigAcceptor::new(Acceptor::default(), tcp).await?;
        let _place = match &host.handshakes {
            Some(places) => places.acquire().await.ok(),
            None => None,
        };
        hello.into_stream(Arc::clone(&host.settings.tls)).await
    });
    timeout_at(deadline, handshake).await.unwrap_or_else(|_| {
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the handshake took too long",
        ))
    })
}

fn identity_in(tls: &TlsStream<TcpStream>, host: &Host) -> Result<Identity, Fault> {
    let certificates = tls.get_ref().1.peer_certificates().unwrap_or_default();
    let Some(certificate) = certificates.first() else {
        return Err(Fault::new(Code::IdentityMissing, "there is no certificate"));
    };
    identity_of(certificate, host.settings.identity_source)
        .map_err(|error| Fault::new(Code::IdentityMissing, error.to_string()))
}

/// Tells a known peer why it is not let in.
async fn refuse(
    tls: TlsStream<TcpStream>,
    address: SocketAddr,
    identity: Option<&Identity>,
    fault: Fault,
    host: &Host,
) {
    info!(%address, identity = identity.map(Identity::as_str), code = %fault.code, reason = &*fault.reason, "refused");
    let refused = ServerEvent::ConnectionRefused(Refused::new(fault.code, fault.reason));
    let mut wire = Wire::new(tls);
    wire.queue().push_back(encode(
        &refused,
        &host.registry.server_id(),
        Timestamp::now(),
    ));
    close(wire, FAREWELL_TIMEOUT).await;
}

/// Hears the client out until it, the broker or the time ends it.
async fn converse(link: &mut Link, conversation: &mut Conversation, host: &Host) -> Farewell {
    let settings = &host.settings.connection;
    let mut lines = LineSplitter::new(conversation.line_bytes_max());
    let mut keepalive = Keepalive::new(settings.ping_interval);
    let authentication_due = Instant::now() + settings.authentication_timeout;
    loop {
        let authenticated = conversation.is_authenticated();
        let due = if authenticated {
            keepalive.due()
        } else {
            authentication_due
        };
        match link.wait(due).await {
            Wake::Received => match take_lines(link, &mut lines, conversation).await {
                ControlFlow::Continue(0) => {}
                ControlFlow::Continue(_) => keepalive.heard(),
                ControlFlow::Break(farewell) => return farewell,
            },
            Wake::Ended(end) => {
                conversation.note_end(&end);
                return CloseReason::ConnectionLost.into();
            }
            Wake::Closed(reason) => return reason.into(),
            Wake::Due if !authenticated => return CloseReason::AuthenticationTimeout.into(),
            Wake::Due if keepalive.may_ask() => conversation.ping(),
            Wake::Due => return CloseReason::KeepaliveTimeout.into(),
        }
    }
}

/// Takes every whole line of what has come: how many there were.
///
/// Stops in between when too much waits for the client; the rest is taken when it has been read.
async fn take_lines(
    link: &mut Link,
    lines: &mut LineSplitter,
    conversation: &mut Conversation,
) -> ControlFlow<Farewell, usize> {
    let turn_ends = Instant::now() + TURN_TIME;
    let (mut heard, mut flow) = (0, ControlFlow::Continue(()));
    let (received, outbox) = link.received();
    let mut rest = received;
    conversation.begin_lines();
    while let Some(line) = lines.next_line(&mut rest) {
        flow = conversation.hear(line).await;
        heard += 1;
        // Before any way out: the next line may come with the next turn.
        lines.set_line_bytes_max(conversation.line_bytes_max());
        if flow.is_break() || outbox.is_over_soft_limit() || Instant::now() >= turn_ends {
            break;
        }
    }
    conversation.end_lines();
    let taken = received.len() - rest.len();
    link.consume(taken);
    if Instant::now() >= turn_ends {
        link.end_turn_soon();
    }
    if link.has_read_its_turn()
        && let Some(receiver) = conversation.receiver_catching_up()
    {
        link.pause_reading(receiver);
    }
    flow.map_continue(|()| heard)
}

/// What is queued, the last line, and the end.
async fn take_leave(mut link: Link, farewell: &Farewell, host: &Host) {
    let stalled = farewell.reason == CloseReason::SlowConsumer;
    link.take_queued();
    if stalled {
        link.wire.drop_unsent();
    }
    if let Some(event) = last_line(farewell) {
        let line = encode(&event, &host.registry.server_id(), Timestamp::now());
        link.wire.queue().push_back(line);
    }
    let time = if stalled {
        STALLED_FAREWELL_TIMEOUT
    } else {
        FAREWELL_TIMEOUT
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
