//! How much a client may do in a time, and how often an address may knock.

use std::{
    io::{ErrorKind, Read},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::support::{
    Broker, Certificates, Client, DISCONNECT, End, PolicyFolder, WITNESS_RULE, Witness, list_of,
    publish, publish_ref, serve, subscribe,
};

#[test]
fn who_publishes_too_fast_is_read_more_slowly_and_loses_nothing() {
    let broker = Broker::with(&["--max-publish-messages-per-second", "100"]);
    let mut listener = broker.deaf_client("listener");
    listener.send(&subscribe("flood"));
    listener.expect("subscribed");
    let mut flood = broker.deaf_client("flood");
    let lines: String = (0..300)
        .map(|number| publish("flood", &number.to_string()) + "\n")
        .collect();
    let begun = Instant::now();
    flood.send_bytes(lines.as_bytes()).unwrap();
    for number in 0..300 {
        assert_eq!(listener.expect("message").raw_payload(), number.to_string());
    }
    // A hundred at once, then a hundred a second. A slow machine only makes it longer.
    assert!(
        begun.elapsed() >= Duration::from_millis(1900),
        "{:?}",
        begun.elapsed()
    );
    flood.send(&publish_ref("flood", "300", "last"));
    assert_eq!(flood.next().event(), "published");
}

#[test]
fn bytes_count_as_well_and_a_slowed_client_is_not_taken_for_dead() {
    let broker = Broker::with(&[
        "--max-publish-bytes-per-second",
        "20000",
        "--ping-interval",
        "200ms",
    ]);
    let mut listener = broker.deaf_client("listener");
    listener.send(&subscribe("flood"));
    listener.expect("subscribed");
    let mut flood = broker.deaf_client("flood");
    let payload = format!("\"{}\"", "x".repeat(10_000));
    let begun = Instant::now();
    for _ in 0..8 {
        flood.send(&publish("flood", &payload));
    }
    flood.send(&publish_ref("flood", "0", "last"));
    let mut received = 0;
    while received < 9 {
        let line = listener.next();
        match line.event() {
            "message" => received += 1,
            "ping" => listener.send(r#"{"event":"pong","id":"__"}"#),
            _ => {}
        }
    }
    assert!(
        begun.elapsed() >= Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    loop {
        let line = flood.next();
        match line.event() {
            "ping" => {}
            event => break assert_eq!(event, "published", "{}", line.text),
        }
    }
}

#[test]
fn a_reload_changes_the_rate_of_those_who_are_here() {
    let rules = |rate: u32| {
        format!(
            "{WITNESS_RULE}\n[[rule]]\nidentity = [\"slow\"]\npublish = [\"#\"]\nmax_publish_messages_per_second = {rate}\n"
        )
    };
    let folder = PolicyFolder::with_rules(&rules(1));
    let broker = Broker::with_rules(&folder, &[]);
    let witness = Witness::start(&broker);
    let mut slow = broker.deaf_client("slow");
    let mut publish_60 = || {
        let begun = Instant::now();
        for number in 1..60 {
            slow.send(&publish("x", &number.to_string()));
        }
        slow.send(&publish_ref("x", "60", "last"));
        slow.expect("published");
        begun.elapsed()
    };
    // At one a second these would take a minute: longer than any test waits.
    folder.put("access.toml", rules(0));
    broker.reload();
    publish_60();
    folder.put("access.toml", rules(20));
    broker.reload();
    assert!(publish_60() >= Duration::from_millis(1900));
    witness.finish();
}

/// Not to be waited for: the pause of the old rate ends with it.
#[test]
fn a_client_that_waits_goes_on_when_its_rate_is_raised() {
    let rules = |rate: u32| {
        format!(
            "[[rule]]\nidentity = [\"*\"]\npublish = [\"#\"]\nmax_publish_messages_per_second = {rate}\n"
        )
    };
    let folder = PolicyFolder::with_rules(&rules(1));
    let broker = Broker::with_rules(&folder, &[]);
    let mut slow = broker.deaf_client("slow");
    let lines: String = (0..100).map(|_| publish("x", "1") + "\n").collect();
    slow.send_bytes(lines.as_bytes()).unwrap();
    slow.send(&publish_ref("x", "1", "last"));
    folder.put("access.toml", rules(0));
    broker.reload();
    slow.expect("published");
}

/// Several connections, one after the other or at once, have no more than one.
#[test]
fn a_rate_is_the_identitys_whatever_number_of_connections_it_makes() {
    let broker = Broker::with(&["--max-publish-messages-per-second", "20"]);
    let begun = Instant::now();
    for _ in 0..6 {
        let mut client = broker.deaf_client("quick");
        for _ in 0..10 {
            client.send(&publish("x", "1"));
        }
        client.send(DISCONNECT);
        let (_, end) = client.rest();
        assert_eq!(end, End::CloseNotify);
    }
    assert!(
        begun.elapsed() >= Duration::from_millis(1400),
        "{:?}",
        begun.elapsed()
    );
}

/// Its debt is paid by what it publishes, not by what it asks for to get in.
#[test]
fn a_new_connection_of_an_identity_over_its_rate_still_gets_in() {
    let broker = Broker::with(&["--max-publish-bytes-per-second", "10"]);
    let mut first = broker.deaf_client("heavy");
    first.send(&publish("x", &format!("\"{}\"", "x".repeat(10_000))));
    first.send(DISCONNECT);
    let second = broker.deaf_client("heavy");
    drop((first, second));
}

/// It is not read, and so its end is not: the pings that it is still sent tell of it.
#[test]
fn a_client_that_goes_while_it_is_held_to_its_rate_does_not_stay_on_the_roster() {
    let flags = [
        "--max-publish-bytes-per-second",
        "10",
        "--ping-interval",
        "200ms",
    ];
    let broker = Broker::with(&flags);
    let mut watcher = broker.client("watcher");
    let mut gone = broker.deaf_client("gone");
    watcher.expect("client_authenticated");
    // A quarter of an hour's worth.
    gone.send(&publish("x", &format!("\"{}\"", "x".repeat(10_000))));
    drop(gone);
    loop {
        let line = watcher.next();
        match line.event() {
            "ping" => watcher.send(r#"{"event":"pong","id":"__"}"#),
            event => break assert_eq!(event, "client_disconnected", "{}", line.text),
        }
    }
}

#[test]
fn too_many_errors_in_a_minute_close_the_connection() {
    let folder = PolicyFolder::with_rules(
        "[[rule]]\nidentity = [\"*\"]\npublish = [\"a\"]\n\n[[rule]]\nidentity = [\"clumsy\"]\nmax_errors_per_minute = 5\n",
    );
    let broker = Broker::with_rules(&folder, &[]);
    let mut clumsy = broker.deaf_client("clumsy");
    let mut patient = broker.deaf_client("patient");
    for client in [&mut clumsy, &mut patient] {
        for _ in 0..6 {
            client.send(&publish("b", "1"));
        }
    }
    let (lines, _) = clumsy.rest();
    assert_eq!(
        list_of(&lines),
        [
            "error",
            "error",
            "error",
            "error",
            "error",
            "error",
            "connection_closing"
        ]
    );
    assert_eq!(lines[6].text_of("code"), "too_many_errors");
    assert_eq!(list_of(&patient.fence()), ["error"; 6]);
    broker.audit("too_many_errors", "clumsy");
}

#[test]
fn an_address_that_knocks_too_often_is_not_listened_to() {
    let flags = [
        "--max-attempts-per-address",
        "3",
        "--handshake-timeout",
        "1h",
    ];
    let broker = Broker::with(&[&["--log-format", "json"], &flags[..]].concat());
    for name in ["a", "b", "c"] {
        broker.client(name);
    }
    for _ in 0..3 {
        let mut tcp = broker.tcp();
        tcp.set_read_timeout(Some(crate::support::DEADLINE))
            .unwrap();
        match tcp.read(&mut [0; 1]) {
            Ok(bytes) => assert_eq!(bytes, 0),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }
    broker.log().wait_for("attempts_refused");
    let trail = broker.audit_trail();
    let told: Vec<_> = trail
        .iter()
        .filter(|line| line["event"] == "attempts_refused")
        .collect();
    assert_eq!(told.len(), 1, "{trail:#?}");
    assert_eq!(told[0]["address"], "127.0.0.1");
}

/// A broker that listens on these.
fn listening(addresses: [String; 2], flags: &[&str]) -> Broker {
    let certificates = Arc::new(Certificates::new());
    let mut command = serve(&certificates);
    for address in addresses {
        command.args(["--listen", &address]);
    }
    command.args(flags);
    Broker::launch(command, &certificates)
}

fn greeted_at(broker: &Broker, address: SocketAddr) {
    let tls = broker.certificates.tls("a");
    Client::dial(address, &tls).unwrap().take_greeting();
}

#[test]
fn a_host_has_one_address_on_whatever_listener_it_comes_to() {
    let flags = ["--max-connections-per-address", "1"];
    let broker = listening(["127.0.0.1:0", "[::]:0"].map(String::from), &flags);
    let ready = broker.ready_file().unwrap();
    let both: SocketAddr = ready.lines().nth(1).unwrap().parse().unwrap();
    let dial = |name: &str, address| Client::dial(address, &broker.certificates.tls(name)).unwrap();
    let mut first = dial("a", broker.address);
    first.take_greeting();
    let mut second = dial("b", (Ipv4Addr::LOCALHOST, both.port()).into());
    let refused = second.expect("connection_refused");
    assert_eq!(refused.text_of("code"), "too_many_connections_from_address");
    let logged = broker.log().wait_for("too_many_connections_from_address");
    let address = format!("address={}", second.local_address());
    assert!(logged.contains(&address), "{address} in {logged}");
    // IPv6 is another address.
    greeted_at(&broker, (Ipv6Addr::LOCALHOST, both.port()).into());
}

#[test]
fn both_families_can_have_a_listener_of_their_own_at_one_port() {
    for reversed in [false, true] {
        let probe = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
        let port = probe.local_addr().unwrap().port();
        drop(probe);
        let mut addresses = [format!("0.0.0.0:{port}"), format!("[::]:{port}")];
        if reversed {
            addresses.reverse();
        }
        let broker = listening(addresses, &[]);
        greeted_at(&broker, (Ipv4Addr::LOCALHOST, port).into());
        greeted_at(&broker, (Ipv6Addr::LOCALHOST, port).into());
    }
}
