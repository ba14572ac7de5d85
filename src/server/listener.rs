//! Accepts connections, and never waits for one of them.
//!
//! Owns the options of sockets, and what happens when the kernel has no descriptor left.

use std::{
    io,
    net::{Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::{Instant, sleep},
};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::{connection, context::ServerContext};
use crate::network::{Network, canonical};

/// Connections that the kernel holds until they are accepted. A fleet that reconnects at once comes
/// in thousands; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: u32 = 4096;

/// How long to wait when the kernel has nothing to accept with, as with no descriptor left.
const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// A peer that vanished is noticed by TCP itself, beside the protocol's own ping: after a minute of
/// silence the kernel probes it, four times.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 4;

/// How long written bytes may go without the peer's kernel acknowledging them.
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// `listen`: everything that is listened on, `address` included.
pub(super) fn bind(address: SocketAddr, listen: &[SocketAddr]) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart must not wait for the last run's connections to fade.
    socket.set_reuseaddr(true)?;
    if leaves_ipv4(address, listen) {
        SockRef::from(&socket).set_only_v6(true)?;
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Whether `address` is all of IPv6, and another of `listen` has its port for IPv4. Left alone, the
/// kernel gives both families to the one, and refuses the other.
fn leaves_ipv4(address: SocketAddr, listen: &[SocketAddr]) -> bool {
    let is_ipv4_there =
        |other: &SocketAddr| other.ip().to_canonical().is_ipv4() && other.port() == address.port();
    // Port 0 is another port for each.
    address.ip() == Ipv6Addr::UNSPECIFIED && address.port() != 0 && listen.iter().any(is_ipv4_there)
}

/// Accepts for ever. Never waits for a peer: all that a connection needs is done in its own task.
pub(super) async fn accept_loop(
    listener: TcpListener,
    context: Arc<ServerContext>,
    connections: TaskTracker,
) {
    let mut backoff = Backoff::default();
    loop {
        // Over the limit, newcomers wait in the kernel until a deadline has freed a socket.
        let socket = context.socket_permit().await;
        match listener.accept().await {
            Ok((tcp, address)) => {
                backoff.reset();
                let address = canonical(address);
                let network = Network::from(address.ip());
                if !context.connection_rate.is_taken(network, Instant::now()) {
                    context.audit.attempt_refused(network);
                    continue;
                }
                if let Err(error) = set_options(&tcp) {
                    debug!(%address, %error, "gone before it was accepted");
                    continue;
                }
                let context = Arc::clone(&context);
                connections.spawn(async move {
                    connection::run(tcp, address, &context).await;
                    drop(socket);
                });
            }
            // The peer gave up while it waited: its affair alone.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => backoff.wait(&error).await,
        }
    }
}

fn set_options(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}

/// Waits between failing accepts, ever longer, so that a lack of descriptors does not spin.
#[derive(Default)]
struct Backoff {
    failures: u32,
}

impl Backoff {
    fn reset(&mut self) {
        self.failures = 0;
    }

    async fn wait(&mut self, error: &io::Error) {
        let pause = BACKOFF_MIN
            .saturating_mul(1 << self.failures.min(10))
            .min(BACKOFF_MAX);
        if self.failures == 0 {
            warn!(%error, "cannot accept connections; those that are open go on");
        }
        self.failures += 1;
        sleep(pause).await;
    }
}
