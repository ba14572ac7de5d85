//! The client without an SDK in the README: its code, as it stands there.

use std::fs;

use crate::support::{Broker, PolicyFolder, Process, publish_ref, run, tool};

/// The one block of Python in the README.
fn program() -> String {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let text = fs::read_to_string(readme).unwrap();
    assert!(text.contains(r#"It prints `alice says "no SDK needed"`"#));
    let blocks: Vec<&str> = text
        .split("```python\n")
        .skip(1)
        .map(|rest| rest.split_once("```").expect("the block ends").0)
        .collect();
    let [program] = blocks[..] else {
        panic!("the README has {} blocks of Python, not one", blocks.len());
    };
    program.to_owned()
}

fn start(broker: &Broker) -> Process {
    broker.certificates.client("alice");
    let mut command = tool("python3", "python3");
    command
        .args(["-u", "-c", &program()])
        .args(["localhost", &broker.address.port().to_string()])
        .arg(broker.certificates.folder());
    Process::spawn(command)
}

#[test]
fn python_client_of_the_readme_works_as_printed() {
    // Asked for signs of life all the while, which it has to answer to stay.
    let broker = Broker::with(&["--ping-interval", "300ms"]);
    let mut python = start(&broker);
    python.out.wait_until("its own message", |lines| {
        (lines == [r#"alice says "no SDK needed""#]).then_some(())
    });

    // Longer than who is silent may stay; the observer is asked as often, and answers too.
    let mut observer = broker.client("observer");
    let mut asked = 0;
    while asked < 5 {
        let line = observer.next();
        assert_ne!(line.event(), "client_disconnected", "{}", line.text);
        if line.event() == "ping" {
            asked += 1;
            observer.send(r#"{"event":"pong","id":"__"}"#);
        }
    }
    drop(observer);
    let published = run(broker.cli("bob", &["pub", "-t", "hello/world", "-m", "good tidings"]));
    assert_eq!(
        published.err,
        ["tidings: queued for 1 client to hello/world"]
    );
    assert_eq!(
        python.out.wait_count(2)[1],
        r#"bob says "good tidings""#,
        "what others publish"
    );
    assert!(python.is_running());
}

#[test]
fn it_prints_payloads_that_json_libraries_stumble_over() {
    let broker = Broker::start();
    let mut python = start(&broker);
    python.out.wait_count(1);
    let mut bob = broker.deaf_client("bob");
    let digits = "7".repeat(5000);
    for payload in [r#""\ud800""#, &digits, "1e400"] {
        bob.send(&publish_ref("hello/world", payload, "1"));
        bob.expect("published");
    }
    let lines = python.out.wait_count(4);
    assert_eq!(lines[1], r#"bob says "\ud800""#);
    assert_eq!(&lines[2..], ["bob says Infinity"; 2]);
    assert!(python.is_running());
}

#[test]
fn it_says_why_it_was_refused() {
    let folder = PolicyFolder::with_rules("[[rule]]\nidentity = [\"bob\"]\n");
    let broker = Broker::with_rules(&folder, &[]);
    let outcome = start(&broker).wait();
    assert_eq!(outcome.code, Some(1));
    let last = outcome.err.last().unwrap();
    assert!(
        last.starts_with("connection_refused: identity_denied: "),
        "{last}"
    );

    let folder =
        PolicyFolder::with_rules("[[rule]]\nidentity = [\"alice\"]\nsubscribe = [\"hello/#\"]\n");
    let broker = Broker::with_rules(&folder, &[]);
    let python = start(&broker);
    python.err.wait_for("refused: publish_denied ");
}
