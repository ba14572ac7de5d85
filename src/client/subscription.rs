//! What a subscriber receives: messages, and gaps where messages may be missing.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::{ServerFault, error::shown};
use crate::protocol::ClientId;

/// The messages of one subscription, as a [`Stream`] or by [`next`](Self::next).
///
/// Dropping it ends the subscription with the next message that would have come.
#[derive(Debug)]
pub struct Subscription {
    queue: mpsc::Receiver<Delivery>,
}

/// A message, or what stands in the place of some.
pub type Delivery = Result<Message, Gap>;

/// A message.
#[derive(Clone, Debug)]
pub struct Message {
    /// Where it was published.
    pub topic: String,
    /// The publisher's bytes, unchanged. [`json`](Self::json) reads them.
    pub payload: Box<RawValue>,
    /// The publisher's identity: the server's word, not the publisher's.
    pub sender: String,
    /// The publisher's connection.
    pub publisher: ClientId,
    /// When the broker accepted it, RFC 3339.
    pub timestamp: String,
    /// The whole line, as it came.
    pub line: String,
}

impl Message {
    /// The payload as a type of the program's own.
    ///
    /// # Errors
    ///
    /// When it is not of that type.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        serde_json::from_str(self.payload.get())
    }
}

/// Messages may be missing here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gap {
    /// This program did not take its messages fast enough, and some were dropped.
    Missed(u64),
    /// The connection was lost and made again, and nobody knows what was published in between.
    Reconnected,
    /// The server has ended the subscription to one filter. Nothing more comes for it, also not
    /// after a reconnection.
    Closed(ClosedFilter),
}

/// A filter of a subscription that the server has ended, or would not renew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedFilter {
    /// The filter.
    pub topic: String,
    /// Why.
    pub fault: ServerFault,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missed(count) => write!(f, "{count} messages were dropped: taken too slowly"),
            Self::Reconnected => {
                f.write_str("reconnected: what was published in between is not known")
            }
            Self::Closed(ClosedFilter { topic, fault }) => {
                let topic = shown(topic);
                write!(f, "the server ended the subscription to {topic}: {fault}")
            }
        }
    }
}

impl Subscription {
    pub(super) const fn new(queue: mpsc::Receiver<Delivery>) -> Self {
        Self { queue }
    }

    /// Whether nothing waits to be taken just now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Waits for the next message. `None` when the connection has ended for good, or the server
    /// has ended every filter of the subscription and a [`Gap::Closed`] has told of each.
    pub async fn next(&mut self) -> Option<Delivery> {
        self.queue.recv().await
    }
}

impl Stream for Subscription {
    type Item = Delivery;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.queue.poll_recv(cx)
    }
}
