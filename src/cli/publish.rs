//! `tidings pub`: publishes one message, or one for each line of standard input.

mod lines;
mod payload;

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::Context;

use super::{
    connect::{Connect, block_on},
    exit::UsageError,
    stderr::print_message,
};
use crate::{
    client::{Client, Error},
    files::Unreadable,
    topic::Topic,
};
use payload::Payload;

/// Bytes of the longest line that any broker can be set to take (`--line-bytes-max`).
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// `tidings pub`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    tidings pub -t plant/7/oven -m '{\"celsius\":181.5}'\n  \
    tidings pub -t plant/7/note -m 'door open'\n  \
    journalctl -f -o json | tidings pub -t logs -l\n\n\
    A payload that is JSON is sent as it is; any other text is sent as a JSON string.\n\
    Exit code: 0 the broker accepted everything, 1 it did not, or there was no connection, 64 bad\n\
    usage, or a file that cannot be used.")]
pub(super) struct Publish {
    /// The topic.
    #[arg(short, long, value_name = "TOPIC")]
    topic: String,

    #[command(flatten)]
    source: Source,

    /// Send text as a JSON string even if it happens to be JSON.
    #[arg(long)]
    text: bool,

    /// Print only what was refused.
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    connect: Connect,
}

/// Where the payload comes from.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// The payload.
    #[arg(short, long, value_name = "PAYLOAD", allow_hyphen_values = true)]
    message: Option<String>,

    /// Every line of standard input is a payload. Empty lines are skipped.
    #[arg(short, long)]
    lines: bool,

    /// The payload is the content of this file. `-` is standard input.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// The payload is `null`.
    #[arg(short, long)]
    null: bool,
}

impl Publish {
    pub(super) fn run(self) -> anyhow::Result<()> {
        block_on(self.publish())
    }

    async fn publish(self) -> anyhow::Result<()> {
        // Usage errors are reported without a connection.
        Topic::parse(&*self.topic).map_err(Error::from)?;
        let single = self.single_payload()?;
        let client = Client::connect(self.connect.options()?).await?;
        let outcome = self.publish_with(&client, single).await;
        // Also after a refusal, so that the broker sees a regular end.
        let closed = client.close().await;
        outcome?;
        Ok(closed?)
    }

    async fn publish_with(&self, client: &Client, single: Option<Payload>) -> anyhow::Result<()> {
        match single {
            Some(payload) => {
                let receipt = client
                    .start_publish(&self.topic, payload.json)
                    .await?
                    .wait()
                    .await?;
                if !self.quiet {
                    print_message(format_args!(
                        "{} to {}",
                        queued_for(receipt.receivers),
                        self.topic
                    ));
                }
            }
            None => lines::publish(client, &self.topic, self.text, self.quiet).await?,
        }
        Ok(())
    }

    fn single_payload(&self) -> anyhow::Result<Option<Payload>> {
        let text = match &self.source {
            Source {
                message: Some(text),
                ..
            } => text.clone(),
            Source {
                file: Some(path), ..
            } => read_text(path)?,
            Source { null: true, .. } => return Ok(Some(Payload::null())),
            Source { .. } => return Ok(None),
        };
        let payload = Payload::of(&text, self.text)?;
        if let Some(fault) = payload.broken.as_ref().filter(|_| !self.quiet) {
            warn_of_broken("the payload", fault);
        }
        Ok(Some(payload))
    }
}

/// A missing brace turns an object into a string, which is hardly what was meant.
fn warn_of_broken(what: impl fmt::Display, fault: &serde_json::Error) {
    print_message(format_args!(
        "warning: {what} begins as JSON does and is not JSON ({fault}): it goes as a string; with --text it is not looked at"
    ));
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    let text = if path == Path::new("-") {
        // Not a usage error: the fault is not on the command line.
        read_bounded(io::stdin().lock()).context("cannot read standard input")?
    } else {
        File::open(path)
            .and_then(read_bounded)
            .map_err(|error| UsageError(Unreadable(path, &error).to_string()))?
    };
    // The line feed at the end of a text file is not part of the payload.
    let line = text.strip_suffix('\n');
    let line = line.map(|line| line.strip_suffix('\r').unwrap_or(line));
    Ok(line.map_or_else(|| text.clone(), str::to_owned))
}

/// Stops where no broker accepts the payload: the source may be endless.
fn read_bounded(source: impl Read) -> io::Result<String> {
    let mut text = String::new();
    source
        .take(LINE_BYTES_MAX as u64 + 1)
        .read_to_string(&mut text)?;
    if text.len() > LINE_BYTES_MAX {
        let fault = format!("it is larger than {LINE_BYTES_MAX} bytes, which no broker takes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, fault));
    }
    Ok(text)
}

fn queued_for(receivers: usize) -> String {
    match receivers {
        1 => "queued for 1 client".to_owned(),
        count => format!("queued for {count} clients"),
    }
}
