//! Random lines: mostly right, and wrong in ways that clients and attackers come up with.

use std::{collections::HashSet, ops::Range};

use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{Index, select},
};

use super::*;

/// JSON of a few levels. Numbers that every parser reads alike.
pub(super) fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((any_text(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
    .prop_map(|value| value.to_string())
}

pub(super) fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[ -~]{0,6}", 1 => "\\PC{0,6}", 1 => any::<String>()]
}

fn quoted(text: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    text.prop_map(|text| Value::from(text).to_string())
}

/// Mostly what belongs there, and now and then anything.
fn mostly(right: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    prop_oneof![24 => right, 1 => Just("null".to_owned()), 2 => any_json()]
}

fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(texts).prop_map(str::to_owned)
}

fn any_topic() -> impl Strategy<Value = String> {
    const LEVELS: &[&str] = &["a", "b", "ü", "$x", "+", "#", "\"", "", "a+"];
    prop_oneof![
        6 => quoted("[ab]{1,2}(/[ab]{1,2}){0,2}"),
        1 => quoted(vec(select(LEVELS), 1..4).prop_map(|levels| levels.join("/"))),
    ]
}

fn any_reference() -> impl Strategy<Value = String> {
    prop_oneof![6 => quoted("[a-z0-9]{0,8}"), 1 => quoted("x{60,68}"), 1 => quoted(any_text())]
}

/// An object's text: each member once, in any order, with or without white space, some names
/// written with an escape.
fn object(
    members: Vec<(BoxedStrategy<String>, BoxedStrategy<Option<String>>)>,
) -> impl Strategy<Value = String> {
    let unknown = vec(
        (
            prop_oneof!["[a-z]{1,3}", any_text()],
            any_json().prop_map(Some),
        ),
        0..3,
    );
    (members, unknown)
        .prop_map(|(mut members, unknown)| {
            members.extend(unknown);
            let mut names = HashSet::new();
            members
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .filter(|(name, _)| names.insert(name.clone()))
                .collect::<Vec<_>>()
        })
        .prop_shuffle()
        .prop_flat_map(|members| {
            let ways = vec((0_u8..16, 0_u8..16), members.len());
            (Just(members), ways).prop_map(|(members, ways)| {
                let members: Vec<String> = members
                    .iter()
                    .zip(ways)
                    .map(|((name, value), (way, space))| {
                        let name = match name.chars().next() {
                            Some(first) if way == 0 && first.is_ascii() => {
                                format!("\"\\u{:04x}{}\"", u32::from(first), escaped(&name[1..]))
                            }
                            _ => format!("\"{}\"", escaped(name)),
                        };
                        let space = if space == 0 { " " } else { "" };
                        format!("{space}{name}{space}:{space}{value}{space}")
                    })
                    .collect();
                format!("{{{}}}", members.join(","))
            })
        })
}

/// The inside of a JSON string.
fn escaped(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn member(
    name: &'static str,
    likely: f64,
    value: impl Strategy<Value = String> + 'static,
) -> (BoxedStrategy<String>, BoxedStrategy<Option<String>>) {
    let value = option::weighted(likely, value).boxed();
    (Just(name.to_owned()).boxed(), value)
}

/// A line as a client might send it: mostly right, now and then wrong somewhere.
pub(super) fn any_line() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &[
        "\"request_authentication\"",
        "\"publish\"",
        "\"publish\"",
        "\"publish\"",
        "\"subscribe\"",
        "\"unsubscribe\"",
        "\"list_clients\"",
        "\"ping\"",
        "\"pong\"",
        "\"help\"",
        "\"disconnecting\"",
    ];
    const IDS: &[&str] = &["\"__\"", "\"01940c2e-5b7a-7d10-8f3a-6c2b9e4d1a55\""];
    const TIMES: &[&str] = &[
        "\"2026-01-31T12:00:00Z\"",
        "\"2026-01-31T12:00:00.25+01:00\"",
    ];
    const BOOLS: &[&str] = &["true", "false"];
    let content = object(vec![
        member("topic", 0.9, mostly(any_topic())),
        member("payload", 0.9, any_json()),
        member("ref", 0.5, mostly(any_reference())),
        member("presence", 0.2, mostly(one_of(BOOLS))),
        member("token", 0.2, mostly(quoted(any_text()))),
        member("retain", 0.03, any_json()),
        member("reply_to", 0.03, any_json()),
        member("expires_in_ms", 0.03, any_json()),
        member("message_id", 0.03, any_json()),
        member("group", 0.03, any_json()),
        member("from", 0.03, any_json()),
        member("overflow", 0.03, any_json()),
    ]);
    object(vec![
        member("event", 0.98, mostly(one_of(NAMES))),
        member("id", 0.98, mostly(one_of(IDS))),
        member("timestamp", 0.3, mostly(one_of(TIMES))),
        member("content", 0.9, prop_oneof![20 => content, 1 => any_json()]),
    ])
}

/// A damage to a line: at which byte, and what becomes of it.
#[derive(Clone, Debug)]
pub(super) enum Mutation {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, u8),
    Delete(Index, usize),
    Repeat(Index, usize),
}

pub(super) fn any_mutation() -> impl Strategy<Value = Mutation> {
    let byte = || prop_oneof![any::<u8>(), select(&b"{}[]\",:\\ \t\r01ue$+#/_"[..])];
    prop_oneof![
        (any::<Index>(), byte()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (any::<Index>(), 0_u8..8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (any::<Index>(), byte()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        (any::<Index>(), 1_usize..9).prop_map(|(at, count)| Mutation::Delete(at, count)),
        (any::<Index>(), 1_usize..40).prop_map(|(at, count)| Mutation::Repeat(at, count)),
    ]
}

pub(super) fn mutate(line: &mut Vec<u8>, mutation: &Mutation) {
    let len = line.len();
    if len == 0 {
        return;
    }
    let part = |at: Index, count: usize| -> Range<usize> {
        let start = at.index(len);
        start..(start + count).min(len)
    };
    match *mutation {
        Mutation::Set(at, byte) => line[at.index(len)] = byte,
        Mutation::Flip(at, bit) => line[at.index(len)] ^= 1 << bit,
        Mutation::Insert(at, byte) => line.insert(at.index(len), byte),
        Mutation::Delete(at, count) => drop(line.drain(part(at, count))),
        Mutation::Repeat(at, count) => {
            let part = part(at, count);
            let copy = line[part.clone()].to_vec();
            line.splice(part.end..part.end, copy);
        }
    }
}

/// What no reason may repeat. It stands in every place of a line that can hold something.
const SECRET: &str = "tdg_0123456789abcdef";

pub(super) fn any_line_with_a_secret() -> impl Strategy<Value = String> {
    let fill = prop_oneof![
        4 => Just(String::new()),
        1 => any_text(),
        // Whatever grows most when it is escaped.
        1 => (select(&["x", "\"", "\\", "\u{7f}", "\u{300}", "\u{202e}"][..]), 0_usize..100_000)
            .prop_map(|(part, count)| part.repeat(count)),
    ];
    let place = select(
        &[
            "?",
            "\"?\"",
            "[\"?\"]",
            "{?}",
            "{\"?\":1}",
            "{\"?\":1,\"?\":2}",
            "1\"?\"",
            "\"?",
            r#"{"event":"?","id":"__"}"#,
            r#"{"event":"?"}"#,
            r#"{"event":["?"],"id":"__"}"#,
            r#"{"event":"ping","id":"?"}"#,
            r#"{"event":"ping","id":"__","timestamp":"?"}"#,
            r#"{"event":"ping","id":"__","content":"?"}"#,
            r#"{"event":"ping","id":"__","content":["?"]}"#,
            r#"{"event":"ping","id":"__","content":{"ref":"?"}}"#,
            r#"{"event":"ping","id":"__","content":{"ref":["?"]}}"#,
            r#"{"event":"ping","id":"__","content":{"?":1,"?":2}}"#,
            r#"{"event":"request_authentication","id":"__","content":{"token":["?"]}}"#,
            r#"{"event":"request_authentication","id":"__","content":{"presence":"?"}}"#,
            r#"{"event":"request_authentication","id":"__","content":{"token":"?","token":"?"}}"#,
            r#"{"event":"request_authentication","id":"__","content":{"token":"?"}"#,
            r#"{"event":"publish","id":"__","content":{"topic":"?/#","payload":1}}"#,
            r#"{"event":"publish","id":"__","content":{"topic":["?"],"payload":1}}"#,
            r#"{"event":"publish","id":"__","content":{"topic":"?","payload":?}}"#,
            r#"{"event":"subscribe","id":"__","content":{"topic":"?#"}}"#,
            r#"{"event":"subscribe","id":"__","content":{"topic":"a","group":"?"}}"#,
        ][..],
    );
    (place, fill.clone(), fill, any::<bool>()).prop_map(|(place, before, after, raw)| {
        let text = format!("{before}{SECRET}{after}");
        place.replace('?', &if raw { text } else { escaped(&text) })
    })
}
