//! The members around the content, the `ref`, and which error of several is reported.

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
        assert_accepted(&line("__"));
        assert_accepted(&line(OWN_ID_TEXT));
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
        let reason = read(line.as_bytes()).unwrap_err().cause.reason;
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
            let reference =
                format!(r#"{{"event":"{name}","id":"__","content":{{{members},"ref":{value}}}}}"#);
            assert_refused(&reference, Code::InvalidField, Some(name.as_str()), None);
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
        let optional = EventName::ALL
            .iter()
            .flat_map(|name| name.unsupported())
            .copied();
        for member in optional.chain(["ref", "token", "presence"]) {
            assert_eq!(
                assert_accepted(&line("", &format!(r#","{member}":null"#))),
                assert_accepted(&line("", ""))
            );
            // It is a member all the same.
            let twice = line("", &format!(r#","{member}":null,"{member}":null"#));
            assert_refused(&twice, Code::MalformedEvent, None, None);
        }
        assert_eq!(
            assert_accepted(&line(r#","timestamp":null"#, "")),
            assert_accepted(&line("", ""))
        );
    }
    let payload = r#"{"event":"publish","id":"__","content":{"topic":"a","payload":null}}"#;
    assert_eq!(assert_accepted(payload)["content"]["payload"], "null");
}

#[test]
fn a_ref_has_64_bytes_at_most() {
    for name in EventName::ALL {
        let line = |reference: &str| {
            let members = members_needed(*name);
            format!(r#"{{"event":"{name}","id":"__","content":{{{members},"ref":"{reference}"}}}}"#)
        };
        for reference in ["", "r", &"x".repeat(64), &"ü".repeat(32)] {
            assert_eq!(assert_accepted(&line(reference))["ref"], reference);
        }
        assert_eq!(
            assert_accepted(&line(&r"\u0078".repeat(64)))["ref"],
            "x".repeat(64)
        );
        assert_eq!(assert_accepted(&line(r#"\"\n\\"#))["ref"], "\"\n\\");
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
            assert_accepted(&line(timestamp));
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

/// A line with every error, corrected from the front, is refused for one error after the other.
#[test]
fn the_first_error_is_reported() {
    let says_no = |_| Err(CodedError::new(Code::NotAuthenticated, "not yet"));
    let code_of = |line: &str, allowed: bool| {
        let decoded = if allowed {
            decode(line.as_bytes(), OWN_ID, |_| Ok(()))
        } else {
            decode(line.as_bytes(), OWN_ID, says_no)
        };
        decoded.unwrap_err().cause.code
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
        assert_eq!(code_of(line, *allowed), *code, "{line}");
    }
    let after_timestamp = r#"{"event":"publish","id":"__","content":{"topic":""}}"#;
    assert_eq!(code_of(after_timestamp, true), Code::InvalidTopic);
}

#[test]
fn an_event_of_another_phase_is_refused_with_its_ref_whatever_its_content() {
    for name in EventName::ALL {
        for content in [
            r#"{"ref":"r"}"#.to_owned(),
            format!(r#"{{{},"ref":"r"}}"#, members_needed(*name)),
            r#"{"topic":7,"retain":1,"presence":7,"ref":"r"}"#.to_owned(),
        ] {
            let line = format!(r#"{{"event":"{name}","id":"__","content":{content}}}"#);
            let mut asked = None;
            let error = decode(line.as_bytes(), OWN_ID, |name| {
                asked = Some(name);
                Err(CodedError::new(Code::AlreadyAuthenticated, "no"))
            })
            .unwrap_err();
            assert_eq!(error.cause.code, Code::AlreadyAuthenticated);
            assert_eq!(error.event.as_deref(), Some(name.as_str()));
            assert_eq!(error.reference.as_deref(), Some("r"));
            assert_eq!(asked, Some(*name));
        }
    }
}
