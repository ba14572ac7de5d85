//! The TLS stream of one connection: what was received and is not yet handled, and what is yet to be sent.
//!
//! Owns what a fault in one direction means for the other. Knows nothing of lines.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io::{self, BufRead, IoSlice},
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustls::pki_types::CertificateDer;
use tokio::{
    io::{AsyncBufRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};
use tokio_rustls::server::TlsStream;
use tracing::debug;

use crate::protocol::Frame;

/// Slices handed to TLS at once. 64 lines of common size fill a record of 16 KiB.
const SLICES_MAX: usize = 64;

/// Bytes of ciphertext that may wait for a peer's socket: two records. Without a bound rustls takes
/// 64 KiB for every slow peer.
const CIPHERTEXT_BYTES_MAX: usize = 32 * 1024;

/// Frames whose memory an empty queue keeps.
const IDLE_CAPACITY: usize = 16;

/// The certificates that a peer has proven itself with, its own first.
pub(super) fn peer_certificates(tls: &TlsStream<TcpStream>) -> &[CertificateDer<'static>] {
    tls.get_ref().1.peer_certificates().unwrap_or_default()
}

/// One TLS stream: frames out, bytes in, and no buffer of its own for either.
#[derive(Debug)]
pub(super) struct Wire {
    tls: TlsStream<TcpStream>,
    frames: VecDeque<Frame>,
    /// Bytes of the first frame that are already written.
    first_written: usize,
    needs_flush: bool,
    /// Since when the peer takes nothing more. It may still have said something before that.
    deaf_since: Option<Instant>,
    /// How reading failed, to be told when all that came before is taken.
    failed: Option<io::Error>,
}

impl Wire {
    pub(super) fn new(mut tls: TlsStream<TcpStream>) -> Self {
        tls.get_mut().1.set_buffer_limit(Some(CIPHERTEXT_BYTES_MAX));
        Self {
            tls,
            frames: VecDeque::new(),
            first_written: 0,
            needs_flush: false,
            deaf_since: None,
            failed: None,
        }
    }

    /// The certificates that the peer has proven itself with, its own first.
    pub(super) fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        peer_certificates(&self.tls)
    }

    /// Where frames to send are put.
    pub(super) fn queue(&mut self) -> &mut VecDeque<Frame> {
        &mut self.frames
    }

    /// Whether there is nothing left to send.
    pub(super) fn is_idle(&self) -> bool {
        self.frames.is_empty() && !self.needs_flush
    }

    /// Drops what is queued, but for a frame that the peer has a part of.
    pub(super) fn drop_unsent(&mut self) {
        let begun = usize::from(self.first_written > 0);
        self.frames.truncate(begun);
    }

    /// Since when sending fails, and what is queued is dropped; `None` while it goes out.
    pub(super) const fn deaf_since(&self) -> Option<Instant> {
        self.deaf_since
    }

    /// Sends some of what is queued: how many of its bytes went, 0 when all is gone and flushed.
    ///
    /// A peer that cannot be sent to is not gone yet: what it said before waits to be read. So a
    /// failure is no error here. From then on what is queued goes nowhere, and only reading ends.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        if self.deaf_since.is_none() {
            match ready!(self.poll_tls_send(cx)) {
                Ok(sent) => return Poll::Ready(sent),
                Err(error) => {
                    debug!(%error, "the peer takes nothing more");
                    self.deaf_since = Some(Instant::now());
                }
            }
        }
        Poll::Ready(self.discard())
    }

    /// Drops all that is queued: how many bytes of it were still to be sent.
    fn discard(&mut self) -> usize {
        let queued: usize = self.frames.iter().map(Frame::len).sum();
        self.frames = VecDeque::new();
        self.needs_flush = false;
        queued - mem::take(&mut self.first_written)
    }

    fn poll_tls_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut tls = Pin::new(&mut self.tls);
        if self.frames.is_empty() {
            ready!(tls.as_mut().poll_flush(cx))?;
            self.needs_flush = false;
            if self.frames.capacity() > IDLE_CAPACITY {
                self.frames = VecDeque::new();
            }
            return Poll::Ready(Ok(0));
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut used = 0;
        for (slice, frame) in slices.iter_mut().zip(&self.frames) {
            *slice = IoSlice::new(frame.as_ref());
            used += 1;
        }
        slices[0].advance(self.first_written);
        let written = ready!(tls.poll_write_vectored(cx, &slices[..used]))?;
        self.needs_flush = true;
        self.forget(written);
        Poll::Ready(Ok(written))
    }

    fn forget(&mut self, written: usize) {
        self.first_written += written;
        while let Some(first) = self.frames.front() {
            if self.first_written < first.len() {
                break;
            }
            self.first_written -= first.len();
            self.frames.pop_front();
        }
    }

    /// Waits until there is something in [`received`](Self::received): `false` at the end of the
    /// stream.
    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.failed.is_none() {
            match ready!(Pin::new(&mut self.tls).poll_fill_buf(cx)) {
                Ok(bytes) => return Poll::Ready(Ok(!bytes.is_empty())),
                Err(error) => self.failed = Some(error),
            }
        }
        // What was decrypted before the fault comes first.
        if !self.received().is_empty() {
            return Poll::Ready(Ok(true));
        }
        Poll::Ready(self.failed.take().map_or(Ok(false), Err))
    }

    /// What has come and was not consumed, in place: at most one TLS record of it.
    pub(super) fn received(&mut self) -> &[u8] {
        // An error here stands for "nothing", which `poll_receive` tells apart.
        self.tls
            .get_mut()
            .1
            .reader()
            .into_first_chunk()
            .unwrap_or_default()
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        self.tls.get_mut().1.reader().consume(bytes);
    }

    /// Sends all that is queued, then `close_notify`, then reads on until the peer has closed too:
    /// a socket closed over unread bytes would take the last lines back from the peer's kernel.
    pub(super) async fn close(mut self) -> io::Result<()> {
        while !self.is_idle() {
            poll_fn(|cx| self.poll_send(cx)).await;
        }
        self.tls.shutdown().await?;
        while poll_fn(|cx| self.poll_receive(cx)).await? {
            let unread = self.received().len();
            self.consume(unread);
        }
        Ok(())
    }
}
