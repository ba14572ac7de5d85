//! Peers that mean harm, or are broken: they cost themselves, and nobody else.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, prlimit, setrlimit};
use rustls::ClientConnection;

use crate::support::{
    AUTHENTICATE, Broker, Certificates, Client, DEADLINE, DISCONNECT, End, Process, Witness, line,
    list_of, publish_ref, serve, subscribe, told,
};

/// Silent connections at once.
const SILENT: usize = 2_000;

/// Memory that one peer may cost beside what its limits allow.
const MARGIN_KIB: u64 = 16 * 1024;

/// This process needs as many descriptors as the connections that it makes.
fn raise_own_limit(wanted: u64) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    assert!(
        maximum.is_none_or(|maximum| maximum >= wanted),
        "this test needs {wanted} open files: raise the hard limit (`ulimit -Hn`)"
    );
    let current = maximum;
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
}

/// Waits until the peer has closed, in whatever way.
fn wait_closed(mut tcp: &TcpStream, deadline: Instant) {
    let mut buffer = [0; 1024];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "it was not closed");
        tcp.set_read_timeout(Some(left)).unwrap();
        match tcp.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return,
            Err(error) => panic!("it was not closed: {error}"),
        }
    }
}

#[test]
fn heavy_acceptance_4_silent_connections_delay_nobody_and_are_closed_at_the_deadline() {
    raise_own_limit(SILENT as u64 + 200);
    let mut broker = Broker::with(&["--handshake-timeout", "3s", "--log-format", "json"]);
    let tls = broker.certificates.tls("good");
    let begun = Instant::now();
    let silent: Vec<TcpStream> = (0..SILENT).map(|_| broker.tcp()).collect();

    // One after the other, and the quickest of them counts: the machine may be busy, but every one
    // of them would wait if the silent ones were in its way.
    let mut good: Vec<(Duration, Client)> = (0..3)
        .map(|_| {
            let dialled = Instant::now();
            let mut client = Client::dial(broker.address, &tls).unwrap();
            client.take_greeting();
            (dialled.elapsed(), client)
        })
        .collect();
    let (quickest, _) = good.iter().min_by_key(|(took, _)| *took).unwrap();
    assert!(
        *quickest < Duration::from_secs(1),
        "good clients waited {quickest:?} and more"
    );
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "the silent ones were still there when the good ones came"
    );
    let (_, mut good) = good.pop().unwrap();
    good.send(AUTHENTICATE);
    good.expect("authentication_accepted");

    let deadline = Instant::now() + DEADLINE;
    for tcp in &silent {
        wait_closed(tcp, deadline);
    }
    assert!(
        begun.elapsed() >= Duration::from_secs(3),
        "none was closed before its time"
    );
    assert_eq!(list_of(&good.fence()), [""; 0]);
    drop(good);
    let (written, counted) = told(&broker.terminate().err, "tls_refused");
    assert_eq!(written + counted, SILENT as u64);
    assert!(written < 100, "{written} lines of the same kind");
}

/// A place among the handshakes is for work: who holds up a handshake that has begun has none.
#[test]
fn peers_that_fall_silent_after_their_hello_delay_nobody() {
    let broker = Broker::with(&["--max-handshakes", "2", "--handshake-timeout", "1h"]);
    let hello = client_hello(&broker);
    let begun = [(); 2].map(|()| {
        let mut tcp = broker.tcp();
        tcp.write_all(&hello).unwrap();
        tcp.set_read_timeout(Some(DEADLINE)).unwrap();
        tcp.read_exact(&mut [0; 1]).unwrap();
        tcp
    });
    broker.client("good");
    for mut tcp in begun {
        tcp.set_nonblocking(true).unwrap();
        let mut rest = Vec::new();
        let still_open = tcp.read_to_end(&mut rest).unwrap_err();
        assert_eq!(still_open.kind(), io::ErrorKind::WouldBlock);
    }
}

/// Not collected up to the 64 KiB that a message of TLS may have.
#[test]
fn a_hello_without_end_is_refused_at_16_kib() {
    let broker = Broker::with(&["--handshake-timeout", "1h"]);
    let witness = Witness::start(&broker);
    let mut tcp = broker.tcp();
    // One record, and the beginning of the next, of a ClientHello that claims 65,000 bytes.
    let mut bytes = b"\x16\x03\x01\x40\x00\x01\x00\xfd\xe8".to_vec();
    bytes.resize(5 + 16 * 1024, 0);
    bytes.extend(b"\x16\x03\x01\x40\x00");
    tcp.write_all(&bytes).unwrap();
    wait_closed(&tcp, Instant::now() + DEADLINE);
    let logged = broker
        .log()
        .wait_for("the ClientHello has more than 16 KiB");
    assert!(logged.contains("TLS refused"), "{logged}");
    witness.finish();
}

/// Sends 100 MB that hold no newline, and says how much memory that cost.
fn flood_with_a_line_without_end(broker: &Broker, client: &mut Client) -> u64 {
    let (before, _) = broker.memory_kib();
    let part = vec![b'x'; 1024 * 1024];
    for _ in 0..100 {
        client.send_bytes(&part).unwrap();
    }
    assert_eq!(client.expect("error").content()["code"], "line_too_long");
    // All of it was read by now: what follows the end of the line is answered.
    client.send(&format!("\n{}", line("ping", "{}")));
    client.expect("pong");
    broker.memory_kib().1.saturating_sub(before)
}

#[test]
fn heavy_acceptance_5_a_line_without_end_costs_no_memory_before_authentication() {
    let broker = Broker::with(&["--authentication-timeout", "60s"]);
    let witness = Witness::start(&broker);
    let mut client = broker.greeted("endless");
    let grown = flood_with_a_line_without_end(&broker, &mut client);
    assert!(grown < MARGIN_KIB, "grew by {grown} KiB");
    client.send(AUTHENTICATE);
    client.expect("authentication_accepted");
    witness.finish();
}

#[test]
fn heavy_acceptance_5_a_line_without_end_costs_no_memory_after_authentication() {
    let broker = Broker::start();
    let witness = Witness::start(&broker);
    let mut client = broker.deaf_client("endless");
    let grown = flood_with_a_line_without_end(&broker, &mut client);
    assert!(grown < MARGIN_KIB, "grew by {grown} KiB");
    witness.finish();
}

#[test]
fn unread_answers_before_authentication_end_the_connection() {
    let broker = Broker::start();
    let witness = Witness::start(&broker);
    let mut client = broker.dial("talker").unwrap();
    let pings = format!("{}\n", line("ping", "{}")).repeat(5_000);
    client.send_bytes(pings.as_bytes()).unwrap();
    let (lines, end) = client.rest();
    assert_eq!(end, End::CloseNotify);
    let last = lines.last().unwrap();
    assert_eq!(last.event(), "connection_closing");
    assert_eq!(last.content()["code"], "too_many_errors");
    let answered: usize = lines.iter().map(|line| line.text.len() + 1).sum();
    assert!(answered < 17 * 1024, "{answered} bytes");
    witness.finish();
}

/// What a good client says first.
fn client_hello(broker: &Broker) -> Vec<u8> {
    let tls = broker.certificates.tls("fuzz");
    let mut connection = ClientConnection::new(tls, "localhost".try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    hello
}

#[test]
fn who_does_not_speak_tls_is_closed_and_logged() {
    let broker = Broker::with(&["--handshake-timeout", "1s"]);
    let witness = Witness::start(&broker);
    let hello = client_hello(&broker);
    let said: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"{\"event\":\"request_authentication\",\"id\":\"__\"}\n",
        b"\x00",
        &[0x16, 0x03, 0x01, 0xff, 0xff],
        &hello[..hello.len() / 2],
        // A whole hello, and then nothing.
        &hello,
    ];
    for bytes in said {
        let mut tcp = broker.tcp();
        tcp.write_all(bytes).unwrap();
        wait_closed(&tcp, Instant::now() + DEADLINE);
        let address = tcp.local_addr().unwrap().to_string();
        let logged = broker.log().wait_for(&address);
        assert!(
            logged.contains("INFO") && logged.contains("TLS refused"),
            "{logged}"
        );
    }
    // And one that goes away at once.
    drop(broker.tcp());
    witness.finish();
}

#[test]
fn garbage_in_the_handshake_harms_nobody() {
    let broker = Broker::with(&["--handshake-timeout", "1s"]);
    let witness = Witness::start(&broker);
    let hello = client_hello(&broker);
    let mut random = fastrand::Rng::with_seed(4_433);
    for _ in 0..200 {
        let mut bytes = hello.clone();
        for _ in 0..random.usize(1..8) {
            let at = random.usize(..bytes.len());
            match random.u8(..3) {
                0 => bytes[at] = random.u8(..),
                1 => bytes[at] ^= 1 << random.u8(..8),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let mut tcp = broker.tcp();
        // The broker may have seen enough, and closed, before it has all.
        let _ = tcp.write_all(&bytes);
        let _ = tcp.shutdown(Shutdown::Write);
        wait_closed(&tcp, Instant::now() + DEADLINE);
    }
    broker.client("good");
    witness.finish();
}

/// What a parser may stumble over.
const ODD_BYTES: &[u8] = b"{}[]\":,\\\0\r\n\xff\xc3 au0e-";

/// Bytes that are a line, nearly one, or nothing of the kind.
fn nonsense(random: &mut fastrand::Rng) -> Vec<u8> {
    let good = [
        AUTHENTICATE.to_owned(),
        subscribe("a/#"),
        line("unsubscribe", r#"{"topic":"a/#"}"#),
        publish_ref("a/b", r#"{"x":[1,2,{"y":"\u00e9"}]}"#, "r"),
        line("list_clients", "{}"),
        line("ping", r#"{"ref":"p"}"#),
        line("pong", "{}"),
        line("help", "{}"),
    ];
    let mut bytes = good[random.usize(..good.len())].clone().into_bytes();
    match random.u8(..6) {
        0 => {}
        1 => bytes = (0..random.usize(..300)).map(|_| random.u8(..)).collect(),
        2 => bytes.truncate(random.usize(..bytes.len())),
        3 => {
            let at = random.usize(..bytes.len());
            let part = bytes[at..].to_vec();
            bytes.extend(part);
        }
        _ => {
            for _ in 0..random.usize(1..6) {
                let at = random.usize(..bytes.len());
                bytes[at] = ODD_BYTES[random.usize(..ODD_BYTES.len())];
            }
        }
    }
    bytes.push(b'\n');
    bytes
}

#[test]
fn heavy_acceptance_5_random_lines_never_panic_the_broker() {
    let broker = Broker::start();
    let witness = Witness::start(&broker);
    let mut random = fastrand::Rng::with_seed(20_260_131);
    for round in 0..120 {
        let mut client = broker.dial("fuzz").unwrap();
        if round % 2 == 0 {
            client.send(AUTHENTICATE);
        }
        let bytes: Vec<u8> = (0..random.usize(1..60))
            .flat_map(|_| nonsense(&mut random))
            .collect();
        // It may be closed for too many errors before it has said all.
        let said = client.send_bytes(&bytes);
        match random.u8(..4) {
            0 => drop(client),
            1 => client.reset(),
            2 if said.is_ok() => client.close_notify(),
            _ => {
                // Every line of its answers is one, whatever it was that they answer.
                let _ = client.send_bytes(format!("\n{DISCONNECT}\n").as_bytes());
                let (lines, end) = client.rest();
                assert!(
                    matches!(end, End::CloseNotify),
                    "{end:?} after {}",
                    lines.len()
                );
            }
        }
    }
    // The broker, when it is dropped, is also asked whether its log knows of a panic.
    witness.finish();
}

/// As the sizing in `docs/operations.md` tells, which is what makes limits on subscriptions limits on
/// memory.
#[test]
fn filters_of_the_greatest_length_take_2_kib_each_at_most() {
    const CLIENTS: usize = 4;
    const FILTERS: usize = 1024;
    let broker = Broker::start();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| broker.deaf_client("greedy")).collect();
    let (before, _) = broker.memory_kib();
    for (number, client) in clients.iter_mut().enumerate() {
        let lines: String = (0..FILTERS)
            .map(|filter| format!("{number}/{filter}/{}+", "0123456789abcdef/".repeat(29)))
            .map(|filter| subscribe(&filter) + "\n")
            .collect();
        client.send_bytes(lines.as_bytes()).unwrap();
        for _ in 0..FILTERS {
            let answer = client.next_text(DEADLINE).unwrap();
            assert!(answer.starts_with(r#"{"event":"subscribed","#), "{answer}");
        }
    }
    let grown = broker.memory_kib().0.saturating_sub(before);
    assert!(
        grown < 2 * (CLIENTS * FILTERS) as u64,
        "grew by {grown} KiB"
    );
}

/// The broker, under a limit of open files.
fn limited(certificates: &Certificates, files: usize, flags: &[&str]) -> Command {
    let serve = serve(certificates);
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("ulimit -n {files}; exec \"$0\" \"$@\""))
        .arg(serve.get_program())
        .args(serve.get_args())
        .args(["--listen", "127.0.0.1:0"])
        .args(flags);
    for (name, value) in serve.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

#[test]
fn too_few_open_files_are_refused_with_a_remedy() {
    let certificates = Certificates::new();
    for files in [100, 256] {
        let outcome = crate::support::run(limited(&certificates, files, &[]));
        assert_eq!(outcome.code, Some(64), "{outcome:?}");
        assert_eq!(outcome.err.len(), 1, "{outcome:?}");
        for part in [
            &format!("limit of open files is {files}"),
            "ulimit -n",
            "LimitNOFILE",
        ] {
            assert!(outcome.err[0].contains(part), "{outcome:?}");
        }
    }
}

#[test]
fn few_open_files_bound_the_connections_and_say_so() {
    let certificates = Arc::new(Certificates::new());
    let command = limited(&certificates, 259, &[]);
    let broker = Broker::launch(command, &certificates);
    let logged = broker.log().wait_for("fewer connections than asked for");
    for part in ["WARN", "asked=10000", "possible=3", "descriptors=259"] {
        assert!(logged.contains(part), "{logged}");
    }
    let _held = [broker.client("a"), broker.client("b"), broker.client("c")];
    let refused = broker.dial("d").unwrap().next();
    assert_eq!(refused.content()["code"], "server_full");
}

#[test]
fn more_sockets_than_open_files_wait_their_turn() {
    let certificates = Arc::new(Certificates::new());
    let command = limited(&certificates, 300, &["--handshake-timeout", "1s"]);
    let broker = Broker::launch(command, &certificates);
    let witness = Witness::start(&broker);
    let silent: Vec<TcpStream> = (0..400).map(|_| broker.tcp()).collect();
    // Behind all of them, it comes in when their deadline has made room.
    let mut good = broker.client("good");
    assert_eq!(list_of(&good.fence()), [""; 0]);
    let deadline = Instant::now() + DEADLINE;
    silent.iter().for_each(|tcp| wait_closed(tcp, deadline));
    witness.finish();
    let log = broker.log().all();
    assert!(
        !log.iter().any(|line| line.contains("cannot accept")),
        "it kept some in reserve"
    );
}

#[test]
fn silent_peers_that_hold_all_sockets_give_way_long_before_their_deadline() {
    let certificates = Arc::new(Certificates::new());
    let command = limited(&certificates, 300, &["--handshake-timeout", "1h"]);
    let broker = Broker::launch(command, &certificates);
    let mut witness = broker.client("witness");
    let hello = client_hello(&broker);
    let _silent: Vec<TcpStream> = (0..400)
        .map(|number| {
            let mut tcp = broker.tcp();
            if number % 2 == 0 {
                tcp.write_all(&hello).unwrap();
            }
            tcp
        })
        .collect();
    let _good = broker.client("good");
    broker.log().wait_for("others waited for a socket");
    assert_eq!(list_of(&witness.fence()), ["client_authenticated"]);
}

#[test]
fn exhausted_descriptors_harm_no_old_client_and_pass() {
    let mut broker = Broker::start();
    let mut old = broker.client("old");
    let pid = broker.process().pid();
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let limit =
        |current| prlimit(Some(pid), Resource::Nofile, Rlimit { current, maximum }).unwrap();
    // From here on, nothing more can be opened.
    let before = limit(Some(3));

    let mut newcomer = broker.tcp();
    broker.log().wait_for("cannot accept connections");
    let used = broker.processor_time();
    newcomer
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    let nothing = newcomer.read(&mut [0; 1]).unwrap_err();
    assert_eq!(
        nothing.kind(),
        io::ErrorKind::WouldBlock,
        "nobody can talk to it"
    );
    let used = broker.processor_time() - used;
    assert!(
        used < Duration::from_millis(200),
        "it spins: {used:?} of 2 s"
    );
    let warnings = broker.log().all();
    let warnings = warnings
        .iter()
        .filter(|line| line.contains("cannot accept"));
    assert_eq!(warnings.count(), 1, "said once, not at every attempt");
    assert_eq!(list_of(&old.fence()), [""; 0]);

    limit(before.current);
    let mut newcomer = Client::over(newcomer, &broker.certificates.tls("newcomer")).unwrap();
    newcomer.take_greeting();
    newcomer.send(AUTHENTICATE);
    newcomer.expect("authentication_accepted");
    assert_eq!(list_of(&old.fence()), ["client_authenticated"]);
}

#[test]
fn descriptors_of_gone_connections_come_back() {
    let broker = Broker::with(&["--handshake-timeout", "1s"]);
    let mut old = broker.client("old");
    let before = broker.open_files();
    for round in 0..30 {
        let client = broker.deaf_client("passing");
        match round % 3 {
            0 => drop(client),
            1 => client.reset(),
            _ => client.close_notify(),
        }
        drop(broker.tcp());
    }
    // Every one of them is reported, and its socket closed soon after: the kernel tells when.
    let mut gone = 0;
    while gone < 30 {
        gone += u32::from(old.next().event() == "client_disconnected");
    }
    let deadline = Instant::now() + DEADLINE;
    while broker.open_files() > before {
        assert!(
            Instant::now() < deadline,
            "{} more than before",
            broker.open_files() - before
        );
        old.fence();
    }
}

#[test]
fn a_killed_broker_is_noticed_by_its_clients_at_once() {
    let mut broker = Broker::start();
    let mut client = broker.client("left-behind");
    let process: &mut Process = broker.process();
    process.signal(rustix::process::Signal::KILL);
    process.wait();
    assert!(matches!(
        client.try_next(),
        Err(End::Truncated | End::Broken(_))
    ));
}
