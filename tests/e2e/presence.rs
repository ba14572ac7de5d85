//! Who is here: told to all others, once, and with the right reason.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rustix::process::Signal;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    runtime, task,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::{AUTHENTICATE, Broker, Client, DISCONNECT, Line, line, list_of};

/// The next line, which must say that this client came.
fn came(observer: &mut Client, identity: &str) -> String {
    let line = observer.expect("client_authenticated");
    assert_eq!(line.content()["identity"], identity, "{}", line.text);
    line.text_of("client_id").to_owned()
}

/// The next line, which must say that this client went, and why; and after it nothing more.
fn went(observer: &mut Client, client_id: &str, identity: &str, reason: &str) {
    let line = observer.expect("client_disconnected");
    assert_eq!(line.content()["client_id"], client_id);
    assert_eq!(line.content()["identity"], identity);
    assert_eq!(line.content()["reason"], reason);
    assert_eq!(list_of(&observer.fence()), [""; 0], "told once");
}

#[test]
fn acceptance_3_coming_is_told_once_to_the_others_and_never_to_oneself() {
    let broker = Broker::start();
    let mut a = broker.client("a");
    let mut c = broker.client("c");
    assert_eq!(came(&mut a, "c"), c.id());
    let mut b = broker.client("b");
    for observer in [&mut a, &mut c] {
        assert_eq!(came(observer, "b"), b.id());
        assert_eq!(list_of(&observer.fence()), [""; 0]);
    }
    assert_eq!(
        list_of(&b.fence()),
        [""; 0],
        "B hears neither of itself nor of what was before"
    );
}

#[test]
fn acceptance_3_a_killed_client_is_lost() {
    let broker = Broker::start();
    let (mut a, mut c) = (broker.client("a"), broker.client("c"));
    came(&mut a, "c");
    let b = broker.subscriber("b", &["sub", "-t", "x"]);
    let id = came(&mut a, "b");
    assert_eq!(came(&mut c, "b"), id);
    b.signal(Signal::KILL);
    for observer in [&mut a, &mut c] {
        went(observer, &id, "b", "connection_lost");
    }
}

/// A way to be gone.
type Way = fn(Client);

#[test]
fn acceptance_3_a_closed_socket_is_lost_however_it_is_closed() {
    let ways: [(&str, Way); 3] = [
        ("TCP alone", drop),
        ("TLS close_notify", Client::close_notify),
        ("a reset", Client::reset),
    ];
    let broker = Broker::start();
    let (mut a, mut c) = (broker.client("a"), broker.client("c"));
    came(&mut a, "c");
    for (way, close) in ways {
        let b = broker.client("b");
        let id = b.id().to_owned();
        assert_eq!(
            (came(&mut a, "b"), came(&mut c, "b")),
            (id.clone(), id.clone()),
            "{way}"
        );
        close(b);
        for observer in [&mut a, &mut c] {
            went(observer, &id, "b", "connection_lost");
        }
    }
}

#[test]
fn acceptance_3_who_takes_leave_is_told_as_disconnecting() {
    let broker = Broker::start();
    let (mut a, mut c) = (broker.client("a"), broker.client("c"));
    came(&mut a, "c");
    let mut b = broker.client("b");
    let id = b.id().to_owned();
    b.send(DISCONNECT);
    let (lines, end) = b.rest();
    assert_eq!(
        list_of(&lines),
        [""; 0],
        "it is silent when it succeeds, and B never hears of B"
    );
    assert_eq!(end, crate::support::End::CloseNotify);
    for observer in [&mut a, &mut c] {
        assert_eq!(came(observer, "b"), id);
        went(observer, &id, "b", "client_disconnecting");
    }
}

#[test]
fn acceptance_3_who_is_not_authenticated_is_neither_seen_nor_told() {
    let broker = Broker::with(&["--authentication-timeout", "60s"]);
    let mut a = broker.client("a");
    let mut d = broker.greeted("d");
    let b = broker.client("b");
    let id = came(&mut a, "b");
    drop(b);
    went(&mut a, &id, "b", "connection_lost");
    let (_, clients) = a.fence_with_roster();
    let roster = clients.content()["clients"].as_array().unwrap();
    assert_eq!(roster.len(), 1, "{}", clients.text);
    assert_eq!(roster[0]["identity"], "a");

    d.send(&line("ping", r#"{"ref":"still here"}"#));
    assert_eq!(d.next().event(), "pong", "D heard nothing before it");
    d.send(DISCONNECT);
    assert_eq!(list_of(&d.rest().0), [""; 0]);
    assert_eq!(list_of(&a.fence()), [""; 0], "nobody heard of D");
}

#[test]
fn presence_false_hears_nothing_and_is_told_of_all_the_same() {
    let broker = Broker::start();
    let mut a = broker.client("a");
    let mut deaf = broker.deaf_client("deaf");
    assert_eq!(came(&mut a, "deaf"), deaf.id());
    let b = broker.client("b");
    let id = came(&mut a, "b");
    drop(b);
    went(&mut a, &id, "b", "connection_lost");
    assert_eq!(list_of(&deaf.fence()), [""; 0]);
}

#[test]
fn presence_can_be_switched_off_for_all() {
    let broker = Broker::with(&["--presence", "false"]);
    let mut a = broker.client("a");
    let b = broker.client("b");
    drop(b);
    let mut c = broker.client("c");
    c.send(DISCONNECT);
    c.rest();
    assert_eq!(list_of(&a.fence()), [""; 0]);
}

#[test]
fn the_roster_tells_who_came_when_oldest_first() {
    let broker = Broker::start();
    let mut a = broker.client("a");
    let b = broker.client("b");
    let second_a = broker.client("a");
    let (_, clients) = a.fence_with_roster();
    let roster = clients.content()["clients"].as_array().unwrap();
    let ids: Vec<_> = roster
        .iter()
        .map(|c| c["client_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, [a.id(), b.id(), second_a.id()]);
    let names: Vec<_> = roster
        .iter()
        .map(|c| c["identity"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["a", "b", "a"]);
    let since: Vec<_> = roster
        .iter()
        .map(|c| c["since"].as_str().unwrap())
        .collect();
    assert!(
        since.is_sorted() && since.iter().all(|at| at.ends_with('Z')),
        "{since:?}"
    );
}

/// Clients that join in the roster test.
const CROWD: usize = 1_000;

/// Of them at once.
const TASKS: usize = 20;

struct Member {
    stream: BufReader<TlsStream<TcpStream>>,
    id: String,
}

impl Member {
    async fn join(broker: std::net::SocketAddr, tls: TlsConnector) -> Self {
        let tcp = TcpStream::connect(broker).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = BufReader::new(tls.connect(name, tcp).await.unwrap());
        stream
            .write_all(b"{\"event\":\"request_authentication\",\"id\":\"__\",\"content\":{\"presence\":false}}\n")
            .await
            .unwrap();
        stream.flush().await.unwrap();
        let mut lines = [const { String::new() }; 2];
        for line in &mut lines {
            stream.read_line(line).await.unwrap();
        }
        let accepted = Line::parse(lines[1].trim_end().to_owned());
        assert_eq!(accepted.event(), "authentication_accepted");
        let id = accepted.text_of("client_id").to_owned();
        Self { stream, id }
    }

    /// Goes, in one of the ways that there are, and tells what others must hear.
    async fn leave(mut self, way: u32) -> (String, &'static str) {
        if way == 0 {
            self.stream
                .write_all(format!("{DISCONNECT}\n").as_bytes())
                .await
                .unwrap();
            self.stream.flush().await.unwrap();
            let mut rest = String::new();
            assert_eq!(self.stream.read_line(&mut rest).await.unwrap(), 0, "{rest}");
            return (self.id, "client_disconnecting");
        }
        (self.id, "connection_lost")
    }
}

/// What one task did: who came, who went and why, and who is still there, connection and all.
type Deeds = (Vec<String>, BTreeMap<String, &'static str>, Vec<Member>);

async fn come_and_go(broker: std::net::SocketAddr, tls: TlsConnector, seed: u64) -> Deeds {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut came, mut gone, mut here) = (Vec::new(), BTreeMap::new(), Vec::new());
    while came.len() < CROWD / TASKS {
        if !here.is_empty() && random.u32(..100) < 45 {
            let member: Member = here.swap_remove(random.usize(..here.len()));
            let (id, reason) = member.leave(random.u32(..2)).await;
            gone.insert(id, reason);
        } else {
            let member = Member::join(broker, tls.clone()).await;
            came.push(member.id.clone());
            here.push(member);
        }
    }
    (came, gone, here)
}

#[test]
fn heavy_acceptance_3_a_thousand_that_join_and_leave_at_random_leave_an_exact_roster() {
    let broker = Broker::start();
    let mut observers = [broker.client("observer-1"), broker.client("observer-2")];
    came(&mut observers[0], "observer-2");
    let tls = TlsConnector::from(Arc::clone(&broker.certificates.tls("crowd")));

    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.unwrap();
    let mut tasks = task::JoinSet::new();
    for seed in 0..TASKS as u64 {
        tasks.spawn_on(
            come_and_go(broker.address, tls.clone(), seed),
            runtime.handle(),
        );
    }
    // All that is told until then fits into an outbox many times over: nobody is slow here.
    let deeds = runtime.block_on(tasks.join_all());
    let mut expected_came = BTreeSet::new();
    let (mut expected_gone, mut here) = (BTreeMap::new(), Vec::new());
    for (came, gone, stayed) in deeds {
        expected_came.extend(came);
        expected_gone.extend(gone);
        here.extend(stayed);
    }
    assert_eq!(expected_came.len(), CROWD);
    assert!(!here.is_empty() && !expected_gone.is_empty());

    for observer in &mut observers {
        let (mut came, mut gone) = (BTreeSet::new(), BTreeMap::new());
        // What a dropped socket did may still be on its way.
        while gone.len() < expected_gone.len() {
            let line = observer.next();
            let id = line.text_of("client_id").to_owned();
            match line.event() {
                "client_authenticated" => assert!(came.insert(id), "came twice: {}", line.text),
                "client_disconnected" => {
                    assert!(came.contains(&id), "went before it came: {}", line.text);
                    let reason = line.text_of("reason").to_owned();
                    assert_eq!(gone.insert(id, reason), None, "went twice: {}", line.text);
                }
                _ => panic!("neither coming nor going: {}", line.text),
            }
        }
        let (late, clients) = observer.fence_with_roster();
        assert!(
            late.iter()
                .all(|line| line.event() == "client_authenticated"),
            "{late:#?}"
        );
        for line in late {
            assert!(
                came.insert(line.text_of("client_id").to_owned()),
                "{}",
                line.text
            );
        }
        assert!(came == expected_came, "everyone's coming, once");
        let as_told: BTreeMap<_, _> = gone
            .iter()
            .map(|(id, why)| (id.clone(), why.as_str()))
            .collect();
        assert_eq!(as_told, expected_gone);

        let roster: BTreeSet<_> = clients.content()["clients"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|client| client["identity"] == "crowd")
            .map(|client| client["client_id"].as_str().unwrap().to_owned())
            .collect();
        let model: BTreeSet<_> = here.iter().map(|member| member.id.clone()).collect();
        assert_eq!(roster, model);
        let all = clients.content()["clients"].as_array().unwrap().len();
        assert_eq!(all, model.len() + 2, "the crowd and two observers");
    }
    // Sockets of the runtime must end before it does.
    let _entered = runtime.enter();
    drop(here);
}

#[test]
fn what_comes_before_authentication_is_accepted_is_only_the_greeting() {
    let broker = Broker::start();
    let mut client = broker.greeted("a");
    let _other = broker.client("b");
    client.send(AUTHENTICATE);
    client.expect("authentication_accepted");
    let _third = broker.client("c");
    came(&mut client, "c");
}
