//! The daemon: listeners, the life of every connection, and an orderly end.
//!
//! Owns sockets, TLS, time-outs and the process's signals. Knows nothing of routing or of who
//! receives what.
//!
//! **Invariants:** the accept loop never waits for a peer; every wait for a peer has a deadline; a
//! connection that panics or misbehaves ends alone; a core task that ends, ends the daemon.

mod audit;
mod connection;
mod context;
mod conversation;
mod credentials;
mod handshake;
mod limits;
mod link;
mod listener;
mod reload;
mod repeats;
mod settings;
mod shutdown;
mod systemd;
#[cfg(test)]
mod test_registry;
mod wire;

use std::{io, net::SocketAddr, sync::Arc};

use tokio::{net::TcpListener, task::JoinSet, time::sleep};
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

pub use audit::AUDIT_TARGET;
pub use reload::Reload;
pub use settings::{ConnectionSettings, Settings};
pub use shutdown::Shutdown;

use crate::{broker::Registry, policy::Policy, protocol::ServerId};
use audit::Audit;
use context::ServerContext;

/// A server that listens and does not accept yet.
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    policy: Policy,
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
}

/// Why a server could not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {cause}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        cause: io::Error,
    },
    /// A task that the whole broker stands on ended.
    #[error("the {0} ended unexpectedly")]
    CoreTaskEnded(&'static str),
}

impl Server {
    /// Listens on every address of the settings. `policy`: what decides at first who is let in and
    /// who may do what.
    ///
    /// # Errors
    ///
    /// [`ServerError::Bind`] names the first address that is not to be had.
    pub fn bind(settings: Settings, policy: Policy) -> Result<Self, ServerError> {
        let mut listeners = Vec::with_capacity(settings.listen.len());
        let mut addresses = Vec::with_capacity(settings.listen.len());
        for &address in &settings.listen {
            let bind_error = |cause| ServerError::Bind { address, cause };
            let listener = listener::bind(address, &settings.listen).map_err(bind_error)?;
            addresses.push(listener.local_addr().map_err(bind_error)?);
            listeners.push(listener);
        }
        Ok(Self {
            settings,
            policy,
            listeners,
            addresses,
        })
    }

    /// What decides who is let in and who may do what.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Where it listens, with the actual ports.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until `shutdown` asks for the end, then tells everyone and drains. Takes the policy
    /// anew when `reload` asks for it.
    ///
    /// # Errors
    ///
    /// [`ServerError::CoreTaskEnded`] when the broker cannot go on.
    pub async fn run(self, shutdown: Shutdown, reload: Reload) -> Result<(), ServerError> {
        let audit = Arc::default();
        let outcome = self.serve(shutdown, reload, Arc::clone(&audit)).await;
        // However it ends: the log has counted everything.
        audit.tell_repeated();
        outcome
    }

    async fn serve(
        self,
        shutdown: Shutdown,
        reload: Reload,
        audit: Arc<Audit>,
    ) -> Result<(), ServerError> {
        let Self {
            settings,
            policy,
            listeners,
            addresses,
        } = self;
        let drain = settings.drain;
        let (registry, actor) = Registry::new(
            ServerId::fresh(),
            settings.broker,
            Arc::clone(&policy.access),
            settings.sockets_max,
        );
        let connections = TaskTracker::new();
        let mut core = JoinSet::new();
        core.spawn(async move {
            actor.await;
            "registry"
        });
        let telling = Arc::clone(&audit);
        core.spawn(async move {
            telling.keep_telling().await;
            "audit trail"
        });
        let context = Arc::new(ServerContext::new(
            settings,
            policy,
            registry.clone(),
            audit,
        ));
        let reloading = reload::keep_current(Arc::clone(&context), reload);
        core.spawn(async move {
            reloading.await;
            "reloading"
        });
        let watching = reload::watch_expiries(Arc::clone(&context));
        core.spawn(async move {
            watching.await;
            "watch over expiries"
        });
        for listener in listeners {
            let accepting =
                listener::accept_loop(listener, Arc::clone(&context), connections.clone());
            let draining = shutdown.draining();
            core.spawn(async move {
                draining.run_until_cancelled_owned(accepting).await;
                "listener"
            });
        }
        systemd::ready(&addresses);

        let draining = shutdown.draining();
        tokio::select! {
            biased;
            () = draining.cancelled() => {}
            ended = core.join_next() => return Err(core_task_ended(ended)),
        }
        systemd::stopping();
        info!(connections = connections.len(), "draining");
        if registry.drain().await.is_err() {
            return Err(ServerError::CoreTaskEnded("registry"));
        }
        connections.close();
        tokio::select! {
            () = connections.wait() => info!("every connection has ended"),
            () = sleep(drain) => {
                warn!(connections = connections.len(), "the drain time is over: closing what is left");
            }
            () = shutdown.at_once() => warn!(connections = connections.len(), "ending at once"),
        }
        Ok(())
    }
}

fn core_task_ended(ended: Option<Result<&'static str, tokio::task::JoinError>>) -> ServerError {
    match ended {
        Some(Ok(name)) => ServerError::CoreTaskEnded(name),
        Some(Err(error)) => {
            error!(%error, "a core task failed");
            ServerError::CoreTaskEnded("core task")
        }
        None => ServerError::CoreTaskEnded("whole of the core"),
    }
}
