//! What is counted, and closes the connection when it is too much.

use super::*;

const PING: &[u8] = br#"{"event":"ping","id":"__"}"#;
const HELP: &[u8] = br#"{"event":"help","id":"__","content":{"ref":"r"}}"#;
const AUTHENTICATE: &[u8] = br#"{"event":"request_authentication","id":"__"}"#;

fn codes(talk: &mut TestClient) -> Vec<String> {
    let word = |answer: &Value| {
        let (event, code, _) = gist(answer);
        code.unwrap_or(event)
    };
    talk.answers().iter().map(word).collect()
}

#[tokio::test]
async fn the_third_not_authenticated_closes() {
    let broker = Broker::start();
    let mut talk = broker.admit("alice").await;
    talk.say(&[HELP, PING, HELP, PING]).await;
    assert_eq!(talk.end, None);
    assert_eq!(
        codes(&mut talk),
        ["not_authenticated", "pong", "not_authenticated", "pong"]
    );
    talk.say(&[HELP, PING]).await;
    assert_eq!(talk.closed_as(), Some(CloseReason::TooManyErrors));
    assert_eq!(codes(&mut talk), ["not_authenticated", "too_many_errors"]);
}

#[tokio::test]
async fn the_third_already_authenticated_closes() {
    let broker = Broker::start();
    let mut talk = broker.authenticate("alice").await;
    talk.say(&[AUTHENTICATE, PING, AUTHENTICATE, PING]).await;
    assert_eq!(talk.end, None);
    talk.answers();
    talk.say(&[AUTHENTICATE, PING]).await;
    assert_eq!(talk.closed_as(), Some(CloseReason::TooManyErrors));
    assert_eq!(
        codes(&mut talk),
        ["already_authenticated", "too_many_errors"]
    );
}

#[tokio::test]
async fn the_second_long_line_closes() {
    let broker = Broker::start();
    for authenticate_between in [false, true] {
        let mut talk = broker.admit("alice").await;
        talk.say_or_overflow(&[Err(LineTooLong), Ok(PING)]).await;
        assert_eq!(talk.end, None);
        assert_eq!(codes(&mut talk), ["line_too_long", "pong"]);
        if authenticate_between {
            talk.say(&[AUTHENTICATE]).await;
            talk.answers();
        }
        talk.say_or_overflow(&[Err(LineTooLong), Ok(PING)]).await;
        assert_eq!(talk.closed_as(), Some(CloseReason::TooManyErrors));
        assert_eq!(codes(&mut talk), ["line_too_long", "too_many_errors"]);
    }
}

#[tokio::test]
async fn each_mistake_is_counted_by_itself_and_the_others_not_at_all() {
    let broker = Broker::start();
    let mut talk = broker.admit("alice").await;
    let before = [Ok(HELP), Ok(HELP), Err(LineTooLong), Ok(AUTHENTICATE)];
    talk.say_or_overflow(&before).await;
    talk.say(&[AUTHENTICATE, AUTHENTICATE]).await;
    let harmless: &[&[u8]] = &[
        b"nonsense",
        br#"{"event":"nonsense","id":"__"}"#,
        br#"{"event":"ping","id":"x"}"#,
        br#"{"event":"ping"}"#,
        br#"{"event":"subscribe","id":"__","content":{"topic":"a/#/b"}}"#,
        br#"{"event":"unsubscribe","id":"__","content":{"topic":"a"}}"#,
        br#"{"event":"publish","id":"__","content":{"topic":"$x","payload":1}}"#,
    ];
    talk.say(&harmless.repeat(20)).await;
    assert_eq!(talk.end, None);
    assert_eq!(talk.answers().len(), 6 + 20 * harmless.len());
}

#[tokio::test]
async fn a_line_may_be_longer_once_authenticated() {
    let broker = Broker::start();
    let mut talk = broker.admit("alice").await;
    assert_eq!(talk.conversation.line_bytes_max(), 4096);
    talk.say_or_overflow(&[Err(LineTooLong)]).await;
    let [refusal] = talk.answers().try_into().unwrap();
    assert!(
        refusal["content"]["reason"]
            .as_str()
            .unwrap()
            .contains("4096")
    );
    talk.say(&[AUTHENTICATE]).await;
    assert_eq!(talk.conversation.line_bytes_max(), 100_000);
}

#[tokio::test]
async fn answers_are_bounded_before_authentication() {
    let broker = Broker::start();
    let mut talk = broker.admit_unread("alice").await;
    let mut bytes = 0;
    while talk.end.is_none() {
        assert!(bytes <= 16 * 1024, "{bytes} bytes were answered");
        talk.say(&[PING]).await;
        let mut frames: Vec<Frame> = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        let _: Poll<_> = talk.outbox.poll_take(&mut cx, &mut frames);
        assert!(!frames.is_empty());
        bytes += frames.iter().map(Frame::len).sum::<usize>();
    }
    assert!(bytes > 16 * 1024, "closed after {bytes} bytes");
    assert_eq!(talk.closed_as(), Some(CloseReason::TooManyErrors));

    // Whoever authenticates in time may ask for as much as it can take.
    let mut talk = broker.admit("alice").await;
    talk.say(&[PING; 50]).await;
    talk.say(&[AUTHENTICATE]).await;
    talk.say(&[PING; 1000]).await;
    assert_eq!(talk.end, None);
    assert_eq!(talk.answers().len(), 1051);
}
