use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, ReadBuf};

use crate::net::ReadFilter;

/// Bytes that are read before those of the transport.
#[derive(Default)]
pub(super) struct Pending {
    bytes: Vec<u8>,
    read: usize,
}

// === impl Pending ===

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.read == self.bytes.len()
    }

    /// Moves as much as fits.
    pub(super) fn fill(&mut self, buffer: &mut ReadBuf<'_>) {
        let rest = &self.bytes[self.read..];
        let fits = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..fits]);
        self.read += fits;
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

impl From<Vec<u8>> for Pending {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, read: 0 }
    }
}

impl<I: AsyncRead> ReadFilter<I> for Pending {
    fn poll_read(
        &mut self,
        io: Pin<&mut I>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_empty() {
            return io.poll_read(cx, buffer);
        }
        self.fill(buffer);
        Poll::Ready(Ok(()))
    }
}
