//! The `ref` of a request, which the answer to it repeats.
//!
//! Owns how `ref` is declared, once for all contents, and how long it may be.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Bytes of a `ref`. Long enough for a UUID or a digest, short enough to be repeated freely.
pub const REFERENCE_BYTES_MAX: usize = 64;

/// Declares contents that can carry a `ref`. It becomes their last member.
macro_rules! with_reference {
    ($(
        $(#[$attribute:meta])+
        pub struct $name:ident<'a> { $($fields:tt)* }
    )+) => {$(
        $(#[$attribute])+
        pub struct $name<'a> {
            $($fields)*
            /// The client's own name for a request, repeated in the answer.
            #[serde(borrow, rename = "ref", default, skip_serializing_if = "Option::is_none")]
            pub reference: Option<Cow<'a, str>>,
        }
    )+};
}

pub(super) use with_reference;

with_reference! {
    /// Content that holds a `ref` and nothing else.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    pub struct OnlyRef<'a> {}
}
