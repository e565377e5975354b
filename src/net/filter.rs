use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What stands between a transport and its reader.
pub trait ReadFilter<I> {
    /// As [`AsyncRead::poll_read`], with the transport to read from.
    fn poll_read(
        &mut self,
        io: Pin<&mut I>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>>;
}

/// A transport that is read through a filter, and written to as it is.
pub struct Filtered<I, F> {
    io: I,
    filter: F,
}

// === impl Filtered ===

impl<I, F> Filtered<I, F> {
    /// Reads through `filter` from now on.
    pub fn new(io: I, filter: F) -> Self {
        Self { io, filter }
    }

    /// The filter.
    pub fn filter(&self) -> &F {
        &self.filter
    }
}

impl<I: Unpin, F: ReadFilter<I> + Unpin> AsyncRead for Filtered<I, F> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { io, filter } = &mut *self;
        filter.poll_read(Pin::new(io), cx, buffer)
    }
}

impl<I: AsyncWrite + Unpin, F: Unpin> AsyncWrite for Filtered<I, F> {
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
