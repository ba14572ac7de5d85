//! Every fault of a line has its code, and the decoder agrees with a far simpler one.

use std::ops::Range;

use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{Index, select},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::protocol::{
    ServerEvent, Timestamp,
    server_event::{ErrorContent, encode as encode_answer},
};

const OWN_ID: ClientId = ClientId::from_number(0x0194_0c2e_5b7a_7d10_8f3a_6c2b_9e4d_1a55);
const OWN_ID_TEXT: &str = "01940c2e-5b7a-7d10-8f3a-6c2b9e4d1a55";

/// What a line can be refused with before anyone looks at who says it and when.
const LINE_CODES: &[Code] = &[
    Code::MalformedEvent,
    Code::UnknownEvent,
    Code::IdMismatch,
    Code::MissingField,
    Code::InvalidField,
    Code::InvalidTopic,
    Code::InvalidFilter,
];

fn read(line: &[u8]) -> Result<ClientEvent<'_>, Rejected<'_>> {
    decode(line, OWN_ID, |_| Ok(()))
}

/// The code that a line is refused with, and the `event` and `ref` of the answer.
fn refusal(line: &[u8]) -> (Code, Option<String>, Option<String>) {
    match read(line) {
        Ok(event) => panic!("{:?} was taken as {event:?}", String::from_utf8_lossy(line)),
        Err(rejected) => (
            rejected.fault.code,
            rejected.event.map(Cow::into_owned),
            rejected.reference.map(Cow::into_owned),
        ),
    }
}

#[track_caller]
fn assert_refused(line: &str, code: Code, event: Option<&str>, reference: Option<&str>) {
    let (event, reference) = (event.map(str::to_owned), reference.map(str::to_owned));
    assert_eq!(refusal(line.as_bytes()), (code, event, reference), "{line}");
}

#[track_caller]
fn assert_taken(line: &str) -> Value {
    match read(line.as_bytes()) {
        Ok(event) => as_value(&event),
        Err(rejected) => panic!("{line}: {}", rejected.fault),
    }
}

/// Everything that an event says, to be compared.
fn as_value(event: &ClientEvent<'_>) -> Value {
    let content = match event {
        ClientEvent::RequestAuthentication(content) => json!({
            "token": content.token.as_ref().map(Token::secret),
            "presence": content.presence,
        }),
        ClientEvent::Publish(content) => {
            json!({"topic": content.topic.as_str(), "payload": content.payload.get()})
        }
        ClientEvent::Subscribe(content) | ClientEvent::Unsubscribe(content) => {
            json!({"topic": content.topic.as_str()})
        }
        ClientEvent::ListClients(_)
        | ClientEvent::Ping(_)
        | ClientEvent::Pong(_)
        | ClientEvent::Help(_)
        | ClientEvent::Disconnecting(_) => json!({}),
    };
    json!({"event": event.name().as_str(), "ref": event.reference(), "content": content})
}

/// Members that make a content of `name` whole.
fn members_needed(name: EventName) -> &'static str {
    match name {
        EventName::Publish => r#""topic":"a/b","payload":1"#,
        EventName::Subscribe | EventName::Unsubscribe => r#""topic":"a/+""#,
        _ => r#""unknown":1"#,
    }
}

mod form {
    use super::*;

    #[test]
    fn what_is_not_one_object_in_utf8_is_malformed() {
        let lines: &[&[u8]] = &[
            b"hello",
            b" ",
            b"\0",
            b"null",
            b"7",
            b"\"ping\"",
            b"{",
            b"}",
            b"[]",
            br#"[{"event":"ping","id":"__"}]"#,
            br#"{"event":"ping","id":"__""#,
            br#"{"event":"ping","id":"__",}"#,
            br#"{"event":"ping","id":"__"}}"#,
            br#"{"event":"ping","id":"__"} {}"#,
            br#"{"event":"ping","id":"__"}{"event":"ping","id":"__"}"#,
            br#"{"event":"ping","id":"__"},"#,
            br#"{"event":"ping" "id":"__"}"#,
            br#"{event:"ping","id":"__"}"#,
            br#"{'event':'ping','id':'__'}"#,
            br#"{"event":"ping","id":"__"} // comment"#,
            b"{\"event\":\"ping\",\"id\":\"__\"}\0",
            b"{\"event\":\"pi\tng\",\"id\":\"__\"}",
            br#"{"event":"pi\xng","id":"__"}"#,
            br#"{"event":"ping","id":"__","content":{"x":01}}"#,
            br#"{"event":"ping","id":"__","content":{"x":.5}}"#,
            br#"{"event":"ping","id":"__","content":{"x":NaN}}"#,
            br#"{"event":"ping","id":"__","x":tru}"#,
            br#"{"event":"ping","id":"__","x":[1,]}"#,
            br#"{"event":"ping","id":"__","\ud800":1}"#,
        ];
        for line in lines {
            assert_eq!(refusal(line), (Code::MalformedEvent, None, None));
        }
    }

    #[test]
    fn a_payload_must_be_json() {
        for payload in [
            "",
            "tru",
            "01",
            "+1",
            "1.",
            "1e",
            "NaN",
            "'x'",
            "\"x",
            "\"\t\"",
            r#""\x""#,
            "[1,]",
            "[1",
            "{\"a\"}",
            "{1:2}",
            "1 2",
            "undefined",
            r#""\u12""#,
        ] {
            for line in [
                format!(
                    r#"{{"event":"publish","id":"__","content":{{"topic":"a","payload":{payload}}}}}"#
                ),
                format!(
                    r#"{{"event":"publish","id":"__","content":{{"topic":"a","payload":{payload},"ref":"r"}}}}"#
                ),
                format!(
                    r#"{{"event":"publish","id":"__","content":{{"payload": {payload} ,"topic":"a"}}}}"#
                ),
            ] {
                assert_refused(&line, Code::MalformedEvent, None, None);
            }
        }
    }

    #[test]
    fn a_control_character_stands_in_a_string_only_escaped() {
        // The place of the character is marked by a `?`.
        for line in [
            r#"{"event":"publi?sh","id":"__","content":{"topic":"a","payload":1}}"#,
            r#"{"event":"publish","id":"_?_","content":{"topic":"a","payload":1}}"#,
            r#"{"event":"publish","id":"__","timestamp":"?","content":{"topic":"a","payload":1}}"#,
            r#"{"event":"publish","id":"__","content":{"topic":"a?","payload":1}}"#,
            r#"{"event":"publish","id":"__","content":{"topic":"a","payload":"?"}}"#,
            r#"{"event":"publish","id":"__","content":{"topic":"a","payload":{"?":1}}}"#,
            r#"{"event":"publish","id":"__","content":{"topic":"a","payload":1,"ref":"?"}}"#,
            r#"{"event":"publish","id":"__","content":{"topic":"a","payload":1,"x":"?"}}"#,
            r#"{"event":"publish","id":"__","content":{"topic":"a","payload":1},"x?":1}"#,
        ] {
            for character in ('\0'..' ').chain(['\t']) {
                let line = line.replace('?', &character.to_string());
                assert_refused(&line, Code::MalformedEvent, None, None);
            }
        }
    }

    #[test]
    fn a_byte_order_mark_is_malformed() {
        for name in EventName::ALL {
            assert_refused(
                &format!("\u{feff}{}", name.example()),
                Code::MalformedEvent,
                None,
                None,
            );
        }
    }

    #[test]
    fn invalid_utf8_is_malformed_wherever_it_stands() {
        // The place of the fault is marked by a `?`.
        for line in [
            r#"{"event":"p?ng","id":"__"}"#,
            r#"{"event":"ping","id":"_?"}"#,
            r#"{"event":"ping","id":"__","timestamp":"?"}"#,
            r#"{"event":"ping","id":"__","unknown":"?"}"#,
            r#"{"event":"ping","id":"__","un?nown":1}"#,
            r#"{"event":"ping","id":"__","unknown":{"deep":["?"]}}"#,
            r#"{"event":"ping","id":"__","content":{"unknown":"?"}}"#,
            r#"{"event":"ping","id":"__","content":{"token":"?"}}"#,
            r#"{"event":"ping","id":"__","content":"?"}"#,
            r#"{"event":"ping","id":"__","content":["?"]}"#,
            r#"{"event":"publish","id":"__","content":{"topic":"?","payload":1}}"#,
            r#"{"event":"publish","id":"__","content":{"topic":"a","payload":"?"}}"#,
            r#"{"event":"publish","id":"__","content":{"topic":"a","payload":1,"ref":"?"}}"#,
            r#"{"event":"ping","id":"__"}?"#,
        ] {
            let at = line.find('?').unwrap();
            // A lone continuation byte, a cut sequence, an encoded surrogate, an overlong slash.
            for bytes in [&b"\x80"[..], b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xff"] {
                let mut broken = line.as_bytes().to_vec();
                broken.splice(at..=at, bytes.iter().copied());
                assert_eq!(
                    refusal(&broken),
                    (Code::MalformedEvent, None, None),
                    "{line}"
                );
            }
        }
    }

    #[test]
    fn a_carriage_return_is_malformed_wherever_it_stands() {
        for name in EventName::ALL {
            let line = name.example();
            for at in 0..=line.len() {
                let (head, tail) = line.split_at(at);
                assert_refused(&format!("{head}\r{tail}"), Code::MalformedEvent, None, None);
            }
        }
        // Escaped, it is a character like any other.
        assert_taken(r#"{"event":"publish","id":"__","content":{"topic":"a","payload":"\r"}}"#);
    }

    #[test]
    fn white_space_between_members_is_json() {
        assert_taken(
            " \t{ \"event\" : \"publish\" ,\t\"id\":\"__\", \"content\" : { \"topic\" :\"a\", \"payload\" : [ ] } } ",
        );
    }

    #[test]
    fn a_member_that_stands_twice_is_malformed() {
        for members in [
            r#""event":"ping","id":"__","event":"ping""#,
            r#""event":"ping","id":"__","id":"__""#,
            r#""event":"ping","id":"__","timestamp":"2026-01-31T12:00:00Z","timestamp":1"#,
            r#""event":"ping","id":"__","content":{},"content":{}"#,
            r#""event":"ping","id":"__","content":null,"content":{}"#,
            r#""event":"ping","id":"__","unknown":1,"unknown":2"#,
            r#""event":"ping","id":"__","":1,"":2"#,
            r#""event":"ping","id":"__","unknown":1,"other":2,"\u0075nknown":3"#,
            r#""event":"ping","id":"__","\u0065vent":"ping""#,
            r#""event":"ping","\u0069d":"__","id":"__""#,
        ] {
            assert_refused(&format!("{{{members}}}"), Code::MalformedEvent, None, None);
        }
        for members in [
            r#""topic":"a","payload":1,"topic":"a""#,
            r#""topic":"a","payload":1,"top\u0069c":"a""#,
            r#""top\u0069c":"a","payload":1,"topic":"a""#,
            r#""topic":"a","payload":1,"payload":1"#,
            r#""topic":"a","payload":1,"ref":"r","ref":"r""#,
            r#""topic":"a","payload":1,"r\u0065f":"r","ref":"r""#,
            r#""topic":"a","payload":1,"token":1,"token":1"#,
            r#""topic":"a","payload":1,"presence":1,"presence":1"#,
            r#""topic":"a","payload":1,"retain":1,"retain":1"#,
            r#""topic":"a","payload":1,"group":1,"group":1"#,
            r#""topic":"a","payload":1,"unknown":1,"unknown":1"#,
            r#""topic":"a","payload":1,"ü":1,"\u00fc":1"#,
        ] {
            let line = format!(r#"{{"event":"publish","id":"__","content":{{{members}}}}}"#);
            assert_refused(&line, Code::MalformedEvent, None, None);
        }
    }

    #[test]
    fn members_further_down_are_nobodys_business() {
        assert_taken(
            r#"{"event":"publish","id":"__","x":{"a":1,"a":2},"content":{"topic":"a","payload":{"a":1,"a":2},"x":[{"a":1,"a":2}]}}"#,
        );
        // The same name in both objects is not the same member.
        assert_taken(
            r#"{"event":"ping","id":"__","ref":1,"content":{"event":1,"id":2,"ref":"r"}}"#,
        );
    }

    #[test]
    fn members_escaped_in_their_names_are_those_members() {
        assert_taken(
            r#"{"\u0065vent":"publish","i\u0064":"\u005f_","c\u006fntent":{"top\u0069c":"a","p\u0061yload":1}}"#,
        );
        assert_taken(r#"{"event":"p\u0069ng","id":"__"}"#);
    }

    #[test]
    fn nests_32_deep_and_no_deeper() {
        // The brackets of one value, with other values beside it that do not add to its depth.
        let arrays =
            |depth: usize| format!("{}[],1,[]{}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        let objects = |depth: usize| {
            format!(
                "{}{{}}{}",
                r#"{"a":"#.repeat(depth - 1),
                "}".repeat(depth - 1)
            )
        };
        let envelope = |value: String| format!(r#"{{"event":"ping","id":"__","x":{value}}}"#);
        let content =
            |value: String| format!(r#"{{"event":"ping","id":"__","content":{{"x":{value}}}}}"#);
        let payload = |value: String| {
            format!(
                r#"{{"event":"publish","id":"__","content":{{"topic":"a","payload":{value}}}}}"#
            )
        };
        for value in [&arrays as &dyn Fn(usize) -> String, &objects] {
            for (place, line) in [
                (1, &envelope as &dyn Fn(String) -> String),
                (2, &content),
                (2, &payload),
            ] {
                assert_taken(&line(value(NESTING_MAX - place)));
                let too_deep = line(value(NESTING_MAX - place + 1));
                assert_refused(&too_deep, Code::MalformedEvent, None, None);
                let far_too_deep = line(value(100_000));
                assert_refused(&far_too_deep, Code::MalformedEvent, None, None);
            }
        }
        // `content` itself may be no object, but no deep one either.
        let line = format!(r#"{{"event":"ping","id":"__","content":{}}}"#, arrays(31));
        assert_refused(&line, Code::InvalidField, Some("ping"), None);
        let line = format!(r#"{{"event":"ping","id":"__","content":{}}}"#, arrays(32));
        assert_refused(&line, Code::MalformedEvent, None, None);
        // Only openings, as a peer may send that hopes for a deep recursion.
        for opening in ["[", "{", r#"{"a":"#] {
            assert_refused(&opening.repeat(300_000), Code::MalformedEvent, None, None);
        }
    }

    #[test]
    fn brackets_in_strings_do_not_nest() {
        for text in [
            "[".repeat(300),
            "{[".repeat(300),
            r#"\"["#.repeat(300),
            r"\\[".repeat(300),
        ] {
            assert_taken(&format!(
                r#"{{"event":"publish","id":"__","content":{{"topic":"a","payload":"{text}"}}}}"#
            ));
        }
        // Many openings, and none of them deep.
        assert_taken(&format!(
            r#"{{"event":"publish","id":"__","content":{{"topic":"a","payload":[{}1]}}}}"#,
            "[],{},".repeat(300)
        ));
        // A string that seems to end and does not: the brackets behind its end count.
        let line = format!(
            r#"{{"event":"publish","id":"__","content":{{"topic":"a","payload":["\\",{}{}]}}}}"#,
            "[".repeat(30),
            "]".repeat(30)
        );
        assert_refused(&line, Code::MalformedEvent, None, None);
    }
}

mod members {
    use super::*;

    #[test]
    fn unknown_events_are_named_in_the_answer() {
        let only_the_server_says = ServerEvent::NAMES
            .iter()
            .copied()
            .filter(|name| EventName::ALL.iter().all(|own| own.as_str() != *name));
        let names: Vec<&str> = only_the_server_says
            .chain(["acknowledge", "", "Publish", "publish ", "PING", "__", "ü"])
            .collect();
        assert!(names.contains(&"message") && names.contains(&"connection_accepted"));
        for name in names {
            // Its id and content are not looked at any more.
            for id in ["__", "nobody"] {
                let line = format!(r#"{{"event":"{name}","id":"{id}","content":{{"ref":"r"}}}}"#);
                assert_refused(&line, Code::UnknownEvent, Some(name), Some("r"));
            }
            let line = format!(r#"{{"event":"{name}"}}"#);
            assert_refused(&line, Code::UnknownEvent, Some(name), None);
        }
    }

    #[test]
    fn a_long_unknown_name_is_cut_between_two_characters() {
        for (name, echoed) in [
            ("x".repeat(64), "x".repeat(64)),
            ("x".repeat(65), "x".repeat(64)),
            ("ü".repeat(500), "ü".repeat(32)),
            (
                format!("x{}", "ü".repeat(500)),
                format!("x{}", "ü".repeat(31)),
            ),
            (r"\u0078".repeat(500), "x".repeat(64)),
        ] {
            let line = format!(r#"{{"event":"{name}","id":"__"}}"#);
            assert_refused(&line, Code::UnknownEvent, Some(&echoed), None);
        }
    }

    #[test]
    fn the_own_id_and_nothing_else_is_the_own_id() {
        for name in EventName::ALL {
            let line = |id: &str| {
                let members = members_needed(*name);
                format!(r#"{{"event":"{name}","id":"{id}","content":{{{members},"ref":"r"}}}}"#)
            };
            assert_taken(&line("__"));
            assert_taken(&line(OWN_ID_TEXT));
            let upper = OWN_ID_TEXT.to_uppercase();
            let simple = OWN_ID_TEXT.replace('-', "");
            let urn = format!("urn:uuid:{OWN_ID_TEXT}");
            for id in [
                "",
                "_",
                "___",
                "__ ",
                &upper,
                &simple,
                &urn,
                "01940c2e-5b7a-7d10-8f3a-6c2b9e4d1a56",
            ] {
                assert_refused(&line(id), Code::IdMismatch, Some(name.as_str()), Some("r"));
            }
        }
    }

    #[test]
    fn says_which_member_is_missing() {
        for (line, event, reference, member) in [
            (r#"{}"#, None, None, "event"),
            (
                r#"{"id":"__","content":{"ref":"r"}}"#,
                None,
                Some("r"),
                "event",
            ),
            (r#"{"event":"ping"}"#, Some("ping"), None, "id"),
            (
                r#"{"event":"publish","content":{"ref":"r"}}"#,
                Some("publish"),
                Some("r"),
                "id",
            ),
            (
                r#"{"event":"publish","id":"__"}"#,
                Some("publish"),
                None,
                "topic",
            ),
            (
                r#"{"event":"publish","id":"__","content":{}}"#,
                Some("publish"),
                None,
                "topic",
            ),
            (
                r#"{"event":"publish","id":"__","content":{"payload":1,"ref":"r"}}"#,
                Some("publish"),
                Some("r"),
                "topic",
            ),
            (
                r#"{"event":"publish","id":"__","content":{"topic":"a"}}"#,
                Some("publish"),
                None,
                "payload",
            ),
            (
                r#"{"event":"publish","id":"__","content":{"topic":"a","ref":"r"}}"#,
                Some("publish"),
                Some("r"),
                "payload",
            ),
            (
                r#"{"event":"subscribe","id":"__"}"#,
                Some("subscribe"),
                None,
                "topic",
            ),
            (
                r#"{"event":"subscribe","id":"__","content":{"ref":"r"}}"#,
                Some("subscribe"),
                Some("r"),
                "topic",
            ),
            (
                r#"{"event":"unsubscribe","id":"__","content":{"payload":1}}"#,
                Some("unsubscribe"),
                None,
                "topic",
            ),
        ] {
            assert_refused(line, Code::MissingField, event, reference);
            let reason = read(line.as_bytes()).unwrap_err().fault.reason;
            assert!(reason.contains(&format!("`{member}`")), "{line}: {reason}");
        }
    }

    #[test]
    fn members_of_a_wrong_type_are_invalid() {
        for value in ["null", "1", "true", "[]", "{}", r#"["__"]"#, r#""\ud800""#] {
            let event = format!(r#"{{"event":{value},"id":"__","content":{{"ref":"r"}}}}"#);
            assert_refused(&event, Code::InvalidField, None, Some("r"));
            let id = format!(r#"{{"event":"ping","id":{value},"content":{{"ref":"r"}}}}"#);
            assert_refused(&id, Code::InvalidField, Some("ping"), Some("r"));
            for name in ["publish", "subscribe", "unsubscribe"] {
                let topic = format!(
                    r#"{{"event":"{name}","id":"__","content":{{"topic":{value},"payload":1,"ref":"r"}}}}"#
                );
                assert_refused(&topic, Code::InvalidField, Some(name), Some("r"));
            }
            for name in EventName::ALL.iter().filter(|_| value != "null") {
                let members = members_needed(*name);
                let reference = format!(
                    r#"{{"event":"{name}","id":"__","content":{{{members},"ref":{value}}}}}"#
                );
                assert_refused(&reference, Code::InvalidField, Some(name.as_str()), None);
            }
        }
    }

    #[test]
    fn content_must_be_an_object() {
        for name in EventName::ALL {
            for content in [
                "true",
                "false",
                "0",
                "-1",
                "1.5",
                "18446744073709551616",
                r#""""#,
                r#""x""#,
                "[]",
                r#"[{"topic":"a","payload":1}]"#,
            ] {
                let line = format!(r#"{{"event":"{name}","id":"__","content":{content}}}"#);
                assert_refused(&line, Code::InvalidField, Some(name.as_str()), None);
            }
        }
    }

    #[test]
    fn content_may_be_left_out_where_nothing_is_needed() {
        for name in EventName::ALL {
            for content in ["", r#","content":null"#] {
                let line = format!(r#"{{"event":"{name}","id":"__"{content}}}"#);
                match name {
                    EventName::Publish | EventName::Subscribe | EventName::Unsubscribe => {
                        assert_refused(&line, Code::MissingField, Some(name.as_str()), None);
                    }
                    _ => {
                        assert_taken(&line);
                    }
                }
            }
        }
    }

    #[test]
    fn null_stands_for_a_member_that_is_left_out() {
        for name in EventName::ALL {
            let members = members_needed(*name);
            let line = |more: &str, content: &str| {
                format!(r#"{{"event":"{name}","id":"__","content":{{{members}{content}}}{more}}}"#)
            };
            let optional = UNSUPPORTED.iter().map(|(member, _)| *member);
            for member in optional.chain(["ref", "token", "presence"]) {
                assert_eq!(
                    assert_taken(&line("", &format!(r#","{member}":null"#))),
                    assert_taken(&line("", ""))
                );
                // It is a member all the same.
                let twice = line("", &format!(r#","{member}":null,"{member}":null"#));
                assert_refused(&twice, Code::MalformedEvent, None, None);
            }
            assert_eq!(
                assert_taken(&line(r#","timestamp":null"#, "")),
                assert_taken(&line("", ""))
            );
        }
        let payload = r#"{"event":"publish","id":"__","content":{"topic":"a","payload":null}}"#;
        assert_eq!(assert_taken(payload)["content"]["payload"], "null");
    }

    #[test]
    fn a_ref_has_64_bytes_at_most() {
        for name in EventName::ALL {
            let line = |reference: &str| {
                let members = members_needed(*name);
                format!(
                    r#"{{"event":"{name}","id":"__","content":{{{members},"ref":"{reference}"}}}}"#
                )
            };
            for reference in ["", "r", &"x".repeat(64), &"ü".repeat(32)] {
                assert_eq!(assert_taken(&line(reference))["ref"], reference);
            }
            assert_eq!(
                assert_taken(&line(&r"\u0078".repeat(64)))["ref"],
                "x".repeat(64)
            );
            assert_eq!(assert_taken(&line(r#"\"\n\\"#))["ref"], "\"\n\\");
            for reference in [&"x".repeat(65), &"ü".repeat(33), &r"\u0078".repeat(65)] {
                assert_refused(
                    &line(reference),
                    Code::InvalidField,
                    Some(name.as_str()),
                    None,
                );
            }
        }
    }

    #[test]
    fn a_timestamp_is_rfc_3339_or_left_out() {
        for name in EventName::ALL {
            let line = |timestamp: &str| {
                let members = members_needed(*name);
                format!(
                    r#"{{"event":"{name}","id":"__","content":{{{members},"ref":"r"}},"timestamp":{timestamp}}}"#
                )
            };
            for timestamp in [
                r#""2026-01-31T12:00:00Z""#,
                r#""2026-01-31T12:00:00.123456789Z""#,
                r#""2026-01-31T12:00:00.5+02:00""#,
                r#""1970-01-01T00:00:00-00:00""#,
                r#""2026-01-31T12:00:00\u005a""#,
            ] {
                assert_taken(&line(timestamp));
            }
            for timestamp in [
                "1769860800",
                r#""""#,
                r#""now""#,
                r#""2026-01-31""#,
                r#""2026-01-31T12:00:00""#,
                r#""2026-02-30T12:00:00Z""#,
                r#""2026-01-31T25:00:00Z""#,
                r#""2026-01-31T12:00:00Z ""#,
                r#"["2026-01-31T12:00:00Z"]"#,
            ] {
                let line = line(timestamp);
                assert_refused(&line, Code::InvalidField, Some(name.as_str()), Some("r"));
            }
        }
    }

    #[test]
    fn presence_is_true_or_false_and_a_token_is_a_string() {
        let line = |members: &str| {
            format!(r#"{{"event":"request_authentication","id":"__","content":{{{members}}}}}"#)
        };
        for (members, content) in [
            ("", json!({"token": null, "presence": true})),
            (
                r#""presence":true"#,
                json!({"token": null, "presence": true}),
            ),
            (
                r#""presence":false"#,
                json!({"token": null, "presence": false}),
            ),
            (r#""token":"t""#, json!({"token": "t", "presence": true})),
            (
                r#""token":null,"presence":false"#,
                json!({"token": null, "presence": false}),
            ),
            (
                r#""presence":null"#,
                json!({"token": null, "presence": true}),
            ),
            (
                r#""token":"\u0000""#,
                json!({"token": "\u{0}", "presence": true}),
            ),
        ] {
            assert_eq!(assert_taken(&line(members))["content"], content);
        }
        for member in [
            r#""presence":0"#,
            r#""presence":"false""#,
            r#""presence":[]"#,
            r#""token":1"#,
            r#""token":false"#,
            r#""token":{}"#,
            r#""token":["t"]"#,
        ] {
            let line = line(&format!(r#""ref":"r",{member}"#));
            let event = Some("request_authentication");
            assert_refused(&line, Code::InvalidField, event, Some("r"));
        }
        // Of other events they are no members.
        for name in EventName::ALL {
            if *name != EventName::RequestAuthentication {
                let members = members_needed(*name);
                assert_taken(&format!(
                    r#"{{"event":"{name}","id":"__","content":{{{members},"presence":7,"token":7}}}}"#
                ));
            }
        }
    }

    #[test]
    fn what_is_not_supported_yet_is_refused_where_it_would_mean_something() {
        use EventName::{Publish, Subscribe, Unsubscribe};
        let members: &[(&str, &[EventName])] = &[
            ("retain", &[Publish]),
            ("reply_to", &[Publish]),
            ("expires_in_ms", &[Publish]),
            ("message_id", &[Publish]),
            ("group", &[Subscribe, Unsubscribe]),
            ("from", &[Subscribe]),
            ("overflow", &[Subscribe]),
        ];
        for (member, events) in members {
            for name in EventName::ALL {
                for value in ["false", "1", r#""x""#, "{}"] {
                    let needed = members_needed(*name);
                    let line = format!(
                        r#"{{"event":"{name}","id":"__","content":{{{needed},"{member}":{value},"ref":"r"}}}}"#
                    );
                    if events.contains(name) {
                        let event = Some(name.as_str());
                        assert_refused(&line, Code::InvalidField, event, Some("r"));
                        let reason = read(line.as_bytes()).unwrap_err().fault.reason;
                        assert!(reason.contains(member), "{reason}");
                    } else {
                        assert_taken(&line);
                    }
                }
            }
        }
        assert_refused(
            r#"{"event":"publish","id":"__","content":{"topic":"a","payload":1,"ret\u0061in":true}}"#,
            Code::InvalidField,
            Some("publish"),
            None,
        );
    }

    #[test]
    fn topics_and_filters_are_judged() {
        let long = "x".repeat(513);
        let deep = vec!["x"; 33].join("/");
        let bad = [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            r"a\u0000",
            r"a\u0085b",
            "a+",
            "#/a",
            &long,
            &deep,
        ];
        let wildcards = ["+", "#", "a/+/b", "a/#"];
        let line = |name: &str, topic: &str| {
            format!(
                r#"{{"event":"{name}","id":"__","content":{{"topic":"{topic}","payload":1,"ref":"r"}}}}"#
            )
        };
        for topic in bad.iter().chain(&wildcards) {
            let line = line("publish", topic);
            assert_refused(&line, Code::InvalidTopic, Some("publish"), Some("r"));
        }
        for name in ["subscribe", "unsubscribe"] {
            for topic in bad {
                let line = line(name, topic);
                assert_refused(&line, Code::InvalidFilter, Some(name), Some("r"));
            }
            for topic in wildcards {
                assert_taken(&line(name, topic));
            }
        }
        for name in ["publish", "subscribe", "unsubscribe"] {
            // That a topic is the server's is for the session to say.
            for topic in [
                "a",
                "a/b",
                "ü/🦀",
                "$SYS/x",
                r"a\/b",
                r#"a\"b"#,
                &"x".repeat(512),
            ] {
                assert_taken(&line(name, topic));
            }
        }
    }

    /// One line with everything wrong, mended from the front, hears of one fault after the other.
    #[test]
    fn the_first_fault_is_told() {
        let says_no = |_| Err(Fault::new(Code::NotAuthenticated, "not yet"));
        let told = |line: &str, allowed: bool| {
            let decoded = if allowed {
                decode(line.as_bytes(), OWN_ID, |_| Ok(()))
            } else {
                decode(line.as_bytes(), OWN_ID, says_no)
            };
            decoded.unwrap_err().fault.code
        };
        let rest = r#""timestamp":1,"content":{"retain":1,"topic":7}"#;
        let steps = [
            (
                format!(r#"{{"event":"x","id":1,{rest}}}}}"#),
                false,
                Code::MalformedEvent,
            ),
            (
                format!(r#"{{"event":"x","id":1,{rest}}}"#),
                false,
                Code::UnknownEvent,
            ),
            (
                format!(r#"{{"event":"publish","id":1,{rest}}}"#),
                false,
                Code::InvalidField,
            ),
            (
                format!(r#"{{"event":"publish","id":"x",{rest}}}"#),
                false,
                Code::IdMismatch,
            ),
            (
                format!(r#"{{"event":"publish","id":"__",{rest}}}"#),
                false,
                Code::NotAuthenticated,
            ),
            (
                format!(r#"{{"event":"publish","id":"__",{rest}}}"#),
                true,
                Code::InvalidField,
            ),
        ];
        for (line, allowed, code) in &steps {
            assert_eq!(told(line, *allowed), *code, "{line}");
        }
        let after_timestamp = r#"{"event":"publish","id":"__","content":{"topic":""}}"#;
        assert_eq!(told(after_timestamp, true), Code::InvalidTopic);
    }

    #[test]
    fn what_may_not_be_said_is_refused_with_its_ref_whatever_is_in_it() {
        for name in EventName::ALL {
            for content in [
                r#"{"ref":"r"}"#.to_owned(),
                format!(r#"{{{},"ref":"r"}}"#, members_needed(*name)),
                r#"{"topic":7,"retain":1,"presence":7,"ref":"r"}"#.to_owned(),
            ] {
                let line = format!(r#"{{"event":"{name}","id":"__","content":{content}}}"#);
                let mut asked = None;
                let rejected = decode(line.as_bytes(), OWN_ID, |name| {
                    asked = Some(name);
                    Err(Fault::new(Code::AlreadyAuthenticated, "no"))
                })
                .unwrap_err();
                assert_eq!(rejected.fault.code, Code::AlreadyAuthenticated);
                assert_eq!(rejected.event.as_deref(), Some(name.as_str()));
                assert_eq!(rejected.reference.as_deref(), Some("r"));
                assert_eq!(asked, Some(*name));
            }
        }
    }
}

mod content {
    use super::*;

    #[test]
    fn payloads_are_kept_byte_for_byte() {
        for payload in [
            "null",
            "true",
            "0",
            "-0",
            "1e400",
            "123456789012345678901234567890.12345678901234567890",
            r#""""#,
            r#""\ud800""#,
            r#""\udc00\ud800 \u0000 \/ \u00FC ü 🦀""#,
            "[]",
            "{}",
            "[ 1 ,\t2 ]",
            r#"{ "b" : 1, "a" : [ ], "b" : 2 }"#,
            r#"{"topic":"x","event":"y"}"#,
            r#"{"\ud800":1}"#,
        ] {
            for line in [
                format!(
                    r#"{{"event":"publish","id":"__","content":{{"topic":"a","payload":{payload}}}}}"#
                ),
                format!(
                    r#"{{"event":"publish","id":"__","content":{{"payload":{payload},"topic":"a"}}}}"#
                ),
                format!(
                    r#"{{"content":{{"payload":{payload},"topic":"a"}},"id":"__","event":"publish"}}"#
                ),
                format!(
                    r#"{{"event":"publish","id":"__","content":{{"topic":"a","payload" : {payload} }}}}"#
                ),
                format!(
                    r#"{{"event":"publish","id":"__","unknown":1,"content":{{"topic":"a","payload":{payload},"ref":"r"}}}}"#
                ),
            ] {
                assert_eq!(assert_taken(&line)["content"]["payload"], payload, "{line}");
            }
        }
    }

    #[test]
    fn every_event_has_an_example_of_its_own() {
        for name in EventName::ALL {
            assert_eq!(read(name.example().as_bytes()).unwrap().name(), *name);
            assert_eq!(EventName::parse(name.as_str()), Some(*name));
        }
        // A new event makes the match below incomplete, and then `ALL` too short.
        let place = |name: &EventName| match name {
            EventName::RequestAuthentication => 0,
            EventName::Subscribe => 1,
            EventName::Publish => 2,
            EventName::Unsubscribe => 3,
            EventName::ListClients => 4,
            EventName::Ping => 5,
            EventName::Pong => 6,
            EventName::Help => 7,
            EventName::Disconnecting => 8,
        };
        let places: Vec<usize> = EventName::ALL.iter().map(place).collect();
        assert_eq!(places, Vec::from_iter(0..9));
    }

    /// Otherwise the tests of the short way would prove nothing.
    #[test]
    fn a_plain_publish_takes_the_short_way() {
        for line in [
            EventName::Publish.example().to_owned(),
            format!(r#"{{"id":"{OWN_ID_TEXT}","content":{{"payload":[ 1 ],"topic":"ü"}},"event":"publish"}}"#),
            r#"{"event":"publish","id":"__","timestamp":"2026-01-31T12:00:00Z","content":{"topic":"a","payload":null}}"#.to_owned(),
        ] {
            assert!(plain::publish(&line, OWN_ID).is_some(), "{line}");
        }
    }
}

/// The protocol once more, as plainly as serde can say it, over a parsed [`Value`].
mod oracle {
    use super::*;

    #[derive(Deserialize)]
    #[serde(tag = "event", content = "content", rename_all = "snake_case")]
    enum Event {
        RequestAuthentication(Authentication),
        Publish(Message),
        Subscribe(Subscription),
        Unsubscribe(EndOfSubscription),
        ListClients(Nothing),
        Ping(Nothing),
        Pong(Nothing),
        Help(Nothing),
        Disconnecting(Nothing),
    }

    #[derive(Deserialize)]
    struct Authentication {
        presence: Option<bool>,
        token: Option<String>,
        #[serde(rename = "ref")]
        reference: Option<Reference>,
    }

    #[derive(Deserialize)]
    struct Message {
        topic: String,
        payload: Value,
        #[serde(rename = "ref")]
        reference: Option<Reference>,
        #[serde(rename = "retain")]
        _retain: Option<Unsupported>,
        #[serde(rename = "reply_to")]
        _reply_to: Option<Unsupported>,
        #[serde(rename = "expires_in_ms")]
        _expires_in_ms: Option<Unsupported>,
        #[serde(rename = "message_id")]
        _message_id: Option<Unsupported>,
    }

    #[derive(Deserialize)]
    struct Subscription {
        topic: String,
        #[serde(rename = "ref")]
        reference: Option<Reference>,
        #[serde(rename = "group")]
        _group: Option<Unsupported>,
        #[serde(rename = "from")]
        _from: Option<Unsupported>,
        #[serde(rename = "overflow")]
        _overflow: Option<Unsupported>,
    }

    #[derive(Deserialize)]
    struct EndOfSubscription {
        topic: String,
        #[serde(rename = "ref")]
        reference: Option<Reference>,
        #[serde(rename = "group")]
        _group: Option<Unsupported>,
    }

    #[derive(Deserialize)]
    struct Nothing {
        #[serde(rename = "ref")]
        reference: Option<Reference>,
    }

    /// Nothing is one.
    #[derive(Deserialize)]
    enum Unsupported {}

    #[derive(Deserialize)]
    #[serde(try_from = "String")]
    struct Reference(String);

    impl TryFrom<String> for Reference {
        type Error = &'static str;

        fn try_from(text: String) -> Result<Self, Self::Error> {
            if text.len() > 64 {
                return Err("too long");
            }
            Ok(Self(text))
        }
    }

    /// What the line says, as [`as_value`] has it, but for the payload, which is parsed.
    pub(super) fn judge(line: &str) -> Option<Value> {
        let mut line: Value = serde_json::from_str(line).ok()?;
        let members = line.as_object_mut()?;
        let id = members.get("id")?.as_str()?;
        if id != "__" && id != OWN_ID_TEXT {
            return None;
        }
        members
            .retain(|name, value| !value.is_null() || !matches!(&**name, "timestamp" | "content"));
        if let Some(timestamp) = members.get("timestamp") {
            chrono::DateTime::parse_from_rfc3339(timestamp.as_str()?).ok()?;
        }
        if !members
            .entry("content")
            .or_insert_with(|| json!({}))
            .is_object()
        {
            return None;
        }
        let told = |event: &str, reference: Option<Reference>, content: Value| {
            let reference = reference.map(|reference| reference.0);
            Some(json!({"event": event, "ref": reference, "content": content}))
        };
        let is_filter = |text: &str| TopicFilter::parse(text).is_ok();
        match value::<Event>(line)? {
            Event::RequestAuthentication(content) => told(
                "request_authentication",
                content.reference,
                json!({"token": content.token, "presence": content.presence.unwrap_or(true)}),
            ),
            Event::Publish(content) => {
                Topic::parse(content.topic.as_str()).ok()?;
                let said = json!({"topic": content.topic, "payload": content.payload});
                told("publish", content.reference, said)
            }
            Event::Subscribe(content) => is_filter(&content.topic).then(|| {
                told(
                    "subscribe",
                    content.reference,
                    json!({"topic": content.topic}),
                )
            })?,
            Event::Unsubscribe(content) => is_filter(&content.topic).then(|| {
                told(
                    "unsubscribe",
                    content.reference,
                    json!({"topic": content.topic}),
                )
            })?,
            Event::ListClients(content) => told("list_clients", content.reference, json!({})),
            Event::Ping(content) => told("ping", content.reference, json!({})),
            Event::Pong(content) => told("pong", content.reference, json!({})),
            Event::Help(content) => told("help", content.reference, json!({})),
            Event::Disconnecting(content) => told("disconnecting", content.reference, json!({})),
        }
    }

    fn value<T: DeserializeOwned>(value: Value) -> Option<T> {
        serde_json::from_value(value).ok()
    }
}

/// JSON of a few levels. Numbers that every parser reads alike.
fn any_json() -> impl Strategy<Value = String> {
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

fn any_text() -> impl Strategy<Value = String> {
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
fn any_line() -> impl Strategy<Value = String> {
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

/// The way that every line but a plain `publish` takes.
fn general(text: &str) -> Option<ClientEvent<'_>> {
    let envelope = Envelope::parse(text).ok()?;
    let reference = envelope.reference();
    envelope.event(OWN_ID, |_| Ok(()), reference).ok()
}

/// What is done to a line: which byte of it, and what becomes of that.
#[derive(Clone, Debug)]
enum Mutation {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, u8),
    Delete(Index, usize),
    Repeat(Index, usize),
}

fn any_mutation() -> impl Strategy<Value = Mutation> {
    let byte = || prop_oneof![any::<u8>(), select(&b"{}[]\",:\\ \t\r01ue$+#/_"[..])];
    prop_oneof![
        (any::<Index>(), byte()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (any::<Index>(), 0_u8..8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (any::<Index>(), byte()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        (any::<Index>(), 1_usize..9).prop_map(|(at, count)| Mutation::Delete(at, count)),
        (any::<Index>(), 1_usize..40).prop_map(|(at, count)| Mutation::Repeat(at, count)),
    ]
}

fn mutate(line: &mut Vec<u8>, mutation: &Mutation) {
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

/// The answer to a refused line is one line, and a short one, whatever stood in the refused one.
#[track_caller]
fn assert_can_be_told(rejected: Rejected<'_>) {
    let Rejected {
        fault,
        event,
        reference,
    } = rejected;
    let error = ServerEvent::Error(ErrorContent::new(fault, event, reference));
    let line = encode_answer(&error, &"server", Timestamp::now());
    let (last, line) = line.as_ref().split_last().unwrap();
    assert_eq!(*last, b'\n');
    assert!(!line.contains(&b'\n'));
    assert!(serde_json::from_slice::<Value>(line).is_ok());
    assert!(line.len() <= 2048, "an answer of {} bytes", line.len());
}

/// What no reason may repeat, in lines that have it in every place where something can stand.
const SECRET: &str = "tdg_0123456789abcdef";

fn any_line_with_a_secret() -> impl Strategy<Value = String> {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// A reason says what is wrong in words of ours: it goes to the log.
    #[test]
    fn no_reason_repeats_what_a_line_says(
        line in any_line_with_a_secret(),
        mutations in vec(any_mutation(), 0..2),
    ) {
        let mut line = line.into_bytes();
        mutations.iter().for_each(|mutation| mutate(&mut line, mutation));
        if let Err(rejected) = read(&line) {
            let reason = &rejected.fault.reason;
            prop_assert!(!reason.contains("tdg_") && reason.len() <= 200, "{}", reason);
            assert_can_be_told(rejected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// What the decoder takes, and what it takes it for, is what the oracle says.
    #[test]
    fn agrees_with_the_oracle(line in any_line()) {
        let mut told = read(line.as_bytes()).ok().map(|event| as_value(&event));
        // Both payloads parsed: that bytes are kept is another test's.
        if let Some(payload) = told.as_mut().and_then(|told| told.pointer_mut("/content/payload")) {
            *payload = serde_json::from_str(payload.as_str().unwrap()).unwrap();
        }
        prop_assert_eq!(told, oracle::judge(&line));
    }

    /// The short way takes nothing that the general way refuses, and takes it for the same.
    #[test]
    fn the_short_way_agrees_with_the_general_way(
        line in prop_oneof![Just(EventName::Publish.example().to_owned()), any_line()],
        mutations in vec(any_mutation(), 0..3),
    ) {
        let mut line = line.into_bytes();
        mutations.iter().for_each(|mutation| mutate(&mut line, mutation));
        let Ok(text) = check_form(&line) else { return Ok(()) };
        if let Some(publish) = plain::publish(text, OWN_ID) {
            let short = as_value(&ClientEvent::Publish(publish));
            prop_assert_eq!(Some(short), general(text).as_ref().map(as_value));
        }
    }

    /// Bytes that were never meant as a line.
    #[test]
    fn arbitrary_bytes_are_refused_in_peace(bytes in vec(any::<u8>(), 0..400)) {
        if let Err(rejected) = read(&bytes) {
            prop_assert!(LINE_CODES.contains(&rejected.fault.code));
            assert_can_be_told(rejected);
        }
    }

    /// Pieces of lines in an order that makes no sense.
    #[test]
    fn arbitrary_tokens_are_refused_in_peace(
        tokens in vec(
            select(&[
                "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u", "\\ud800", "\"event\"", "\"id\"",
                "\"content\"", "\"topic\"", "\"payload\"", "\"ref\"", "\"publish\"", "\"__\"", " ",
                "1", "-", "e", "null", "\r", "\u{feff}", "ü",
            ][..]),
            0..60,
        )
    ) {
        let line = tokens.concat();
        if let Err(rejected) = read(line.as_bytes()) {
            prop_assert!(LINE_CODES.contains(&rejected.fault.code));
            assert_can_be_told(rejected);
        }
    }

    /// Lines that were right before something happened to them.
    #[test]
    fn mutated_lines_are_refused_in_peace(
        line in prop_oneof![select(EventName::ALL).prop_map(|name| name.example().to_owned()), any_line()],
        mutations in vec(any_mutation(), 1..6),
    ) {
        let mut line = line.into_bytes();
        mutations.iter().for_each(|mutation| mutate(&mut line, mutation));
        match read(&line) {
            Ok(event) => {
                // It was taken: then it can be said again.
                let said = encode(&event);
                let again = read(&said[..said.len() - 1]);
                prop_assert_eq!(again.ok().as_ref().map(as_value), Some(as_value(&event)));
            }
            Err(rejected) => {
                prop_assert!(LINE_CODES.contains(&rejected.fault.code));
                assert_can_be_told(rejected);
            }
        }
    }

    /// What the client library writes is what the server reads.
    #[test]
    fn what_is_encoded_is_decoded_again(
        name in select(EventName::ALL),
        topic in "[a-zü$ \"\\\\]{1,6}(/[a-z🦀]{1,6}){0,4}",
        wildcard in any::<bool>(),
        payload in any_json(),
        token in option::of(any_text()),
        presence in any::<bool>(),
        reference in option::of(any_text().prop_filter("a ref", |text| text.len() <= 64)),
    ) {
        let filter = if wildcard { format!("{topic}/+/#") } else { topic.clone() };
        let reference: Option<Cow<'_, str>> = reference.map(Cow::Owned);
        let bare = Bare { reference: reference.clone() };
        let subscribe = Subscribe {
            topic: TopicFilter::parse(&filter).unwrap(),
            reference: reference.clone(),
        };
        let payload: Box<RawValue> = RawValue::from_string(payload).unwrap();
        let event = match name {
            EventName::RequestAuthentication => {
                ClientEvent::RequestAuthentication(RequestAuthentication {
                    token: token.map(Token::new),
                    presence,
                    reference,
                })
            }
            EventName::Publish => ClientEvent::Publish(Publish {
                topic: Topic::parse(topic).unwrap(),
                payload: &payload,
                reference,
            }),
            EventName::Subscribe => ClientEvent::Subscribe(subscribe),
            EventName::Unsubscribe => ClientEvent::Unsubscribe(subscribe),
            EventName::ListClients => ClientEvent::ListClients(bare),
            EventName::Ping => ClientEvent::Ping(bare),
            EventName::Pong => ClientEvent::Pong(bare),
            EventName::Help => ClientEvent::Help(bare),
            EventName::Disconnecting => ClientEvent::Disconnecting(bare),
        };
        let line = encode(&event);
        let (end, line) = line.split_last().unwrap();
        prop_assert_eq!(*end, b'\n');
        prop_assert!(!line.contains(&b'\n'));
        let decoded = read(line);
        prop_assert_eq!(decoded.ok().as_ref().map(as_value), Some(as_value(&event)));
    }
}
