//! Patterns against a naive matcher, and what templates accept.

use proptest::prelude::*;

use super::*;

fn matches(pattern: &str, name: &str) -> bool {
    let pattern = IdentityPattern::parse(pattern).unwrap();
    pattern.matches(&Identity::parse(name).unwrap())
}

#[test]
fn a_star_is_any_run_of_characters() {
    for (pattern, name, expected) in [
        ("alice", "alice", true),
        ("alice", "alice2", false),
        ("alice", "Alice", false),
        ("*", "anything at all", true),
        ("sensor-*", "sensor-", true),
        ("sensor-*", "sensor-7/x", true),
        ("sensor-*", "my-sensor-7", false),
        ("*.example.org", "*.example.org", true),
        ("*.example.org", "example.org", false),
        ("a*a", "a", false),
        ("a*a", "aa", true),
        ("a*b*c", "a-b-c", true),
        ("a*b*c", "abc", true),
        ("a*b*c", "acb", false),
        ("a*bc*cd", "abcd", false),
        ("**ü**", "-ü-", true),
    ] {
        assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
    }
}

#[test]
fn a_pattern_that_no_identity_can_match_is_refused() {
    let long = "x".repeat(257);
    for pattern in [
        "",
        "a\nb",
        "a*\u{200b}",
        "\u{2800}*",
        " *",
        "* ",
        "a*  b",
        &long,
    ] {
        assert!(IdentityPattern::parse(pattern).is_err(), "{pattern:?}");
    }
}

#[test]
fn a_blank_beside_a_star_is_matched_like_any_character() {
    assert!(matches("sensor *", "sensor 7"));
    assert!(matches("* of hall 2", "sensor of hall 2"));
    assert!(matches("a * b", "a x b"));
    assert!(matches("a *b", "a b"));
    // A star that matches nothing adds no length.
    let full = "x".repeat(256);
    assert!(matches(&format!("*{full}*"), &full));
}

/// Written to be obviously correct.
fn naive_match(pattern: &[char], name: &[char]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        (['*', rest @ ..], _) => {
            (0..=name.len()).any(|skipped| naive_match(rest, &name[skipped..]))
        }
        ([first, pattern @ ..], [same, name @ ..]) => first == same && naive_match(pattern, name),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn agrees_with_the_naive_matcher(pattern in "[ab*]{1,7}", name in "[ab]{1,7}") {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        let expected = naive_match(&chars(&pattern), &chars(&name));
        prop_assert_eq!(matches(&pattern, &name), expected);
    }
}

fn filled(template: &str, name: &str) -> Result<String, String> {
    let identity = Identity::parse(name).unwrap();
    let subject = Subject::new(&identity, ClientId::from_number(7));
    let template = FilterTemplate::parse(template).unwrap();
    template
        .fill(&subject)
        .map(|filter| filter.as_str().to_owned())
}

#[test]
fn names_are_filled_in_once() {
    let id = "00000000-0000-0000-0000-000000000007";
    for (template, name, expected) in [
        ("plant/#", "a/b", "plant/#".to_owned()),
        ("plant/{identity}/#", "s-7", "plant/s-7/#".to_owned()),
        ("dev-{identity}-x/+", "s", "dev-s-x/+".to_owned()),
        ("{identity}{identity}", "s", "ss".to_owned()),
        ("{client_id}/{identity}", "s", format!("{id}/s")),
        ("{identity}", "{client_id}", "{client_id}".to_owned()),
        ("in/{client_id}", "spiffe://a/b", format!("in/{id}")),
        ("{identity}", "*", "*".to_owned()),
    ] {
        assert_eq!(filled(template, name), Ok(expected), "{template} {name}");
    }
}

#[test]
fn a_name_that_could_mean_more_than_itself_is_not_filled_in() {
    for name in ["+", "#", "a/b", "$SYS", "a$", "a b", "a+"] {
        for template in ["{identity}", "a/x{identity}y/#"] {
            let reason = filled(template, name).unwrap_err();
            assert!(reason.contains(&format!("{name:?}")), "{reason}");
        }
    }
    let fits = "x".repeat(200);
    assert!(filled("{identity}/{identity}", &fits).is_ok());
    let reason = filled("{identity}/{identity}/{identity}", &fits).unwrap_err();
    assert!(reason.contains("longer than 512 bytes"), "{reason}");
}

#[test]
fn a_template_is_checked_before_any_client_needs_it() {
    for brace in [
        "{",
        "}",
        "a/{b}",
        "{{identity}}",
        "{Identity}",
        "{identity",
        "{}",
    ] {
        assert_eq!(
            FilterTemplate::parse(brace),
            Err(TemplateError::Brace),
            "{brace}"
        );
    }
    let long = format!("{}/{{client_id}}", "x".repeat(500));
    for bad in [
        "",
        "a//b",
        "+{identity}",
        "#/{identity}",
        "{identity}#",
        &long,
    ] {
        let fault = FilterTemplate::parse(bad).unwrap_err();
        assert!(matches!(fault, TemplateError::Filter(_)), "{bad}");
    }
    for (template, reserved) in [
        ("$SYS/#", true),
        ("${identity}", true),
        ("{identity}", false),
    ] {
        let template = FilterTemplate::parse(template).unwrap();
        assert_eq!(template.is_reserved(), reserved);
    }
}
