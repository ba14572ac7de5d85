//! A client that does not read costs itself, and nobody else.

use std::{
    process::Stdio,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::support::{Broker, DEADLINE, Line, Process, line, list_of, publish, subscribe};

/// Messages, of about a KiB each: several times what sockets and an outbox take together.
const MESSAGES: usize = 60_000;

/// Messages on their way to the subscriber that reads: less than it may leave waiting.
const WINDOW: usize = 1_000;

/// The outbox of one client, and what else may be in use for a moment.
const MEMORY_KIB_MAX: u64 = (8 + 24) * 1024;

#[test]
fn heavy_acceptance_6_a_stopped_subscriber_is_cut_and_the_others_lose_nothing() {
    let broker = Broker::start();
    let stopped = broker.cli("stopped", &["sub", "-t", "flood/#"]);
    let mut stopped = Process::spawn_with(stopped, Stdio::null());
    stopped.err.wait_for("subscribed at");
    let mut observer = broker.client("observer");
    let mut reader = broker.deaf_client("reader");
    reader.send(&subscribe("flood/#"));
    reader.expect("subscribed");
    let mut publisher = broker.deaf_client("publisher");
    observer.fence();

    stopped.signal(Signal::STOP);
    let (before, _) = broker.memory_kib();
    let (progress, heard) = mpsc::sync_channel(WINDOW);
    let reading = thread::spawn(move || {
        let mut longest_silence = Duration::ZERO;
        for number in 0..MESSAGES {
            let since = Instant::now();
            let message = reader.next_text(DEADLINE).unwrap();
            longest_silence = longest_silence.max(since.elapsed());
            // The number is all that matters of so many.
            let wanted = format!(r#""payload":{{"number":{number},"#);
            assert!(message.contains(&wanted), "{wanted} is not next: {message}");
            progress.send(()).unwrap();
        }
        (reader, longest_silence)
    });

    let filling = "x".repeat(900);
    for number in 0..MESSAGES {
        if number >= WINDOW {
            heard.recv_timeout(DEADLINE).expect("the reader goes on");
        }
        let payload = format!(r#"{{"number":{number},"filling":"{filling}"}}"#);
        publisher.send(&publish("flood/water", &payload));
    }
    heard.iter().for_each(drop);
    let (mut reader, longest_silence) = reading.join().unwrap();
    assert_eq!(list_of(&reader.fence()), [""; 0], "each number once");
    assert!(
        longest_silence < Duration::from_secs(1),
        "silent for {longest_silence:?}"
    );

    let gone = observer.expect("client_disconnected");
    assert_eq!(gone.text_of("identity"), "stopped");
    assert_eq!(gone.text_of("reason"), "slow_consumer");
    assert_eq!(list_of(&observer.fence()), [""; 0]);
    let grown = broker.memory_kib().1.saturating_sub(before);
    assert!(grown < MEMORY_KIB_MAX, "grew by {grown} KiB");

    // It comes to itself, finds out, says so, and is back.
    stopped.signal(Signal::CONT);
    stopped.err.wait_for("trying again");
    stopped.err.wait_for("connected and subscribed again");
    assert_eq!(
        observer.expect("client_authenticated").text_of("identity"),
        "stopped"
    );
    assert!(stopped.is_running());
}

#[test]
fn slow_for_a_while_is_not_too_slow() {
    const COUNT: usize = 3_000;
    let broker = Broker::start();
    let mut reader = broker.deaf_client("reader");
    reader.send(&subscribe("burst"));
    reader.expect("subscribed");
    let mut publisher = broker.deaf_client("publisher");
    let filling = "x".repeat(900);
    // All of it waits, and is less than a client may leave waiting.
    for number in 0..COUNT {
        publisher.send(&publish("burst", &format!(r#"["{number}","{filling}"]"#)));
    }
    publisher.fence();
    for number in 0..COUNT {
        let message = reader.expect("message");
        assert_eq!(message.content()["payload"][0], number.to_string());
    }
    assert_eq!(list_of(&reader.fence()), [""; 0]);
}

#[test]
fn slow_for_longer_than_the_soft_limit_allows_is_cut() {
    let broker = Broker::with(&[
        "--outbox-bytes-soft",
        "65536",
        "--outbox-soft-time",
        "300ms",
    ]);
    let mut observer = broker.client("observer");
    let mut slow = broker.deaf_client("slow");
    observer.expect("client_authenticated");
    slow.send(&subscribe("a"));
    slow.expect("subscribed");
    let mut publisher = broker.deaf_client("publisher");
    observer.expect("client_authenticated");
    // The kernel's buffers take some of it; what is then left stays below the hard limit.
    let payload = format!("\"{}\"", "x".repeat(100_000));
    let mut published = 0;
    let gone = loop {
        assert!(published < 200, "20 MB and it is still there");
        publisher.send(&publish("a", &payload));
        published += 1;
        let news = observer.fence();
        if let Some(gone) = news
            .into_iter()
            .find(|l| l.event() == "client_disconnected")
        {
            break gone;
        }
    };
    assert_eq!(gone.text_of("reason"), "slow_consumer");
    assert_eq!(gone.text_of("client_id"), slow.id());
}

#[test]
fn who_only_asks_and_never_reads_is_cut_or_kept_waiting_and_memory_is_bounded() {
    let broker = Broker::start();
    let mut observer = broker.client("observer");
    let mut asking = broker.deaf_client("asking");
    observer.expect("client_authenticated");
    let (before, _) = broker.memory_kib();
    asking
        .socket()
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let questions = format!("{}\n", line("help", "{}")).repeat(1_000);
    let mut asked = 0;
    // Its questions wait in its own kernel once its answers are not taken.
    while asking.send_bytes(questions.as_bytes()).is_ok() {
        asked += 1;
        assert!(
            asked < 1_000,
            "a million questions were taken and no answer read"
        );
    }
    let grown = broker.memory_kib().1.saturating_sub(before);
    assert!(grown < MEMORY_KIB_MAX, "grew by {grown} KiB");
    assert!(
        observer
            .fence()
            .iter()
            .all(|l| l.event() == "client_disconnected")
    );
}

/// Messages of a KiB, as fast as they can be sent, to so many readers.
const FLOOD: usize = 25_000;
const READERS: usize = 2;
/// How often a reader takes each message apart, which makes it several times slower than the broker.
const READINGS: usize = 4;

#[test]
fn heavy_a_flood_is_slowed_down_to_what_its_receivers_take() {
    // Less than the sockets hold, so that the outboxes come into play.
    let limits = [
        "--outbox-bytes-max",
        "4194304",
        "--outbox-bytes-soft",
        "1048576",
        "--outbox-soft-time",
        "120s",
    ];
    let broker = Broker::with(&limits);
    let mut readers: Vec<_> = (0..READERS)
        .map(|number| {
            let mut reader = broker.deaf_client(&format!("reader{number}"));
            // A small window: what is not read soon waits in the broker.
            socket2::SockRef::from(reader.socket())
                .set_recv_buffer_size(64 * 1024)
                .unwrap();
            reader.send(&subscribe("flood/#"));
            reader.expect("subscribed");
            reader
        })
        .collect();
    let mut publisher = broker.deaf_client("publisher");
    // Nobody counts what is on its way: the broker takes it in faster than anyone here reads it.
    let flooding = thread::spawn(move || {
        let filling = "x".repeat(900);
        let mut lines = String::new();
        for number in 0..FLOOD {
            let payload = format!(r#"{{"number":{number},"filling":"{filling}"}}"#);
            lines += &publish("flood/water", &payload);
            lines.push('\n');
            if lines.len() > 256 * 1024 {
                publisher.send_bytes(lines.as_bytes()).unwrap();
                lines.clear();
            }
        }
        publisher.send_bytes(lines.as_bytes()).unwrap();
        publisher
    });
    let reading = readers.drain(..).map(|mut reader| {
        thread::spawn(move || {
            for number in 0..FLOOD {
                let line = reader.next_text(DEADLINE).unwrap();
                for _ in 0..READINGS {
                    let message = Line::parse(line.clone());
                    assert_eq!(message.content()["payload"]["number"], number);
                }
            }
            assert_eq!(list_of(&reader.fence()), [""; 0], "each number once");
        })
    });
    // All at once, not one after the other.
    let reading: Vec<_> = reading.collect();
    for reader in reading {
        reader.join().unwrap();
    }
    flooding.join().unwrap();
}
