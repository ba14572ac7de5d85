//! Decisions about single topics and filters.

use proptest::prelude::*;

use super::*;

fn filter(text: &str) -> TopicFilter {
    TopicFilter::parse(text).unwrap()
}

fn topic(text: &str) -> Topic<'_> {
    Topic::parse(text).unwrap()
}

/// The clauses of rules at the lines 10, 20, 30, ...
fn clauses(filters: &[&str]) -> Vec<Clause> {
    let clause = |(index, text): (usize, &&str)| Clause {
        filter: filter(text),
        rule: Some(10 * (index + 1)),
    };
    filters.iter().enumerate().map(clause).collect()
}

fn permissions(rights: Rights) -> Arc<Permissions> {
    Arc::new(Permissions {
        publish: rights.clone(),
        subscribe: rights,
        presence: true,
        limits: ClientLimits::default(),
    })
}

fn allowing(allowed: &[&str], denied: &[&str]) -> Arc<Permissions> {
    permissions(Rights::new(clauses(allowed), clauses(denied)))
}

fn denied(permissions: &Permissions, text: &str) -> Option<(Code, Option<usize>)> {
    let denial = permissions.may_subscribe(&filter(text)).err()?;
    assert_eq!(denial.topic.as_deref(), Some(text));
    Some((denial.code, denial.rule))
}

#[test]
fn a_denial_says_what_and_why_and_no_line() {
    let permissions = allowing(&["a/#"], &["x", "a/b", "a/c/#"]);
    let publish = |text| permissions.may_publish(&topic(text)).unwrap_err();
    let subscribe = |text| permissions.may_subscribe(&filter(text)).unwrap_err();
    for (denial, code, rule, reason) in [
        (
            publish("a/b"),
            Code::PublishDenied,
            Some(20),
            r#"publishing to "a/b" is refused: access rules deny it"#,
        ),
        (
            publish("b\u{202e}\"c"),
            Code::PublishDenied,
            None,
            r#"publishing to "b\u{202e}\"c" is refused: no access rule allows it"#,
        ),
        (
            publish("$SYS/x"),
            Code::ReservedTopic,
            None,
            r#"publishing to "$SYS/x" is refused: topics that begin with `$` belong to the server"#,
        ),
        (
            subscribe("a/c/+"),
            Code::SubscribeDenied,
            Some(30),
            r#"subscribing to "a/c/+" is refused: access rules deny all of it"#,
        ),
        (
            subscribe("#"),
            Code::SubscribeDenied,
            None,
            r##"subscribing to "#" is refused: no access rule allows all of it"##,
        ),
        (
            subscribe("$SYS/#"),
            Code::ReservedTopic,
            None,
            r#"subscribing to "$SYS/#" is refused: topics that begin with `$` belong to the server"#,
        ),
    ] {
        assert_eq!((denial.code, denial.rule), (code, rule), "{reason}");
        assert_eq!(denial.reason, reason);
    }
}

#[test]
fn a_subscription_must_be_covered_by_all_that_is_allowed() {
    assert_eq!(denied(&allowing(&["a", "a/+", "a/+/#"], &[]), "a/#"), None);
    let no = Some((Code::SubscribeDenied, None));
    assert_eq!(denied(&allowing(&["a", "a/+"], &[]), "a/#"), no);
    assert_eq!(denied(&allowing(&["a/b", "a/c"], &[]), "a/+"), no);
    assert_eq!(denied(&allowing(&[], &[]), "a"), no);
}

#[test]
fn only_what_is_denied_wholly_is_refused() {
    let permissions = allowing(&["#"], &["s/a", "s/+/#", "s"]);
    assert_eq!(denied(&permissions, "#"), None);
    assert_eq!(denied(&permissions, "+/a"), None);
    // By the rules of the second and the third.
    assert_eq!(
        denied(&permissions, "s/#"),
        Some((Code::SubscribeDenied, Some(20)))
    );
    assert_eq!(
        denied(&permissions, "s/a"),
        Some((Code::SubscribeDenied, Some(10)))
    );
    let partly = allowing(&["#"], &["s/+", "s/+/+/#"]);
    assert_eq!(denied(&partly, "s/#"), None);
    assert!(partly.may_receive(&topic("s")));
    assert!(!partly.may_receive(&topic("s/a")));
}

#[test]
fn what_the_server_owns_denies_nothing_else() {
    let everything = allowing(&["a", "#"], &["$SYS/#"]);
    assert!(everything.subscribe.is_unrestricted);
    assert_eq!(denied(&everything, "#"), None);
    assert!(everything.may_receive(&topic("a/b")));
    assert!(!everything.may_receive(&topic("$SYS/a")));
    for restricted in [
        allowing(&["#"], &["a"]),
        allowing(&["+/#"], &[]),
        allowing(&[], &[]),
        everything.narrowed_to(&TokenScope {
            publish: None,
            subscribe: Some(vec![filter("#")]),
        }),
    ] {
        assert!(!restricted.subscribe.is_unrestricted);
    }
}

#[test]
fn a_token_scope_only_takes_away() {
    let wide = allowing(&["a/#", "b/#"], &["a/x"]);
    let same = Arc::clone(&wide).narrowed_to(&TokenScope::default());
    assert!(Arc::ptr_eq(&wide, &same));
    let narrow = Arc::clone(&wide).narrowed_to(&TokenScope {
        publish: Some(vec![]),
        subscribe: Some(vec![filter("a/+"), filter("c")]),
    });
    assert_ne!(narrow, wide);
    assert!(narrow.may_subscribe(&filter("a/+")).is_ok());
    assert!(narrow.may_receive(&topic("a/y")));
    for left_out in ["a/x", "a/y/z", "b/y", "c", "$SYS"] {
        assert!(!narrow.may_receive(&topic(left_out)), "{left_out}");
        assert!(
            narrow.may_subscribe(&filter(left_out)).is_err(),
            "{left_out}"
        );
    }
    let denial = narrow.may_subscribe(&filter("a/#")).unwrap_err();
    assert_eq!(
        denial.reason,
        r##"subscribing to "a/#" is refused: the token does not allow all of it"##
    );
    let denial = narrow.may_publish(&topic("a/y")).unwrap_err();
    assert_eq!(denial.code, Code::PublishDenied);
    assert_eq!(
        denial.reason,
        r#"publishing to "a/y" is refused: the token does not allow it"#
    );
    // Twice is both.
    let twice = narrow.narrowed_to(&TokenScope {
        publish: None,
        subscribe: Some(vec![filter("a/y"), filter("b/#")]),
    });
    assert!(twice.may_receive(&topic("a/y")));
    assert!(!twice.may_receive(&topic("a/z")) && !twice.may_receive(&topic("b/y")));
}

#[test]
fn limits_combine_to_the_strictest() {
    for (one, other, both) in [
        (None, None, None),
        (None, Some(0), Some(0)),
        (Some(0), Some(0), Some(0)),
        (Some(0), Some(5), Some(5)),
        (Some(7), Some(5), Some(5)),
        (Some(7), None, Some(7)),
    ] {
        assert_eq!(stricter::<u32>(one, other), both);
        assert_eq!(stricter::<u32>(other, one), both);
    }
}

fn any_filters() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec("((a|b|\\+)/){0,2}(a|b|\\+|#)", 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// Who may subscribe receives all that matches and is not denied, and nothing else.
    #[test]
    fn the_gate_agrees_with_the_subscription(
        allowed in any_filters(),
        denied in any_filters(),
        token in proptest::option::of(any_filters()),
        asked in "((a|b|\\+)/){0,2}(a|b|\\+|#)",
        topic in "((a|b|c)/){0,3}(a|b|c)",
    ) {
        fn texts(filters: &[String]) -> Vec<&str> {
            filters.iter().map(String::as_str).collect()
        }
        let parsed = |filters: &Vec<String>| filters.iter().map(|text| filter(text)).collect::<Vec<_>>();
        let topic = Topic::parse(topic).unwrap();
        let matched = |filters: &Vec<String>| parsed(filters).iter().any(|filter| filter.matches(&topic));
        let permissions = allowing(&texts(&allowed), &texts(&denied)).narrowed_to(&TokenScope {
            publish: token.as_ref().map(parsed),
            subscribe: token.as_ref().map(parsed),
        });
        let expected = matched(&allowed) && !matched(&denied) && token.as_ref().is_none_or(matched);
        prop_assert_eq!(permissions.may_receive(&topic), expected);
        prop_assert_eq!(permissions.may_publish(&topic).is_ok(), expected);
        let asked = filter(&asked);
        if asked.matches(&topic) && !expected && permissions.may_subscribe(&asked).is_ok() {
            // What is asked for is allowed; then only a denial takes a topic out of it.
            prop_assert!(matched(&denied));
        }
        if !asked.has_wildcard() {
            let alone = Topic::parse(asked.as_str()).unwrap();
            prop_assert_eq!(permissions.may_subscribe(&asked).is_ok(), permissions.may_receive(&alone));
        }
    }
}
