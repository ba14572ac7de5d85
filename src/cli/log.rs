use std::{env, io, panic};

use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

use super::exit::UsageError;
use crate::config::LogFormat;

/// Starts the log, on standard error.
pub(super) fn start(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| UsageError(format!("--log {filter:?} is no filter: {error}")))?;
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    // The journal notes the time of every line itself.
    let is_journal = env::var_os("JOURNAL_STREAM").is_some();
    match format {
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init()?,
        LogFormat::Human if is_journal => {
            registry
                .with(layer.without_time().with_ansi(false))
                .try_init()?;
        }
        LogFormat::Human => {
            let is_terminal = io::IsTerminal::is_terminal(&io::stderr());
            registry.with(layer.with_ansi(is_terminal)).try_init()?;
        }
    }
    log_panics();
    Ok(())
}

/// A panic ends one connection, and must not go by unseen: it is a line of the log like any other.
fn log_panics() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string);
        let backtrace = std::backtrace::Backtrace::capture();
        let message = info.payload_as_str().unwrap_or("a panic without words");
        tracing::error!(?message, place, ?backtrace, "panic");
    }));
}
