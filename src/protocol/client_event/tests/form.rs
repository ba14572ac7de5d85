//! Lines that are malformed, whatever their members say.

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
    // The `?` is replaced by the character.
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
    // The `?` is replaced by the bad bytes.
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
    assert_accepted(r#"{"event":"publish","id":"__","content":{"topic":"a","payload":"\r"}}"#);
}

#[test]
fn white_space_between_members_is_json() {
    assert_accepted(
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
fn members_further_down_may_stand_twice() {
    assert_accepted(
        r#"{"event":"publish","id":"__","x":{"a":1,"a":2},"content":{"topic":"a","payload":{"a":1,"a":2},"x":[{"a":1,"a":2}]}}"#,
    );
    // The same name in both objects is not the same member.
    assert_accepted(r#"{"event":"ping","id":"__","ref":1,"content":{"event":1,"id":2,"ref":"r"}}"#);
}

#[test]
fn members_escaped_in_their_names_are_those_members() {
    assert_accepted(
        r#"{"\u0065vent":"publish","i\u0064":"\u005f_","c\u006fntent":{"top\u0069c":"a","p\u0061yload":1}}"#,
    );
    assert_accepted(r#"{"event":"p\u0069ng","id":"__"}"#);
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
        format!(r#"{{"event":"publish","id":"__","content":{{"topic":"a","payload":{value}}}}}"#)
    };
    for value in [&arrays as &dyn Fn(usize) -> String, &objects] {
        for (place, line) in [
            (1, &envelope as &dyn Fn(String) -> String),
            (2, &content),
            (2, &payload),
        ] {
            assert_accepted(&line(value(NESTING_MAX - place)));
            let too_deep = line(value(NESTING_MAX - place + 1));
            assert_refused(&too_deep, Code::MalformedEvent, None, None);
            let far_too_deep = line(value(100_000));
            assert_refused(&far_too_deep, Code::MalformedEvent, None, None);
        }
    }
    // A `content` that is no object is an error of its own, unless it is too deep as well.
    let line = format!(r#"{{"event":"ping","id":"__","content":{}}}"#, arrays(31));
    assert_refused(&line, Code::InvalidField, Some("ping"), None);
    let line = format!(r#"{{"event":"ping","id":"__","content":{}}}"#, arrays(32));
    assert_refused(&line, Code::MalformedEvent, None, None);
    // Only openings, as a hostile peer might send to cause a deep recursion.
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
        assert_accepted(&format!(
            r#"{{"event":"publish","id":"__","content":{{"topic":"a","payload":"{text}"}}}}"#
        ));
    }
    // Many openings, and none of them deep.
    assert_accepted(&format!(
        r#"{{"event":"publish","id":"__","content":{{"topic":"a","payload":[{}1]}}}}"#,
        "[],{},".repeat(300)
    ));
    // The string ends although its last quote seems to be escaped: the brackets after it count.
    let line = format!(
        r#"{{"event":"publish","id":"__","content":{{"topic":"a","payload":["\\",{}{}]}}}}"#,
        "[".repeat(30),
        "]".repeat(30)
    );
    assert_refused(&line, Code::MalformedEvent, None, None);
}
