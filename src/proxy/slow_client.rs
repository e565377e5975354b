//! Clients that do not read must not hold what all clients share.
//!
//! hyper asks for a body's next frame only when the client has room for it, so a body cannot notice by itself that
//! it is no longer polled; a task beside it can.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::task::AbortHandle;

use crate::{error::BoxError, wire::Body};

/// A body that is dropped when its next frame is not polled for too long.
pub(super) struct SlowClientBody {
    /// Locked by the connection and, every [`STALLED`], by the watchdog on the same thread: never contended.
    shared: Arc<Mutex<Shared>>,
    size: SizeHint,
    watchdog: AbortHandle,
}

struct Shared {
    /// What is sent before the body goes on.
    rest: Bytes,
    /// `None` once the client has been given up.
    body: Option<Body>,
    /// How often the client's side has polled.
    polls: u64,
    /// The client waits for the cluster, not the cluster for the client.
    waiting: bool,
}

/// The client has read nothing of its answer for too long.
#[derive(Debug, thiserror::Error)]
#[error("the client read nothing for {} s", STALLED.as_secs())]
struct Stalled;

// === impl SlowClientBody ===

impl SlowClientBody {
    /// Reads a short body to its end, so that its client can never hold the cluster up, and puts a watchdog on a longer one,
    /// be it in memory already: there it would wait for its client for ever.
    ///
    /// # Errors
    /// Those of the body, while nothing has been sent yet.
    pub(super) async fn wrap(mut body: Body) -> Result<Body, BoxError> {
        if body.is_end_stream() || body.as_full().is_some_and(|whole| whole.len() <= SHORT) {
            return Ok(body);
        }
        let declared = body.size_hint().exact();
        if declared.is_some_and(|length| length > SHORT as u64) {
            return Ok(Self::watch(body));
        }
        let mut start = BytesMut::new();
        while start.len() <= SHORT {
            let Some(frame) = body.frame().await else { return Ok(Body::full(start.freeze())) };
            let Ok(data) = frame?.into_data() else { continue };
            if start.is_empty() && body.is_end_stream() {
                return Ok(Body::full(data));
            }
            start.extend_from_slice(&data);
        }
        Ok(Body::boxed(Self::new(start, body)))
    }

    /// Puts a watchdog on a body as it is: what waits for its client is dropped in time.
    pub(super) fn watch(body: Body) -> Body {
        Body::boxed(Self::new(BytesMut::new(), body))
    }

    fn new(start: BytesMut, body: Body) -> Self {
        let mut size = body.size_hint();
        if let Some(exact) = size.exact() {
            size = SizeHint::with_exact(exact + start.len() as u64);
        }
        let rest = start.freeze();
        let shared = Arc::new(Mutex::new(Shared { rest, body: Some(body), polls: 0, waiting: false }));
        let watchdog = tokio::spawn(watch(Arc::clone(&shared))).abort_handle();
        Self { shared, size, watchdog }
    }
}

impl HttpBody for SlowClientBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut shared = self.shared.lock();
        shared.polls += 1;
        if shared.rest.is_empty() {
            let Some(body) = &mut shared.body else { return Poll::Ready(Some(Err(Stalled.into()))) };
            let polled = Pin::new(body).poll_frame(cx);
            shared.waiting = polled.is_pending();
            match ready!(polled).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => shared.rest = data,
                Some(Ok(Err(frame))) => return Poll::Ready(Some(Ok(frame))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let piece = shared.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(shared.rest.split_to(piece)))))
    }

    fn size_hint(&self) -> SizeHint {
        // Exact only at the start, which is when the head is written.
        self.size
    }
}

impl Drop for SlowClientBody {
    fn drop(&mut self) {
        self.watchdog.abort();
    }
}

/// Drops the body after a full interval in which a frame was ready and not polled.
async fn watch(shared: Arc<Mutex<Shared>>) {
    let mut seen = 0;
    loop {
        tokio::time::sleep(STALLED).await;
        let mut shared = shared.lock();
        if shared.polls == seen && !shared.waiting {
            shared.body = None;
            shared.rest = Bytes::new();
            return;
        }
        seen = shared.polls;
    }
}

/// A body up to this size is read at once. Sensu's single objects are far below.
const SHORT: usize = 64 * 1024;

/// Most bytes that are handed to the client's connection at once: they are out of the watchdog's reach.
const PIECE: usize = 256 * 1024;

/// How long a client may read nothing.
const STALLED: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    struct Live(mpsc::Receiver<Bytes>);

    impl HttpBody for Live {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
        }
    }

    fn piece() -> Bytes {
        vec![b'x'; 40 * 1024].into()
    }

    #[tokio::test]
    async fn a_short_body_is_whole_before_its_head_goes_out() {
        let (sender, receiver) = mpsc::channel(4);
        sender.send(Bytes::from_static(b"a")).await.unwrap();
        sender.send(Bytes::from_static(b"b")).await.unwrap();
        drop(sender);
        let body = SlowClientBody::wrap(Body::boxed(Live(receiver))).await.unwrap();
        assert_eq!(body.as_full(), Some(&b"ab"[..]));
    }

    #[tokio::test]
    async fn a_long_body_arrives_unchanged() {
        let (sender, receiver) = mpsc::channel(8);
        for _ in 0..5 {
            sender.send(piece()).await.unwrap();
        }
        drop(sender);
        let body = SlowClientBody::wrap(Body::boxed(Live(receiver))).await.unwrap();
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), 5 * piece().len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_asks_for_nothing_lets_go_of_the_cluster() {
        let (sender, receiver) = mpsc::channel(8);
        for _ in 0..5 {
            sender.send(piece()).await.unwrap();
        }
        let body = SlowClientBody::wrap(Body::boxed(Live(receiver))).await.unwrap();
        tokio::time::sleep(2 * STALLED + Duration::from_secs(1)).await;
        assert!(sender.is_closed());
        assert!(body.collect().await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_body_in_memory_leaves_piece_by_piece_and_is_given_up_like_any_other() {
        let long = vec![b'x'; 3 * PIECE + 1];
        let mut body = SlowClientBody::wrap(Body::full(long.clone())).await.unwrap();
        assert_eq!(body.size_hint().exact(), Some(long.len() as u64));
        let mut sizes = Vec::new();
        while let Some(frame) = body.frame().await {
            sizes.push(frame.unwrap().into_data().unwrap().len());
        }
        assert_eq!(sizes, [PIECE, PIECE, PIECE, 1]);
        let (budget, held) = {
            let budget = crate::wire::Budget::new(1);
            (Arc::clone(&budget), budget.hold())
        };
        held.add(long.len());
        let mut body = SlowClientBody::wrap(Body::full(long).holding(held)).await.unwrap();
        assert!(body.frame().await.unwrap().is_ok());
        tokio::time::sleep(2 * STALLED + Duration::from_secs(1)).await;
        assert!(body.frame().await.unwrap().is_err());
        assert_eq!(budget.held_bytes(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_waits_for_the_cluster_is_not_given_up() {
        let (sender, receiver) = mpsc::channel(8);
        for _ in 0..2 {
            sender.send(piece()).await.unwrap();
        }
        let body = SlowClientBody::wrap(Body::boxed(Live(receiver))).await.unwrap();
        let reading = tokio::spawn(body.collect());
        tokio::time::sleep(10 * STALLED).await;
        sender.send(piece()).await.unwrap();
        drop(sender);
        assert_eq!(reading.await.unwrap().unwrap().to_bytes().len(), 3 * piece().len());
    }
}
