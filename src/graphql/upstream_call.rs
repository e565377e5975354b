//! One request to one cluster.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;

use super::{plan::Plan, rewriter::Rewriter};
use crate::{
    error::BoxError,
    member::{Member, body_failure},
    types::{ClusterName, FailureClass},
    wire::{Body, header as names},
};

/// Sends a request body to a cluster; the answer has any status.
///
/// `again`: the request changes nothing, so that one whose connection broke is sent a second time.
pub(super) async fn send(
    member: &dyn Member,
    head: &Request<()>,
    body: Bytes,
    again: bool,
) -> Result<Response<Body>, FailureClass> {
    let request = || {
        let mut request = Request::new(body.clone());
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = head.uri().clone();
        *request.headers_mut() = head.headers().clone();
        request
    };
    match member.send(request()).await {
        Err(FailureClass::ServerError) if again => member.send(request()).await,
        answer => answer,
    }
}

/// A good answer to an operation: status 200 and JSON that can be edited.
pub(super) fn good(response: Response<Body>) -> Result<Body, FailureClass> {
    match response.status() {
        StatusCode::OK if response.headers().contains_key(header::CONTENT_ENCODING) => {
            Err(FailureClass::BadBody)
        }
        StatusCode::OK => Ok(response.into_body()),
        StatusCode::GATEWAY_TIMEOUT => Err(FailureClass::Timeout),
        StatusCode::UNAUTHORIZED => Err(FailureClass::Unauthorized),
        StatusCode::FORBIDDEN => Err(FailureClass::Forbidden),
        StatusCode::NOT_FOUND => Err(FailureClass::NotFound),
        _ => Err(FailureClass::ServerError),
    }
}

/// What one request holds of answers in memory, counted for the whole process; given back when dropped.
#[derive(Debug, Default)]
pub(super) struct Held {
    process: Arc<AtomicUsize>,
    own: AtomicUsize,
}

// === impl Held ===

impl Held {
    pub(super) fn new(process: &Arc<AtomicUsize>) -> Self {
        Self { process: Arc::clone(process), own: AtomicUsize::new(0) }
    }

    /// Whether there was room for so many more bytes.
    fn add(&self, bytes: usize) -> bool {
        self.own.fetch_add(bytes, Ordering::Relaxed);
        self.process.fetch_add(bytes, Ordering::Relaxed) + bytes <= MAX_HELD
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.process.fetch_sub(*self.own.get_mut(), Ordering::Relaxed);
    }
}

/// An answer on its way to the client, edited as it streams.
pub(super) struct Edited {
    body: Body,
    /// `None`: as it is.
    rewriter: Option<Rewriter>,
    ended: bool,
}

// === impl Edited ===

impl Edited {
    /// The answer of `cluster` to a document of the plan.
    pub(super) fn new(body: Body, plan: &Arc<Plan>, cluster: &ClusterName) -> Self {
        let edits = !cluster.is_local() || plan.edits_local();
        Self { body, rewriter: edits.then(|| Rewriter::new(Arc::clone(plan), cluster)), ended: false }
    }

    /// The answer to a document that was sent unchanged.
    pub(super) fn raw(body: Body) -> Self {
        Self { body, rewriter: None, ended: false }
    }

    /// Reads up to `limit` bytes; the rest stays. Answers what was read.
    pub(super) async fn read(&mut self, limit: usize, held: &Held) -> Result<Bytes, FailureClass> {
        let mut whole = BytesMut::new();
        while whole.len() <= limit
            && let Some(frame) = self.frame().await
        {
            let Ok(data) = frame.map_err(|error| body_failure(&*error))?.into_data() else { continue };
            if !held.add(data.len()) {
                return Err(FailureClass::TooLarge);
            }
            if whole.is_empty() && self.ended {
                return Ok(data);
            }
            whole.extend_from_slice(&data);
        }
        Ok(whole.freeze())
    }

    /// Reads a whole answer of at most `limit` bytes.
    pub(super) async fn whole(mut self, limit: usize, held: &Held) -> Result<Bytes, FailureClass> {
        let bytes = self.read(limit, held).await?;
        if bytes.len() > limit { Err(FailureClass::TooLarge) } else { Ok(bytes) }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }
}

impl HttpBody for Edited {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        loop {
            if this.ended {
                return Poll::Ready(None);
            }
            let frame = std::task::ready!(Pin::new(&mut this.body).poll_frame(cx));
            let Some(rewriter) = &mut this.rewriter else {
                this.ended = frame.is_none() || this.body.is_end_stream();
                return Poll::Ready(frame);
            };
            let Some(frame) = frame else {
                this.ended = true;
                return Poll::Ready(rewriter.finish().err().map(|error| Err(error.into())));
            };
            let Ok(data) = frame?.into_data() else { continue };
            let mut out = BytesMut::new();
            rewriter.push(&data, &mut out)?;
            if this.body.is_end_stream() {
                rewriter.finish()?;
                this.ended = true;
            }
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(out.freeze()))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

/// The head of a request with the gateway's own body.
pub(super) fn json_head(head: &Request<()>) -> Request<()> {
    let mut own = Request::new(());
    *own.uri_mut() = head.uri().clone();
    *own.headers_mut() = head.headers().clone();
    own.headers_mut().insert(header::CONTENT_TYPE, JSON);
    own
}

/// The head of the gateway's own questions: nothing of the client's but the host and the way it took.
pub(super) fn own_head(head: &Request<()>) -> Request<()> {
    let mut own = Request::new(());
    own.headers_mut().insert(header::CONTENT_TYPE, JSON);
    *own.uri_mut() = head.uri().clone();
    for name in [header::HOST, header::VIA, names::X_REQUEST_ID] {
        if let Some(value) = head.headers().get(&name) {
            own.headers_mut().insert(name, value.clone());
        }
    }
    own
}

/// Memory for answers that are held until others have come, of the whole process, in bytes.
pub(super) const MAX_HELD: usize = 256 * 1024 * 1024;

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Longest wait for the answer to a question of the gateway's own.
pub(super) const OWN_TIMEOUT: Duration = Duration::from_secs(5);
