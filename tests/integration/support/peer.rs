//! A peer that misbehaves by a script.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};

/// One thing that a peer does with a connection. After the last one it closes it.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Reads a request's head.
    Read,
    /// Writes these bytes.
    Write(Bytes),
    /// Writes these bytes one by one, with a pause after each.
    Drip(Bytes, Duration),
    /// Writes these bytes so many times, or until nobody reads them any more.
    Repeat(Bytes, usize),
    /// Does nothing more, and keeps the connection open.
    Hang,
    /// Resets the connection.
    Reset,
}

/// The gateway's end of a connection, which its peer can reset.
pub(super) struct Line {
    io: DuplexStream,
    reset: Arc<AtomicBool>,
}

/// A connection to a peer that does these things.
pub(super) fn connect(acts: Vec<Act>) -> Line {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let reset = Arc::new(AtomicBool::new(false));
    tokio::spawn(play(theirs, acts, Arc::clone(&reset)));
    Line { io: ours, reset }
}

/// Acts until the script ends or the gateway has hung up, which is what some tests are about.
async fn play(mut io: DuplexStream, acts: Vec<Act>, reset: Arc<AtomicBool>) -> io::Result<()> {
    for act in acts {
        match act {
            Act::Read => read_head(&mut io).await?,
            Act::Write(bytes) => io.write_all(&bytes).await?,
            Act::Drip(bytes, pause) => {
                for byte in bytes {
                    io.write_u8(byte).await?;
                    tokio::time::sleep(pause).await;
                }
            }
            Act::Repeat(bytes, times) => {
                for _ in 0..times {
                    io.write_all(&bytes).await?;
                }
            }
            Act::Hang => std::future::pending::<()>().await,
            Act::Reset => reset.store(true, Relaxed),
        }
    }
    Ok(())
}

async fn read_head(io: &mut DuplexStream) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await?);
    }
    Ok(())
}

// === impl Line ===

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        let is_end = buffer.filled().len() == before;
        if is_end && self.reset.load(Relaxed) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
