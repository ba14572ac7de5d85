//! `tidings sub`: prints what arrives, until a count, a time or a signal ends it.

use std::{
    io::{self, IsTerminal, Write},
    pin::{Pin, pin},
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Sleep, sleep},
};

use super::{
    connect::{Connect, block_on},
    exit::{Exit, SilentExit, hint},
    stderr::print_message,
};
use crate::{
    client::{Client, Connectivity, Delivery, Error, Gap, Message, Reconnect},
    config::duration,
    text::harmless,
    topic::TopicFilter,
};

/// Bytes collected before they are written out, while more is there to print.
const OUTPUT_BYTES: usize = 64 * 1024;

/// `tidings sub`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    tidings sub -t 'plant/+/oven' | jq .celsius\n  \
    tidings sub -t '#' --envelope\n  \
    tidings sub -t news -C 1 -W 10\n\n\
    When the connection is lost, `sub` reconnects and says so on standard error.\n\
    Exit code: 0 after --count messages, after --wait without --count, or on SIGINT or SIGTERM; 1 when\n\
    --wait is over before --count, when there is no connection, or when the broker has ended the\n\
    subscription to every filter; 64 bad usage, or a file that cannot be used.")]
pub(super) struct Subscribe {
    /// A topic filter. May be given several times. `+` matches one level, and `#` at the end matches all
    /// levels that follow.
    #[arg(short, long = "topic", value_name = "FILTER", required = true)]
    topics: Vec<String>,

    /// Print the whole event instead of the payload.
    #[arg(long, conflicts_with = "verbose")]
    envelope: bool,

    /// Print the topic before the payload.
    #[arg(short, long)]
    verbose: bool,

    /// Exit after this number of messages.
    #[arg(short = 'C', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Exit after this time, such as 10s or 5m. A bare number is in seconds.
    #[arg(short = 'W', long, value_name = "TIME", value_parser = duration::parse)]
    wait: Option<Duration>,

    /// Print nothing on standard error but the error that ends the command.
    #[arg(short, long)]
    quiet: bool,

    /// Exit when the connection is lost instead of reconnecting.
    #[arg(long)]
    no_reconnect: bool,

    #[command(flatten)]
    connect: Connect,
}

impl Subscribe {
    pub(super) fn run(self) -> anyhow::Result<()> {
        block_on(self.subscribe())
    }

    async fn subscribe(self) -> anyhow::Result<()> {
        let reconnect = if self.no_reconnect {
            Reconnect::Never
        } else {
            Reconnect::BACKOFF
        };
        for topic in &self.topics {
            TopicFilter::parse(topic).map_err(Error::from)?;
        }
        let options = self.connect.options()?.reconnect(reconnect);
        let wait_is_over = pin!(sleep(self.wait.unwrap_or(Duration::MAX)));
        let client = Client::connect(options).await?;
        let mut signals = Signals::new()?;
        let outcome = self.receive(&client, wait_is_over, &mut signals).await;
        // Also after an error: without it, other clients see a lost connection.
        let closed = close_gracefully(client, &mut signals).await;
        outcome?;
        Ok(closed?)
    }

    async fn receive(
        &self,
        client: &Client,
        mut wait_is_over: Pin<&mut Sleep>,
        signals: &mut Signals,
    ) -> anyhow::Result<()> {
        let mut subscription = tokio::select! {
            subscription = client.subscribe_all(&self.topics) => subscription?,
            () = signals.any() => return Ok(()),
        };
        // Not before the signals are watched: a program that waits for this line may send one at once.
        self.print_message(format_args!("subscribed at {}", self.connect.server()));
        let mut printed = Printer::new();
        let mut watched = client.clone();
        loop {
            tokio::select! {
                biased;
                delivery = subscription.next() => match delivery {
                    Some(delivery) => {
                        self.take(&delivery, &mut printed)?;
                        if subscription.is_empty() || printed.is_large() {
                            printed.flush()?;
                        }
                        if self.count.is_some_and(|count| printed.messages >= count) {
                            return Ok(printed.flush()?);
                        }
                    }
                    None => {
                        printed.flush()?;
                        return nothing_left(client).await;
                    }
                },
                change = watched.state_changed() => self.tell(&change),
                () = &mut wait_is_over => {
                    printed.flush()?;
                    self.print_message(format_args!("the wait is over"));
                    let enough = self.count.is_none();
                    return if enough { Ok(()) } else { Err(SilentExit(Exit::Failure).into()) };
                }
                () = signals.any() => return Ok(printed.flush()?),
            }
        }
    }

    fn take(&self, delivery: &Delivery, printed: &mut Printer) -> io::Result<()> {
        match delivery {
            Ok(message) if self.envelope => printed.line(&[&message.line]),
            Ok(message) if self.verbose => printed.line(&[&message.topic, " ", payload(message)]),
            Ok(message) => printed.line(&[payload(message)]),
            Err(gap) => {
                printed.flush()?;
                match gap {
                    // Printed even with --quiet: the last one ends the command.
                    Gap::Closed(_) => print_message(gap),
                    Gap::Missed(_) | Gap::Reconnected => self.print_message(format_args!("{gap}")),
                }
                Ok(())
            }
        }
    }

    fn tell(&self, change: &Connectivity) {
        match change {
            Connectivity::Connected => {
                self.print_message(format_args!("connected and subscribed again"))
            }
            Connectivity::Reconnecting(error) => {
                self.print_message(format_args!("{error}; trying again"))
            }
            // Printed once, when the command ends.
            Connectivity::Ended(_) => {}
        }
    }

    fn print_message(&self, text: std::fmt::Arguments<'_>) {
        if !self.quiet {
            print_message(text);
        }
    }
}

/// No more messages can arrive. Either the connection has ended, which is reported here, or the broker
/// has ended every filter, which was reported for each.
async fn nothing_left(client: &Client) -> anyhow::Result<()> {
    tokio::select! {
        biased;
        error = client.ended() => Err(anyhow::anyhow!("{error}{}", hint(&error))),
        () = std::future::ready(()) => Err(SilentExit(Exit::Failure).into()),
    }
}

/// Sends `disconnecting` if there is a connection. A second signal ends the wait.
async fn close_gracefully(client: Client, signals: &mut Signals) -> Result<(), Error> {
    if client.me().is_none() {
        return Ok(());
    }
    tokio::select! {
        closed = client.close() => closed,
        () = signals.any() => Ok(()),
    }
}

fn payload(message: &Message) -> &str {
    message.payload.get()
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for either.
    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Standard output, buffered while more messages are there to print.
struct Printer {
    unwritten: Vec<u8>,
    messages: u64,
    is_terminal: bool,
}

impl Printer {
    fn new() -> Self {
        Self {
            unwritten: Vec::new(),
            messages: 0,
            is_terminal: io::stdout().is_terminal(),
        }
    }

    fn line(&mut self, parts: &[&str]) -> io::Result<()> {
        for part in parts {
            if self.is_terminal {
                self.unwritten.extend_from_slice(harmless(part).as_bytes());
            } else {
                self.unwritten.extend_from_slice(part.as_bytes());
            }
        }
        self.unwritten.push(b'\n');
        self.messages += 1;
        Ok(())
    }

    fn is_large(&self) -> bool {
        self.unwritten.len() >= OUTPUT_BYTES
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(&self.unwritten)?;
        self.unwritten.clear();
        out.flush()
    }
}
