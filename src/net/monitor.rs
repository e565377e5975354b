use std::{
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

use super::{BoxIo, Filtered, ReadFilter};

/// A connection whose peer is monitored. Put it above TLS, so that only what the peer says itself counts.
pub type Monitored = Filtered<BoxIo, Monitor>;

/// Records what comes from a peer.
pub struct Monitor(Arc<Peer>);

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
    pub fn monitor(io: BoxIo) -> Self {
        Self::new(io, Monitor(Arc::default()))
    }

    /// What its peer does, also after the connection itself is gone.
    pub fn peer(&self) -> Arc<Peer> {
        Arc::clone(&self.filter().0)
    }
}

// === impl Monitor ===

impl ReadFilter<BoxIo> for Monitor {
    fn poll_read(
        &mut self,
        io: Pin<&mut BoxIo>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = ready!(io.poll_read(cx, buffer));
        if buffer.filled().len() > before {
            self.0.heard.store(true, Relaxed);
        }
        Poll::Ready(result.inspect_err(|error| self.0.note(error)))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn only_what_the_peer_says_is_heard() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut near = Monitored::monitor(Box::new(near));
        let peer = near.peer();
        assert!(!peer.is_heard());
        near.write_all(b"hello").await.unwrap();
        assert!(!peer.is_heard(), "this side does not count");
        far.write_all(b"hello").await.unwrap();
        near.read_exact(&mut [0; 5]).await.unwrap();
        assert!(peer.is_heard());
    }
}
