use std::{env, io, panic, time::Duration};

use tokio::time::interval;
use tracing::{Level, warn};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

use super::exit::UsageError;
use crate::config::LogFormat;

/// Lines that wait for whoever reads the log. Beyond it they are dropped, counted and told of: a
/// reader that stalls must not stall the broker.
const WAITING_LINES_MAX: usize = 16 * 1024;

/// How often it is looked whether lines were dropped.
const LOSS_CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// The log while it runs; dropping it writes what still waits, for a second at most.
pub(super) struct Log {
    dropped: ErrorCounter,
    _writer: WorkerGuard,
}

impl Log {
    /// Tells of lines that were dropped, for ever.
    pub(super) async fn tell_losses(&self) {
        let mut told = 0;
        let mut ticks = interval(LOSS_CHECK_INTERVAL);
        loop {
            ticks.tick().await;
            let dropped = self.dropped.dropped_lines();
            if dropped > told {
                warn!(
                    lines = dropped - told,
                    "lines of the log were dropped: it is read too slowly"
                );
                told = dropped;
            }
        }
    }
}

/// Starts the log, on standard error.
pub(super) fn start(filter: &str, format: LogFormat) -> anyhow::Result<Log> {
    let filter = parse_filter(filter)?;
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING_LINES_MAX)
        .thread_name("log")
        .finish(io::stderr());
    let log = Log {
        dropped: writer.error_counter(),
        _writer: guard,
    };
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
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
    Ok(log)
}

/// A lone word is meant as a level. The library would take a mistyped one for the name of a target,
/// and log nothing at all.
fn parse_filter(text: &str) -> Result<EnvFilter, UsageError> {
    let is_target = |word: &str| word.starts_with("tidings") || word.contains("::");
    let is_level = |word: &str| word == "off" || word.parse::<Level>().is_ok();
    for directive in text.split(',').map(str::trim) {
        if !directive.contains(['=', '[']) && !is_level(directive) && !is_target(directive) {
            return Err(UsageError(format!(
                "--log {text:?}: {directive:?} is neither a level (error, warn, info, debug, trace, off) nor a filter such as tidings::server=debug"
            )));
        }
    }
    EnvFilter::try_new(text)
        .map_err(|error| UsageError(format!("--log {text:?} is no filter: {error}")))
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
