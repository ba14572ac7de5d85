//! However a connection ends: what was said before is carried out, and half a line never is.

use std::net::Shutdown;

use crate::support::{
    AUTHENTICATE, Broker, Client, DISCONNECT, End, Process, line, list_of, publish, publish_ref,
    s_client, subscribe,
};

/// Messages of a client that then goes.
const LAST: usize = 20;

/// Times that such a client comes and goes: what is lost in a race is not lost each time.
const ROUNDS: usize = 20;

/// Someone who hears of everything that is published to `last`.
fn listener(broker: &Broker) -> Client {
    let mut listener = broker.deaf_client("listener");
    listener.send(&subscribe("last"));
    listener.expect("subscribed");
    listener
}

/// Each asks for an answer, which nobody will read.
fn last_messages() -> Vec<String> {
    (0..LAST)
        .map(|number| publish_ref("last", &number.to_string(), "unread"))
        .collect()
}

fn expect_all(listener: &mut Client) {
    for number in 0..LAST {
        assert_eq!(listener.expect("message").raw_payload(), number.to_string());
    }
}

#[test]
fn a_client_that_goes_without_reading_has_said_all_that_it_said() {
    let broker = Broker::start();
    let mut listener = listener(&broker);
    let mut watcher = broker.client("watcher");
    for round in 0..ROUNDS {
        let mut going = broker.deaf_client("going");
        watcher.expect("client_authenticated");
        // It hears its own messages, and so its socket is written to between them.
        let mut lines = vec![subscribe("last")];
        lines.extend(last_messages());
        let takes_leave = round % 2 == 0;
        if takes_leave {
            lines.push(DISCONNECT.to_owned());
        }
        going.send_at_once(&lines);
        // With unread answers, this is a reset: whatever is written to it fails from here on.
        drop(going);
        expect_all(&mut listener);
        let reason = if takes_leave {
            "client_disconnecting"
        } else {
            "connection_lost"
        };
        let gone = watcher.expect("client_disconnected");
        assert_eq!(gone.text_of("reason"), reason);
    }
    assert_eq!(list_of(&listener.fence()), [""; 0]);
}

#[test]
fn a_script_that_is_gone_before_its_greeting_is_carried_out() {
    let broker = Broker::start();
    let mut listener = listener(&broker);
    for _ in 0..ROUNDS {
        let mut script = broker.dial("script").unwrap();
        let mut lines = vec![AUTHENTICATE.to_owned()];
        lines.extend(last_messages());
        lines.push(DISCONNECT.to_owned());
        script.send_at_once(&lines);
        drop(script);
        expect_all(&mut listener);
    }
}

#[test]
fn what_came_before_a_fault_of_tls_is_carried_out() {
    let broker = Broker::start();
    let mut listener = listener(&broker);
    let client = broker.deaf_client("broken");
    client.send_and_break_off(&last_messages());
    expect_all(&mut listener);
}

#[test]
fn a_last_line_without_its_end_is_answered_and_not_carried_out() {
    let broker = Broker::start();
    let mut listener = listener(&broker);
    let mut cut = broker.deaf_client("cut");
    let half = publish_ref("last", "1", "r");
    cut.send_bytes(half.as_bytes()).unwrap();
    cut.end_sending();
    let (lines, end) = cut.rest();
    assert_eq!((list_of(&lines), end), (vec!["error"], End::CloseNotify));
    assert_eq!(lines[0].text_of("code"), "malformed_event");
    assert!(
        lines[0].text_of("reason").contains("line feed"),
        "{}",
        lines[0].text
    );

    // Before authentication too.
    let mut newcomer = broker.greeted("newcomer");
    newcomer.send_bytes(AUTHENTICATE.as_bytes()).unwrap();
    newcomer.end_sending();
    let (lines, end) = newcomer.rest();
    assert_eq!((list_of(&lines), end), (vec!["error"], End::CloseNotify));
    assert_eq!(lines[0].text_of("code"), "malformed_event");

    // One that was too long has had its answer.
    let mut long = broker.greeted("long");
    long.send_bytes(&[b'x'; 5000]).unwrap();
    long.end_sending();
    let (lines, end) = long.rest();
    assert_eq!((list_of(&lines), end), (vec!["error"], End::CloseNotify));
    assert_eq!(lines[0].text_of("code"), "line_too_long");

    // And where there was no half line, there is nothing to say.
    let mut whole = broker.deaf_client("whole");
    whole.send(&publish("last", "2"));
    whole.end_sending();
    let (lines, end) = whole.rest();
    assert_eq!((list_of(&lines), end), (vec![], End::CloseNotify));
    assert_eq!(listener.expect("message").raw_payload(), "2");
    assert_eq!(list_of(&listener.fence()), [""; 0]);
}

#[test]
fn a_script_without_a_last_line_feed_is_told_in_the_log_too() {
    let broker = Broker::with(&["--log", "debug"]);
    let mut listener = listener(&broker);
    let files = broker.certificates.client("alice");
    let mut command = s_client(broker.address, &broker.certificates.ca(), Some(&files));
    // As `printf '…\n…' | openssl s_client` has it: at the end of its input it closes TLS.
    command.args(["-quiet", "-no_ign_eof"]);
    let mut script = Process::spawn(command);
    script.out.wait_for("connection_accepted");
    let half = publish("last", "2");
    script.write(format!("{AUTHENTICATE}\n{}\n{half}", publish("last", "1")).as_bytes());
    script.close_stdin();
    script.wait();
    let told = broker.log().wait_for("malformed_event");
    assert!(
        told.contains("alice") && told.contains("line feed"),
        "{told}"
    );
    assert_eq!(listener.expect("message").raw_payload(), "1");
    assert_eq!(list_of(&listener.fence()), [""; 0]);
}

#[test]
fn a_line_that_was_cut_off_is_not_carried_out() {
    let broker = Broker::start();
    let mut listener = listener(&broker);
    let mut watcher = broker.client("watcher");
    let mut cut = broker.deaf_client("cut");
    watcher.expect("client_authenticated");
    cut.send_bytes(line("publish", r#"{"topic":"last","payload":1}"#).as_bytes())
        .unwrap();
    // TCP ends, TLS does not: nobody knows what is missing.
    cut.socket().shutdown(Shutdown::Write).unwrap();
    let gone = watcher.expect("client_disconnected");
    assert_eq!(gone.text_of("reason"), "connection_lost");
    assert_eq!(list_of(&cut.rest().0), [""; 0]);
    assert_eq!(list_of(&listener.fence()), [""; 0]);
}
