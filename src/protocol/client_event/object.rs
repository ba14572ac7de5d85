//! How an object of a line is read: one pass, each member once, and no value quoted in an error.

use std::{borrow::Cow, collections::HashSet, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// What stands where an object should: its members, or what else it is. The parser's own error would
/// quote the value, however long, and it may be a secret in the wrong place.
pub(super) enum Object<T> {
    Members(T),
    Null,
    Other(&'static str),
}

/// What an object is read into.
pub(super) trait Members<'a>: Default {
    /// Takes the value of the member `name`. Implementations are marked `#[inline]`, since they run for
    /// each member of each line.
    fn take<A: MapAccess<'a>>(
        &mut self,
        name: Cow<'a, str>,
        map: &mut A,
        unknown: &mut Unknown<'a>,
    ) -> Result<(), A::Error>;
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

/// A member's name, borrowed from the line unless it holds an escape.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Stores the value of a member, once.
pub(super) fn put<T, E: de::Error>(
    slot: &mut Option<T>,
    value: T,
    name: &'static str,
) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::custom(format_args!("member `{name}` stands twice"))),
    }
}

/// Members that no event knows. They are ignored, but they may not stand twice either.
#[derive(Default)]
pub(super) struct Unknown<'a>(HashSet<Cow<'a, str>>);

impl<'a> Unknown<'a> {
    pub(super) fn pass<A: MapAccess<'a>>(
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
