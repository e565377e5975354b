use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    error::{Error, Phase},
    pool::{Connection, Pool},
};

/// The body of an answer. Returns the connection to its pool at the end; dropped earlier, it closes it.
pub(super) struct PooledBody {
    incoming: Incoming,
    pool: Arc<Pool>,
    /// `None` once the body has ended or failed.
    connection: Option<Connection>,
    /// When the current wait for a frame began.
    waiting_since: Option<Instant>,
    /// Fires no earlier than the wait is over. Built at the first wait and moved only when it fires too early,
    /// so that frames cost no timer operation.
    timer: Option<Pin<Box<Sleep>>>,
}

// === impl PooledBody ===

impl PooledBody {
    pub(super) fn new(incoming: Incoming, pool: Arc<Pool>, connection: Connection) -> Self {
        Self { incoming, pool, connection: Some(connection), waiting_since: None, timer: None }
    }

    /// Waits for the timer; ready when no frame has come for the idle timeout.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let limit = since + self.pool.idle_body_timeout();
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(limit)));
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= limit {
                return Poll::Ready(());
            }
            timer.as_mut().reset(limit);
        }
        Poll::Pending
    }

    fn fail(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.connection = None;
        self.timer = None;
        self.pool.counts().failed(error.class());
        Poll::Ready(Some(Err(error)))
    }
}

impl HttpBody for PooledBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        if this.connection.is_none() {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(cx) else {
            return match this.poll_idle(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(()) => this.fail(Error::Timeout {
                    cluster: this.pool.cluster().name.clone(),
                    backend: this.pool.backend().clone(),
                    phase: Phase::Body,
                }),
            };
        };
        this.waiting_since = None;
        if let Some(Err(source)) = frame {
            let cluster = this.pool.cluster().name.clone();
            return this.fail(Error::Body { cluster, backend: this.pool.backend().clone(), source });
        }
        // Known lengths end with their last frame, and callers need not ask for another one.
        if (frame.is_none() || this.incoming.is_end_stream())
            && let Some(connection) = this.connection.take()
        {
            this.timer = None;
            this.pool.park(connection);
        }
        Poll::Ready(frame.and_then(Result::ok).map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.connection.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
