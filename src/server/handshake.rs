//! TLS, from the first byte of a peer to the last of the handshake, and whose turn it is to work on
//! it.
//!
//! Invariant: a handshake holds a place while the broker works on it, and never while it waits for
//! the peer. So silence delays nobody, at whatever point it begins.

use std::{
    future::{Future, poll_fn},
    io, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::server::Acceptor;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{Semaphore, SemaphorePermit},
    task::yield_now,
    time::timeout,
};
use tokio_rustls::{
    LazyConfigAcceptor,
    server::{StartHandshake, TlsStream},
};

use crate::{policy::Policy, tls::NotTls};

/// Bytes in which a ClientHello has to be complete. With post-quantum keys it takes some 2 KiB;
/// rustls would collect 64 KiB of it.
const HELLO_BYTES_MAX: usize = 16 * 1024;

/// The turns of handshakes. What has begun does not wait behind what has not: under a rush, the
/// clients that can be served are served to the end, instead of all timing out half-way.
#[derive(Debug)]
pub(super) struct Handshakes {
    timeout: Duration,
    /// For the first answer: key exchange and signature.
    beginnings: Places,
    /// For all that the peer says after it: its certificates are verified.
    continuations: Places,
}

impl Handshakes {
    /// `places`: of each kind; 0 = no limit. `timeout` is for a whole handshake.
    pub(super) fn new(places: usize, timeout: Duration) -> Self {
        Self {
            timeout,
            beginnings: Places::new(places),
            continuations: Places::new(places),
        }
    }

    /// Carries a handshake out. With the stream comes the policy that let it through.
    pub(super) async fn perform(
        &self,
        tcp: TcpStream,
        policy: &ArcSwap<Policy>,
    ) -> io::Result<(TlsStream<TcpStream>, Arc<Policy>)> {
        let handshake = Box::pin(async {
            let hello = read_hello(tcp).await?;
            let (answer, policy) = {
                let _place = self.beginnings.take().await;
                let policy = policy.load_full();
                (hello.into_stream(Arc::clone(&policy.tls.config)), policy)
            };
            let tls = self.continuations.work_on(answer).await?;
            Ok((tls, policy))
        });
        timeout(self.timeout, handshake).await.unwrap_or_else(|_| {
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the handshake took too long",
            ))
        })
    }
}

/// Reads a ClientHello. A peer that has said nothing costs no buffer.
async fn read_hello(tcp: TcpStream) -> io::Result<StartHandshake<TcpStream>> {
    let mut opening = [0; NotTls::BYTES];
    let opened = tcp.peek(&mut opening).await?;
    let hello = LazyConfigAcceptor::new(Acceptor::default(), Bounded { tcp, read: 0 })
        .await
        .map_err(|error| {
            let spoken = NotTls::in_opening(&opening[..opened]);
            spoken.map_or(error, io::Error::from)
        })?;
    Ok(StartHandshake::from_parts(hello.accepted, hello.io.tcp))
}

/// Room for so much work at once.
#[derive(Debug)]
struct Places(Option<Semaphore>);

impl Places {
    /// 0 = no limit.
    fn new(places: usize) -> Self {
        let places = Some(places.min(Semaphore::MAX_PERMITS)).filter(|places| *places > 0);
        Self(places.map(Semaphore::new))
    }

    /// Waits for a place, and then for a turn among all other tasks: no more of them than there are
    /// places stand in anybody's way.
    async fn take(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        let place = self.0.as_ref()?.acquire().await.ok();
        yield_now().await;
        place
    }

    /// Completes `work`, with a place whenever there is something to do.
    async fn work_on<F: Future + Unpin>(&self, mut work: F) -> F::Output {
        loop {
            let place = self.take().await;
            let step = poll_fn(|cx| Poll::Ready(Pin::new(&mut work).poll(cx)));
            if let Poll::Ready(done) = step.await {
                return done;
            }
            drop(place);
            woken().await;
        }
    }
}

/// Waits until something wakes this task: that which the work before it waits for.
async fn woken() {
    let mut has_waited = false;
    poll_fn(|_| match mem::replace(&mut has_waited, true) {
        false => Poll::Pending,
        true => Poll::Ready(()),
    })
    .await;
}

/// A peer that may say a ClientHello, and not much more.
struct Bounded {
    tcp: TcpStream,
    read: usize,
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read >= HELLO_BYTES_MAX {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the ClientHello has more than 16 KiB",
            )));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.tcp).poll_read(cx, buffer))?;
        self.read += buffer.filled().len() - before;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::{sync::oneshot, task::JoinSet};

    use super::*;

    fn free(places: &Places) -> usize {
        places.0.as_ref().unwrap().available_permits()
    }

    #[tokio::test]
    async fn work_that_waits_for_a_peer_holds_no_place() {
        let places = Places::new(1);
        let (answer, waiting) = oneshot::channel();
        let work = async {
            assert_eq!(places.work_on(waiting).await, Ok("done"));
            assert_eq!(free(&places), 1);
        };
        let other = async {
            // The one place is free for others while the first waits.
            assert_eq!(places.work_on(Box::pin(async { 1 })).await, 1);
            answer.send("done").unwrap();
        };
        tokio::join!(work, other);
    }

    #[tokio::test]
    async fn what_has_begun_does_not_wait_behind_beginners() {
        let handshakes = Handshakes::new(1, Duration::MAX);
        let _beginner = handshakes.beginnings.take().await;
        let work = Box::pin(async { "done" });
        assert_eq!(handshakes.continuations.work_on(work).await, "done");
    }

    /// Those that wait for a place are not in the scheduler's queue: a newcomer there comes next,
    /// however many they are.
    #[tokio::test]
    async fn a_rush_leaves_others_their_turn() {
        let (places, worked) = (Arc::new(Places::new(4)), Arc::new(AtomicUsize::new(0)));
        let mut rush = JoinSet::new();
        for _ in 0..1000 {
            let (places, worked) = (Arc::clone(&places), Arc::clone(&worked));
            rush.spawn(async move {
                let work = async { worked.fetch_add(1, Ordering::Relaxed) };
                places.work_on(Box::pin(work)).await
            });
        }
        // All of them have asked for a place when this comes back, and four have one.
        yield_now().await;
        yield_now().await;
        let before = worked.load(Ordering::Relaxed);
        yield_now().await;
        let between = worked.load(Ordering::Relaxed) - before;
        assert!(between <= 4, "{between} steps before another's turn");
        rush.join_all().await;
        assert_eq!(worked.load(Ordering::Relaxed), 1000);
        assert_eq!(free(&places), 4);
    }

    #[tokio::test]
    async fn without_a_limit_nobody_waits() {
        let places = Places::new(0);
        let (first, second) = tokio::join!(places.take(), places.take());
        assert!(first.is_none() && second.is_none());
    }
}
