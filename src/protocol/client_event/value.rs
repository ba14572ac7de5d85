//! Values of members: whether they are there, what text they hold, and the errors when not.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::protocol::{Code, CodedError};

pub(super) fn required<'a>(
    member: Option<&'a RawValue>,
    name: &'static str,
) -> Result<&'a RawValue, CodedError> {
    member.ok_or_else(|| CodedError::new(Code::MissingField, format!("`{name}` is missing")))
}

/// A member that may be left out. Many libraries write `null` for a member that is not there.
pub(super) fn given(member: Option<&RawValue>) -> Option<&RawValue> {
    member.filter(|raw| raw.get() != "null")
}

/// The text of a JSON string; `None` when the value is not one, or holds a lone surrogate.
pub(super) fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(raw.get()).ok().map(Cow::Owned)
}

pub(super) fn invalid(reason: impl Into<Cow<'static, str>>) -> CodedError {
    CodedError::new(Code::InvalidField, reason)
}
