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

/// A server that answers some publishes and resets the connection while more of them come.
struct BreaksOff {
    listener: TcpListener,
    tls: Arc<ServerConfig>,
}

impl BreaksOff {
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

    fn answer(self, count: usize) {
        const ID: &str = "0190a5c0-0000-7000-8000-000000000000";
        let (tcp, _) = self.listener.accept().unwrap();
        let session = ServerConnection::new(self.tls).unwrap();
        let mut stream = BufReader::with_capacity(64 * 1024, StreamOwned::new(session, tcp));
        let event = |name: &str, content: &str| {
            format!(r#"{{"event":"{name}","id":"{ID}","timestamp":"t","content":{content}}}"#)
                + "\n"
        };
        let limits = r#"{"line_bytes_max":1048576,"ping_interval_ms":30000,"authentication_timeout_ms":5000}"#;
        let greeting = format!(
            r#"{{"client_id":"{ID}","identity":"a","protocol":1,"server":{{"name":"x","version":"0"}},"token_required":false,"limits":{limits}}}"#
        );
        let say = |stream: &mut BufReader<StreamOwned<ServerConnection, TcpStream>>, text: &str| {
            stream.get_mut().write_all(text.as_bytes()).unwrap();
        };
        say(&mut stream, &event("connection_accepted", &greeting));
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let accepted = format!(r#"{{"client_id":"{ID}","identity":"a"}}"#);
        say(&mut stream, &event("authentication_accepted", &accepted));
        let mut answers = String::new();
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

#[test]
fn pub_lines_takes_the_answers_that_came_and_names_the_first_line_without_one() {
    const ANSWERED: usize = 150;
    let certificates = Certificates::new();
    certificates.client("a");
    let server = BreaksOff::new(&certificates);
    let mut command = tidings();
    command
        .args([
            "pub",
            "-t",
            "lines",
            "-l",
            "-s",
            &server.address(),
            "--as",
            "a",
            "--certs",
        ])
        .arg(certificates.folder());
    let mut publisher = Process::spawn(command);
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
