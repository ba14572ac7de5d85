use std::fmt::Write;

use proptest::prelude::*;

use super::*;

fn fault(contents: impl AsRef<[u8]>) -> AccessError {
    rules(Path::new("etc/access.toml"), contents.as_ref()).unwrap_err()
}

/// A rule whose lines are counted from 1 for its header.
fn rule(lines: &str) -> String {
    format!("[[rule]]\nidentity = [\"a\"]\n{lines}")
}

#[test]
fn a_fault_does_not_repeat_a_whole_file() {
    let long = "x".repeat(100_000);
    for rules in [
        format!("{long} = 1\n"),
        format!("[[rule]]\n{long} = 1\n"),
        format!("[[rule]]\nidentity = [\"{long}\"]\n"),
        format!("[[rule]]\nidentity = [\"a\"]\npublish = [\"{long}\"]\n"),
        format!("[[rule]]\nidentity = [\"a\"]\npublish = [\"${long}\"]\n"),
    ] {
        let fault = super::rules(Path::new("f"), rules.as_bytes()).unwrap_err();
        assert!(fault.to_string().len() < 500, "{:.600}", fault.to_string());
    }
}

#[test]
fn a_fault_is_told_with_file_and_line_and_reason() {
    let fault = fault(rule("\npublish = [\n  \"ok\",\n  \"a/#/b\",\n]\n"));
    assert_eq!(
        fault.to_string(),
        "etc/access.toml:6: \"a/#/b\" in `publish`: not a topic filter: `#` stands only as the \
         last level"
    );
    assert_eq!(
        (fault.path(), fault.line()),
        (Path::new("etc/access.toml"), 6)
    );
}

#[test]
fn every_fault_is_told_with_its_own_line() {
    let two = format!("{}[[rule]]\npublish = []\n", rule("presence = true\n\n"));
    for (contents, line, reason) in [
        // No rules.
        ("", 1, "no `[[rule]]`"),
        ("# a comment\n\n", 1, "no `[[rule]]`"),
        ("rule = []", 1, "no `[[rule]]`"),
        // No TOML.
        ("[[rule]]\nidentity = [\"a\"\npublish = 1", 3, "not TOML"),
        (
            &rule("publish = [\"a\"]\npublish = [\"b\"]"),
            4,
            "not TOML: duplicate key",
        ),
        ("[[rule]]\nidentity = [\"a", 2, "not TOML"),
        ("nonsense", 1, "not TOML"),
        ("# Not the line after it.\npublish =\n\n", 2, "not TOML"),
        (
            &rule("presence = no"),
            3,
            "a value is true, false, a number",
        ),
        (
            "[rule]\nidentity = [\"a\"]\n[rule]",
            3,
            "begins with `[[rule]]`",
        ),
        (
            "[rule]\nidentity = [\"a\"]\n[[rule]]",
            3,
            "begins with `[[rule]]`",
        ),
        // Not ours.
        ("\n[rule]\nidentity = [\"a\"]", 2, "begins with `[[rule]]`"),
        ("\nrule = 7", 2, "begins with `[[rule]]`"),
        (
            "rule = [\n{identity = [\"a\"]},\n7]",
            3,
            "begins with `[[rule]]`",
        ),
        (&rule("[rules]"), 3, "unknown key \"rules\""),
        (
            "version = 1\n[[rule]]\nidentity = [\"a\"]",
            1,
            "unknown key \"version\"",
        ),
        (
            &rule("publsh = []"),
            3,
            "unknown key \"publsh\": a rule has identity, publish,",
        ),
        (&rule("\"a\\nb\" = 1"), 3, r#"unknown key "a\nb""#),
        (&rule("publish.x = []"), 3, "`publish` is a list of texts"),
        (&rule("[rule.limits]"), 3, "unknown key \"limits\""),
        // Identities.
        ("\n\n[[rule]]\npublish = []", 3, "no `identity`"),
        (&two, 5, "no `identity`"),
        ("[[rule]]\nidentity = []", 2, "about nobody"),
        (
            "[[rule]]\nidentity = \"a\"",
            2,
            "`identity` is a list of texts",
        ),
        (
            "[[rule]]\nidentity = [\"a\",\n7]",
            3,
            "`identity` is a list of texts",
        ),
        (
            "[[rule]]\nidentity = [\"a\",\n\"\"]",
            3,
            r#"no identity is like "": the name is empty"#,
        ),
        (
            "[[rule]]\nidentity = [\"a\\nb\"]",
            2,
            r#"no identity is like "a\nb""#,
        ),
        // Filters.
        (&rule("publish = \"a\""), 3, "`publish` is a list of texts"),
        (
            &rule("subscribe = [\"a\", [\"b\"]]"),
            3,
            "`subscribe` is a list of texts",
        ),
        (
            &rule("subscribe = [\"a+\"]"),
            3,
            r#""a+" in `subscribe`: not a topic filter"#,
        ),
        (
            &rule("deny_publish = [\"\"]"),
            3,
            r#""" in `deny_publish`: not a topic filter"#,
        ),
        (
            &rule("deny_subscribe = [\"a//b\"]"),
            3,
            r#""a//b" in `deny_subscribe`: not"#,
        ),
        (
            &rule("publish = [\"{idenity}\"]"),
            3,
            "stand only in `{identity}` and `{client_id}`",
        ),
        (
            &rule("publish = [\"$SYS/#\"]"),
            3,
            r#""$SYS/#" in `publish`: topics that begin with `$`"#,
        ),
        (
            &rule("subscribe = [\n\"${identity}\"]"),
            4,
            "topics that begin with `$`",
        ),
        // Switches and limits.
        (&rule("presence = \"no\""), 3, "`presence` is true or false"),
        (
            &rule("max_publish_messages_per_second = -1"),
            3,
            "whole number from 0",
        ),
        (
            &rule("max_publish_messages_per_second = 4294967296"),
            3,
            "to 4294967295",
        ),
        (
            &rule("max_publish_bytes_per_second = 1.5"),
            3,
            "whole number from 0",
        ),
        (
            &rule("max_errors_per_minute = \"10\""),
            3,
            "`max_errors_per_minute` is a whole number",
        ),
        // The first one is told, whatever the order of the alphabet.
        (&rule("subscribe = [\"a+\"]\npublish = [\"b+\"]"), 3, "a+"),
        ("zebra = 1\nalpha = 2", 1, "zebra"),
    ] {
        let fault = fault(contents);
        assert_eq!(fault.line(), line, "{contents:?}: {fault}");
        assert!(fault.reason.contains(reason), "{contents:?}: {fault}");
    }
}

#[test]
fn what_is_not_utf8_is_told_with_its_line() {
    let mut contents = rule("# \u{fc}\n# ").into_bytes();
    contents.extend(b"\xfc\n");
    let fault = fault(&contents);
    assert_eq!(fault.to_string(), "etc/access.toml:4: it is not UTF-8");
}

#[test]
fn a_rule_knows_its_line_and_all_that_it_says() {
    let text = r#"
# With a denied topic of the server, which is legal.
[[rule]]
identity = ["a", "b*"]
publish = ["p/{identity}"]
subscribe = ["s"]
deny_publish = ["$SYS/#"]
deny_subscribe = ["d/{client_id}"]
presence = false
max_publish_messages_per_second = 0x10
max_publish_bytes_per_second = 5_000_000_000
max_errors_per_minute = 0

  [[rule]]
  identity = ["*"]
"#;
    for text in [
        text.to_owned(),
        text.replace('\n', "\r\n"),
        format!("\u{feff}{text}"),
    ] {
        let rules = rules(Path::new("x"), text.as_bytes()).unwrap();
        assert_eq!(
            rules.iter().map(|rule| rule.line).collect::<Vec<_>>(),
            [3, 14]
        );
        let template = |text| vec![FilterTemplate::parse(text).unwrap()];
        let first = &rules[0];
        assert_eq!(first.publish, template("p/{identity}"));
        assert_eq!(first.subscribe, template("s"));
        assert_eq!(first.deny_publish, template("$SYS/#"));
        assert_eq!(first.deny_subscribe, template("d/{client_id}"));
        assert_eq!(first.presence, Some(false));
        let limits = ClientLimits {
            publish_messages_per_second: Some(16),
            publish_bytes_per_second: Some(5_000_000_000),
            errors_per_minute: Some(0),
        };
        assert_eq!(first.limits, limits);
        assert_eq!(rules[1].limits, ClientLimits::default());
        assert_eq!(rules[1].presence, None);
        let about = |rule: &Rule, name| rule.is_about(&Identity::parse(name).unwrap());
        assert!(about(first, "a") && about(first, "bob") && !about(first, "ab"));
        assert!(first.has_client_id() && !rules[1].has_client_id());
    }
}

#[test]
fn lines_are_counted_to_the_end_of_a_large_file() {
    let mut text = String::new();
    for _ in 0..20_000 {
        text.push_str("[[rule]]\nidentity = [\"a\"]\n");
    }
    let parsed = rules(Path::new("x"), text.as_bytes()).unwrap();
    assert_eq!(parsed.last().map(|rule| rule.line), Some(39_999));
    writeln!(text, "presense = 1").unwrap();
    assert_eq!(fault(&text).line(), 40_001);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whatever is in the file, the fault is one line, and one that the file has.
    #[test]
    fn any_fault_is_one_line(
        contents in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..80),
            "(\\[\\[rule\\]\\]|identity|publish| = |[\\[\\]{}\"\n\r'a#+.,\\\\0-9$]|\u{202e}){0,30}"
                .prop_map(String::into_bytes),
        ]
    ) {
        if let Err(fault) = rules(Path::new("access.toml"), &contents) {
            let text = fault.to_string();
            prop_assert!(!text.contains(|c: char| c.is_control() || c == '\u{202e}'), "{:?}", text);
            let lines = contents.iter().filter(|byte| **byte == b'\n').count() + 1;
            prop_assert!((1..=lines).contains(&fault.line()), "{}", text);
        }
    }
}
