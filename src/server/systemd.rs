//! Tells systemd how the service is. Without systemd, tells nobody.

use std::net::SocketAddr;

use sd_notify::NotifyState;
use tracing::warn;

/// Listening: what waits for the service may start.
pub(super) fn ready(addresses: &[SocketAddr]) {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let status = format!("Listening on {}", addresses.join(", "));
    notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// Reading the policy again.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => warn!(%error, "cannot notify systemd"),
    }
}

/// Done with it, one way or the other.
pub(super) fn reloaded() {
    notify(&[NotifyState::Ready]);
}

/// Draining.
pub(super) fn stopping() {
    notify(&[
        NotifyState::Stopping,
        NotifyState::Status("Draining: clients take what is queued for them"),
    ]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "cannot notify systemd");
    }
}
