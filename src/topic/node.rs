use std::{
    borrow::Borrow,
    cmp::Ordering,
    hash::{Hash, Hasher},
    mem,
    sync::Arc,
};

use super::{TOPIC_BYTES_MAX, small_map::SmallMap};

/// The filters with a wildcard that begin with the same levels.
///
/// Levels in a row at which no filter ends and none parts from the others are one edge, so that a
/// filter adds two nodes at most, however many levels it has. Edges lie in the texts of filters,
/// and take no memory of their own.
#[derive(Clone, Debug)]
pub(super) struct Node<K, V> {
    edge: Edge,
    /// Those whose edge begins with a level that is spelled out.
    children: SmallMap<Child<K, V>, ()>,
    /// The one whose edge begins with `+`.
    any: Option<Arc<Self>>,
    /// Subscribers whose filter ends here.
    here: SmallMap<K, V>,
    /// Subscribers whose filter ends with a `#` below here.
    below: SmallMap<K, V>,
}

/// The levels between a node and its parent. In the filter that holds them, the levels before them
/// lead to the parent.
#[derive(Clone, Debug, Default)]
struct Edge {
    filter: Arc<str>,
    start: u16,
    first_level_end: u16,
    end: u16,
}

// A filter has no offset beyond.
const _: () = assert!(TOPIC_BYTES_MAX <= u16::MAX as usize);

/// A node under the first level of its edge.
#[derive(Clone, Debug)]
struct Child<K, V>(Arc<Node<K, V>>);

impl<K, V> Default for Node<K, V> {
    fn default() -> Self {
        Self {
            edge: Edge::default(),
            children: SmallMap::default(),
            any: None,
            here: SmallMap::default(),
            below: SmallMap::default(),
        }
    }
}

impl<K: Ord + Hash + Clone, V: Clone> Node<K, V> {
    /// Notes that `key` subscribes to `filter`, whose levels from `start` on are below this node.
    pub(super) fn insert(&mut self, filter: &Arc<str>, start: usize, key: K, value: V) {
        match filter.get(start..).unwrap_or_default() {
            "" => self.here.insert(key, value),
            "#" => self.below.insert(key, value),
            rest => {
                let mut child = self.child(first_level(rest)).cloned().unwrap_or_else(|| {
                    Arc::new(Self {
                        edge: Edge::to_the_end(filter, start),
                        ..Self::default()
                    })
                });
                let node = Arc::make_mut(&mut child);
                node.part_at(node.edge.shared_with(rest));
                node.insert(filter, start + node.edge.len() + 1, key, value);
                self.put(child);
            }
        }
    }

    /// Forgets that `key` subscribes to `filter`, whose levels from `start` on are below this node.
    pub(super) fn remove(&mut self, filter: &str, start: usize, key: &K) {
        match filter.get(start..).unwrap_or_default() {
            "" => self.here.remove(key),
            "#" => self.below.remove(key),
            rest => {
                let level = first_level(rest);
                let leads_on =
                    |child: &&Arc<Self>| child.edge.shared_with(rest) == child.edge.len();
                let Some(mut child) = self.child(level).filter(leads_on).cloned() else {
                    return;
                };
                let node = Arc::make_mut(&mut child);
                node.remove(filter, start + node.edge.len() + 1, key);
                if !node.is_empty() {
                    node.join();
                    self.put(child);
                } else if level == "+" {
                    self.any = None;
                } else {
                    self.children.remove(level);
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.children.is_empty()
            && self.any.is_none()
            && self.here.is_empty()
            && self.below.is_empty()
    }

    fn child(&self, level: &str) -> Option<&Arc<Self>> {
        match level {
            "+" => self.any.as_ref(),
            _ => self.children.get_key(level).map(|child| &child.0),
        }
    }

    /// Puts `child` in the place of the one with the same first level.
    fn put(&mut self, child: Arc<Self>) {
        match child.edge.first_level() {
            "+" => self.any = Some(child),
            _ => self.children.insert(Child(child), ()),
        }
    }

    /// Ends this node after the first bytes of its edge; what is left becomes its child.
    fn part_at(&mut self, bytes: usize) {
        if bytes == self.edge.len() {
            return;
        }
        let (edge, rest) = self.edge.split_at(bytes);
        let mut lower = mem::take(self);
        lower.edge = rest;
        self.edge = edge;
        self.put(Arc::new(lower));
    }

    /// Becomes one with its only child, where no filter ends here any longer.
    fn join(&mut self) {
        if let Some(only) = self.only_child()
            && self.here.is_empty()
            && self.below.is_empty()
        {
            let mut joined = Self::clone(only);
            joined.edge.start = self.edge.start;
            joined.edge.first_level_end = self.edge.first_level_end;
            *self = joined;
        }
    }

    /// How many there are below this one.
    #[cfg(test)]
    pub(super) fn nodes_below(&self) -> usize {
        let spelled_out = self.children.iter().map(|(child, ())| &child.0);
        let children = self.any.iter().chain(spelled_out);
        children.map(|child| 1 + child.nodes_below()).sum()
    }

    fn only_child(&self) -> Option<&Arc<Self>> {
        let spelled_out = self.children.iter().map(|(child, ())| &child.0);
        let mut children = self.any.iter().chain(spelled_out);
        let first = children.next();
        first.filter(|_| children.next().is_none())
    }
}

impl<K: Ord + Hash + Clone, V: Clone> Node<K, V> {
    /// Calls `found` with the subscribers of each filter that matches. `rest` is what of the topic
    /// lies below this node; `None` when the topic ends here.
    pub(super) fn each_match<'a>(
        &'a self,
        rest: Option<&str>,
        found: &mut impl FnMut(&'a SmallMap<K, V>),
    ) {
        found(&self.below);
        let Some(rest) = rest else {
            found(&self.here);
            return;
        };
        let (level, rest) = split_level(rest);
        self.each_match_at(level, rest, found);
        if let Some(any) = &self.any {
            any.each_match_along("+", rest, found);
        }
    }

    /// The same for those filters alone that spell out the next level of the topic.
    pub(super) fn each_match_at<'a>(
        &'a self,
        level: &str,
        rest: Option<&str>,
        found: &mut impl FnMut(&'a SmallMap<K, V>),
    ) {
        if let Some(child) = self.children.get_key(level) {
            child.0.each_match_along(level, rest, found);
        }
    }

    /// The same where the topic has matched `first`, the first level of the edge.
    fn each_match_along<'a>(
        &'a self,
        first: &str,
        mut rest: Option<&str>,
        found: &mut impl FnMut(&'a SmallMap<K, V>),
    ) {
        let mut edge = self.edge.as_str().get(first.len() + 1..);
        while let Some(levels) = edge {
            let Some(topic) = rest else { return };
            let (wanted, next) = split_level(levels);
            let (level, below) = split_level(topic);
            if wanted != "+" && wanted != level {
                return;
            }
            (edge, rest) = (next, below);
        }
        self.each_match(rest, found);
    }
}

impl Edge {
    /// The levels of `filter` from one byte to another, neither of them in the middle of a level.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a filter has no more than `TOPIC_BYTES_MAX`"
    )]
    fn new(filter: &Arc<str>, start: usize, end: usize) -> Self {
        Self {
            filter: Arc::clone(filter),
            start: start as u16,
            first_level_end: (start + first_level(&filter[start..end]).len()) as u16,
            end: end as u16,
        }
    }

    /// All levels of `filter` from `start` on, save a `#`.
    fn to_the_end(filter: &Arc<str>, start: usize) -> Self {
        let end = filter.strip_suffix("/#").unwrap_or(filter).len();
        Self::new(filter, start, end)
    }

    fn as_str(&self) -> &str {
        &self.filter[self.start.into()..self.end.into()]
    }

    const fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    fn first_level(&self) -> &str {
        &self.filter[self.start.into()..self.first_level_end.into()]
    }

    /// Bytes of the whole levels with which both begin.
    fn shared_with(&self, levels: &str) -> usize {
        let both = self.as_str().split('/').zip(levels.split('/'));
        let shared = both.take_while(|(own, other)| own == other);
        let bytes: usize = shared.map(|(level, _)| level.len() + 1).sum();
        bytes.saturating_sub(1)
    }

    /// The levels up to the `/` at `bytes`, and those behind it.
    fn split_at(&self, bytes: usize) -> (Self, Self) {
        let (start, end) = (self.start.into(), self.end.into());
        let slash = start + bytes;
        (
            Self::new(&self.filter, start, slash),
            Self::new(&self.filter, slash + 1, end),
        )
    }
}

/// The first of these levels, and those below it.
///
/// Byte by byte, since levels are short.
pub(super) fn split_level(levels: &str) -> (&str, Option<&str>) {
    match levels.bytes().position(|byte| byte == b'/') {
        Some(slash) => (&levels[..slash], Some(&levels[slash + 1..])),
        None => (levels, None),
    }
}

fn first_level(levels: &str) -> &str {
    split_level(levels).0
}

impl<K, V> Borrow<str> for Child<K, V> {
    fn borrow(&self) -> &str {
        self.0.edge.first_level()
    }
}

impl<K, V> PartialEq for Child<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<K, V> Eq for Child<K, V> {}

impl<K, V> PartialOrd for Child<K, V> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K, V> Ord for Child<K, V> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.edge.first_level().cmp(other.0.edge.first_level())
    }
}

impl<K, V> Hash for Child<K, V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.edge.first_level().hash(state);
    }
}
