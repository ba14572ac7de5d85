//! What surrounds the content of a client's event: `event`, `id`, `timestamp` and `ref`.
//!
//! One pass over the line finds the members that any event may have, as raw slices and in any order.
//! They are read afterwards, as the event's name demands.

use std::borrow::Cow;

use serde::de::MapAccess;
use serde_json::value::RawValue;

use super::{
    EventName,
    fields::Fields,
    form::malformed,
    object::{Members, Object, Unknown, put},
    value::{given, invalid, required, string},
};
use crate::protocol::{
    ClientId, Code, CodedError, REFERENCE_BYTES_MAX, SELF_ID, describe_json_error,
};

/// Bytes of an unknown event's name that are echoed.
const ECHOED_NAME_BYTES_MAX: usize = 64;

/// The members of a line, located and not yet read.
#[derive(Default)]
pub(super) struct Envelope<'a> {
    event: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    timestamp: Option<&'a RawValue>,
    content: Option<Object<Fields<'a>>>,
}

impl<'a> Envelope<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, CodedError> {
        let what = match serde_json::from_str(text) {
            Ok(Object::Members(envelope)) => return Ok(envelope),
            Ok(Object::Null) => "it is null".to_owned(),
            Ok(Object::Other(kind)) => format!("it is {kind}"),
            Err(error) => format!("{}{}", describe_json_error(&error), column(&error)),
        };
        Err(malformed(format!("not one JSON object: {what}")))
    }

    pub(super) fn name(&self) -> Result<EventName, CodedError> {
        let name = string(required(self.event, "event")?)
            .ok_or_else(|| invalid("`event` must be a string"))?;
        EventName::parse(&name).ok_or_else(|| {
            CodedError::new(
                Code::UnknownEvent,
                "no event that a client may send has this name; `help` lists those that have",
            )
        })
    }

    pub(super) fn check_sender(&self, own_id: ClientId) -> Result<(), CodedError> {
        let id =
            string(required(self.id, "id")?).ok_or_else(|| invalid("`id` must be a string"))?;
        if id == SELF_ID || own_id.is(&id) {
            return Ok(());
        }
        Err(CodedError::new(
            Code::IdMismatch,
            "`id` must be this client's own id, or \"__\"",
        ))
    }

    pub(super) fn check_timestamp(&self) -> Result<(), CodedError> {
        let Some(raw) = given(self.timestamp) else {
            return Ok(());
        };
        let valid = string(raw).is_some_and(|text| is_timestamp(&text));
        valid.then_some(()).ok_or_else(|| {
            invalid("`timestamp` must be RFC 3339, like \"2026-01-31T12:00:00Z\", or left out")
        })
    }

    pub(super) fn reference(&self) -> Result<Option<Cow<'a, str>>, CodedError> {
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

    /// The members of the content; `None` when it is left out.
    pub(super) fn fields(&self) -> Result<Option<&Fields<'a>>, CodedError> {
        match &self.content {
            Some(Object::Members(fields)) => Ok(Some(fields)),
            None | Some(Object::Null) => Ok(None),
            Some(Object::Other(kind)) => Err(invalid(format!(
                "`content` must be an object, and is {kind}"
            ))),
        }
    }

    pub(super) fn echoed_name(&self) -> Option<Cow<'a, str>> {
        let name = string(self.event?)?;
        let end = name.floor_char_boundary(ECHOED_NAME_BYTES_MAX);
        Some(match name {
            Cow::Borrowed(name) => Cow::Borrowed(&name[..end]),
            Cow::Owned(name) => Cow::Owned(name[..end].to_owned()),
        })
    }
}

impl Fields<'_> {
    pub(super) fn check_supported(&self, name: EventName) -> Result<(), CodedError> {
        let unsupported = name.unsupported();
        match self.unsupported.iter().find(|it| unsupported.contains(it)) {
            Some(member) => Err(invalid(format!(
                "`{member}` is not supported by this version of the server"
            ))),
            None => Ok(()),
        }
    }
}

impl<'a> Members<'a> for Envelope<'a> {
    #[inline]
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
    #[inline]
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
                let events = EventName::ALL.iter();
                let mut members = events.flat_map(|event| event.unsupported());
                let unsupported = members.find(|member| **member == name);
                let value = unknown.pass(name, map)?;
                self.unsupported
                    .extend(unsupported.filter(|_| given(Some(value)).is_some()));
                Ok(())
            }
        }
    }
}

pub(super) fn is_timestamp(text: &str) -> bool {
    chrono::DateTime::parse_from_rfc3339(text).is_ok()
}

/// Where in the line an error is. The column is enough: to the parser, a line is always its line 1.
fn column(error: &serde_json::Error) -> String {
    match error.column() {
        0 => String::new(),
        column => format!(" at column {column}"),
    }
}
