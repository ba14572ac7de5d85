use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{AlertDescription, ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;
use socket2::SockRef;

use super::DEADLINE;

/// A client that is nothing but TLS and lines, and can do all that a good one would not.
pub(crate) struct Client {
    tls: StreamOwned<ClientConnection, TcpStream>,
    received: Vec<u8>,
    /// Bytes of `received` that hold no end of a line.
    scanned: usize,
    id: String,
    fences: u32,
}

/// How a stream of lines ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In order: with TLS close_notify.
    CloseNotify,
    /// TCP ended, and TLS did not.
    Truncated,
    /// With a fatal alert.
    Alert(AlertDescription),
    /// The connection broke.
    Broken(io::ErrorKind),
    /// It did not: nothing came in time.
    Silent,
}

/// One line of the broker, its envelope checked.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) text: String,
    json: Value,
}

impl Client {
    /// TCP and TLS, as far as the client's side of it goes.
    pub(crate) fn dial(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let tcp = TcpStream::connect_timeout(&address, DEADLINE)?;
        Self::over(tcp, config)
    }

    /// TLS over a connection that is there already.
    pub(crate) fn over(tcp: TcpStream, config: &Arc<ClientConfig>) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(DEADLINE))?;
        tcp.set_write_timeout(Some(DEADLINE))?;
        let name = "localhost".try_into().unwrap();
        let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
        let mut tls = StreamOwned::new(connection, tcp);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        Ok(Self {
            tls,
            received: Vec::new(),
            scanned: 0,
            id: String::new(),
            fences: 0,
        })
    }

    /// Reads `connection_accepted`.
    pub(crate) fn take_greeting(&mut self) -> Line {
        let greeting = self.expect("connection_accepted");
        self.id = greeting.content()["client_id"].as_str().unwrap().to_owned();
        greeting
    }

    /// The id that the broker gave it.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn local_address(&self) -> SocketAddr {
        self.tls.sock.local_addr().unwrap()
    }

    pub(crate) fn send(&mut self, line: &str) {
        self.send_bytes(format!("{line}\n").as_bytes()).unwrap();
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tls.write_all(bytes)?;
        self.tls.flush()
    }

    /// The next line.
    pub(crate) fn next(&mut self) -> Line {
        self.try_next()
            .unwrap_or_else(|end| panic!("instead of a line: {end:?}"))
    }

    /// The next line, which must be this event.
    pub(crate) fn expect(&mut self, event: &str) -> Line {
        let line = self.next();
        assert_eq!(line.event(), event, "{}", line.text);
        line
    }

    /// The next line, or how there is none.
    pub(crate) fn try_next(&mut self) -> Result<Line, End> {
        self.next_text(DEADLINE).map(Line::parse)
    }

    /// The next line unread, where there are too many to look into each.
    pub(crate) fn next_text(&mut self, time: Duration) -> Result<String, End> {
        let deadline = Instant::now() + time;
        loop {
            let unscanned = &self.received[self.scanned..];
            if let Some(end) = memchr::memchr(b'\n', unscanned) {
                let rest = self.received.split_off(self.scanned + end + 1);
                let mut line = std::mem::replace(&mut self.received, rest);
                self.scanned = 0;
                line.pop();
                return Ok(String::from_utf8(line).expect("the broker says UTF-8"));
            }
            self.scanned = self.received.len();
            self.receive(deadline)?;
        }
    }

    fn receive(&mut self, deadline: Instant) -> Result<(), End> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(End::Silent);
        }
        self.tls.sock.set_read_timeout(Some(left)).unwrap();
        let mut chunk = [0; 16 * 1024];
        match self.tls.read(&mut chunk) {
            Ok(0) => Err(End::CloseNotify),
            Ok(bytes) => {
                self.received.extend_from_slice(&chunk[..bytes]);
                Ok(())
            }
            Err(error) => Err(End::of(&error)),
        }
    }

    /// What came before the answer to a question that passes the registry behind all that was done
    /// before it: what is not among it by then will not come.
    pub(crate) fn fence(&mut self) -> Vec<Line> {
        self.fence_with_roster().0
    }

    /// The same, with who is here.
    pub(crate) fn fence_with_roster(&mut self) -> (Vec<Line>, Line) {
        self.fences += 1;
        let reference = format!("fence-{}", self.fences);
        self.send(&super::line(
            "list_clients",
            &format!(r#"{{"ref":"{reference}"}}"#),
        ));
        let mut before = Vec::new();
        loop {
            let line = self.next();
            if line.event() == "clients" && line.content()["ref"] == reference {
                return (before, line);
            }
            before.push(line);
        }
    }

    /// All that still comes, and how it ends.
    pub(crate) fn rest(&mut self) -> (Vec<Line>, End) {
        let mut lines = Vec::new();
        loop {
            match self.try_next() {
                Ok(line) => lines.push(line),
                Err(end) => return (lines, end),
            }
        }
    }

    /// The last line that there is, and the orderly end behind it.
    pub(crate) fn last_line(&mut self) -> Line {
        let (mut lines, end) = self.rest();
        assert_eq!(end, End::CloseNotify, "after {lines:#?}");
        lines.pop().expect("there is a last line")
    }

    /// Ends TLS in order, and nothing of the protocol.
    pub(crate) fn close_notify(mut self) {
        self.end_sending();
    }

    /// Ends its own direction of TLS, in order, and goes on reading.
    pub(crate) fn end_sending(&mut self) {
        self.tls.conn.send_close_notify();
        self.tls.flush().unwrap();
    }

    /// Each line in a record of its own, and all of them in one write: so they come together.
    pub(crate) fn send_at_once(&mut self, lines: &[String]) {
        let bytes = self.records(lines);
        self.tls.sock.write_all(&bytes).unwrap();
    }

    /// The same, and with them what is no TLS.
    pub(crate) fn send_and_break_off(mut self, lines: &[String]) {
        let mut bytes = self.records(lines);
        bytes.extend_from_slice(b"not a record of TLS");
        self.tls.sock.write_all(&bytes).unwrap();
    }

    fn records(&mut self, lines: &[String]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in lines {
            let line = format!("{line}\n");
            self.tls.conn.writer().write_all(line.as_bytes()).unwrap();
            while self.tls.conn.wants_write() {
                self.tls.conn.write_tls(&mut bytes).unwrap();
            }
        }
        bytes
    }

    /// Breaks the connection off: the broker's kernel gets a reset.
    pub(crate) fn reset(self) {
        SockRef::from(&self.tls.sock)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }

    /// The socket below TLS.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.tls.sock
    }
}

impl End {
    fn of(error: &io::Error) -> Self {
        let tls = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match (tls, error.kind()) {
            (Some(rustls::Error::AlertReceived(alert)), _) => Self::Alert(*alert),
            (_, io::ErrorKind::UnexpectedEof) => Self::Truncated,
            (_, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Self::Silent,
            (_, kind) => Self::Broken(kind),
        }
    }
}

impl Line {
    /// Reads a line and holds it to the envelope: four members, always, in this order.
    pub(crate) fn parse(text: String) -> Self {
        let json: Value = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error} in the broker's {text}"));
        let members = json.as_object().expect("an object");
        assert_eq!(members.len(), 4, "{text}");
        let head = format!(
            r#"{{"event":{},"id":{},"content":{{"#,
            json["event"], json["id"]
        );
        let tail = format!(r#"}},"timestamp":{}}}"#, json["timestamp"]);
        assert!(text.starts_with(&head) && text.ends_with(&tail), "{text}");
        let at = json["timestamp"].as_str().unwrap();
        assert!(at.len() == 27 && at.ends_with('Z'), "{text}");
        chrono::DateTime::parse_from_rfc3339(at).unwrap();
        Self { text, json }
    }

    pub(crate) fn event(&self) -> &str {
        self.json["event"].as_str().unwrap()
    }

    pub(crate) fn id(&self) -> &str {
        self.json["id"].as_str().unwrap()
    }

    pub(crate) fn content(&self) -> &Value {
        &self.json["content"]
    }

    /// A member of the content that is a text; empty when there is none.
    pub(crate) fn text_of(&self, member: &str) -> &str {
        self.content()[member].as_str().unwrap_or_default()
    }

    /// The payload of a message, byte for byte.
    pub(crate) fn raw_payload(&self) -> &str {
        #[derive(serde::Deserialize)]
        struct Envelope<'a> {
            #[serde(borrow)]
            content: Content<'a>,
        }
        #[derive(serde::Deserialize)]
        struct Content<'a> {
            #[serde(borrow)]
            payload: &'a serde_json::value::RawValue,
        }
        let envelope: Envelope<'_> = serde_json::from_str(&self.text).unwrap();
        envelope.content.payload.get()
    }
}

/// The events of some lines, for comparison with what was expected.
pub(crate) fn list_of(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(Line::event).collect()
}
