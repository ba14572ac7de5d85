//! `pub` with input that does not end, and with a server that does.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::Value;

use crate::support::{Certificates, Process, run, tidings};

#[test]
fn pub_reads_no_file_that_does_not_end() {
    let mut command = tidings();
    let folder = Certificates::new();
    folder.client("a");
    command
        .args(["pub", "-t", "a", "-f", "/dev/zero", "--as", "a", "--certs"])
        .arg(folder.folder());
    let outcome = run(command);
    assert_eq!(outcome.code, Some(64), "{outcome:#?}");
    assert!(
        outcome.err_text().contains("/dev/zero") && outcome.err_text().contains("67108864"),
        "{outcome:#?}"
    );
}

const ID: &str = "0190a5c0-0000-7000-8000-000000000000";

/// A server that says what a test has it say.
struct OtherServer {
    listener: TcpListener,
    tls: Arc<ServerConfig>,
}

type Stream = BufReader<StreamOwned<ServerConnection, TcpStream>>;

fn event(name: &str, content: &str) -> String {
    format!(r#"{{"event":"{name}","id":"{ID}","timestamp":"t","content":{content}}}"#) + "\n"
}

fn say(stream: &mut Stream, text: &str) {
    stream.get_mut().write_all(text.as_bytes()).unwrap();
}

impl OtherServer {
    fn new(certificates: &Certificates) -> Self {
        let files = certificates.files("server");
        let chain = CertificateDer::pem_file_iter(&files.certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
        let tls = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain.map(Result::unwrap).collect(), key)
            .unwrap();
        Self {
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            tls: Arc::new(tls),
        }
    }

    fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    /// The next client, before any greeting.
    fn accept(&self) -> Stream {
        let (tcp, _) = self.listener.accept().unwrap();
        let session = ServerConnection::new(Arc::clone(&self.tls)).unwrap();
        BufReader::with_capacity(64 * 1024, StreamOwned::new(session, tcp))
    }

    /// The next client, greeted and authenticated.
    fn welcome(&self, ping_interval_ms: u64) -> Stream {
        let mut stream = self.accept();
        let limits = format!(
            r#"{{"line_bytes_max":1048576,"ping_interval_ms":{ping_interval_ms},"authentication_timeout_ms":5000}}"#
        );
        let greeting = format!(
            r#"{{"client_id":"{ID}","identity":"a","protocol":1,"server":{{"name":"x","version":"0"}},"token_required":false,"limits":{limits}}}"#
        );
        say(&mut stream, &event("connection_accepted", &greeting));
        stream.read_line(&mut String::new()).unwrap();
        let accepted = format!(r#"{{"client_id":"{ID}","identity":"a"}}"#);
        say(&mut stream, &event("authentication_accepted", &accepted));
        stream
    }

    /// Answers some publishes, and resets the connection while more of them come.
    fn answer(&self, count: usize) {
        let mut stream = self.welcome(30_000);
        let (mut line, mut answers) = (String::new(), String::new());
        for _ in 0..count {
            line.clear();
            stream.read_line(&mut line).unwrap();
            let request: Value = serde_json::from_str(&line).unwrap();
            let reference = request["content"]["ref"].as_str().unwrap();
            let answer = format!(r#"{{"topic":"lines","receivers":0,"ref":"{reference}"}}"#);
            answers.push_str(&event("published", &answer));
        }
        say(&mut stream, &answers);
        // More has come by now that nobody reads: to close resets the connection.
        let _ = stream.get_mut().sock.peek(&mut [0]);
    }
}

/// `tidings` of the client "a", to that server.
fn client_of(certificates: &Certificates, server: &OtherServer, arguments: &[&str]) -> Process {
    certificates.client("a");
    let mut command = tidings();
    command
        .args(arguments)
        .args(["-s", &server.address(), "--as", "a", "--certs"])
        .arg(certificates.folder());
    Process::spawn(command)
}

#[test]
fn what_a_server_says_commands_no_terminal() {
    let certificates = Certificates::new();
    let server = OtherServer::new(&certificates);
    let fault = r#"{"code":"a\u001b[1m","reason":"\u001b[2J\n\u202eb\u009b","retryable":false}"#;
    let closed = r##"{"topic":"#","code":"\u001b[1m","reason":"\u061c\r"}"##;
    for (arguments, answers) in [
        (
            &["pub", "-t", "a", "-m", "1"][..],
            event("connection_closing", fault),
        ),
        (
            &["sub", "-t", "#"],
            event("subscribed", r##"{"topic":"#","ref":"2"}"##)
                + &event("subscription_closed", closed),
        ),
    ] {
        let mut client = client_of(&certificates, &server, arguments);
        let mut stream = server.welcome(30_000);
        stream.read_line(&mut String::new()).unwrap();
        say(&mut stream, &answers);
        // Its farewell, or its end.
        let _ = stream.read_line(&mut String::new());
        drop(stream);
        let outcome = client.wait();
        assert_eq!(outcome.code, Some(1), "{outcome:#?}");
        let told = outcome.err_text();
        assert!(told.contains(r"\u001b["), "{told:?}");
        let harmful = |c: char| c != '\n' && c.is_control() || "\u{202e}\u{61c}".contains(c);
        assert!(!told.contains(harmful), "{told:?}");
    }
}

#[test]
fn pub_lines_takes_the_answers_that_came_and_names_the_first_line_without_one() {
    const ANSWERED: usize = 150;
    let certificates = Certificates::new();
    let server = OtherServer::new(&certificates);
    let mut publisher = client_of(&certificates, &server, &["pub", "-t", "lines", "-l"]);
    let serving = thread::spawn(move || server.answer(ANSWERED));
    let mut stdin = publisher.take_stdin();
    let writing = thread::spawn(move || {
        // Without an end: the publisher always has something that it cannot send any more.
        let piece = format!("{}\n", "x".repeat(999)).into_bytes();
        while stdin.write_all(&piece).is_ok() {}
    });
    let outcome = publisher.wait();
    serving.join().unwrap();
    writing.join().unwrap();
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    let [tally, fault] = &outcome.err[..] else {
        panic!("two lines: {outcome:#?}");
    };
    assert_eq!(
        *tally,
        format!("tidings: {ANSWERED} lines accepted, 0 refused")
    );
    let first = ANSWERED + 1;
    assert!(
        fault.starts_with(&format!(
            "tidings: line {first} is the first without an answer: "
        )),
        "{fault}"
    );
}

#[test]
fn a_line_without_an_end_is_not_collected_before_the_client_is_let_in() {
    let certificates = Certificates::new();
    let server = OtherServer::new(&certificates);
    let mut client = client_of(&certificates, &server, &["pub", "-t", "a", "-m", "1"]);
    let mut stream = server.accept();
    say(&mut stream, &"x".repeat(128 * 1024));
    // The server keeps the connection open: it is the client that has had enough.
    let outcome = client.wait();
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    assert!(
        outcome.err_text().contains("a line without an end"),
        "{outcome:#?}"
    );
}

/// Small answers are what it takes: the last of them is with TLS, and waits for the socket.
#[test]
fn a_server_that_asks_and_does_not_read_is_heard_and_given_up_as_a_silent_one_is() {
    const PINGS: usize = 150_000;
    let certificates = Certificates::new();
    let server = OtherServer::new(&certificates);
    let listener = socket2::SockRef::from(&server.listener);
    listener.set_recv_buffer_size(4096).unwrap();
    let mut client = client_of(
        &certificates,
        &server,
        &["sub", "-t", "a", "--no-reconnect"],
    );
    let mut stream = server.welcome(1000);
    let asking = thread::spawn(move || {
        let pings = event("ping", "{}").repeat(1000);
        (0..PINGS / 1000).for_each(|_| say(&mut stream, &pings));
        stream
    });
    let outcome = client.wait();
    asking.join().unwrap();
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    assert!(outcome.err_text().contains("timed out"), "{outcome:#?}");
}
