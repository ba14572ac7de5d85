//! A connection up to the point where the client is authenticated: TCP, TLS, the greeting.

use std::{io, sync::Arc};

use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader, ReadHalf, WriteHalf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Error, Me, Options};
use crate::protocol::{
    ClientEvent, LineSplitter, ServerEvent,
    client_event::{RequestAuthentication, encode},
    describe_json_error,
    server_event::{ConnectionAccepted, ConnectionLimits, ServerLine},
};

/// Bytes of a line from the server. The list of all clients is the longest that it sends.
const LINE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The same before it has let this client in: all that it says then is short.
const FIRST_LINE_BYTES_MAX: usize = 64 * 1024;

/// An authenticated stream of lines.
pub(super) struct Connection<S = TlsStream<TcpStream>> {
    pub(super) lines: Lines<S>,
    pub(super) writer: WriteHalf<S>,
    /// From the broker's greeting.
    pub(super) limits: ConnectionLimits,
}

/// The reading side, line by line.
pub(super) struct Lines<S> {
    reader: BufReader<ReadHalf<S>>,
    splitter: LineSplitter,
}

impl<S: AsyncRead> Lines<S> {
    pub(super) fn new(reader: ReadHalf<S>, line_bytes_max: usize) -> Self {
        Self {
            reader: BufReader::with_capacity(16 * 1024, reader),
            splitter: LineSplitter::new(line_bytes_max),
        }
    }

    /// Waits until something has come. Can be cancelled without losing a byte.
    pub(super) async fn ready(&mut self) -> Result<(), Error> {
        let received = self.reader.fill_buf().await.map_err(Error::Lost)?;
        if received.is_empty() {
            return Err(Error::Lost(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(())
    }

    /// Calls `handle` with every whole line of what has come, up to the first that fails.
    pub(super) fn each(
        &mut self,
        mut handle: impl FnMut(ServerLine<'_>, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut rest = self.reader.buffer();
        let (len, mut outcome) = (rest.len(), Ok(()));
        while let Some(line) = self.splitter.next_line(&mut rest)
            && outcome.is_ok()
        {
            outcome = match line {
                Ok(line) => parse(line).and_then(|parsed| handle(parsed, line)),
                Err(_) => Err(Error::Protocol("a line without an end".to_owned())),
            };
        }
        let used = len - rest.len();
        self.reader.consume(used);
        outcome
    }
}

/// Whatever says it is the server may say anything: the fault quotes none of it.
fn parse(line: &[u8]) -> Result<ServerLine<'_>, Error> {
    ServerLine::parse(line).map_err(|error| Error::Protocol(describe_json_error(&error)))
}

/// TCP, TLS, the greeting and authentication.
pub(super) async fn open(options: &Options) -> Result<(Connection, Me), Error> {
    timeout(options.connect_timeout, Box::pin(open_unbounded(options)))
        .await
        .unwrap_or_else(|_| {
            Err(Error::ConnectTimeout {
                server: options.server.clone(),
                timeout: options.connect_timeout,
            })
        })
}

async fn open_unbounded(options: &Options) -> Result<(Connection, Me), Error> {
    let connect_error = |cause| Error::Connect {
        server: options.server.clone(),
        cause,
    };
    let name = server_name(&options.server)?;
    let tcp = TcpStream::connect(&options.server)
        .await
        .map_err(connect_error)?;
    tcp.set_nodelay(true).map_err(connect_error)?;
    let connector = TlsConnector::from(Arc::clone(&options.tls));
    let tls = connector.connect(name, tcp).await.map_err(connect_error)?;
    let (reader, mut writer) = tokio::io::split(tls);
    let mut lines = Lines::new(reader, FIRST_LINE_BYTES_MAX);
    // In TLS 1.3 a client is done before the server has judged its certificate: what the server
    // thinks of it comes in place of the greeting.
    let limits = match first_event(&mut lines, greeting).await {
        Err(Error::Lost(cause)) => return Err(connect_error(cause)),
        greeting => greeting?,
    };
    writer
        .write_all(&authentication_request(options))
        .await
        .map_err(connect_error)?;
    writer.flush().await.map_err(connect_error)?;
    let me = first_event(&mut lines, authenticated).await?;
    lines.splitter.set_line_bytes_max(LINE_BYTES_MAX);
    let connection = Connection {
        lines,
        writer,
        limits,
    };
    Ok((connection, me))
}

/// Asked for even where the greeting wants a token and there is none: what the server answers to
/// that says more than could be said here.
fn authentication_request(options: &Options) -> Vec<u8> {
    encode(&ClientEvent::RequestAuthentication(RequestAuthentication {
        token: options.token.clone(),
        presence: options.presence,
        reference: None,
    }))
}

/// Reads until `wanted` finds what it looks for.
async fn first_event<T>(
    lines: &mut Lines<TlsStream<TcpStream>>,
    wanted: fn(ServerEvent<'_>) -> Result<Option<T>, Error>,
) -> Result<T, Error> {
    loop {
        lines.ready().await?;
        let mut found = None;
        lines.each(|line, _| {
            match line.event {
                Some(event) if found.is_none() => found = wanted(event)?,
                // A farewell can come in one go with it; all else, nobody has asked for yet.
                Some(ServerEvent::ConnectionClosing(refused)) => {
                    return Err(Error::Closed(refused.error.into()));
                }
                Some(_) | None => {}
            }
            Ok(())
        })?;
        if let Some(found) = found {
            return Ok(found);
        }
    }
}

fn greeting(event: ServerEvent<'_>) -> Result<Option<ConnectionLimits>, Error> {
    match event {
        ServerEvent::ConnectionAccepted(ConnectionAccepted { limits, .. }) => Ok(Some(limits)),
        ServerEvent::ConnectionRefused(refused) => Err(Error::Refused(refused.error.into())),
        _ => Ok(None),
    }
}

fn authenticated(event: ServerEvent<'_>) -> Result<Option<Me>, Error> {
    match event {
        ServerEvent::AuthenticationAccepted(accepted) => Ok(Some(Me {
            client_id: accepted.client_id,
            identity: accepted.identity.into_owned(),
        })),
        ServerEvent::AuthenticationRefused(refused) => Err(Error::Refused(refused.error.into())),
        ServerEvent::Error(error) => Err(Error::Rejected(error.error.into())),
        ServerEvent::ConnectionClosing(refused) => Err(Error::Closed(refused.error.into())),
        _ => Ok(None),
    }
}

fn server_name(server: &str) -> Result<ServerName<'static>, Error> {
    let bad_address = || Error::Address(server.to_owned());
    let (host, port) = server.rsplit_once(':').ok_or_else(bad_address)?;
    port.parse::<u16>().map_err(|_| bad_address())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).map_err(|_| bad_address())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(options: &Options) -> serde_json::Value {
        serde_json::from_slice(&authentication_request(options)).unwrap()
    }

    #[test]
    fn sends_the_token_that_there_is() {
        let with = request(&Options::to_nowhere().token("tdg_a"));
        assert_eq!(with["event"], "request_authentication");
        assert_eq!(with["content"]["token"], "tdg_a");
        let without = request(&Options::to_nowhere());
        assert_eq!(without["event"], "request_authentication");
        assert_eq!(without["content"].get("token"), None);
    }

    #[test]
    fn a_line_that_is_no_event_is_not_quoted() {
        let long = "x".repeat(100_000);
        for line in [
            format!("\"{long}\""),
            format!(r#"{{"event":"ping","id":"s","content":"{long}","timestamp":"t"}}"#),
            format!(r#"{{"event":"ping","id":["{long}"],"content":{{}},"timestamp":"t"}}"#),
        ] {
            let told = parse(line.as_bytes()).unwrap_err().to_string();
            assert!(told.contains("expected") && told.len() < 100, "{told:.200}");
        }
    }

    #[test]
    fn a_refused_authentication_ends_with_code_and_reason() {
        let content = r#"{"code":"token_expired","reason":"it has expired","retryable":false}"#;
        let line = format!(
            r#"{{"event":"authentication_refused","id":"s","content":{content},"timestamp":"t"}}"#
        );
        let event = ServerLine::parse(line.as_bytes()).unwrap().event.unwrap();
        let error = authenticated(event).unwrap_err();
        assert!(matches!(error, Error::Refused(_)), "{error:?}");
        assert!(!error.is_retryable());
        let told = "the server refused the connection: it has expired (token_expired)";
        assert_eq!(error.to_string(), told);
    }
}
