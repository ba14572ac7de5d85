//! A node of the tree of filters, and how filters are added, removed and matched from node to node.

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
/// Consecutive levels at which no filter ends or branches off are one edge, so a filter adds at most
/// two nodes, however many levels it has. An edge is a slice of a filter's text and takes no memory of
/// its own.
#[derive(Clone, Debug)]
pub(super) struct Node<K, V> {
    edge: Edge,
    /// The children whose edge begins with a literal level.
    children: SmallMap<Child<K, V>, ()>,
    /// The child whose edge begins with `+`.
    any: Option<Arc<Self>>,
    /// Subscribers whose filter ends here.
    here: SmallMap<K, V>,
    /// Subscribers whose filter ends here with a `#`.
    below: SmallMap<K, V>,
}

/// The levels between a node and its parent, as a slice of a filter. The levels before them lead to the
/// parent.
#[derive(Clone, Debug, Default)]
struct Edge {
    filter: Arc<str>,
    start: u16,
    first_level_end: u16,
    end: u16,
}

// Every offset in a filter fits.
const _: () = assert!(TOPIC_BYTES_MAX <= u16::MAX as usize);

/// A node, keyed by the first level of its edge.
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
    /// Adds the subscription of `key` to `filter`, whose levels from `start` on are below this node.
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
                node.split_at(node.edge.shared_with(rest));
                node.insert(filter, start + node.edge.len() + 1, key, value);
                self.put(child);
            }
        }
    }

    /// Removes the subscription of `key` to `filter`, whose levels from `start` on are below this node.
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

    /// Adds `child`, or replaces the child with the same first level.
    fn put(&mut self, child: Arc<Self>) {
        match child.edge.first_level() {
            "+" => self.any = Some(child),
            _ => self.children.insert(Child(child), ()),
        }
    }

    /// Splits this node after the first `bytes` of its edge. The rest becomes its child.
    fn split_at(&mut self, bytes: usize) {
        if bytes == self.edge.len() {
            return;
        }
        let (edge, rest) = self.edge.split_at(bytes);
        let mut lower = mem::take(self);
        lower.edge = rest;
        self.edge = edge;
        self.put(Arc::new(lower));
    }

    /// Merges this node with its only child, when no filter ends here any longer.
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

    /// The number of nodes below this one.
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
    /// Calls `found` with the subscribers of each matching filter. `rest` is the part of the topic below
    /// this node; `None` when the topic ends here.
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

    /// The same, only for filters in which the next level is literal.
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

    /// The same, once the topic has matched `first`, the first level of the edge.
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
    /// The levels of `filter` between two bytes, which stand at the edges of levels.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a filter has at most `TOPIC_BYTES_MAX` bytes"
    )]
    fn new(filter: &Arc<str>, start: usize, end: usize) -> Self {
        Self {
            filter: Arc::clone(filter),
            start: start as u16,
            first_level_end: (start + first_level(&filter[start..end]).len()) as u16,
            end: end as u16,
        }
    }

    /// All levels of `filter` from `start` on, without a final `#`.
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

    /// The length of the whole levels with which both begin.
    fn shared_with(&self, levels: &str) -> usize {
        let both = self.as_str().split('/').zip(levels.split('/'));
        let shared = both.take_while(|(own, other)| own == other);
        let bytes: usize = shared.map(|(level, _)| level.len() + 1).sum();
        bytes.saturating_sub(1)
    }

    /// The levels before the `/` at `bytes`, and those after it.
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
/// Byte by byte, because levels are short.
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
