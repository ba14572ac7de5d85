//! The log of `tidings serve`: its format, its filter, and queues that never block the broker.

use std::{
    collections::VecDeque,
    env,
    io::{self, Write},
    mem, panic,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use anyhow::Context;
use tokio::time::interval;
use tracing::{Level, Metadata, warn};
use tracing_subscriber::{
    EnvFilter,
    fmt::{MakeWriter, writer::MakeWriterExt},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use super::exit::UsageError;
use crate::{
    config::{Configuration, LogFormat, Logging, Setting},
    server::AUDIT_TARGET,
};

/// Lines that wait in a queue for whoever reads the log. Beyond it they are dropped, counted and
/// told of: a reader that stalls must not stall the broker.
const WAITING_LINES_MAX: usize = 16 * 1024;

/// How often it is looked whether lines were dropped.
const LOSS_CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// How long the end waits for what is still to be written of a queue.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// The log while it runs; dropping it writes what still waits, for a second a queue at most.
///
/// The audit trail waits in a queue of its own: no other line can take its place there. Each queue
/// keeps its order, and each line is written whole; a line of one may overtake lines of the other.
pub(super) struct Log {
    audit: Queue,
    others: Queue,
}

/// Lines that wait, and the thread that writes them.
///
/// Not that of tracing-appender: its end prints to standard output, and panics where that is closed;
/// and it has no place for the line that tells what was dropped last.
#[derive(Clone, Default)]
struct Queue(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Vec<u8>>,
    /// Whether nothing waits, and nothing is being written.
    is_written: bool,
    /// How many found no place, and were not told of yet.
    dropped: usize,
    /// Places beyond the bound, for the end.
    spare: usize,
}

impl Queue {
    fn new(thread: &str, out: impl Write + Send + 'static) -> io::Result<Self> {
        let queue = Self::default();
        let writing = queue.clone();
        thread::Builder::new()
            .name(thread.to_owned())
            .spawn(move || writing.write_to(out))?;
        Ok(queue)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        let waiting = self.0.waiting.lock();
        waiting.unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes lines as they come, for ever.
    fn write_to(&self, mut out: impl Write) {
        let mut waiting = self.waiting();
        loop {
            if let Some(line) = waiting.lines.pop_front() {
                drop(waiting);
                // Where nobody reads the log, there is nobody to tell.
                let _ = out.write_all(&line);
                waiting = self.waiting();
                continue;
            }
            waiting.is_written = true;
            self.0.changed.notify_all();
            let changed = self.0.changed.wait_while(waiting, |now| now.is_written);
            waiting = changed.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How many lines were dropped since the last call, where there are any.
    fn take_dropped(&self) -> Option<usize> {
        let dropped = mem::take(&mut self.waiting().dropped);
        (dropped > 0).then_some(dropped)
    }

    /// Waits until all is written, as long as somebody reads.
    fn wait_written(&self) {
        let changed = &self.0.changed;
        let is_left = |now: &mut Waiting| !now.is_written;
        drop(changed.wait_timeout_while(self.waiting(), END_TIMEOUT, is_left));
    }
}

impl Write for Queue {
    /// One line, whole.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.waiting();
        if waiting.lines.len() < WAITING_LINES_MAX + waiting.spare {
            waiting.lines.push_back(line.to_vec());
            waiting.is_written = false;
            self.0.changed.notify_all();
        } else {
            waiting.dropped += 1;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// `out` gives handles to the one stream that both queues write to.
    fn to<W: Write + Send + 'static>(out: impl Fn() -> W) -> io::Result<Self> {
        Ok(Self {
            audit: Queue::new("audit log", out())?,
            others: Queue::new("log", out())?,
        })
    }

    /// Puts each line into its queue.
    fn writer(&self) -> impl for<'a> MakeWriter<'a> + Send + Sync + 'static {
        let is_audit = |line: &Metadata<'_>| line.target() == AUDIT_TARGET;
        let (audit, others) = (self.audit.clone(), self.others.clone());
        let audit = (move || audit.clone()).with_filter(is_audit);
        audit.or_else(move || others.clone())
    }

    /// Tells of lines that were dropped, for ever.
    pub(super) async fn tell_losses(&self) {
        let mut ticks = interval(LOSS_CHECK_INTERVAL);
        loop {
            ticks.tick().await;
            self.tell_dropped();
        }
    }

    fn tell_dropped(&self) {
        if let Some(lines) = self.audit.take_dropped() {
            warn!(
                target: AUDIT_TARGET, lines,
                "lines of the audit trail were dropped: the log is read too slowly"
            );
        }
        if let Some(lines) = self.others.take_dropped() {
            warn!(
                lines,
                "lines of the log were dropped: it is read too slowly"
            );
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let queues = [&self.audit, &self.others];
        // The last losses are told whatever still waits.
        for queue in queues {
            queue.waiting().spare = 1;
        }
        self.tell_dropped();
        queues.into_iter().for_each(Queue::wait_written);
    }
}

/// Starts the log, on standard error.
pub(super) fn start(configuration: &Configuration) -> anyhow::Result<Log> {
    let Logging { log, log_format } = &configuration.values().logging;
    let filter = parse_filter(log, &configuration.setting("log"))?;
    let log = Log::to(io::stderr).context("cannot start the threads of the log")?;
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(log.writer());
    // The journal notes the time of every line itself.
    let is_journal = env::var("JOURNAL_STREAM").is_ok_and(|stream| is_stderr(&stream));
    match log_format {
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init()?,
        LogFormat::Human if is_journal => {
            registry
                .with(layer.without_time().with_ansi(false))
                .try_init()?;
        }
        LogFormat::Human => {
            registry.with(layer.with_ansi(has_colours())).try_init()?;
        }
    }
    log_panics();
    Ok(log)
}

/// Whether this is the device and inode of standard error: a program that a service starts has the
/// variable too, wherever its own output goes (systemd.exec(5)).
fn is_stderr(stream: &str) -> bool {
    rustix::fs::fstat(io::stderr())
        .is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// See <https://no-color.org>.
fn has_colours() -> bool {
    let declined = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !declined && io::IsTerminal::is_terminal(&io::stderr())
}

/// A lone word is meant as a level. The library would take a mistyped one for the name of a target,
/// and log nothing at all.
fn parse_filter(text: &str, setting: &Setting) -> Result<EnvFilter, UsageError> {
    let is_target = |word: &str| word.starts_with("tidings") || word.contains("::");
    let is_level = |word: &str| word == "off" || word.parse::<Level>().is_ok();
    for directive in text.split(',').map(str::trim) {
        if !directive.contains(['=', '[']) && !is_level(directive) && !is_target(directive) {
            return Err(UsageError(format!(
                "{setting} {text:?}: {directive:?} is neither a level (error, warn, info, debug, trace, off) nor a filter such as tidings::server=debug"
            )));
        }
    }
    EnvFilter::try_new(text)
        .map_err(|error| UsageError(format!("{setting} {text:?} is not a filter: {error}")))
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

#[cfg(test)]
mod tests {
    use tracing::{info, subscriber::with_default};

    use super::*;

    /// A reader of the log that takes nothing until it is let.
    #[derive(Clone, Default)]
    struct Stalled(Arc<(Mutex<Read>, Condvar)>);

    #[derive(Default)]
    struct Read {
        goes_on: bool,
        text: String,
    }

    impl Stalled {
        fn go_on(&self) {
            self.0.0.lock().unwrap().goes_on = true;
            self.0.1.notify_all();
        }
    }

    impl Write for Stalled {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let read = self.0.0.lock().unwrap();
            let mut read = self.0.1.wait_while(read, |read| !read.goes_on).unwrap();
            read.text.push_str(str::from_utf8(line).unwrap());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn noise_does_not_push_the_audit_trail_out() {
        let reader = Stalled::default();
        let log = Log::to(|| reader.clone()).unwrap();
        let subscriber = tracing_subscriber::fmt().with_writer(log.writer()).finish();
        with_default(subscriber, || {
            info!(target: AUDIT_TARGET, "the first of the trail");
            // One more may be with the writer already.
            (0..WAITING_LINES_MAX + 11).for_each(|_| info!("noise"));
            info!(target: AUDIT_TARGET, "the last of the trail");
        });
        assert_eq!(log.audit.take_dropped(), None);
        let dropped = log.others.take_dropped().unwrap();
        assert!((10..=11).contains(&dropped), "{dropped}");
        assert_eq!(log.others.take_dropped(), None, "told once");
        reader.go_on();
        drop(log);
        let read = reader.0.0.lock().unwrap();
        for line in ["the first of the trail", "the last of the trail"] {
            assert_eq!(read.text.matches(line).count(), 1, "{line}");
        }
        assert_eq!(read.text.lines().count(), WAITING_LINES_MAX + 13 - dropped);
    }

    #[test]
    fn what_was_dropped_last_is_told_at_the_end() {
        let reader = Stalled::default();
        let log = Log::to(|| reader.clone()).unwrap();
        let subscriber = tracing_subscriber::fmt().with_writer(log.writer()).finish();
        with_default(subscriber, || {
            (0..WAITING_LINES_MAX + 11).for_each(|_| info!("noise"));
            (0..WAITING_LINES_MAX + 11).for_each(|_| info!(target: AUDIT_TARGET, "trail"));
            reader.go_on();
            drop(log);
        });
        let read = reader.0.0.lock().unwrap();
        for line in [
            "lines of the log were dropped",
            "lines of the audit trail were dropped",
        ] {
            assert_eq!(read.text.matches(line).count(), 1, "{line}");
        }
    }
}
