//! Counts lines of the log that are the same again and again.
//!
//! Owns which lines are written and which are only counted, so that no peer decides how long the log is.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
};

use crate::identity::Identity;
use crate::network::Network;

/// Counts that are kept of identities. Each has a certificate, so that a CA bounds them.
const IDENTITIES_MAX: usize = 64 * 1024;

/// The same of networks: strangers can come from as many as they like. With 20 lines for each, all of
/// them fit into the audit trail's queue.
const NETWORKS_MAX: usize = 512;

/// Counts lines of the log that repeat: the first few of a kind about one subject are written, the
/// others are counted until [`take`](Self::take) ends the count. No line goes uncounted: subjects
/// beyond the bounds are counted together.
#[derive(Debug)]
pub(super) struct Repeats<K>(Mutex<Counts<K>>);

/// Whom a line is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Identity(Identity),
    Network(Network),
}

/// What was counted and not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Repeated<K> {
    pub(super) kind: K,
    /// `None` for all that were too many to be told apart.
    pub(super) subject: Option<Subject>,
    pub(super) times: u64,
}

#[derive(Debug)]
struct Counts<K> {
    identities: HashMap<(K, Option<Identity>), Count>,
    networks: HashMap<(K, Option<Network>), Count>,
}

#[derive(Debug, Default)]
struct Count {
    written: u64,
    repeated: u64,
}

impl<K> Default for Repeats<K> {
    fn default() -> Self {
        Self(Mutex::new(Counts::default()))
    }
}

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self {
            identities: HashMap::new(),
            networks: HashMap::new(),
        }
    }
}

impl<K: Copy + Eq + Hash> Repeats<K> {
    /// Whether one more line is among the first `most`, and to be written. Counts it otherwise.
    pub(super) fn is_news(&self, kind: K, subject: Subject, most: u64) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = match subject {
            Subject::Identity(it) => count_of(&mut counts.identities, kind, it, IDENTITIES_MAX),
            Subject::Network(it) => count_of(&mut counts.networks, kind, it, NETWORKS_MAX),
        };
        let is_news = count.written < most;
        if is_news {
            count.written += 1;
        } else {
            count.repeated += 1;
        }
        is_news
    }

    /// What was counted since the last time. From here on, all lines are news again.
    pub(super) fn take(&self) -> impl Iterator<Item = Repeated<K>> + use<K> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Counts {
            identities,
            networks,
        } = std::mem::take(&mut *counts);
        let identities = repeated(identities, Subject::Identity);
        identities.chain(repeated(networks, Subject::Network))
    }
}

fn count_of<K: Eq + Hash, S: Eq + Hash>(
    counts: &mut HashMap<(K, Option<S>), Count>,
    kind: K,
    subject: S,
    most: usize,
) -> &mut Count {
    let mut key = (kind, Some(subject));
    if counts.len() >= most && !counts.contains_key(&key) {
        key.1 = None;
    }
    counts.entry(key).or_default()
}

fn repeated<K, S>(
    counts: HashMap<(K, Option<S>), Count>,
    subject_of: impl Fn(S) -> Subject,
) -> impl Iterator<Item = Repeated<K>> {
    let repeated = counts.into_iter().filter(|(_, count)| count.repeated > 0);
    repeated.map(move |((kind, subject), count)| Repeated {
        kind,
        subject: subject.map(&subject_of),
        times: count.repeated,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn network(number: u32) -> Subject {
        Subject::Network(IpAddr::from(Ipv4Addr::from_bits(number)).into())
    }

    fn identity(name: &str) -> Subject {
        Subject::Identity(Identity::parse(name).unwrap())
    }

    #[test]
    fn the_first_lines_are_news_and_the_rest_is_counted_by_kind_and_subject() {
        let repeats = Repeats::default();
        let written = |kind: &'static str, subject: Subject, times: usize| {
            let is_news = |_: &usize| repeats.is_news(kind, subject.clone(), 2);
            (0..times).filter(is_news).count()
        };
        assert_eq!(written("tls", network(1), 7), 2);
        assert_eq!(written("tls", network(2), 1), 1);
        assert_eq!(written("denied", identity("a"), 3), 2);
        assert_eq!(written("closed", identity("a"), 2), 2);
        let mut repeated: Vec<_> = repeats.take().collect();
        repeated.sort_by_key(|repeated| repeated.kind);
        let of = |kind, subject, times| Repeated {
            kind,
            subject: Some(subject),
            times,
        };
        assert_eq!(
            repeated,
            [of("denied", identity("a"), 1), of("tls", network(1), 5)]
        );
        assert_eq!(repeats.take().count(), 0);
        assert_eq!(written("tls", network(1), 1), 1, "news again");
    }

    #[test]
    fn strangers_beyond_the_bound_are_counted_together_and_push_out_no_identity() {
        let repeats = Repeats::default();
        let strangers = 3 * u32::try_from(NETWORKS_MAX).unwrap();
        let written = (0..strangers)
            .flat_map(|number| [network(number), network(number)])
            .filter(|subject| repeats.is_news("tls", subject.clone(), 1))
            .count();
        assert_eq!(written, NETWORKS_MAX + 1);
        assert!(repeats.is_news("tls", identity("a"), 1));
        let repeated: Vec<_> = repeats.take().collect();
        assert_eq!(repeated.len(), NETWORKS_MAX + 1);
        let times: u64 = repeated.iter().map(|repeated| repeated.times).sum();
        assert_eq!(times + written as u64, 2 * u64::from(strangers));
        let together = repeated.iter().find(|repeated| repeated.subject.is_none());
        let beyond = 2 * (u64::from(strangers) - NETWORKS_MAX as u64);
        assert_eq!(together.unwrap().times, beyond - 1);
    }
}
