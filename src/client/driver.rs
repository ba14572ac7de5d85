//! The task behind a [`Client`](super::Client): it alone reads and writes the connection, and makes
//! it anew when it is lost.

use std::{io, sync::Arc, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use super::{
    Error, Options, State,
    connection::{self, Connection, Lines},
    dialogue::Dialogue,
    request::Request,
    silence::{Overdue, Silence},
};

/// Requests taken at once.
const BATCH_LEN_MAX: usize = 256;

/// How long the server may take to close after `disconnecting`.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Driver {
    options: Options,
    requests: mpsc::Receiver<Request>,
    state: watch::Sender<State>,
    dialogue: Dialogue,
}

impl Driver {
    pub(super) fn new(
        options: Options,
        requests: mpsc::Receiver<Request>,
        state: watch::Sender<State>,
    ) -> Self {
        Self {
            options,
            requests,
            state,
            dialogue: Dialogue::default(),
        }
    }

    /// Keeps the connection until it is no longer wanted, or cannot be had.
    pub(super) async fn run(mut self, mut connection: Connection) {
        let error = loop {
            let error = Arc::new(self.drive(connection).await);
            self.dialogue.connection_ended(&error);
            if self.dialogue.is_disconnecting() || !error.is_retryable() {
                break error;
            }
            connection = match self.reconnect(error).await {
                Ok(connection) => connection,
                Err(error) => break error,
            };
        };
        self.state.send_replace(State::Ended(error));
    }

    /// Reads and writes until the connection ends: tells why it did.
    async fn drive<S: AsyncRead + AsyncWrite>(&mut self, connection: Connection<S>) -> Error {
        let Connection {
            mut lines,
            mut writer,
            limits,
        } = connection;
        self.dialogue.line_bytes_max = limits.line_bytes_max;
        let mut silence = Silence::new(Duration::from_millis(limits.ping_interval_ms));
        let mut is_flushed = true;
        let mut requests = Vec::with_capacity(BATCH_LEN_MAX);
        loop {
            let dialogue = &mut self.dialogue;
            let has_room = dialogue.has_room();
            tokio::select! {
                ready = lines.ready() => {
                    silence.ended();
                    let handled = ready.and_then(|()| lines.each(|line, raw| dialogue.handle_line(line, raw)));
                    if let Err(error) = handled {
                        return error;
                    }
                }
                sent = send(&mut writer, &mut dialogue.outgoing, &mut is_flushed),
                    if !is_flushed || !dialogue.outgoing.is_empty() =>
                {
                    if let Err(error) = sent {
                        return self.read_remaining(lines, Error::Lost(error)).await;
                    }
                }
                taken = self.requests.recv_many(&mut requests, BATCH_LEN_MAX),
                    if has_room && !dialogue.is_disconnecting() =>
                {
                    requests.drain(..).for_each(|request| dialogue.ask(request));
                    if taken == 0 {
                        dialogue.disconnect();
                    }
                    if dialogue.is_disconnecting() {
                        silence = Silence::after_last_line(CLOSE_TIMEOUT);
                    }
                }
                overdue = silence.overdue() => match overdue {
                    Overdue::Ping => dialogue.ping(),
                    Overdue::Lost => return Error::Lost(io::ErrorKind::TimedOut.into()),
                }
            }
        }
    }

    /// Takes what the server has said before it would hear no more: answers to what was sent before,
    /// and perhaps why it closes. Tells why the connection ended, `lost` where nothing says more.
    async fn read_remaining<S: AsyncRead>(&mut self, mut lines: Lines<S>, lost: Error) -> Error {
        let dialogue = &mut self.dialogue;
        let reading = async {
            loop {
                lines.ready().await.ok()?;
                let handled = lines.each(|line, raw| dialogue.handle_line(line, raw));
                if let Err(error) = handled {
                    return Some(error);
                }
            }
        };
        let said = timeout(CLOSE_TIMEOUT, reading).await;
        said.ok().flatten().unwrap_or(lost)
    }

    /// Tries until it works, or the policy or the server ends it.
    async fn reconnect(&mut self, mut error: Arc<Error>) -> Result<Connection, Arc<Error>> {
        let mut attempt = 0;
        while let Some(wait) = self.options.reconnect.wait(attempt) {
            attempt += 1;
            self.state
                .send_replace(State::Reconnecting(Arc::clone(&error)));
            sleep(wait).await;
            if self.requests.is_closed() && self.requests.is_empty() {
                break;
            }
            match connection::open(&self.options).await {
                Ok((connection, me)) => {
                    self.dialogue.subscribe_again();
                    let line_bytes_max = connection.limits.line_bytes_max;
                    self.state
                        .send_replace(State::Connected { me, line_bytes_max });
                    return Ok(connection);
                }
                Err(failed) => error = Arc::new(failed),
            }
            if !error.is_retryable() {
                break;
            }
        }
        Err(error)
    }
}

/// Does a part of it: whatever keeps it waiting, the server is heard meanwhile, and its silence has an
/// end. Can be cancelled and taken up again.
async fn send(
    writer: &mut (impl AsyncWrite + Unpin),
    outgoing: &mut BytesMut,
    is_flushed: &mut bool,
) -> io::Result<()> {
    if outgoing.is_empty() {
        writer.flush().await?;
        *is_flushed = true;
    } else {
        *is_flushed = false;
        writer.write_buf(outgoing).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
