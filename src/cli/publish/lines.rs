//! `pub --lines`: publishes each line, with many requests in flight.

use std::{collections::VecDeque, future, io, io::IsTerminal, str, time::Duration};

use anyhow::{Context, anyhow};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use super::{LINE_BYTES_MAX, payload::Payload, warn_of_broken};
use crate::{
    cli::{
        exit::{Exit, SilentExit},
        stderr::print_message,
    },
    client::{Client, Error, Pending, Receipt},
    protocol::{LineSplitter, LineTooLong},
};

/// Lines that were sent and not answered yet.
const WINDOW_LINES: usize = 1024;

/// Bytes of these lines, above which no more are read.
const WINDOW_BYTES: usize = 4 * 1024 * 1024;

/// Publishes every line of standard input, and reports those that were not accepted.
pub(super) async fn publish(
    client: &Client,
    topic: &str,
    as_text: bool,
    quiet: bool,
) -> anyhow::Result<()> {
    let limit = client
        .line_bytes_max()
        .map_or(LINE_BYTES_MAX, |bytes| bytes.min(LINE_BYTES_MAX));
    let mut lines = Lines {
        client,
        topic,
        as_text,
        number: 0,
        window: Window::default(),
        tally: Tally::new(quiet),
    };
    let outcome = lines.stream(Input::new(tokio::io::stdin(), limit)).await;
    lines.tally.finish();
    outcome?;
    if lines.tally.refused > 0 {
        return Err(SilentExit(Exit::Failure).into());
    }
    Ok(())
}

struct Lines<'a> {
    client: &'a Client,
    topic: &'a str,
    as_text: bool,
    /// Of the last line that was read.
    number: u64,
    window: Window,
    tally: Tally,
}

impl Lines<'_> {
    /// Reads lines and answers as they come, whichever comes first.
    async fn stream<R: AsyncRead + Unpin>(&mut self, mut input: Input<R>) -> anyhow::Result<()> {
        let (mut at_end, mut outcome) = (false, Ok(()));
        while !at_end || !self.window.is_empty() {
            tokio::select! {
                line = input.next_line(), if !at_end && self.window.has_room() => match line {
                    Ok(Some(line)) => self.take(line, input.limit()).await?,
                    Ok(None) => at_end = true,
                    Err(error) => {
                        at_end = true;
                        outcome = Err(error).context("cannot read standard input");
                    }
                },
                (line, answer) = self.window.first_answer(), if !self.window.is_empty() => {
                    self.window.pop();
                    if let Some(error) = self.tally.answered(line, answer) {
                        return Err(self.unanswered(line, error).await);
                    }
                }
                error = self.client.ended(), if self.window.is_empty() => {
                    return Err(anyhow!("what follows line {} was not sent: {error}", self.number));
                }
            }
        }
        outcome
    }

    async fn take(
        &mut self,
        line: Result<Vec<u8>, LineTooLong>,
        limit: usize,
    ) -> anyhow::Result<()> {
        self.number += 1;
        let number = self.number;
        let payload = match line {
            Ok(line) if line.is_empty() => return Ok(()),
            Ok(line) => self.payload(&line),
            Err(LineTooLong) => Err(anyhow!(
                "it is longer than the {limit} bytes that the server takes"
            )),
        };
        let payload = match payload {
            Ok(payload) => payload,
            Err(error) => {
                self.tally.refused(number, &error);
                return Ok(());
            }
        };
        if let Some(fault) = &payload.broken {
            self.tally.broken(number, fault);
        }
        let bytes = payload.json.get().len();
        match self.client.start_publish(self.topic, payload.json).await {
            Ok(pending) => self.window.push(number, bytes, pending),
            Err(_) => {
                let error = self.client.ended().await;
                return Err(match self.settle() {
                    Some(first) => no_answer(first, &error),
                    None => anyhow!("line {number} and those after it were not sent: {error}"),
                });
            }
        }
        Ok(())
    }

    fn payload(&self, line: &[u8]) -> anyhow::Result<Payload> {
        let text = str::from_utf8(line).context("it is not UTF-8")?;
        Ok(Payload::of(text, self.as_text)?)
    }

    /// No answer to `line` has come, and none will: answers come in the order of the lines.
    async fn unanswered(&mut self, line: u64, error: Error) -> anyhow::Error {
        self.settle();
        match error {
            Error::NoAnswer(_) => no_answer(line, &error),
            _ => no_answer(line, &*self.client.ended().await),
        }
    }

    /// Counts the answers that have come, and gives the first line without one.
    fn settle(&mut self) -> Option<u64> {
        let mut first = None;
        while let Some((line, mut pending)) = self.window.pop() {
            let unanswered = match pending.try_take() {
                Some(answer) => self.tally.answered(line, answer).is_some(),
                None => true,
            };
            if unanswered {
                first = first.or(Some(line));
            }
        }
        first
    }
}

fn no_answer(line: u64, error: &Error) -> anyhow::Error {
    anyhow!(
        "line {line} is the first without an answer: it and those after it may have been published or not: {error}"
    )
}

/// Lines as they come, none of them longer than a limit.
struct Input<R> {
    reader: BufReader<R>,
    splitter: LineSplitter,
    limit: usize,
}

impl<R: AsyncRead + Unpin> Input<R> {
    fn new(reader: R, limit: usize) -> Self {
        Self {
            reader: BufReader::with_capacity(64 * 1024, reader),
            splitter: LineSplitter::new(limit),
            limit,
        }
    }

    const fn limit(&self) -> usize {
        self.limit
    }

    /// Waits for the next line. Can be cancelled without losing a byte.
    async fn next_line(&mut self) -> io::Result<Option<Result<Vec<u8>, LineTooLong>>> {
        loop {
            let chunk = self.reader.fill_buf().await?;
            if chunk.is_empty() {
                // The last line needs no end.
                let last = self.splitter.next_line(&mut &b"\n"[..]);
                return Ok(last.map(owned).filter(|line| *line != Ok(Vec::new())));
            }
            let (len, mut rest) = (chunk.len(), chunk);
            let line = self.splitter.next_line(&mut rest).map(owned);
            let used = len - rest.len();
            self.reader.consume(used);
            if line.is_some() {
                return Ok(line);
            }
        }
    }
}

fn owned(line: Result<&[u8], LineTooLong>) -> Result<Vec<u8>, LineTooLong> {
    line.map(<[u8]>::to_vec)
}

/// Lines in flight, in their order, with their answers.
#[derive(Default)]
struct Window {
    /// Number, bytes and answer.
    lines: VecDeque<(u64, usize, Pending<Receipt>)>,
    bytes: usize,
}

impl Window {
    fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn has_room(&self) -> bool {
        self.lines.len() < WINDOW_LINES && self.bytes < WINDOW_BYTES
    }

    fn push(&mut self, line: u64, bytes: usize, answer: Pending<Receipt>) {
        self.lines.push_back((line, bytes, answer));
        self.bytes += bytes;
    }

    fn pop(&mut self) -> Option<(u64, Pending<Receipt>)> {
        let (line, bytes, answer) = self.lines.pop_front()?;
        self.bytes -= bytes;
        Some((line, answer))
    }

    /// Waits for the answer that is due first. Can be cancelled and taken up again.
    async fn first_answer(&mut self) -> (u64, Result<Receipt, Error>) {
        match self.lines.front_mut() {
            Some((line, _, answer)) => (*line, answer.wait().await),
            None => future::pending().await,
        }
    }
}

/// The outcome of the lines, with progress on a terminal.
struct Tally {
    accepted: u64,
    refused: u64,
    /// Lines that look like JSON, and were sent as text.
    broken: u64,
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
            broken: 0,
            quiet,
            progress,
        }
    }

    /// Counts an answer; gives the error back where there was none.
    fn answered(&mut self, line: u64, answer: Result<Receipt, Error>) -> Option<Error> {
        match answer {
            Ok(_) => {
                self.accepted += 1;
                self.progress.inc(1);
            }
            Err(error @ (Error::Rejected(_) | Error::LineTooLong { .. })) => {
                self.refused(line, &error.into());
            }
            Err(error) => return Some(error),
        }
        None
    }

    fn refused(&mut self, line: u64, why: &anyhow::Error) {
        self.refused += 1;
        self.progress
            .suspend(|| print_message(format_args!("line {line} was not accepted: {why}")));
    }

    /// Warns of the first one only: lines of a log may well begin with `[`.
    fn broken(&mut self, line: u64, fault: &serde_json::Error) {
        self.broken += 1;
        if self.broken == 1 && !self.quiet {
            self.progress
                .suspend(|| warn_of_broken(format_args!("line {line}"), fault));
        }
    }

    fn finish(&self) {
        self.progress.finish_and_clear();
        if self.quiet {
            return;
        }
        if self.broken > 1 {
            print_message(format_args!(
                "warning: {} lines that begin with {{ or [ are not JSON, and went as strings",
                self.broken
            ));
        }
        print_message(format_args!(
            "{} lines accepted, {} refused",
            self.accepted, self.refused
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(limit: usize, text: &str) -> Vec<Result<String, LineTooLong>> {
        let mut input = Input::new(text.as_bytes(), limit);
        let mut lines = Vec::new();
        while let Some(line) = input.next_line().await.unwrap() {
            lines.push(line.map(|line| String::from_utf8(line).unwrap()));
        }
        lines
    }

    #[tokio::test]
    async fn the_last_line_needs_no_end() {
        let read = |text| lines(8, text);
        let some = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| Ok((*text).to_owned()))
                .collect::<Vec<_>>()
        };
        assert_eq!(read("").await, []);
        assert_eq!(read("1\n").await, some(&["1"]));
        assert_eq!(read("1\n\n2\r\n3").await, some(&["1", "", "2", "3"]));
    }

    #[tokio::test]
    async fn a_line_beyond_the_limit_is_not_kept() {
        let long = "x".repeat(1_000_000);
        let read = lines(8, &format!("1\n{long}\n2\n{long}")).await;
        let long = || Err(LineTooLong);
        assert_eq!(
            read,
            [Ok("1".to_owned()), long(), Ok("2".to_owned()), long()]
        );
    }
}
