use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::BoxIo;

/// A connection whose peer is monitored. Put it above TLS, so that only what the peer says itself counts.
pub struct Monitored {
    io: BoxIo,
    peer: Arc<Peer>,
}

/// What the peer of a [`Monitored`] connection has done. HTTP implementations keep little of an I/O error but its text.
#[derive(Debug, Default)]
pub struct Peer {
    heard: AtomicBool,
    fault: OnceLock<String>,
}

// === impl Peer ===

impl Peer {
    /// Whether the peer has sent anything.
    pub fn is_heard(&self) -> bool {
        self.heard.load(Relaxed)
    }

    /// What broke the TLS stream, in rustls's words.
    pub fn tls_fault(&self) -> Option<&str> {
        self.fault.get().map(String::as_str)
    }

    fn note(&self, error: &io::Error) {
        if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            self.fault.get_or_init(|| error.to_string());
        }
    }
}

// === impl Monitored ===

impl Monitored {
    /// Monitors a connection from now on.
    pub fn new(io: BoxIo) -> Self {
        Self { io, peer: Arc::default() }
    }

    /// What its peer does, also after the connection itself is gone.
    pub fn peer(&self) -> Arc<Peer> {
        Arc::clone(&self.peer)
    }
}

impl AsyncRead for Monitored {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = ready!(Pin::new(&mut self.io).poll_read(cx, buffer));
        if buffer.filled().len() > before {
            self.peer.heard.store(true, Relaxed);
        }
        Poll::Ready(result.inspect_err(|error| self.peer.note(error)))
    }
}

impl AsyncWrite for Monitored {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn only_what_the_peer_says_is_heard() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut near = Monitored::new(Box::new(near));
        let peer = near.peer();
        assert!(!peer.is_heard());
        near.write_all(b"hello").await.unwrap();
        assert!(!peer.is_heard(), "this side does not count");
        far.write_all(b"hello").await.unwrap();
        near.read_exact(&mut [0; 5]).await.unwrap();
        assert!(peer.is_heard());
    }
}
