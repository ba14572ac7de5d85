//! TLS, from the first byte of a peer to the last of the handshake, and whose turn it is to work on
//! it.
//!
//! Invariant: a handshake holds a place while the broker works on it, and never while it waits for
//! the peer. So silence delays nobody, at whatever point it begins: where all sockets are held, the
//! peer that has been silent the longest gives its own up.

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    io, mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::server::Acceptor;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{Semaphore, SemaphorePermit, oneshot},
    task::yield_now,
    time::{Instant, timeout},
};
use tokio_rustls::{
    LazyConfigAcceptor,
    server::{StartHandshake, TlsStream},
};

use crate::{policy::Policy, tls::NotTls};

/// Bytes in which a ClientHello has to be complete. With post-quantum keys it takes some 2 KiB;
/// rustls would collect 64 KiB of it.
const HELLO_BYTES_MAX: usize = 16 * 1024;

/// How long a peer may be silent where others wait for its socket. Every network is faster, and a
/// rush of clients is not to drive itself out.
const PATIENCE: Duration = Duration::from_secs(1);

/// The turns of handshakes. What has begun does not wait behind what has not: under a rush, the
/// clients that can be served are served to the end, instead of all timing out half-way.
#[derive(Debug)]
pub(super) struct Handshakes {
    timeout: Duration,
    /// For the first answer: key exchange and signature.
    beginnings: Places,
    /// For all that the peer says after it: its certificates are verified.
    continuations: Places,
    silent: Silent,
}

impl Handshakes {
    /// `places`: of each kind; 0 = no limit. `timeout` is for a whole handshake.
    pub(super) fn new(places: usize, timeout: Duration) -> Self {
        Self {
            timeout,
            beginnings: Places::new(places),
            continuations: Places::new(places),
            silent: Silent::default(),
        }
    }

    /// Has the peer that has been silent the longest give up its socket, where it has had patience
    /// enough: when to ask again, if none is free by then.
    pub(super) fn free_a_socket(&self) -> Instant {
        self.silent.push_out(Instant::now())
    }

    /// Carries a handshake out. With the stream comes the policy that let it through.
    pub(super) async fn perform(
        &self,
        tcp: TcpStream,
        policy: &ArcSwap<Policy>,
    ) -> io::Result<(TlsStream<TcpStream>, Arc<Policy>)> {
        let handshake = Box::pin(async {
            let hello = self.silent.hear(read_hello(tcp)).await??;
            let (answer, policy) = {
                let _place = self.beginnings.take().await;
                let policy = policy.load_full();
                (hello.into_stream(Arc::clone(&policy.tls.config)), policy)
            };
            let tls = self.continuations.work_on(answer, &self.silent).await??;
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

    /// Completes `work`, with a place whenever there is something to do; fails where its peer gives
    /// way meanwhile.
    async fn work_on<F: Future + Unpin>(
        &self,
        mut work: F,
        silent: &Silent,
    ) -> io::Result<F::Output> {
        loop {
            let place = self.take().await;
            let step = poll_fn(|cx| Poll::Ready(Pin::new(&mut work).poll(cx)));
            if let Poll::Ready(done) = step.await {
                return Ok(done);
            }
            drop(place);
            silent.hear(woken()).await?;
        }
    }
}

/// The peers that handshakes wait for, the longest silent first.
#[derive(Debug, Default)]
struct Silent(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    last: u64,
    /// By since when and by number, which tells apart what began at one time. Dropping a sender
    /// tells its peer's handshake to end.
    peers: BTreeMap<(Instant, u64), oneshot::Sender<()>>,
}

impl Silent {
    /// Waits for what a peer says; fails when it is to give way before that.
    async fn hear<T>(&self, peer: impl Future<Output = T>) -> io::Result<T> {
        let (sender, gives_way) = oneshot::channel();
        let silence = self.begin(sender);
        let said = tokio::select! {
            // First, as this wakes the task too, which is all that some wait for.
            biased;
            _ = gives_way => Err(io::Error::other(
                "the peer was silent, and others waited for a socket",
            )),
            said = peer => Ok(said),
        };
        drop(silence);
        said
    }

    fn begin(&self, sender: oneshot::Sender<()>) -> Silence<'_> {
        let mut waiting = self.lock();
        waiting.last += 1;
        let key = (Instant::now(), waiting.last);
        waiting.peers.insert(key, sender);
        Silence { key, silent: self }
    }

    fn push_out(&self, now: Instant) -> Instant {
        let mut waiting = self.lock();
        match waiting.peers.first_entry() {
            Some(longest) if longest.key().0 + PATIENCE > now => longest.key().0 + PATIENCE,
            longest => {
                drop(longest.map(|longest| longest.remove()));
                now + PATIENCE
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // No code between lock and unlock panics half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A peer that is waited for, until it is dropped.
struct Silence<'a> {
    key: (Instant, u64),
    silent: &'a Silent,
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        self.silent.lock().peers.remove(&self.key);
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
        let silent = Silent::default();
        let (answer, waiting) = oneshot::channel();
        let work = async {
            let done = places.work_on(waiting, &silent).await.unwrap();
            assert_eq!(done, Ok("done"));
            assert_eq!(free(&places), 1);
        };
        let other = async {
            // The one place is free for others while the first waits.
            let other = places.work_on(Box::pin(async { 1 }), &silent);
            assert_eq!(other.await.unwrap(), 1);
            answer.send("done").unwrap();
        };
        tokio::join!(work, other);
    }

    #[tokio::test]
    async fn what_has_begun_does_not_wait_behind_beginners() {
        let handshakes = Handshakes::new(1, Duration::MAX);
        let _beginner = handshakes.beginnings.take().await;
        let work = Box::pin(async { "done" });
        let work = handshakes.continuations.work_on(work, &handshakes.silent);
        assert_eq!(work.await.unwrap(), "done");
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_silent_gives_way_first_and_nobody_at_once() {
        let silent = Arc::new(Silent::default());
        let mut peers = JoinSet::new();
        for number in 0..2 {
            let silent = Arc::clone(&silent);
            peers.spawn(async move {
                let heard = silent.hear(std::future::pending::<()>()).await;
                (number, heard.is_err())
            });
            yield_now().await;
            tokio::time::advance(PATIENCE / 4).await;
        }
        assert_eq!(silent.hear(async { "said" }).await.unwrap(), "said");
        // Half of the first one's time is over.
        let now = Instant::now();
        assert_eq!(silent.push_out(now), now + PATIENCE / 2);
        assert_eq!(silent.lock().peers.len(), 2);
        tokio::time::advance(PATIENCE / 2).await;
        silent.push_out(Instant::now());
        assert_eq!(peers.join_next().await.unwrap().unwrap(), (0, true));
        assert_eq!(silent.lock().peers.len(), 1);
        // Who ends for another reason waits no longer either.
        peers.shutdown().await;
        assert!(silent.lock().peers.is_empty());
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
                places
                    .work_on(Box::pin(work), &Silent::default())
                    .await
                    .unwrap()
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
