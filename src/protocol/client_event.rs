//! What a client says: from the bytes of a line to a typed event, or to a coded fault.
//!
//! Decoding takes one pass over the line whatever the order of its members: the members that any
//! event may have are picked out as raw slices, and only then read as the event's name demands.
//! That is also what lets a faulty line still be answered with its own `ref`.

mod plain;

use std::{
    borrow::Cow,
    collections::HashSet,
    fmt::{self, Display},
    marker::PhantomData,
};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{ClientId, Code, Fault, SELF_ID, json_fault};
use crate::topic::{Topic, TopicFilter};

/// Bytes of a `ref`. Long enough for a UUID or a digest, short enough to be echoed freely.
pub const REFERENCE_BYTES_MAX: usize = 64;

/// How deep objects and arrays may nest, the envelope itself counted.
pub const NESTING_MAX: usize = 32;

/// Bytes of an unknown event's name that are echoed.
const ECHOED_NAME_BYTES_MAX: usize = 64;

/// An event from a client, its content validated.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", content = "content", rename_all = "snake_case")]
pub enum ClientEvent<'a> {
    /// Asks to become a session.
    RequestAuthentication(RequestAuthentication<'a>),
    /// Sends a message to whoever subscribes to its topic.
    Publish(Publish<'a>),
    /// Asks for the messages of all topics that match.
    Subscribe(Subscribe<'a>),
    /// Takes a `subscribe` back.
    Unsubscribe(Subscribe<'a>),
    /// Asks who is here.
    ListClients(Bare<'a>),
    /// Asks for a sign of life.
    Ping(Bare<'a>),
    /// Answers the server's `ping`.
    Pong(Bare<'a>),
    /// Asks what can be said.
    Help(Bare<'a>),
    /// Takes leave.
    Disconnecting(Bare<'a>),
}

impl<'a> ClientEvent<'a> {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> EventName {
        match self {
            Self::RequestAuthentication(_) => EventName::RequestAuthentication,
            Self::Publish(_) => EventName::Publish,
            Self::Subscribe(_) => EventName::Subscribe,
            Self::Unsubscribe(_) => EventName::Unsubscribe,
            Self::ListClients(_) => EventName::ListClients,
            Self::Ping(_) => EventName::Ping,
            Self::Pong(_) => EventName::Pong,
            Self::Help(_) => EventName::Help,
            Self::Disconnecting(_) => EventName::Disconnecting,
        }
    }

    /// The `ref` that its answer must carry.
    #[must_use]
    pub const fn reference(&self) -> Option<&Cow<'a, str>> {
        match self {
            Self::RequestAuthentication(content) => content.reference.as_ref(),
            Self::Publish(content) => content.reference.as_ref(),
            Self::Subscribe(content) | Self::Unsubscribe(content) => content.reference.as_ref(),
            Self::ListClients(content)
            | Self::Ping(content)
            | Self::Pong(content)
            | Self::Help(content)
            | Self::Disconnecting(content) => content.reference.as_ref(),
        }
    }
}

/// Content of `request_authentication`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestAuthentication<'a> {
    /// What the client proves itself with beside its certificate, where the server wants that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Token<'a>>,
    /// Whether the client wants to hear of others' coming and going.
    pub presence: bool,
    /// Echoed in the answer.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<Cow<'a, str>>,
}

/// A token as a client says it: a secret, which no log shows.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Token<'a>(Cow<'a, str>);

impl<'a> Token<'a> {
    /// Takes `text` for one.
    #[must_use]
    pub fn new(text: impl Into<Cow<'a, str>>) -> Self {
        Self(text.into())
    }

    /// The secret.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(not shown)")
    }
}

/// Content of `publish`.
#[derive(Clone, Debug, Serialize)]
pub struct Publish<'a> {
    /// Where to.
    pub topic: Topic<'a>,
    /// Any JSON value. Checked to be one, never looked into, passed on byte for byte.
    pub payload: &'a RawValue,
    /// Asks for `published`, and is echoed in it.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<Cow<'a, str>>,
}

/// Content of `subscribe` and `unsubscribe`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subscribe<'a> {
    /// Which topics.
    pub topic: TopicFilter,
    /// Echoed in the answer.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<Cow<'a, str>>,
}

/// Content of an event that needs nothing in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bare<'a> {
    /// Echoed in the answer.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<Cow<'a, str>>,
}

/// The name of an event that a client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventName {
    /// `request_authentication`
    RequestAuthentication,
    /// `publish`
    Publish,
    /// `subscribe`
    Subscribe,
    /// `unsubscribe`
    Unsubscribe,
    /// `list_clients`
    ListClients,
    /// `ping`
    Ping,
    /// `pong`
    Pong,
    /// `help`
    Help,
    /// `disconnecting`
    Disconnecting,
}

impl EventName {
    /// Every name, in the order in which a new user needs them.
    pub const ALL: &'static [Self] = &[
        Self::RequestAuthentication,
        Self::Subscribe,
        Self::Publish,
        Self::Unsubscribe,
        Self::ListClients,
        Self::Ping,
        Self::Pong,
        Self::Help,
        Self::Disconnecting,
    ];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequestAuthentication => "request_authentication",
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Unsubscribe => "unsubscribe",
            Self::ListClients => "list_clients",
            Self::Ping => "ping",
            Self::Pong => "pong",
            Self::Help => "help",
            Self::Disconnecting => "disconnecting",
        }
    }

    /// A line that can be sent as it is.
    #[must_use]
    pub const fn example(self) -> &'static str {
        match self {
            Self::RequestAuthentication => r#"{"event":"request_authentication","id":"__"}"#,
            Self::Publish => {
                r#"{"event":"publish","id":"__","content":{"topic":"plant/7/oven","payload":{"celsius":181.5},"ref":"1"}}"#
            }
            Self::Subscribe => {
                r#"{"event":"subscribe","id":"__","content":{"topic":"plant/+/oven"}}"#
            }
            Self::Unsubscribe => {
                r#"{"event":"unsubscribe","id":"__","content":{"topic":"plant/+/oven"}}"#
            }
            Self::ListClients => r#"{"event":"list_clients","id":"__"}"#,
            Self::Ping => r#"{"event":"ping","id":"__"}"#,
            Self::Pong => r#"{"event":"pong","id":"__"}"#,
            Self::Help => r#"{"event":"help","id":"__"}"#,
            Self::Disconnecting => r#"{"event":"disconnecting","id":"__"}"#,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|name| name.as_str() == text)
    }
}

impl Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A line that could not be taken, with what of it the answer can name.
#[derive(Clone, Debug)]
pub struct Rejected<'a> {
    /// What was wrong.
    pub fault: Fault,
    /// The event's name, cut short where it is not one of ours.
    pub event: Option<Cow<'a, str>>,
    /// The line's `ref`.
    pub reference: Option<Cow<'a, str>>,
}

/// Reads one line, its end already taken off, said by the client `own_id`.
///
/// `may_say` is asked once the event is known and its sender checked, and before its content is
/// judged: what a client may not say yet is refused whatever is in it.
///
/// # Errors
///
/// The first thing that is wrong, in the order: the form of the line, its event, its id, `may_say`,
/// its content.
pub fn decode<'a>(
    line: &'a [u8],
    own_id: ClientId,
    may_say: impl FnOnce(EventName) -> Result<(), Fault>,
) -> Result<ClientEvent<'a>, Rejected<'a>> {
    let unreadable = |fault| Rejected {
        fault,
        event: None,
        reference: None,
    };
    let text = check_form(line).map_err(unreadable)?;
    if let Some(publish) = plain::publish(text, own_id) {
        return match may_say(EventName::Publish) {
            Ok(()) => Ok(ClientEvent::Publish(publish)),
            Err(fault) => Err(Rejected {
                fault,
                event: Some(EventName::Publish.as_str().into()),
                reference: publish.reference,
            }),
        };
    }
    let envelope = Envelope::parse(text).map_err(unreadable)?;
    let reference = envelope.reference();
    envelope
        .event(own_id, may_say, reference.clone())
        .map_err(|fault| Rejected {
            fault,
            event: envelope.echoed_name(),
            reference: reference.ok().flatten(),
        })
}

/// The line of an event, as a client says it: with `"__"` for its id.
#[must_use]
pub fn encode(event: &ClientEvent<'_>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Line<'a> {
        #[serde(flatten)]
        event: &'a ClientEvent<'a>,
        id: &'static str,
    }
    let line = Line { event, id: SELF_ID };
    #[expect(
        clippy::expect_used,
        reason = "writing to memory cannot fail, and no content has a map with keys other than strings"
    )]
    let mut line = serde_json::to_vec(&line).expect("events are plain JSON");
    line.push(b'\n');
    line
}

/// The members of a line that matter, found but not yet judged.
#[derive(Default)]
struct Envelope<'a> {
    event: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    timestamp: Option<&'a RawValue>,
    content: Option<Object<Fields<'a>>>,
}

/// What stands where an object should: its members, or what else it is. The parser's own complaint
/// would quote the value, however long, and it may be a secret in the wrong place.
enum Object<T> {
    Members(T),
    Null,
    Other(&'static str),
}

/// The members of `content` that some event knows.
#[derive(Default)]
struct Fields<'a> {
    topic: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
    reference: Option<&'a RawValue>,
    token: Option<&'a RawValue>,
    presence: Option<&'a RawValue>,
    /// What of [`UNSUPPORTED`] is there.
    unsupported: Vec<&'static Unsupported>,
}

/// A member that protocol 1 names, and the events that it belongs to.
type Unsupported = (&'static str, &'static [EventName]);

/// Members that protocol 1 names and this version does not support. To pass over one silently
/// would promise what is not kept.
const UNSUPPORTED: &[Unsupported] = &[
    ("retain", &[EventName::Publish]),
    ("reply_to", &[EventName::Publish]),
    ("expires_in_ms", &[EventName::Publish]),
    ("message_id", &[EventName::Publish]),
    ("group", &[EventName::Subscribe, EventName::Unsubscribe]),
    ("from", &[EventName::Subscribe]),
    ("overflow", &[EventName::Subscribe]),
];

impl<'a> Envelope<'a> {
    fn parse(text: &'a str) -> Result<Self, Fault> {
        let what = match serde_json::from_str(text) {
            Ok(Object::Members(envelope)) => return Ok(envelope),
            Ok(Object::Null) => "it is null".to_owned(),
            Ok(Object::Other(kind)) => format!("it is {kind}"),
            Err(error) => format!("{}{}", json_fault(&error), place_in_line(&error)),
        };
        Err(malformed(format!("not one JSON object: {what}")))
    }

    fn event(
        &self,
        own_id: ClientId,
        may_say: impl FnOnce(EventName) -> Result<(), Fault>,
        reference: Result<Option<Cow<'a, str>>, Fault>,
    ) -> Result<ClientEvent<'a>, Fault> {
        let name = self.name()?;
        self.check_sender(own_id)?;
        may_say(name)?;
        self.check_timestamp()?;
        let reference = reference?;
        let none = Fields::default();
        let fields = match &self.content {
            Some(Object::Members(fields)) => fields,
            None | Some(Object::Null) => &none,
            Some(Object::Other(kind)) => {
                return Err(invalid(format!(
                    "`content` must be an object, and is {kind}"
                )));
            }
        };
        fields.check_supported(name)?;
        let bare = |reference| Bare { reference };
        Ok(match name {
            EventName::RequestAuthentication => {
                ClientEvent::RequestAuthentication(fields.request_authentication(reference)?)
            }
            EventName::Publish => ClientEvent::Publish(Publish {
                topic: Topic::parse(fields.topic()?)
                    .map_err(|error| Fault::new(Code::InvalidTopic, error.to_string()))?,
                payload: required(fields.payload, "payload")?,
                reference,
            }),
            EventName::Subscribe => ClientEvent::Subscribe(fields.subscribe(reference)?),
            EventName::Unsubscribe => ClientEvent::Unsubscribe(fields.subscribe(reference)?),
            EventName::ListClients => ClientEvent::ListClients(bare(reference)),
            EventName::Ping => ClientEvent::Ping(bare(reference)),
            EventName::Pong => ClientEvent::Pong(bare(reference)),
            EventName::Help => ClientEvent::Help(bare(reference)),
            EventName::Disconnecting => ClientEvent::Disconnecting(bare(reference)),
        })
    }

    fn name(&self) -> Result<EventName, Fault> {
        let name = string(required(self.event, "event")?)
            .ok_or_else(|| invalid("`event` must be a string"))?;
        EventName::parse(&name).ok_or_else(|| {
            Fault::new(
                Code::UnknownEvent,
                "no event that a client may send has this name; `help` lists those that have",
            )
        })
    }

    fn check_sender(&self, own_id: ClientId) -> Result<(), Fault> {
        let id =
            string(required(self.id, "id")?).ok_or_else(|| invalid("`id` must be a string"))?;
        if id == SELF_ID || own_id.is(&id) {
            return Ok(());
        }
        Err(Fault::new(
            Code::IdMismatch,
            "`id` must be this client's own id, or \"__\"",
        ))
    }

    fn check_timestamp(&self) -> Result<(), Fault> {
        let Some(raw) = given(self.timestamp) else {
            return Ok(());
        };
        let valid = string(raw).is_some_and(|text| is_timestamp(&text));
        valid.then_some(()).ok_or_else(|| {
            invalid("`timestamp` must be RFC 3339, like \"2026-01-31T12:00:00Z\", or left out")
        })
    }

    fn reference(&self) -> Result<Option<Cow<'a, str>>, Fault> {
        let Some(Object::Members(fields)) = &self.content else {
            return Ok(None);
        };
        let Some(raw) = given(fields.reference) else {
            return Ok(None);
        };
        string(raw)
            .filter(|reference| reference.len() <= REFERENCE_BYTES_MAX)
            .map(Some)
            .ok_or_else(|| {
                invalid(format!(
                    "`ref` must be a string of at most {REFERENCE_BYTES_MAX} bytes"
                ))
            })
    }

    fn echoed_name(&self) -> Option<Cow<'a, str>> {
        let name = string(self.event?)?;
        let end = name.floor_char_boundary(ECHOED_NAME_BYTES_MAX);
        Some(match name {
            Cow::Borrowed(name) => Cow::Borrowed(&name[..end]),
            Cow::Owned(name) => Cow::Owned(name[..end].to_owned()),
        })
    }
}

impl<'a> Fields<'a> {
    fn check_supported(&self, name: EventName) -> Result<(), Fault> {
        match self
            .unsupported
            .iter()
            .find(|(_, events)| events.contains(&name))
        {
            Some((field, _)) => Err(invalid(format!(
                "`{field}` is not supported by this version of the server"
            ))),
            None => Ok(()),
        }
    }

    fn topic(&self) -> Result<Cow<'a, str>, Fault> {
        string(required(self.topic, "topic")?).ok_or_else(|| invalid("`topic` must be a string"))
    }

    fn subscribe(&self, reference: Option<Cow<'a, str>>) -> Result<Subscribe<'a>, Fault> {
        Ok(Subscribe {
            topic: TopicFilter::parse(&self.topic()?)
                .map_err(|error| Fault::new(Code::InvalidFilter, error.to_string()))?,
            reference,
        })
    }

    fn request_authentication(
        &self,
        reference: Option<Cow<'a, str>>,
    ) -> Result<RequestAuthentication<'a>, Fault> {
        let token = given(self.token)
            .map(|raw| string(raw).ok_or_else(|| invalid("`token` must be a string")))
            .transpose()?;
        let presence = match given(self.presence).map(RawValue::get) {
            None | Some("true") => true,
            Some("false") => false,
            Some(_) => return Err(invalid("`presence` must be true or false")),
        };
        Ok(RequestAuthentication {
            token: token.map(Token::new),
            presence,
            reference,
        })
    }
}

/// Judges a line, its end already taken off, as far as the answer to a fault in it cannot name its
/// `ref`: for who wants to know beforehand.
///
/// # Errors
///
/// What the server would answer.
pub(crate) fn check_line(line: &[u8]) -> Result<(), Fault> {
    if memchr::memchr(b'\n', line).is_some() {
        return Err(malformed("there is a line break in it".to_owned()));
    }
    check_form(line).map(drop)
}

/// What every line must be before it is looked into: the parser does not look into what it passes
/// over.
fn check_form(line: &[u8]) -> Result<&str, Fault> {
    let text = std::str::from_utf8(line)
        .map_err(|error| malformed(format!("invalid UTF-8 after byte {}", error.valid_up_to())))?;
    if memchr::memchr(b'\r', line).is_some() {
        return Err(malformed(
            "a carriage return may stand only before the line's end".to_owned(),
        ));
    }
    // A line with few openings cannot be deep, which spares nearly every line the walk.
    let has_many_openings = memchr::memchr2_iter(b'{', b'[', line)
        .nth(NESTING_MAX)
        .is_some();
    if has_many_openings && nesting(line) > NESTING_MAX {
        return Err(malformed(format!(
            "objects and arrays nest deeper than {NESTING_MAX}"
        )));
    }
    Ok(text)
}

fn is_timestamp(text: &str) -> bool {
    chrono::DateTime::parse_from_rfc3339(text).is_ok()
}

fn malformed(reason: String) -> Fault {
    Fault::new(Code::MalformedEvent, reason)
}

fn required<'a>(member: Option<&'a RawValue>, name: &'static str) -> Result<&'a RawValue, Fault> {
    member.ok_or_else(|| Fault::new(Code::MissingField, format!("`{name}` is missing")))
}

/// A member that may be left out: many libraries write `null` for what is not there.
fn given(member: Option<&RawValue>) -> Option<&RawValue> {
    member.filter(|raw| raw.get() != "null")
}

fn invalid(reason: impl Into<Cow<'static, str>>) -> Fault {
    Fault::new(Code::InvalidField, reason)
}

/// The text of a JSON string; `None` when the value is not one, or holds a lone surrogate.
fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(raw.get()).ok().map(Cow::Owned)
}

/// The depth of a line that may or may not be valid JSON.
fn nesting(line: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in line {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The column alone: a line of ours is always its line 1.
fn place_in_line(error: &serde_json::Error) -> String {
    match error.column() {
        0 => String::new(),
        column => format!(" at column {column}"),
    }
}

/// A member's name, borrowed from the line unless it holds an escape.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Notes one member, once.
fn put<T, E: de::Error>(slot: &mut Option<T>, value: T, name: &'static str) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::custom(format_args!("member `{name}` stands twice"))),
    }
}

/// The members that nobody knows: passed over, but not twice.
#[derive(Default)]
struct Unknown<'a>(HashSet<Cow<'a, str>>);

impl<'a> Unknown<'a> {
    fn pass<A: MapAccess<'a>>(
        &mut self,
        name: Cow<'a, str>,
        map: &mut A,
    ) -> Result<&'a RawValue, A::Error> {
        if !self.0.insert(name) {
            return Err(de::Error::custom("an unknown member stands twice"));
        }
        map.next_value()
    }
}

/// What an object is read into.
trait Members<'a>: Default {
    /// Takes the value of the member `name`.
    fn take<A: MapAccess<'a>>(
        &mut self,
        name: Cow<'a, str>,
        map: &mut A,
        unknown: &mut Unknown<'a>,
    ) -> Result<(), A::Error>;
}

impl<'a> Members<'a> for Envelope<'a> {
    fn take<A: MapAccess<'a>>(
        &mut self,
        name: Cow<'a, str>,
        map: &mut A,
        unknown: &mut Unknown<'a>,
    ) -> Result<(), A::Error> {
        match &*name {
            "event" => put(&mut self.event, map.next_value()?, "event"),
            "id" => put(&mut self.id, map.next_value()?, "id"),
            "timestamp" => put(&mut self.timestamp, map.next_value()?, "timestamp"),
            "content" => put(&mut self.content, map.next_value()?, "content"),
            _ => unknown.pass(name, map).map(drop),
        }
    }
}

impl<'a> Members<'a> for Fields<'a> {
    fn take<A: MapAccess<'a>>(
        &mut self,
        name: Cow<'a, str>,
        map: &mut A,
        unknown: &mut Unknown<'a>,
    ) -> Result<(), A::Error> {
        match &*name {
            "topic" => put(&mut self.topic, map.next_value()?, "topic"),
            "payload" => put(&mut self.payload, map.next_value()?, "payload"),
            "ref" => put(&mut self.reference, map.next_value()?, "ref"),
            "token" => put(&mut self.token, map.next_value()?, "token"),
            "presence" => put(&mut self.presence, map.next_value()?, "presence"),
            _ => {
                let unsupported = UNSUPPORTED.iter().find(|(field, _)| *field == name);
                let value = unknown.pass(name, map)?;
                self.unsupported
                    .extend(unsupported.filter(|_| given(Some(value)).is_some()));
                Ok(())
            }
        }
    }
}

impl<'de, T: Members<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Members<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = T::default();
                let mut unknown = Unknown::default();
                while let Some(Name(name)) = map.next_key()? {
                    members.take(name, &mut map, &mut unknown)?;
                }
                Ok(Object::Members(members))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Object::Null)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Object::Other("a boolean"))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Object::Other("a number"))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Object::Other("a number"))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Object::Other("a number"))
            }

            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok(Object::Other("a string"))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Object::Other("an array"))
            }
        }

        deserializer.deserialize_any(ObjectVisitor(PhantomData))
    }
}

#[cfg(test)]
mod tests;
