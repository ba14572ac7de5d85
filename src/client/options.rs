//! Where a client connects, as whom, and whether it reconnects.

use std::{fmt, sync::Arc, time::Duration};

use rustls::ClientConfig;

use crate::protocol::client_event::Token;

/// Messages of one subscription that may wait to be taken.
const QUEUE_LEN: usize = 16 * 1024;

/// The channel behind it does not take any number.
const QUEUE_LEN_MAX: usize = 16 * 1024 * 1024;

/// Where to connect, as whom, and what to do when the connection is lost.
#[derive(Clone)]
pub struct Options {
    pub(super) server: String,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) presence: bool,
    pub(super) token: Option<Token<'static>>,
    pub(super) reconnect: Reconnect,
    pub(super) connect_timeout: Duration,
    pub(super) request_timeout: Duration,
    pub(super) queue_len: usize,
}

/// What to do when the connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconnect {
    /// End with it.
    Never,
    /// Try again after a random part of a time that doubles from `first` up to `longest`: a fleet
    /// that lost its broker does not come back all at once.
    Backoff {
        /// The longest first wait.
        first: Duration,
        /// The longest wait of all.
        longest: Duration,
    },
}

impl Reconnect {
    /// Half a second at first, half a minute at most.
    pub const BACKOFF: Self = Self::Backoff {
        first: Duration::from_millis(500),
        longest: Duration::from_secs(30),
    };

    /// How long to wait before attempt number `attempt`, counted from 0; `None` to make none.
    pub(super) fn wait(self, attempt: u32) -> Option<Duration> {
        let Self::Backoff { first, longest } = self else {
            return None;
        };
        let bound = first.saturating_mul(1_u32 << attempt.min(20)).min(longest);
        Some(bound.mul_f64(fastrand::f64()))
    }
}

impl Options {
    /// `server` is `host:port`; the host is also the name that the server's certificate must bear.
    #[must_use]
    pub fn new(server: impl Into<String>, tls: Arc<ClientConfig>) -> Self {
        Self {
            server: server.into(),
            tls,
            presence: false,
            token: None,
            reconnect: Reconnect::Never,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            queue_len: QUEUE_LEN,
        }
    }

    /// What the client proves itself with beside its certificate. None unless set. A server that
    /// wants none does not look at it.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(Token::new(token.into()));
        self
    }

    /// What to do when the connection is lost. [`Reconnect::Never`] unless set. An error that is not
    /// [retryable](super::Error::is_retryable) ends the client in any case.
    #[must_use]
    pub const fn reconnect(mut self, reconnect: Reconnect) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// For TCP, TLS and authentication together. 10 s unless set.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// For the answer to a request. 30 s unless set.
    #[must_use]
    pub const fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Messages of one subscription that may wait to be taken, from 1 to 16,777,216; what comes
    /// beyond it is dropped and told of. 16,384 unless set.
    #[must_use]
    pub fn queue_len(mut self, messages: usize) -> Self {
        self.queue_len = messages.clamp(1, QUEUE_LEN_MAX);
        self
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("server", &self.server)
            .field("token", &self.token)
            .field("reconnect", &self.reconnect)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Options {
        /// A server that nobody connects to.
        pub(in crate::client) fn to_nowhere() -> Self {
            let provider = rustls::crypto::aws_lc_rs::default_provider();
            let tls = ClientConfig::builder_with_provider(Arc::new(provider))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth();
            Self::new("localhost:4433", Arc::new(tls))
        }
    }

    #[test]
    fn shows_no_token() {
        let options = Options::to_nowhere().token("tdg_secret");
        let shown = format!("{options:?} {options:#?}");
        assert!(shown.contains("localhost:4433"), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn waits_longer_each_time_up_to_the_longest() {
        let bounds = [
            (0, 500),
            (1, 1_000),
            (3, 4_000),
            (6, 30_000),
            (1000, 30_000),
        ];
        for (attempt, bound) in bounds {
            for _ in 0..100 {
                let wait = Reconnect::BACKOFF.wait(attempt).unwrap();
                assert!(wait <= Duration::from_millis(bound), "{attempt}: {wait:?}");
            }
        }
        assert_eq!(Reconnect::Never.wait(0), None);
    }
}
