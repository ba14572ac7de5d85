//! The session at the top of `docs/events.md`, played against a broker.

use crate::support::{Broker, DISCONNECT, End, Line, publish};

const DOCUMENT: &str = include_str!("../../docs/events.md");

/// The ids of the document.
const BROKER: &str = "01940c2e-0000-7000-8000-000000000001";
const ALICE: &str = "01940c2e-5b7a-7d10-8f3a-6c2b9e4d1a55";
const BOB: &str = "01940c2e-6c11-7a20-9b4e-0d5f7c8e2b66";

/// Bytes of a time as the broker writes it.
const TIME_BYTES: usize = "2026-01-31T12:00:00.000000Z".len();

/// A line without its times.
fn timeless(line: &str) -> String {
    let mut line = line.to_owned();
    for key in [r#""since":""#, r#""timestamp":""#] {
        let mut from = 0;
        while let Some(at) = line[from..].find(key) {
            from += at + key.len();
            line.replace_range(from..from + TIME_BYTES, "");
        }
    }
    line
}

#[test]
fn the_session_of_the_document_is_what_the_broker_says() {
    let (_, session) = DOCUMENT.split_once("```text\n").unwrap();
    let (session, _) = session.split_once("```").unwrap();
    let broker = Broker::start();
    let mut alice = broker.dial("alice").unwrap();
    let mut bob = None;
    let mut ids = Vec::new();
    for line in session.lines() {
        let Some(documented) = line.strip_prefix("< ") else {
            alice.send(line.strip_prefix("> ").unwrap());
            continue;
        };
        let documented = Line::parse(documented.to_owned());
        if documented.event() == "client_authenticated" {
            let mut client = broker.deaf_client("bob");
            client.send(&publish("plant/8/oven", r#"{"celsius":176}"#));
            ids.push((client.id().to_owned(), BOB));
            bob = Some(client);
        }
        if documented.event() == "client_disconnected" {
            bob.take().expect("bob is there").send(DISCONNECT);
        }
        let said = alice.next();
        if said.event() == "connection_accepted" {
            ids.push((said.id().to_owned(), BROKER));
            ids.push((said.text_of("client_id").to_owned(), ALICE));
        }
        let version = |version| format!(r#""version":"{version}""#);
        let mut text = said
            .text
            .replace(&version(env!("CARGO_PKG_VERSION")), &version("0.1.0"));
        for (id, shown) in &ids {
            text = text.replace(id, shown);
        }
        assert_eq!(timeless(&text), timeless(&documented.text));
    }
    let (rest, end) = alice.rest();
    assert!(rest.is_empty(), "{rest:#?}");
    assert_eq!(end, End::CloseNotify);
}
