//! What a server is run with.

use std::{net::SocketAddr, time::Duration};

use crate::{
    access::ClientLimits,
    broker::{self, OutboxLimits},
    identity::IdentitySource,
    protocol::server_event::ConnectionLimits,
};

/// All that a server is run with, checked and ready.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen; port 0 picks a free one.
    pub listen: Vec<SocketAddr>,
    /// How often the policy's files are looked at for changes; zero = never.
    pub reload_interval: Duration,
    /// Where in a certificate its identity stands.
    pub identity_source: IdentitySource,
    /// What the registry holds everyone to.
    pub broker: broker::Limits,
    /// What may wait for one client.
    pub outbox: OutboxLimits,
    /// What each connection is held to.
    pub connection: ConnectionSettings,
    /// Sockets at once, those that are not admitted yet included.
    pub sockets_max: usize,
    /// Handshakes begun at once, and as many that go on; 0 = no limit.
    pub handshakes_max: usize,
    /// Connection attempts of one address in a minute; 0 = no limit.
    pub attempts_per_address_per_minute: u32,
    /// How long clients have to take what is queued for them when the server ends.
    pub drain: Duration,
}

/// What each connection is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// For TLS, from the first byte to the last.
    pub handshake_timeout: Duration,
    /// From the greeting to `request_authentication`.
    pub authentication_timeout: Duration,
    /// Silence after which the server asks for a sign of life; zero = never.
    pub ping_interval: Duration,
    /// Bytes of a line of an authenticated client.
    pub line_bytes_max: usize,
    /// What holds for a client where the access rules say nothing of it.
    pub client_limits: ClientLimits,
}

impl ConnectionSettings {
    /// As clients are told.
    pub(super) fn as_told(&self) -> ConnectionLimits {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        ConnectionLimits {
            line_bytes_max: self.line_bytes_max,
            authentication_timeout_ms: millis(self.authentication_timeout),
            ping_interval_ms: millis(self.ping_interval),
        }
    }
}
