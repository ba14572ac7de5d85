use std::{
    collections::VecDeque,
    fs,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::{
    connect::{Connect, block_on},
    exit::{Exit, Told, UsageError},
};
use crate::{
    client::{Client, Error, Pending, Receipt},
    security::Unreadable,
    topic::Topic,
};

/// Lines on their way whose answers have not come yet.
const WINDOW: usize = 1024;

/// `tidings pub`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    tidings pub -t plant/7/oven -m '{\"celsius\":181.5}'\n  \
    tidings pub -t plant/7/note -m 'door open'\n  \
    journalctl -f -o json | tidings pub -t logs -l\n\n\
    A payload that is JSON is sent as it is; any other text is sent as a JSON string.\n\
    Exit code: 0 the broker accepted everything, 1 it did not, or there was no connection, 64 typed\n\
    wrongly, or a file that cannot be used.")]
pub(super) struct Publish {
    /// The topic.
    #[arg(short, long, value_name = "TOPIC")]
    topic: String,

    #[command(flatten)]
    source: Source,

    /// Send text as a JSON string even if it happens to be JSON.
    #[arg(long)]
    text: bool,

    /// Say nothing but what was refused.
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

    /// Every line of standard input is a payload; empty lines are left out.
    #[arg(short, long)]
    lines: bool,

    /// The payload is in this file, whole; `-` is standard input.
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
        // What is wrong already needs no connection.
        Topic::parse(&*self.topic).map_err(Error::from)?;
        let single = self.single_payload()?;
        let client = Client::connect(self.connect.options()?).await?;
        let outcome = self.publish_with(&client, single).await;
        // A refusal is no reason to go without a word.
        let closed = client.close().await;
        outcome?;
        Ok(closed?)
    }

    async fn publish_with(
        &self,
        client: &Client,
        single: Option<Box<RawValue>>,
    ) -> anyhow::Result<()> {
        match single {
            Some(payload) => {
                let receipt = client
                    .start_publish(&self.topic, payload)
                    .await?
                    .wait()
                    .await?;
                if !self.quiet {
                    eprintln!(
                        "tidings: {} to {}",
                        queued_for(receipt.receivers),
                        self.topic
                    );
                }
            }
            None => self.publish_lines(client).await?,
        }
        Ok(())
    }

    fn single_payload(&self) -> anyhow::Result<Option<Box<RawValue>>> {
        let text = match &self.source {
            Source {
                message: Some(text),
                ..
            } => text.clone(),
            Source {
                file: Some(path), ..
            } => read_text(path)?,
            Source { null: true, .. } => return Ok(Some(RawValue::NULL.to_owned())),
            Source { .. } => return Ok(None),
        };
        Ok(Some(self.payload(&text)?))
    }

    fn payload(&self, text: &str) -> serde_json::Result<Box<RawValue>> {
        if !self.text
            && let Ok(payload) = serde_json::from_str::<&RawValue>(text)
        {
            return one_line(payload);
        }
        serde_json::value::to_raw_value(text)
    }

    /// Keeps a bounded number of lines on their way, and names every one that was refused.
    async fn publish_lines(&self, client: &Client) -> anyhow::Result<()> {
        let mut tally = Tally::new(self.quiet);
        let outcome = self.stream_lines(client, &mut tally).await;
        tally.finish();
        outcome?;
        if tally.refused > 0 {
            return Err(Told(Exit::Failure).into());
        }
        Ok(())
    }

    /// Reads lines and answers as they come, whichever comes first.
    async fn stream_lines(&self, client: &Client, tally: &mut Tally) -> anyhow::Result<()> {
        let mut lines = BufReader::new(tokio::io::stdin()).split(b'\n');
        let mut window: VecDeque<(u64, Pending<Receipt>)> = VecDeque::with_capacity(WINDOW);
        let (mut number, mut at_end) = (0, false);
        while !at_end || !window.is_empty() {
            tokio::select! {
                line = lines.next_segment(), if !at_end && window.len() < WINDOW => {
                    let Some(line) = line.context("cannot read standard input")? else {
                        at_end = true;
                        continue;
                    };
                    number += 1;
                    match self.line_payload(&line) {
                        Ok(Some(payload)) => {
                            match client.start_publish(&self.topic, payload).await {
                                Ok(pending) => window.push_back((number, pending)),
                                Err(_) => bail!("line {number} was not sent: {}", client.ended().await),
                            }
                        }
                        Ok(None) => {}
                        Err(error) => tally.refused(number, &error.to_string()),
                    }
                }
                (number, answer) = first_answer(&mut window), if !window.is_empty() => {
                    window.pop_front();
                    tally.answered(number, answer)?;
                }
                error = client.ended(), if window.is_empty() => {
                    bail!("cannot go on after line {number}: {error}");
                }
            }
        }
        Ok(())
    }

    /// `None` for an empty line.
    fn line_payload(&self, line: &[u8]) -> anyhow::Result<Option<Box<RawValue>>> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Ok(None);
        }
        let text = std::str::from_utf8(line).context("it is not UTF-8")?;
        Ok(Some(self.payload(text)?))
    }
}

/// Waits for the answer that is due first. Can be cancelled and taken up again.
async fn first_answer(
    window: &mut VecDeque<(u64, Pending<Receipt>)>,
) -> (u64, Result<Receipt, Error>) {
    match window.front_mut() {
        Some((number, pending)) => (*number, pending.wait().await),
        None => std::future::pending().await,
    }
}

/// A line of the protocol is one line: a payload that was typed over several is set in one.
fn one_line(payload: &RawValue) -> serde_json::Result<Box<RawValue>> {
    if payload.get().contains(['\n', '\r']) {
        let value: serde_json::Value = serde_json::from_str(payload.get())?;
        return serde_json::value::to_raw_value(&value);
    }
    Ok(payload.to_owned())
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    let text = if path == Path::new("-") {
        io::read_to_string(io::stdin().lock())
    } else {
        fs::read_to_string(path)
    };
    // What standard input gives is not what was typed.
    let text = match text {
        Err(error) if path != Path::new("-") => {
            return Err(UsageError(Unreadable(path, &error).to_string()).into());
        }
        text => text.context("cannot read standard input")?,
    };
    // The end of a text file's last line is not part of what it says.
    Ok(text.strip_suffix('\n').map_or(text.clone(), str::to_owned))
}

fn queued_for(receivers: usize) -> String {
    match receivers {
        1 => "queued for 1 client".to_owned(),
        count => format!("queued for {count} clients"),
    }
}

/// What became of the lines, shown while they go where someone watches.
struct Tally {
    accepted: u64,
    refused: u64,
    quiet: bool,
    progress: ProgressBar,
}

impl Tally {
    fn new(quiet: bool) -> Self {
        let progress = if quiet || !io::stderr().is_terminal() {
            ProgressBar::hidden()
        } else {
            let style = ProgressStyle::with_template("{spinner} {human_pos} lines, {per_sec}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let progress = ProgressBar::new_spinner().with_style(style);
            progress.enable_steady_tick(Duration::from_millis(100));
            progress
        };
        Self {
            accepted: 0,
            refused: 0,
            quiet,
            progress,
        }
    }

    /// Counts an answer. An error only where no more answers can come.
    fn answered(&mut self, line: u64, answer: Result<Receipt, Error>) -> anyhow::Result<()> {
        match answer {
            Ok(_) => {
                self.accepted += 1;
                self.progress.inc(1);
            }
            Err(error @ (Error::Rejected(_) | Error::LineTooLong { .. })) => {
                self.refused(line, &error.to_string());
            }
            Err(error) => bail!("line {line} and those after it were not acknowledged: {error}"),
        }
        Ok(())
    }

    fn refused(&mut self, line: u64, why: &str) {
        self.refused += 1;
        self.progress
            .suspend(|| eprintln!("tidings: line {line} was not accepted: {why}"));
    }

    fn finish(&self) {
        self.progress.finish_and_clear();
        if !self.quiet {
            eprintln!(
                "tidings: {} lines accepted, {} refused",
                self.accepted, self.refused
            );
        }
    }
}
