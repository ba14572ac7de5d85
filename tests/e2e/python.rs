//! The client without an SDK in the README: its code, as it stands there.

use std::fs;

use crate::support::{Broker, Process, run, tool};

#[test]
fn python_client_of_the_readme_works_as_printed() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let text = fs::read_to_string(readme).unwrap();
    let blocks: Vec<&str> = text
        .split("```python\n")
        .skip(1)
        .map(|rest| rest.split_once("```").expect("the block ends").0)
        .collect();
    let [program] = blocks[..] else {
        panic!("the README has {} blocks of Python, not one", blocks.len());
    };
    assert!(text.contains("It prints `alice says no SDK needed`"));

    // Asked for signs of life all the while, which it has to answer to stay.
    let broker = Broker::with(&["--ping-interval", "300ms"]);
    broker.certificates.client("alice");
    let mut command = tool("python3", "python3");
    command
        .args(["-u", "-c", program])
        .args(["localhost", &broker.address.port().to_string()])
        .arg(broker.certificates.folder());
    let mut python = Process::spawn(command);
    python.out.wait_until("its own message", |lines| {
        (lines == ["alice says no SDK needed"]).then_some(())
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
        "bob says good tidings",
        "what others publish"
    );
    assert!(python.is_running());
}
