//! One subscription: which of its filters are in force, and what its reader is still to be told.

use std::mem;

use tokio::sync::mpsc::{self, error::TrySendError};

use crate::{
    client::{ClosedFilter, Gap, Message, ServerFault, request::Reply, subscription::Delivery},
    topic::TopicFilter,
};

/// Places of a subscription's queue that messages leave free: what is missing and that a filter has
/// ended can always be told, however slow the reader is. One that ends is told of once, after the
/// two gaps that may be still to be told.
pub(in crate::client) const fn reserve(filters_len: usize) -> usize {
    3 * filters_len
}

pub(super) struct Subscriber {
    /// Those that the server has not ended.
    pub(super) filters: Vec<TopicFilter>,
    /// Of these, what the server has not answered yet on this connection.
    pub(super) unanswered: Vec<TopicFilter>,
    /// Who waits for the subscription to begin. Nobody does where it is renewed.
    pub(super) opening: Option<Reply<()>>,
    pub(super) deliveries: mpsc::Sender<Delivery>,
    /// What could not be delivered since the last delivery.
    pub(super) missed: u64,
    /// Whether a renewal is still to be told.
    pub(super) renewed: bool,
}

impl Subscriber {
    /// Counts one answer. With the last one the subscription has begun, or is renewed.
    pub(super) fn is_answered(&mut self, filter: &str) {
        let mut asked = self.unanswered.iter();
        // Its end may have come first: then it was answered by that.
        let Some(place) = asked.position(|asked| asked.as_str() == filter) else {
            return;
        };
        self.unanswered.swap_remove(place);
        if !self.unanswered.is_empty() {
            return;
        }
        match self.opening.take() {
            Some(reply) => drop(reply.send(Ok(()))),
            None if self.filters.is_empty() => {}
            None => {
                self.renewed = true;
                self.tell_gaps();
            }
        }
    }

    /// Tells that a filter has ended, after what is missing before that.
    pub(super) fn close(&mut self, topic: &str, fault: &ServerFault) {
        // It may have been asked for twice.
        if !self.filters.iter().any(|filter| filter.as_str() == topic) {
            return;
        }
        while self.has_gap() {
            self.tell_gap();
        }
        let closed = Gap::Closed(ClosedFilter {
            topic: topic.to_owned(),
            fault: fault.clone(),
        });
        self.tell(closed);
        self.filters.retain(|filter| filter.as_str() != topic);
    }

    /// Whether someone still reads.
    pub(super) fn deliver(&mut self, message: impl FnOnce() -> Message) -> bool {
        if !self.tell_gaps() || !self.has_room() {
            self.missed += 1;
            return !self.deliveries.is_closed();
        }
        self.deliveries.try_send(Ok(message())).is_ok()
    }

    /// Tells what is missing before what follows it: whether there was room for that.
    fn tell_gaps(&mut self) -> bool {
        while self.has_gap() {
            if !self.has_room() {
                return false;
            }
            self.tell_gap();
        }
        true
    }

    const fn has_gap(&self) -> bool {
        self.missed > 0 || self.renewed
    }

    fn tell_gap(&mut self) {
        let gap = if self.missed > 0 {
            Gap::Missed(mem::take(&mut self.missed))
        } else {
            self.renewed = false;
            Gap::Reconnected
        };
        self.tell(gap);
    }

    /// There is always a place: none is told without room, or it is what room is reserved for.
    fn tell(&self, gap: Gap) {
        if let Err(TrySendError::Full(Err(gap))) = self.deliveries.try_send(Err(gap)) {
            tracing::error!(%gap, "a subscription was not told of this");
        }
    }

    /// Nobody else puts anything into the queue: a place that is there stays there.
    fn has_room(&self) -> bool {
        self.deliveries.capacity() > reserve(self.filters.len())
    }
}
