//! The short way reads a line as the general way does.

use proptest::{collection::vec, prelude::*};

use super::{
    generate::{any_line, any_mutation, mutate},
    *,
};
use crate::protocol::client_event::{decode::decode_any, form::check_form, plain};

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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// What the short way accepts, the general way reads as the same event.
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
            prop_assert_eq!(Some(short), decode_any(text, OWN_ID, |_| Ok(())).ok().as_ref().map(as_value));
        }
    }
}
