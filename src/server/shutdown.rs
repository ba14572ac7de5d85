//! The end of the daemon, as signals ask for it: first in order, then at once.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tracing::info;

use super::Reload;

/// The request to end: first in order, then, asked again, at once.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    draining: CancellationToken,
    at_once: CancellationToken,
}

impl Shutdown {
    /// One that SIGTERM and SIGINT ask for, and the task that listens for them, and for SIGHUP,
    /// which asks for `reload`.
    ///
    /// # Errors
    ///
    /// When the signals cannot be listened for.
    pub fn on_signals(reload: Reload) -> io::Result<(Self, impl Future<Output = ()> + Send)> {
        let shutdown = Self::default();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let asked = shutdown.clone();
        let listening = async move {
            loop {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                    _ = hangup.recv() => {
                        reload.request();
                        continue;
                    }
                };
                info!(signal = name, "asked to end");
                asked.request();
            }
        };
        Ok((shutdown, listening))
    }

    /// Asks for the end; asked a second time, for an end at once.
    pub fn request(&self) {
        if self.draining.is_cancelled() {
            self.at_once.cancel();
        }
        self.draining.cancel();
    }

    pub(super) fn draining(&self) -> CancellationToken {
        self.draining.clone()
    }

    pub(super) fn at_once(&self) -> WaitForCancellationFutureOwned {
        self.at_once.clone().cancelled_owned()
    }
}
