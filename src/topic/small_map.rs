//! A map for millions of mostly tiny maps, which shares its parts with its clones.

use std::{hash::Hash, slice, sync::Arc};

/// Up to this many entries, a sorted slice is smaller and faster than a hash tree.
const FEW_MAX: usize = 16;

/// A clone costs one reference count. A change copies a small slice or a path of a hash tree, never the
/// whole map. Most maps of a routing table hold one entry, for which [`imbl::HashMap`] alone would take
/// about 600 bytes.
#[derive(Clone, Debug, Default)]
pub(super) enum SmallMap<K, V> {
    #[default]
    Empty,
    One(K, V),
    /// Sorted by key.
    Few(Arc<[(K, V)]>),
    /// Boxed: it is rare, and would make every map larger.
    Many(Box<imbl::HashMap<K, V>>),
}

impl<K: Ord + Hash + Clone, V: Clone> SmallMap<K, V> {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// The stored key that equals `key`.
    pub(super) fn get_key<Q>(&self, key: &Q) -> Option<&K>
    where
        K: std::borrow::Borrow<Q>,
        Q: Ord + Hash + ?Sized,
    {
        match self {
            Self::Empty => None,
            Self::One(own, _) => (own.borrow() == key).then_some(own),
            Self::Few(entries) => {
                let index = entries
                    .binary_search_by(|(own, _)| own.borrow().cmp(key))
                    .ok()?;
                Some(&entries[index].0)
            }
            Self::Many(map) => map.get_key_value(key).map(|(own, _)| own),
        }
    }

    /// Adds an entry, or replaces the key and value of an equal key.
    pub(super) fn insert(&mut self, key: K, value: V) {
        *self = match std::mem::take(self) {
            Self::Empty => Self::One(key, value),
            Self::One(own, _) if own == key => Self::One(key, value),
            Self::One(own, old) if own < key => Self::Few([(own, old), (key, value)].into()),
            Self::One(own, old) => Self::Few([(key, value), (own, old)].into()),
            Self::Few(entries) => {
                let place = entries.binary_search_by(|(own, _)| own.cmp(&key));
                let (head, tail) = match place {
                    Ok(at) => (&entries[..at], &entries[at + 1..]),
                    Err(at) => entries.split_at(at),
                };
                let all = head
                    .iter()
                    .cloned()
                    .chain([(key, value)])
                    .chain(tail.iter().cloned());
                if head.len() + tail.len() < FEW_MAX {
                    Self::Few(all.collect())
                } else {
                    Self::Many(Box::new(all.collect()))
                }
            }
            Self::Many(mut map) => {
                map.insert(key, value);
                Self::Many(map)
            }
        };
    }

    pub(super) fn remove<Q>(&mut self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
        Q: Ord + Hash + ?Sized,
    {
        match self {
            Self::Empty => {}
            Self::One(own, _) => {
                if (*own).borrow() == key {
                    *self = Self::Empty;
                }
            }
            Self::Few(entries) => {
                if let Ok(at) = entries.binary_search_by(|(own, _)| own.borrow().cmp(key)) {
                    let (head, tail) = (&entries[..at], &entries[at + 1..]);
                    *self = Self::from_few(head.iter().chain(tail).cloned().collect());
                }
            }
            Self::Many(map) => {
                map.remove(key);
                // At half the limit, so that a map near the limit does not change back and forth.
                if map.len() <= FEW_MAX / 2 {
                    let mut entries: Vec<(K, V)> = map
                        .iter()
                        .map(|(key, value)| (key.clone(), value.clone()))
                        .collect();
                    entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
                    *self = Self::from_few(entries);
                }
            }
        }
    }

    fn from_few(mut entries: Vec<(K, V)>) -> Self {
        match entries.len() {
            0 | 1 => entries
                .pop()
                .map_or(Self::Empty, |(key, value)| Self::One(key, value)),
            _ => Self::Few(entries.into()),
        }
    }

    /// In no particular order.
    pub(super) fn iter(&self) -> Iter<'_, K, V> {
        match self {
            Self::Empty => Iter::One(None),
            Self::One(key, value) => Iter::One(Some((key, value))),
            Self::Few(entries) => Iter::Few(entries.iter()),
            Self::Many(map) => Iter::Many(map.iter()),
        }
    }
}

pub(super) enum Iter<'a, K, V> {
    One(Option<(&'a K, &'a V)>),
    Few(slice::Iter<'a, (K, V)>),
    Many(imbl::hashmap::Iter<'a, K, V, imbl::shared_ptr::DefaultSharedPtr>),
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::One(entry) => entry.take(),
            Self::Few(entries) => entries.next().map(|(key, value)| (key, value)),
            Self::Many(entries) => entries.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Self::One(entry) => {
                let left = usize::from(entry.is_some());
                (left, Some(left))
            }
            Self::Few(entries) => entries.size_hint(),
            Self::Many(entries) => entries.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// After any insertions and removals, it holds what an ordinary map holds, and a clone made
        /// before a change holds what it held.
        #[test]
        fn behaves_like_an_ordinary_map(
            steps in proptest::collection::vec((any::<bool>(), 0u8..40, any::<u32>()), 0..200)
        ) {
            let mut map = SmallMap::default();
            let mut model = BTreeMap::new();
            for (put, key, value) in steps {
                let (before, model_before) = (map.clone(), model.clone());
                if put {
                    map.insert(key, value);
                    model.insert(key, value);
                } else {
                    map.remove(&key);
                    model.remove(&key);
                }
                for (map, model) in [(&map, &model), (&before, &model_before)] {
                    prop_assert_eq!(map.iter().size_hint(), (model.len(), Some(model.len())));
                    let held: BTreeMap<_, _> = map.iter().map(|(k, v)| (*k, *v)).collect();
                    prop_assert_eq!(&held, model);
                    prop_assert_eq!(map.get_key(&key), model.get_key_value(&key).map(|(k, _)| k));
                    prop_assert_eq!(map.is_empty(), model.is_empty());
                }
            }
        }
    }
}
