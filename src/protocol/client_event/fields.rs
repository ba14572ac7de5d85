//! The members of `content`, located in a line and not yet read.

use serde_json::value::RawValue;

/// The members of `content` that some event knows.
#[derive(Default)]
pub(super) struct Fields<'a> {
    pub(super) topic: Option<&'a RawValue>,
    pub(super) payload: Option<&'a RawValue>,
    pub(super) token: Option<&'a RawValue>,
    pub(super) presence: Option<&'a RawValue>,
    pub(super) reference: Option<&'a RawValue>,
    /// Those that some event does not support.
    pub(super) unsupported: Vec<&'static str>,
}
