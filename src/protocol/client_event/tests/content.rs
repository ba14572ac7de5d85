//! What the content of each event may hold.

use super::*;

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
                    assert_accepted(&line);
                }
            }
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
        assert_eq!(assert_accepted(&line(members))["content"], content);
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
            assert_accepted(&format!(
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
                    let reason = read(line.as_bytes()).unwrap_err().cause.reason;
                    assert!(reason.contains(member), "{reason}");
                } else {
                    assert_accepted(&line);
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
fn topics_and_filters_are_checked() {
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
            assert_accepted(&line(name, topic));
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
            assert_accepted(&line(name, topic));
        }
    }
}

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
            assert_eq!(
                assert_accepted(&line)["content"]["payload"],
                payload,
                "{line}"
            );
        }
    }
}
