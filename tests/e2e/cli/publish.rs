//! `tidings pub`.

use std::{fs, io::Write, path::Path, sync::Arc, thread};

use rustix::process::Signal;
use tidings::pki::{Authority, CertificateRequest, Purpose};

use super::check_usage;
use crate::support::{Broker, Certificates, Outcome, Process, run, subscribe};

/// `pub -l` with this on its standard input.
fn publish_lines(broker: &Broker, arguments: &[&str], input: &[u8]) -> Outcome {
    let arguments = [&["pub", "-t", "lines", "-l"], arguments].concat();
    let mut process = Process::spawn(broker.cli("publisher", &arguments));
    let mut stdin = process.take_stdin();
    let input = input.to_vec();
    let writing = thread::spawn(move || {
        // It may end before it has read everything.
        let _ = stdin.write_all(&input);
    });
    let outcome = process.wait();
    writing.join().unwrap();
    outcome
}

#[test]
fn pub_lines_accepts_twenty_thousand_in_order() {
    const COUNT: usize = 20_000;
    let broker = Broker::start();
    let count = COUNT.to_string();
    let mut subscriber = broker.subscriber("subscriber", &["sub", "-t", "lines", "-C", &count]);
    let input: String = (0..COUNT).map(|number| format!("{number}\n")).collect();
    let outcome = publish_lines(&broker, &[], input.as_bytes());
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(outcome.out, [""; 0]);
    assert_eq!(outcome.err, ["tidings: 20000 lines accepted, 0 refused"]);
    let heard = subscriber.wait();
    assert_eq!(heard.code, Some(0));
    assert_eq!(heard.out.len(), COUNT);
    assert!(
        heard
            .out
            .iter()
            .enumerate()
            .all(|(number, line)| *line == number.to_string())
    );
}

#[test]
fn pub_lines_takes_what_text_files_hold() {
    let broker = Broker::start();
    let mut subscriber = broker.subscriber("subscriber", &["sub", "-t", "lines", "-C", "6"]);
    let input = "plain text\n\n{\"a\": 1}\r\n\"quoted\"\n12 apples\n{broken\n7";
    let outcome = publish_lines(&broker, &["-q"], input.as_bytes());
    assert_eq!(outcome.code, Some(0));
    assert_eq!(outcome.err, [""; 0], "quiet");
    assert_eq!(
        subscriber.wait().out,
        [
            r#""plain text""#,
            r#"{"a": 1}"#,
            r#""quoted""#,
            r#""12 apples""#,
            r#""{broken""#,
            "7"
        ]
    );
}

#[test]
fn pub_lines_names_every_line_that_was_refused_and_goes_on() {
    let broker = Broker::with(&["--line-bytes-max", "2048"]);
    let mut subscriber = broker.subscriber("subscriber", &["sub", "-t", "lines", "-C", "4"]);
    let long = "x".repeat(3_000);
    let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
    let mut input = format!("1\n{long}\n2\n{deep}\n3\n{long}\n").into_bytes();
    input.extend(b"not \xff UTF-8\n4\n");
    let outcome = publish_lines(&broker, &[], &input);
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    let named: Vec<&String> = outcome
        .err
        .iter()
        .filter(|l| l.contains("was not accepted"))
        .collect();
    for number in [2, 4, 6, 7] {
        let start = format!("tidings: line {number} was not accepted");
        assert!(
            named.iter().any(|line| line.starts_with(&start)),
            "{start}: {outcome:#?}"
        );
    }
    assert_eq!(named.len(), 4, "{outcome:#?}");
    assert_eq!(
        outcome.err.last().unwrap(),
        "tidings: 4 lines accepted, 4 refused"
    );
    assert_eq!(subscriber.wait().out, ["1", "2", "3", "4"]);
}

#[test]
fn pub_lines_ends_with_1_when_its_broker_does() {
    let mut broker = Broker::start();
    let mut process = Process::spawn(broker.cli("publisher", &["pub", "-t", "lines", "-l"]));
    let mut watching = broker.deaf_client("watching");
    watching.send(&subscribe("lines"));
    watching.expect("subscribed");
    process.write(b"1\n");
    watching.expect("message");
    broker.process().signal(Signal::KILL);
    broker.process().wait();
    // What comes now reaches nobody.
    let mut stdin = process.take_stdin();
    for number in 2..1_000 {
        if writeln!(stdin, "{number}").is_err() {
            break;
        }
    }
    drop(stdin);
    let outcome = process.wait();
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    assert!(outcome.err_text().contains("connection"), "{outcome:#?}");
}

#[test]
fn pub_sends_what_it_is_given_and_says_for_how_many() {
    let broker = Broker::start();
    let folder = tempfile::tempdir().unwrap();
    let pretty = folder.path().join("pretty.json");
    fs::write(&pretty, "{\n  \"a\": [1,\n 2]\n}\n").unwrap();
    let pretty = pretty.to_str().unwrap();
    let mut subscriber = broker.subscriber("subscriber", &["sub", "-t", "#", "-v", "-C", "7"]);
    let cases: [(&[&str], &str); 7] = [
        (&["-m", r#"{"celsius": 181.5}"#], r#"{"celsius": 181.5}"#),
        (&["-m", "door open"], r#""door open""#),
        (&["-m", "-5"], "-5"),
        (&["-m", "5", "--text"], r#""5""#),
        (&["-n"], "null"),
        (&["-f", pretty], r#"{"a":[1,2]}"#),
        (&["-m", ""], r#""""#),
    ];
    for (arguments, _) in cases {
        let arguments = [&["pub", "-t", "a/b"], arguments].concat();
        let outcome = run(broker.cli("publisher", &arguments));
        assert_eq!(outcome.code, Some(0), "{outcome:#?}");
        assert_eq!(outcome.err, ["tidings: queued for 1 client to a/b"]);
        assert_eq!(outcome.out, [""; 0]);
    }
    let printed: Vec<String> = cases
        .iter()
        .map(|(_, printed)| format!("a/b {printed}"))
        .collect();
    assert_eq!(subscriber.wait().out, printed);
}

#[test]
fn pub_reads_a_whole_message_from_standard_input() {
    let broker = Broker::start();
    let mut subscriber = broker.subscriber("subscriber", &["sub", "-t", "a", "-C", "1"]);
    let mut process = Process::spawn(broker.cli("publisher", &["pub", "-t", "a", "-f", "-"]));
    process.write(b"two\nlines\n");
    process.close_stdin();
    assert_eq!(process.wait().code, Some(0));
    assert_eq!(subscriber.wait().out, [r#""two\nlines""#]);
}

#[test]
fn pub_that_is_refused_ends_with_1_and_the_broker_s_words() {
    let broker = Broker::with(&["--max-connections-per-identity", "1"]);
    let refused = run(broker.cli("a", &["pub", "-t", "$SYS/x", "-m", "1"]));
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(
        refused.err_text().contains("(reserved_topic)"),
        "{refused:#?}"
    );
    let no_topic = run(broker.cli("a", &["pub", "-t", "a/+", "-m", "1"]));
    check_usage(&no_topic, &["wildcards"]);
    let no_filter = run(broker.cli("a", &["sub", "-t", "a/#/b"]));
    check_usage(&no_filter, &["not a topic filter"]);
    let _held = broker.client("held");
    let refused = run(broker.cli("held", &["pub", "-t", "a", "-m", "1"]));
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.err_text().contains("(too_many_connections)"),
        "{refused:#?}"
    );
}

#[test]
fn pub_that_cannot_connect_ends_with_1_and_says_why() {
    let certificates = Arc::new(Certificates::new());
    let mut broker = Broker::with_certificates(&certificates, &[]);
    let stranger = Authority::generate("a stranger").unwrap();
    let strange_ca = certificates.folder().join("strange.crt");
    fs::write(&strange_ca, stranger.certificate_pem()).unwrap();
    let arguments = ["pub", "-t", "a", "-m", "1"];
    let with_ca = |ca: &Path| {
        let mut command = broker.cli("a", &arguments);
        command.arg("--ca").arg(ca);
        run(command)
    };
    let outcome = with_ca(&strange_ca);
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome
            .err_text()
            .contains("the CA that signed it with --ca"),
        "{outcome:#?}"
    );

    let only_server = CertificateRequest {
        purpose: Purpose::Server,
        ..CertificateRequest::client("only-server")
    };
    certificates.issue("only-server", &only_server);
    let outcome = run(broker.cli("only-server", &arguments));
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome
            .err_text()
            .contains("its log says why: often it is not for client use"),
        "{outcome:#?}"
    );

    let gone = broker.cli("a", &arguments);
    broker.terminate();
    let outcome = run(gone);
    assert_eq!(outcome.code, Some(1));
    assert_eq!(outcome.err.len(), 1, "{outcome:#?}");
    let told = format!("cannot connect to {}", broker.address);
    assert!(outcome.err[0].contains(&told), "{outcome:#?}");
}
