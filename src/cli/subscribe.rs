use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, sleep_until},
};

use super::{
    connect::{Connect, block_on},
    exit::{Exit, SilentExit, hint},
    say::say,
};
use crate::{
    client::{Client, Connectivity, Delivery, Error, Gap, Message, Reconnect},
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
    When the connection is lost it is made again, and standard error says so.\n\
    Exit code: 0 after --count messages, after --wait without --count, or on SIGINT or SIGTERM; 1 when\n\
    --wait is over before --count, when there is no connection, or when the server has ended the\n\
    subscription to every filter; 64 typed wrongly, or a file that cannot be used.")]
pub(super) struct Subscribe {
    /// A topic filter; may be given several times. `+` stands for one level, a last `#` for all
    /// that follow.
    #[arg(short, long = "topic", value_name = "FILTER", required = true)]
    topics: Vec<String>,

    /// Print the whole event, not the payload alone.
    #[arg(long, conflicts_with = "verbose")]
    envelope: bool,

    /// Print the topic before the payload.
    #[arg(short, long)]
    verbose: bool,

    /// End after so many messages.
    #[arg(short = 'C', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// End after so many seconds.
    #[arg(short = 'W', long, value_name = "SECONDS")]
    wait: Option<u64>,

    /// Say nothing on standard error but what ends the command.
    #[arg(short, long)]
    quiet: bool,

    /// End when the connection is lost, instead of making it again.
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
        // A time that no clock can count is never over.
        let wait_over = self
            .wait
            .and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds)));
        let client = Client::connect(options).await?;
        let mut signals = Signals::new()?;
        let outcome = self.receive(&client, wait_over, &mut signals).await;
        // However it ends: a client that goes without a word is lost to the others.
        let closed = take_leave(client, &mut signals).await;
        outcome?;
        Ok(closed?)
    }

    async fn receive(
        &self,
        client: &Client,
        wait_over: Option<Instant>,
        signals: &mut Signals,
    ) -> anyhow::Result<()> {
        let mut subscription = tokio::select! {
            subscription = client.subscribe_all(&self.topics) => subscription?,
            () = signals.any() => return Ok(()),
        };
        // Only now: who is told that it runs may end it.
        self.say(format_args!("subscribed at {}", self.connect.server()));
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
                () = wait_is_over(wait_over) => {
                    printed.flush()?;
                    self.say(format_args!("the wait is over"));
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
                    // With the last of them the command ends, and that is told in any case.
                    Gap::Closed(_) => say(gap),
                    Gap::Missed(_) | Gap::Reconnected => self.say(format_args!("{gap}")),
                }
                Ok(())
            }
        }
    }

    fn tell(&self, change: &Connectivity) {
        match change {
            Connectivity::Connected => self.say(format_args!("connected and subscribed again")),
            Connectivity::Reconnecting(error) => self.say(format_args!("{error}; trying again")),
            // What ends the command is told once, at its end.
            Connectivity::Ended(_) => {}
        }
    }

    fn say(&self, text: std::fmt::Arguments<'_>) {
        if !self.quiet {
            say(text);
        }
    }
}

/// No message can come any more: because the connection has ended, which is told here, or because
/// the server has ended every filter, which was told with each.
async fn nothing_left(client: &Client) -> anyhow::Result<()> {
    tokio::select! {
        biased;
        error = client.ended() => Err(anyhow::anyhow!("{error}{}", hint(&error))),
        () = std::future::ready(()) => Err(SilentExit(Exit::Failure).into()),
    }
}

/// There is nobody to take leave of while the connection is lost, and who asks twice does not want
/// to wait.
async fn take_leave(client: Client, signals: &mut Signals) -> Result<(), Error> {
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

async fn wait_is_over(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Standard output, written when there is nothing more to print or enough to write.
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
