use std::{
    fs, io,
    net::{SocketAddr, TcpStream},
    process::Command,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{Certificates, Client, DEADLINE, Lines, Outcome, Process, tidings};

/// How often the ready file is looked for.
const READY_POLL: Duration = Duration::from_millis(5);

/// Of `/proc/PID/stat`: USER_HZ is 100 for every program on Linux.
const TICK_MILLIS: u64 = 10;

/// A running broker, killed when it is dropped.
pub(crate) struct Broker {
    process: Process,
    run: TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) certificates: Arc<Certificates>,
}

/// `tidings serve` with the server's certificate of `certificates`, and no address yet.
pub(crate) fn serve(certificates: &Certificates) -> Command {
    let server = certificates.files("server");
    let mut command = tidings();
    command
        .arg("serve")
        .arg("--ca")
        .arg(certificates.ca())
        .arg("--cert")
        .arg(server.certificate)
        .arg("--key")
        .arg(server.key);
    command
}

impl Broker {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(flags: &[&str]) -> Self {
        Self::with_certificates(&Arc::new(Certificates::new()), flags)
    }

    pub(crate) fn with_certificates(certificates: &Arc<Certificates>, flags: &[&str]) -> Self {
        let mut command = serve(certificates);
        command.args(["--listen", "127.0.0.1:0"]).args(flags);
        Self::launch(command, certificates)
    }

    /// Starts `command`, and waits until it listens.
    pub(crate) fn launch(mut command: Command, certificates: &Arc<Certificates>) -> Self {
        let run = tempfile::tempdir().unwrap();
        let ready_file = run.path().join("ready");
        command.env("TIDINGS_READY_FILE", &ready_file);
        let process = Process::spawn(command);
        let deadline = Instant::now() + DEADLINE;
        let ready = loop {
            if let Ok(ready) = fs::read_to_string(&ready_file) {
                break ready;
            }
            assert!(
                process.err.wait_change(READY_POLL) && Instant::now() < deadline,
                "the broker does not start: {:#?}",
                process.err.all()
            );
        };
        let address = ready.lines().next().unwrap().parse().unwrap();
        Self {
            process,
            run,
            address,
            certificates: Arc::clone(certificates),
        }
    }

    /// The log so far and to come.
    pub(crate) fn log(&self) -> &Lines {
        &self.process.err
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What the ready file says; `None` when there is none.
    pub(crate) fn ready_file(&self) -> Option<String> {
        fs::read_to_string(self.run.path().join("ready")).ok()
    }

    /// TCP and TLS as `name`, nothing read yet.
    pub(crate) fn dial(&self, name: &str) -> io::Result<Client> {
        Client::dial(self.address, &self.certificates.tls(name))
    }

    /// A client that was greeted, and has not authenticated.
    pub(crate) fn greeted(&self, name: &str) -> Client {
        let mut client = self.dial(name).unwrap();
        client.take_greeting();
        client
    }

    /// An authenticated client.
    pub(crate) fn client(&self, name: &str) -> Client {
        let mut client = self.greeted(name);
        client.send(super::AUTHENTICATE);
        client.expect("authentication_accepted");
        client
    }

    /// An authenticated client that hears nothing of others' coming and going.
    pub(crate) fn deaf_client(&self, name: &str) -> Client {
        let mut client = self.greeted(name);
        client.send(&super::line(
            "request_authentication",
            r#"{"presence":false}"#,
        ));
        client.expect("authentication_accepted");
        client
    }

    /// TCP and nothing else.
    pub(crate) fn tcp(&self) -> TcpStream {
        TcpStream::connect_timeout(&self.address, DEADLINE).unwrap()
    }

    /// `tidings VERB` as `name` against this broker.
    pub(crate) fn cli(&self, name: &str, arguments: &[&str]) -> Command {
        self.certificates.client(name);
        let mut command = tidings();
        command
            .env("TIDINGS_SERVER", self.address.to_string())
            .env("TIDINGS_CERTS", self.certificates.folder())
            .env("TIDINGS_AS", name)
            .args(arguments);
        command
    }

    /// `tidings sub`, subscribed.
    pub(crate) fn subscriber(&self, name: &str, arguments: &[&str]) -> Process {
        let process = Process::spawn(self.cli(name, arguments));
        process.err.wait_for("subscribed at");
        process
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// SIGTERM, and the end that it brings.
    pub(crate) fn terminate(&mut self) -> Outcome {
        self.signal(Signal::TERM);
        self.process.wait()
    }

    /// Of `/proc`: resident memory now, and the most that it ever was, in KiB.
    pub(crate) fn memory_kib(&self) -> (u64, u64) {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let value = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        (value("VmRSS:"), value("VmHWM:"))
    }

    /// Processor time used so far.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(self.proc("stat")).unwrap();
        // What is behind the name in parentheses; utime and stime are fields 14 and 15 of all.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .collect();
        let ticks = |index: usize| fields[index - 3].parse::<u64>().unwrap();
        Duration::from_millis((ticks(14) + ticks(15)) * TICK_MILLIS)
    }

    /// Descriptors that are open now.
    pub(crate) fn open_files(&self) -> u64 {
        fs::read_dir(self.proc("fd"))
            .unwrap()
            .count()
            .try_into()
            .unwrap()
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.process.pid().as_raw_nonzero())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let log = self.process.err.all();
        if thread::panicking() {
            let tail = log.len().saturating_sub(60);
            eprintln!("the broker's log, its end: {:#?}", &log[tail..]);
            return;
        }
        let panic = log.iter().find(|line| line.contains("panic"));
        assert_eq!(panic, None, "the broker panicked");
    }
}
