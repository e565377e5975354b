//! Closing in a way that lets the peer read what was written to it.
//!
//! A socket that is closed while bytes of the peer wait in it, or arrive later, answers with a reset, and a reset throws
//! away what the peer has not read yet: the refusal of a request whose body was not read, the end of a list. So the
//! sending half is closed first, and what still comes is read and dropped until the peer has closed, too:
//!
//! ```text
//! Open ── shutdown ──> Draining ── end of input, error, or out of time ──> Closed
//! ```

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use http::Version;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

/// What the requests of a connection say about it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    request: AtomicBool,
    http_2: AtomicBool,
}

/// A transport whose shutdown takes in what the peer still sends. Belongs below TLS, which need not decrypt that.
pub(super) struct LingeringClose<I> {
    io: I,
    seen: Arc<Seen>,
    state: State,
}

enum State {
    Open,
    Draining(Drain),
    Closed,
}

struct Drain {
    /// Ends it.
    timer: Pin<Box<Sleep>>,
    /// The latest end.
    last: Instant,
    /// Bytes that are still read.
    left: usize,
}

// === impl Seen ===

impl Seen {
    /// A request of this version has come.
    pub(super) fn record(&self, version: Version) {
        self.request.store(true, Ordering::Relaxed);
        if version == Version::HTTP_2 {
            self.http_2.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a request has come.
    pub(super) fn any_request(&self) -> bool {
        self.request.load(Ordering::Relaxed)
    }

    /// Whether one of HTTP/2 has come.
    pub(super) fn is_http_2(&self) -> bool {
        self.http_2.load(Ordering::Relaxed)
    }

    fn most(&self) -> Duration {
        if self.is_http_2() { HTTP_2_MOST } else { SILENCE }
    }
}

// === impl LingeringClose ===

impl<I> LingeringClose<I> {
    pub(super) fn new(io: I, seen: Arc<Seen>) -> Self {
        Self { io, seen, state: State::Open }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for LingeringClose<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LingeringClose<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match &mut this.state {
                // Open => Draining
                State::Open => {
                    ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
                    this.state = State::Draining(Drain::new(this.seen.most()));
                }
                // Draining => Closed
                State::Draining(drain) => {
                    ready!(drain.poll(&mut this.io, cx));
                    this.state = State::Closed;
                }
                State::Closed => return Poll::Ready(Ok(())),
            }
        }
    }
}

// === impl Drain ===

impl Drain {
    fn new(most: Duration) -> Self {
        let now = Instant::now();
        Self { timer: Box::pin(tokio::time::sleep_until(now + SILENCE)), last: now + most, left: BYTES }
    }

    /// Ready when the connection may be closed.
    fn poll<I: AsyncRead + Unpin>(&mut self, io: &mut I, cx: &mut Context<'_>) -> Poll<()> {
        let mut dropped = [0; 16 * 1024];
        // Past the limit nothing more is read, but neither is the connection reset under a peer that may be reading:
        // its writes wait until the time is over.
        while self.left > 0 {
            let most = self.left.min(dropped.len());
            let mut buffer = ReadBuf::new(&mut dropped[..most]);
            match Pin::new(&mut *io).poll_read(cx, &mut buffer) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.left -= buffer.filled().len();
                    self.timer.as_mut().reset(self.last.min(Instant::now() + SILENCE));
                }
                // The peer has closed, or is gone.
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
        self.timer.as_mut().poll(cx)
    }
}

/// Bytes that are read and dropped: the largest body that is served.
const BYTES: usize = 1024 * 1024;

/// How long the peer may send nothing; over HTTP/1.1 also how long it lasts in all.
const SILENCE: Duration = Duration::from_secs(2);

/// How long it lasts in all over HTTP/2, where a peer that reads slowly goes on sending window updates meanwhile: as
/// long as `shutdown.drain` is by default.
const HTTP_2_MOST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn closing(version: Version) -> (DuplexStream, tokio::task::JoinHandle<Duration>) {
        let (peer, io) = duplex(64 * 1024);
        let seen = Arc::new(Seen::default());
        seen.record(version);
        let mut io = LingeringClose::new(io, seen);
        let closing = tokio::spawn(async move {
            io.write_all(b"answer").await.unwrap();
            let begun = Instant::now();
            io.shutdown().await.unwrap();
            begun.elapsed()
        });
        (peer, closing)
    }

    #[tokio::test(start_paused = true)]
    async fn it_closes_as_soon_as_the_peer_does() {
        let (mut peer, closing) = closing(Version::HTTP_11);
        let mut answer = String::new();
        peer.write_all(&vec![0; 200_000]).await.unwrap();
        peer.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
        drop(peer);
        assert_eq!(closing.await.unwrap(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_left_after_two_seconds() {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let (_peer, closing) = closing(version);
            assert_eq!(closing.await.unwrap(), SILENCE);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_sends_on_and_on_is_left_in_the_end() {
        for (version, most) in [(Version::HTTP_11, SILENCE), (Version::HTTP_2, HTTP_2_MOST)] {
            let (mut peer, closing) = closing(version);
            let sending = tokio::spawn(async move {
                while peer.write_all(b" ").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            });
            assert_eq!(closing.await.unwrap(), most, "{version:?}");
            sending.await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_floods_is_read_up_to_the_limit_and_can_still_read() {
        let (peer, closing) = closing(Version::HTTP_11);
        let (mut reading, mut writing) = tokio::io::split(peer);
        let flood = tokio::spawn(async move {
            let mut sent = 0;
            while let Ok(count) = writing.write(&[0; 10_000]).await {
                if count == 0 {
                    break;
                }
                sent += count;
            }
            sent
        });
        let mut answer = String::new();
        reading.read_to_string(&mut answer).await.unwrap();
        assert_eq!((closing.await.unwrap(), &*answer), (SILENCE, "answer"));
        // What the stream itself holds comes on top.
        assert_eq!(flood.await.unwrap(), BYTES + 64 * 1024);
    }
}
