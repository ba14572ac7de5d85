//! Properties of decoding that hold for random lines.

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{
    generate::{any_json, any_line, any_line_with_a_secret, any_mutation, any_text, mutate},
    *,
};

/// What a line can be refused with before its sender and its time matter.
const LINE_CODES: &[Code] = &[
    Code::MalformedEvent,
    Code::UnknownEvent,
    Code::IdMismatch,
    Code::MissingField,
    Code::InvalidField,
    Code::InvalidTopic,
    Code::InvalidFilter,
];

/// The answer to a refused line is one line, and a short one, whatever the refused line says.
#[track_caller]
fn assert_fits_an_answer(error: LineError<'_>) {
    let answer = ServerEvent::Error(error.into());
    let line = server_event::encode(&answer, &"server", Timestamp::now());
    let (last, line) = line.as_ref().split_last().unwrap();
    assert_eq!(*last, b'\n');
    assert!(!line.contains(&b'\n'));
    assert!(serde_json::from_slice::<Value>(line).is_ok());
    assert!(line.len() <= 2048, "an answer of {} bytes", line.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Reasons go to the log, so they are made of the server's own words.
    #[test]
    fn no_reason_repeats_what_a_line_says(
        line in any_line_with_a_secret(),
        mutations in vec(any_mutation(), 0..2),
    ) {
        let mut line = line.into_bytes();
        mutations.iter().for_each(|mutation| mutate(&mut line, mutation));
        if let Err(error) = read(&line) {
            let reason = &error.cause.reason;
            prop_assert!(!reason.contains("tdg_") && reason.len() <= 200, "{}", reason);
            assert_fits_an_answer(error);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// The decoder accepts what the oracle accepts, and reads it as the same event.
    #[test]
    fn agrees_with_the_oracle(line in any_line()) {
        let mut event = read(line.as_bytes()).ok().map(|event| as_value(&event));
        // Both payloads parsed. Another test checks that their bytes are kept.
        if let Some(payload) = event.as_mut().and_then(|event| event.pointer_mut("/content/payload")) {
            *payload = serde_json::from_str(payload.as_str().unwrap()).unwrap();
        }
        prop_assert_eq!(event, oracle::read(&line));
    }

    /// Bytes that were never meant as a line.
    #[test]
    fn arbitrary_bytes_are_refused_with_a_code(bytes in vec(any::<u8>(), 0..400)) {
        if let Err(error) = read(&bytes) {
            prop_assert!(LINE_CODES.contains(&error.cause.code));
            assert_fits_an_answer(error);
        }
    }

    /// Pieces of lines in an order that makes no sense.
    #[test]
    fn arbitrary_tokens_are_refused_with_a_code(
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
        if let Err(error) = read(line.as_bytes()) {
            prop_assert!(LINE_CODES.contains(&error.cause.code));
            assert_fits_an_answer(error);
        }
    }

    /// Lines that were right before they were damaged.
    #[test]
    fn mutated_lines_are_refused_with_a_code(
        line in prop_oneof![select(EventName::ALL).prop_map(|name| name.example().to_owned()), any_line()],
        mutations in vec(any_mutation(), 1..6),
    ) {
        let mut line = line.into_bytes();
        mutations.iter().for_each(|mutation| mutate(&mut line, mutation));
        match read(&line) {
            Ok(event) => {
                // What was accepted can be written and read again.
                let written = encode(&event);
                let again = read(&written[..written.len() - 1]);
                prop_assert_eq!(again.ok().as_ref().map(as_value), Some(as_value(&event)));
            }
            Err(error) => {
                prop_assert!(LINE_CODES.contains(&error.cause.code));
                assert_fits_an_answer(error);
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
        let only_ref = OnlyRef { reference: reference.clone() };
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
            EventName::ListClients => ClientEvent::ListClients(only_ref),
            EventName::Ping => ClientEvent::Ping(only_ref),
            EventName::Pong => ClientEvent::Pong(only_ref),
            EventName::Help => ClientEvent::Help(only_ref),
            EventName::Disconnecting => ClientEvent::Disconnecting(only_ref),
        };
        let line = encode(&event);
        let (end, line) = line.split_last().unwrap();
        prop_assert_eq!(*end, b'\n');
        prop_assert!(!line.contains(&b'\n'));
        let decoded = read(line);
        prop_assert_eq!(decoded.ok().as_ref().map(as_value), Some(as_value(&event)));
    }
}
