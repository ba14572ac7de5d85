//! Lines of clients: cut out of the stream, decoded, answered.

use std::ops::Range;

use serde::de::IgnoredAny;
use tidings::protocol::{
    ClientEvent, ClientId, Code, EventName, LineSplitter, LineTooLong, ServerEvent, ServerId,
    Timestamp,
    client_event::{self, LineError},
    server_event::{ServerLine, encode},
};

use crate::oracle::take_byte;

/// Bytes of the answer to any line.
const ANSWER_BYTES_MAX: usize = 4096;

const OWN_ID: &str = "0190d5a8-3c4e-7b6f-8a1d-2e3f4a5b6c7d";

/// The first byte chooses the limit of a line, the second how many bytes come at once.
pub fn run(mut input: &[u8]) {
    let limit = [16, 64, 1024, 1024 * 1024][usize::from(take_byte(&mut input) % 4)];
    let chunk_bytes = usize::from(take_byte(&mut input)) + 1;
    let lines = split(limit, [input]);
    assert_eq!(lines, split(limit, input.chunks(chunk_bytes)));
    assert_eq!(lines, naively_split(limit, input));
    for line in lines.into_iter().flatten() {
        check_decoding(&line);
    }
}

type Line = Result<Vec<u8>, LineTooLong>;

fn split<'a>(limit: usize, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Line> {
    let mut splitter = LineSplitter::new(limit);
    let mut lines = Vec::new();
    for mut chunk in chunks {
        while let Some(line) = splitter.next_line(&mut chunk) {
            lines.push(line.map(<[u8]>::to_vec));
        }
        assert!(chunk.is_empty());
    }
    lines
}

fn naively_split(limit: usize, input: &[u8]) -> Vec<Line> {
    let mut parts: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let unfinished = parts.pop().unwrap_or_default();
    let whole = parts.into_iter().map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > limit {
            Err(LineTooLong)
        } else {
            Ok(line.to_vec())
        }
    });
    // One more byte than the limit may be the CR of its end.
    let is_too_long = unfinished.len() > limit + 1;
    whole.chain(is_too_long.then_some(Err(LineTooLong))).collect()
}

fn check_decoding(line: &[u8]) {
    let decoded = decode(line);
    if line.starts_with(b"{") {
        // The short way for a plain `publish` takes no white space, the general one does.
        let spaced = [b"{ ", &line[1..]].concat();
        assert_eq!(outcome(&decoded), outcome(&decode(&spaced)));
    }
    match decoded {
        Ok(event) => check_event(line, &event),
        Err(error) => check_answer(error),
    }
}

fn decode(line: &[u8]) -> Result<ClientEvent<'_>, LineError<'_>> {
    let own_id: ClientId = serde_json::from_value(OWN_ID.into()).expect("an id");
    client_event::decode(line, own_id, |_| Ok(()))
}

/// All that the server goes by, but for the words of a fault: they have columns in them.
type Outcome = Result<Vec<u8>, (Code, Option<String>, Option<String>)>;

fn outcome(decoded: &Result<ClientEvent<'_>, LineError<'_>>) -> Outcome {
    match decoded {
        Ok(event) => Ok(client_event::encode(event)),
        Err(LineError {
            cause,
            event,
            reference,
        }) => Err((
            cause.code,
            event.as_deref().map(str::to_owned),
            reference.as_deref().map(str::to_owned),
        )),
    }
}

fn check_event(line: &[u8], event: &ClientEvent<'_>) {
    assert!(serde_json::from_slice::<IgnoredAny>(line).is_ok());
    let said = client_event::encode(event);
    let text = said.strip_suffix(b"\n").expect("a line");
    let again = decode(text).expect("what was decoded can be said and decoded again");
    assert_eq!(client_event::encode(&again), said);
    if let ClientEvent::Publish(publish) = event {
        let payload = publish.payload.get();
        assert!(is_within(payload, line), "the payload is not the line's own");
    }
}

/// Whether `part` lies in the memory of `whole`.
fn is_within(part: &str, whole: &[u8]) -> bool {
    let Range { start, end } = whole.as_ptr_range();
    let part = part.as_bytes().as_ptr_range();
    start <= part.start && part.end <= end
}

fn check_answer(error: LineError<'_>) {
    let code = error.cause.code;
    let answer = ServerEvent::Error(error.into());
    let frame = encode(&answer, &ServerId::fresh(), Timestamp::now());
    let line = frame.as_ref();
    assert!(line.len() <= ANSWER_BYTES_MAX, "{} bytes", line.len());
    let line = line.strip_suffix(b"\n").expect("a line");
    assert!(line.iter().all(|byte| *byte >= b' '));
    match ServerLine::parse(line).map(|line| line.event) {
        Ok(Some(ServerEvent::Error(error))) => assert_eq!(error.error.code, code.as_str()),
        other => panic!("{other:?}"),
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let (bare, long) = ("b".repeat(6000), "l".repeat(3000));
    let texts = [
        r#"{"event":"publish","id":"__","content":{"topic":"a","payload":[1,{"b":"\u00e4\ud83d"}]},"timestamp":"2026-01-31T12:00:00Z"}"#.to_owned(),
        format!(r#"{{"event":"publish","id":"{OWN_ID}","content":{{"payload":null,"topic":"a/b","ref":"r"}}}}"#),
        r#"{"event":"request_authentication","id":"__","content":{"token":"t","presence":false,"ref":"r"}}"#.to_owned(),
        r#"{"event":"subscribe","id":"__","content":{"topic":"a/#","group":"g","x":1}}"#.to_owned(),
        r#"{"e\u0076ent":"ping","id":"__","content":null}"#.to_owned(),
        format!(r#"{{"event":"{long}","id":"__"}}"#),
        format!(r#"{{"event":"ping","id":"__","content":"{long}"}}"#),
        format!(r#"{{"{long}":1,"{long}":2}}"#),
        format!(r#""{bare}""#),
        "[".repeat(40),
    ];
    let examples = EventName::ALL.iter().map(|name| name.example().to_owned());
    let all = examples.chain(texts).map(|text| format!("{text}\r\n"));
    let mut seeds: Vec<_> = all.map(|line| [b"\x03\x07", line.as_bytes()].concat()).collect();
    seeds.push(b"\0\x02{}\n0123456789abcdef\r\n0123456789abcdefg\nx".to_vec());
    seeds
}
