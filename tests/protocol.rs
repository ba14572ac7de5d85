//! Ties `docs/events.md` and `docs/error_codes.md` to the code: every event and every code is
//! explained, and every example there is what the code writes and reads, byte for byte.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed unwrap is what a test is for, also in its helpers"
)]

use std::collections::BTreeSet;

use chrono::DateTime;
use serde_json::{Value, json};
use tidings::protocol::{
    ClientId, Code, EventName, MessageTemplate, ServerEvent, Timestamp, client_event,
    server_event::{ServerLine, encode},
};

const EVENTS: &str = include_str!("../docs/events.md");
const CODES: &str = include_str!("../docs/error_codes.md");

/// What stands between one heading and the next of the same level or a higher one.
#[derive(Debug)]
struct Section<'a> {
    /// The heading above it, of level two.
    part: &'a str,
    /// What its heading names in code quotes.
    name: &'a str,
    /// The lines of its blocks of JSON.
    examples: Vec<&'a str>,
}

/// The sections that are headed exactly by a name in code quotes.
fn sections(document: &str) -> Vec<Section<'_>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    let (mut part, mut fence, mut inside) = ("", None, false);
    for line in document.lines() {
        if let Some(language) = line.strip_prefix("```") {
            fence = fence.is_none().then_some(language);
            continue;
        }
        match fence {
            Some("json") => {
                let section = sections.last_mut().filter(|_| inside);
                section
                    .expect("an example stands in a section")
                    .examples
                    .push(line);
            }
            Some(_) => {}
            None if line.starts_with("### ") => {
                let name = line
                    .strip_prefix("### `")
                    .and_then(|line| line.strip_suffix('`'));
                inside = name.is_some();
                sections.extend(name.map(|name| Section {
                    part,
                    name,
                    examples: Vec::new(),
                }));
            }
            None => {
                if let Some(heading) = line.strip_prefix("## ") {
                    (part, inside) = (heading, false);
                }
            }
        }
    }
    assert_eq!(fence, None, "a block is not closed");
    sections
}

fn part<'a>(sections: &'a [Section<'a>], heading: &str) -> Vec<&'a Section<'a>> {
    sections
        .iter()
        .filter(|section| section.part == heading)
        .collect()
}

/// Reads a line of the server and writes it again.
fn assert_is_written(example: &str) {
    let line = ServerLine::parse(example.as_bytes()).unwrap_or_else(|e| panic!("{e}: {example}"));
    let event = line
        .event
        .unwrap_or_else(|| panic!("no event of ours: {example}"));
    let timestamp: Timestamp = DateTime::parse_from_rfc3339(&line.timestamp)
        .expect(example)
        .to_utc()
        .into();
    let written = encode(&event, &line.id, timestamp);
    let written = std::str::from_utf8(written.as_ref()).unwrap();
    assert_eq!(written.strip_suffix('\n').unwrap(), example);
}

fn assert_same_names<'a>(
    sections: &[&Section<'a>],
    names: impl IntoIterator<Item = &'a str>,
    part: &str,
) {
    let explained: Vec<_> = sections.iter().map(|section| section.name).collect();
    let names: Vec<_> = names.into_iter().collect();
    assert_eq!(
        explained, names,
        "{part}: each has its section, in the order of the code"
    );
    for section in sections {
        assert!(
            !section.examples.is_empty(),
            "{part}: `{}` has no example",
            section.name
        );
    }
}

#[test]
fn every_server_event_is_explained_and_written_as_shown() {
    let sections = sections(EVENTS);
    let sections = part(&sections, "From the broker");
    assert_same_names(
        &sections,
        ServerEvent::NAMES.iter().copied(),
        "From the broker",
    );
    for section in sections {
        for example in &section.examples {
            assert_is_written(example);
            let line: Value = serde_json::from_str(example).unwrap();
            assert_eq!(line["event"], section.name, "{example}");
        }
    }
}

/// The client whose connection the examples show.
fn alice() -> ClientId {
    serde_json::from_value(json!("01940c2e-5b7a-7d10-8f3a-6c2b9e4d1a55")).unwrap()
}

#[test]
fn every_client_event_is_explained_and_read_as_shown() {
    let sections = sections(EVENTS);
    let sections = part(&sections, "From the client");
    assert_same_names(
        &sections,
        EventName::ALL.iter().map(|name| name.as_str()),
        "From the client",
    );
    for section in sections {
        for example in &section.examples {
            match client_event::decode(example.as_bytes(), alice(), |_| Ok(())) {
                Ok(event) => assert_eq!(event.name().as_str(), section.name, "{example}"),
                Err(error) => panic!("{error}: {example}"),
            }
        }
    }
}

/// That the broker plays it so is a test of `tests/e2e/events.rs`.
#[test]
fn the_session_is_made_of_lines_of_the_protocol() {
    let (_, session) = EVENTS.split_once("```text\n").unwrap();
    let (session, _) = session.split_once("```").unwrap();
    let mut refused = None;
    for line in session.lines() {
        match line.split_at(2) {
            ("< ", line) => {
                assert_is_written(line);
                if let Some(code) = refused.take() {
                    assert_eq!(code_in(&serde_json::from_str(line).unwrap()), Some(code));
                }
            }
            ("> ", line) => {
                let decoded = client_event::decode(line.as_bytes(), alice(), |_| Ok(()));
                refused = decoded.err().map(|rejected| rejected.cause.code.as_str());
            }
            _ => panic!("neither sent nor received: {line}"),
        }
    }
    assert_eq!(refused, None);
}

#[test]
fn the_contents_name_every_section_in_order() {
    let (_, rest) = EVENTS.split_once("## Contents\n").unwrap();
    let (contents, rest) = rest.split_once("\n## ").unwrap();
    let named = contents
        .split('[')
        .skip(1)
        .map(|link| link.split_once(']').expect("a link").0);
    let headings = rest.lines().take(1).chain(rest.lines().filter_map(|line| {
        line.strip_prefix("### ")
            .or_else(|| line.strip_prefix("## "))
    }));
    assert_eq!(named.collect::<Vec<_>>(), headings.collect::<Vec<_>>());
}

/// The document says by how much a `message` can be longer than the line that published it.
#[test]
fn a_message_is_little_longer_than_its_publish() {
    assert!(EVENTS.contains("a `message` by up to 2 KiB"));
    // Every character needs an escape.
    let (topic, sender) = ("\"".repeat(512), "\"".repeat(256));
    let template = MessageTemplate::new(alice(), &sender, &topic);
    assert!(template.line_len(0) <= 2048);
}

#[test]
fn nothing_is_explained_but_events() {
    for section in sections(EVENTS) {
        assert!(
            ["From the broker", "From the client"].contains(&section.part),
            "`{}` stands in {:?}",
            section.name,
            section.part
        );
    }
}

/// One row of the table: the code and whether it says that the same can succeed later.
fn rows(document: &str) -> Vec<(&str, bool)> {
    let mut rows = Vec::new();
    for line in document.lines() {
        let Some(cells) = line
            .strip_prefix("| `")
            .and_then(|line| line.strip_suffix(" |"))
        else {
            continue;
        };
        let cells: Vec<_> = cells.split(" | ").collect();
        let [code, _carried_by, _closes, retryable] = cells[..] else {
            continue;
        };
        let Some(code) = code.strip_suffix('`') else {
            continue;
        };
        let retryable = match retryable {
            "yes" => true,
            "no" => false,
            other => panic!("`{code}` is retryable: {other:?}"),
        };
        rows.push((code, retryable));
    }
    rows
}

#[test]
fn the_table_of_codes_is_that_of_the_code() {
    let known: Vec<_> = Code::ALL
        .iter()
        .map(|code| (code.as_str(), code.retryable()))
        .collect();
    assert_eq!(rows(CODES), known);
}

#[test]
fn every_code_is_explained_with_an_example_of_it() {
    let sections = sections(CODES);
    let explained: Vec<_> = sections.iter().map(|section| section.name).collect();
    let known: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(explained, known);
    for section in sections {
        let mut told = 0;
        for example in section.examples {
            // What a client says wrongly may stand there too; only the server signs with its time.
            let Ok(line) = serde_json::from_str::<Value>(example) else {
                continue;
            };
            if line.get("timestamp").is_none() {
                continue;
            }
            assert_is_written(example);
            told += usize::from(code_in(&line) == Some(section.name));
        }
        assert!(
            told > 0,
            "`{}` has no example that carries it",
            section.name
        );
    }
}

#[test]
fn every_code_says_whether_to_retry() {
    let mut code = "";
    let mut told = Vec::new();
    for line in CODES.lines() {
        if let Some(heading) = line.strip_prefix("### `") {
            code = heading.trim_end_matches('`');
        }
        if let Some(retry) = line.strip_prefix("**Retry?** ") {
            let word = retry.split([',', ':', '.']).next().unwrap();
            told.push((code, word));
        }
    }
    let known = Code::ALL.iter().map(|code| {
        let word = if code.retryable() { "Yes" } else { "No" };
        (code.as_str(), word)
    });
    assert_eq!(told, known.collect::<Vec<_>>());
}

/// The code that a line of the server carries, wherever its event has it.
fn code_in(line: &Value) -> Option<&str> {
    let member = if line["event"] == "client_disconnected" {
        "reason"
    } else {
        "code"
    };
    line["content"][member].as_str()
}

#[test]
fn no_example_carries_a_code_that_is_none() {
    let known: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    for section in sections(EVENTS).iter().chain(&sections(CODES)) {
        for example in &section.examples {
            let Ok(line) = serde_json::from_str::<Value>(example) else {
                continue;
            };
            let Some(code) = code_in(&line) else { continue };
            assert!(known.contains(code), "{example}");
            if let Some(retryable) = line["content"].get("retryable") {
                let code = Code::ALL
                    .iter()
                    .find(|known| known.as_str() == code)
                    .unwrap();
                assert_eq!(*retryable, code.retryable(), "{example}");
            }
        }
    }
}

/// The help that a client asks for is the help that the page shows.
#[test]
fn help_is_shown_as_it_is() {
    let sections = sections(EVENTS);
    let help = sections
        .iter()
        .find(|section| section.name == "help")
        .unwrap();
    let shown: Value = serde_json::from_str(help.examples[0]).unwrap();
    let events = shown["content"]["events"].as_array().unwrap();
    let told: Vec<_> = events
        .iter()
        .map(|entry| {
            (
                entry["event"].as_str().unwrap(),
                entry["example"].as_str().unwrap(),
            )
        })
        .collect();
    let known: Vec<_> = EventName::ALL
        .iter()
        .map(|name| (name.as_str(), name.example()))
        .collect();
    assert_eq!(told, known);
}

#[test]
fn the_reader_of_the_documents_sees_what_is_wrong() {
    let document = "\
## From the broker

### `one`

```json
{\"event\":\"one\"}
```

```text
not an example
```

### Not a name

## Other

### `two`

| `three` | x | y | yes |
| `four` | `x`, `y` | y | no |
| `five` | too | short |
";
    let sections = sections(document);
    let seen: Vec<_> = sections
        .iter()
        .map(|s| (s.part, s.name, s.examples.len()))
        .collect();
    assert_eq!(seen, [("From the broker", "one", 1), ("Other", "two", 0)]);
    assert_eq!(rows(document), [("three", true), ("four", false)]);
    assert!(std::panic::catch_unwind(|| assert_is_written(r#"{"event":"ping"}"#)).is_err());
    let spaced =
        r#"{"event":"ping","id":"x","content":{ },"timestamp":"2026-01-31T12:00:00.000000Z"}"#;
    assert!(std::panic::catch_unwind(|| assert_is_written(spaced)).is_err());
    assert_is_written(&spaced.replace("{ }", "{}"));
}
