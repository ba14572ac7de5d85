//! From the bytes of a line to a typed event, or to an error with a code.
//!
//! Owns the order in which a line is checked. A line with an error is still answered with its own
//! `ref`, because the members are located before any of them is read.

use std::borrow::Cow;

use super::{ClientEvent, EventName, envelope::Envelope, fields::Fields, form::check_form, plain};
use crate::protocol::{ClientId, CodedError};

/// Why a line was not accepted, with as much of it as the answer can name.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{cause}")]
pub struct LineError<'a> {
    /// What is wrong.
    pub cause: CodedError,
    /// The event's name, cut short when it is not a known one.
    pub event: Option<Cow<'a, str>>,
    /// The line's `ref`.
    pub reference: Option<Cow<'a, str>>,
}

/// An error of a line in which nothing can be named.
impl From<CodedError> for LineError<'_> {
    fn from(cause: CodedError) -> Self {
        Self {
            cause,
            event: None,
            reference: None,
        }
    }
}

/// Reads one line, without its end, from the client `own_id`.
///
/// `check_state` is asked once the event is known and its sender checked, and before its content is
/// read: an event that the client may not send yet is refused whatever its content is.
///
/// # Errors
///
/// The first thing that is wrong, in this order: the form of the line, its event, its id,
/// `check_state`, its content.
pub fn decode<'a>(
    line: &'a [u8],
    own_id: ClientId,
    check_state: impl FnOnce(EventName) -> Result<(), CodedError>,
) -> Result<ClientEvent<'a>, LineError<'a>> {
    let text = check_form(line)?;
    let Some(publish) = plain::publish(text, own_id) else {
        return decode_any(text, own_id, check_state);
    };
    match check_state(EventName::Publish) {
        Ok(()) => Ok(ClientEvent::Publish(publish)),
        Err(cause) => Err(LineError {
            cause,
            event: Some(EventName::Publish.as_str().into()),
            reference: publish.reference,
        }),
    }
}

/// The way that every line takes but a plain `publish`.
pub(super) fn decode_any<'a>(
    text: &'a str,
    own_id: ClientId,
    check_state: impl FnOnce(EventName) -> Result<(), CodedError>,
) -> Result<ClientEvent<'a>, LineError<'a>> {
    let envelope = Envelope::parse(text)?;
    let reference = envelope.reference();
    event(&envelope, own_id, check_state, reference.clone()).map_err(|cause| LineError {
        cause,
        event: envelope.echoed_name(),
        reference: reference.ok().flatten(),
    })
}

fn event<'a>(
    envelope: &Envelope<'a>,
    own_id: ClientId,
    check_state: impl FnOnce(EventName) -> Result<(), CodedError>,
    reference: Result<Option<Cow<'a, str>>, CodedError>,
) -> Result<ClientEvent<'a>, CodedError> {
    let name = envelope.name()?;
    envelope.check_sender(own_id)?;
    check_state(name)?;
    envelope.check_timestamp()?;
    let reference = reference?;
    let none = Fields::default();
    let fields = envelope.fields()?.unwrap_or(&none);
    fields.check_supported(name)?;
    ClientEvent::read(name, fields, reference)
}
