use std::{
    borrow::Cow,
    cell::RefCell,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::sync::mpsc;

use super::{
    config::Ratio,
    context::{SpanContext, TRACEPARENT, TRACESTATE, is_state_valid},
    proto::SpanKind,
};
use crate::{error::BoxError, wire::Body};

/// Makes spans and queues those that have ended. Cheap to clone.
#[derive(Clone)]
pub struct Tracer(Arc<Inner>);

struct Inner {
    queue: mpsc::Sender<Finished>,
    ratio: Ratio,
    counts: Arc<Counts>,
}

/// What became of spans, since start.
#[derive(Debug, Default)]
pub struct Counts {
    pub(super) exported: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) dropped: AtomicU64,
}

/// A span that has ended.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) context: SpanContext,
    pub(super) parent: Option<[u8; 8]>,
    pub(super) name: Cow<'static, str>,
    pub(super) kind: SpanKind,
    pub(super) begun: u64,
    pub(super) ended: u64,
    pub(super) attributes: Vec<(&'static str, Value)>,
    /// Why it failed, in a word.
    pub(super) failure: Option<Cow<'static, str>>,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text; it must not be a secret.
    Text(Cow<'static, str>),
    /// A number.
    Whole(i64),
}

/// Some work that is timed; it ends when this is dropped. Without a tracer, or when the trace is not sampled, it is
/// nothing: no allocation, no clock.
#[derive(Default)]
pub struct Span(Option<Box<Active>>);

struct Active {
    tracer: Tracer,
    span: Finished,
}

/// Where the spans of some work hang.
#[derive(Clone)]
pub struct Parent {
    tracer: Tracer,
    context: SpanContext,
}

pin_project! {
    /// The future of [`within`].
    pub struct Within<F> {
        parent: Option<Parent>,
        #[pin]
        inner: F,
    }
}

/// Puts back what was current, also when what runs panics.
struct Restore(Option<Parent>);

thread_local! {
    /// What runs on this thread now is part of this span.
    static CURRENT: RefCell<Option<Parent>> = const { RefCell::new(None) };
}

/// Where spans would hang that begin now.
pub fn current() -> Option<Parent> {
    CURRENT.with_borrow(Clone::clone)
}

/// A part of the current span.
pub fn child(name: &'static str, kind: SpanKind) -> Span {
    CURRENT.with_borrow(|current| match current {
        None => Span(None),
        Some(Parent { tracer, context }) => {
            tracer.begin(context.child(), Some(context.span_id), name.into(), kind)
        }
    })
}

/// Runs a future as a part of a span.
pub fn within<F>(parent: Option<Parent>, inner: F) -> Within<F> {
    Within { parent, inner }
}

/// Runs a function as a part of a span.
pub fn enter<T>(parent: Option<&Parent>, run: impl FnOnce() -> T) -> T {
    let Some(parent) = parent else { return run() };
    let _restore = Restore(CURRENT.replace(Some(parent.clone())));
    run()
}

// === impl Tracer ===

impl Tracer {
    pub(super) fn new(queue: mpsc::Sender<Finished>, ratio: Ratio, counts: Arc<Counts>) -> Self {
        Self(Arc::new(Inner { queue, ratio, counts }))
    }

    /// The span of a request. A trace that the client brings goes on, recorded if the client says so; without one a new
    /// trace begins. What is not recorded still reaches the clusters, so that they do not record a part of it.
    pub(super) fn server(&self, headers: &mut HeaderMap, name: Cow<'static, str>) -> Span {
        let parent = SpanContext::read(headers);
        if parent.is_none() || !is_state_valid(headers) {
            headers.remove(TRACESTATE);
        }
        let context = parent.map_or_else(|| self.sample(), SpanContext::child);
        if context.sampled {
            return self.begin(context, parent.map(|parent| parent.span_id), name, SpanKind::Server);
        }
        if parent.is_none() {
            headers.insert(TRACEPARENT, context.header());
        }
        Span(None)
    }

    /// The first span of a new trace.
    pub fn root(&self, name: &'static str) -> Span {
        let context = self.sample();
        if context.sampled { self.begin(context, None, name.into(), SpanKind::Internal) } else { Span(None) }
    }

    fn sample(&self) -> SpanContext {
        let mut context = SpanContext::new(true);
        context.sampled = context.share() < self.0.ratio.get();
        context
    }

    fn begin(
        &self,
        context: SpanContext,
        parent: Option<[u8; 8]>,
        name: Cow<'static, str>,
        kind: SpanKind,
    ) -> Span {
        let begun = now();
        let (attributes, failure) = (Vec::new(), None);
        let span = Finished { context, parent, name, kind, begun, ended: begun, attributes, failure };
        Span(Some(Box::new(Active { tracer: self.clone(), span })))
    }
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracer")
            .field("ratio", &self.0.ratio)
            .field("counts", &self.0.counts)
            .finish_non_exhaustive()
    }
}

// === impl Span ===

impl Span {
    /// Whether it is more than nothing.
    pub fn is_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// Adds an attribute, by a name that has not been used.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(active) = &mut self.0 {
            active.span.attributes.push((name, value.into()));
        }
    }

    /// Says that it failed, and why in a word.
    pub fn fail(&mut self, why: impl Into<Cow<'static, str>>) {
        if let Some(active) = &mut self.0 {
            active.span.failure = Some(why.into());
        }
    }

    /// For what is a part of it.
    pub fn parent(&self) -> Option<Parent> {
        let Active { tracer, span } = self.0.as_deref()?;
        Some(Parent { tracer: tracer.clone(), context: span.context })
    }

    /// Says in a request's head that what it causes is a part of this span.
    pub fn inject(&self, headers: &mut HeaderMap) {
        if let Some(active) = &self.0 {
            headers.insert(TRACEPARENT, active.span.context.header());
        }
    }

    /// A body whose transfer is a part of the span, which ends with it.
    pub fn hold(self, body: Body) -> Body {
        match self.parent() {
            Some(parent) if !body.is_end_stream() => Body::boxed(Held { body, parent, span: self }),
            _ => body,
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let (attributes, name) =
            (std::mem::take(&mut self.span.attributes), std::mem::take(&mut self.span.name));
        let failure = self.span.failure.take();
        let finished = Finished { ended: now(), attributes, name, failure, ..self.span };
        // A collector that is slow or away must delay nobody.
        if self.tracer.0.queue.try_send(finished).is_err() {
            self.tracer.0.counts.dropped.fetch_add(1, Relaxed);
        }
    }
}

/// A body and the span that it belongs to.
struct Held {
    body: Body,
    parent: Parent,
    span: Span,
}

// === impl Held ===

impl HttpBody for Held {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self { body, parent, span } = &mut *self;
        let polled = enter(Some(parent), || Pin::new(body).poll_frame(cx));
        match &polled {
            Poll::Ready(Some(Err(_))) => span.fail("broke off"),
            Poll::Ready(None) => drop(std::mem::take(span)),
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// === impl Value ===

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(mut text: String) -> Self {
        if let Some((end, _)) = text.char_indices().nth(MAX_TEXT) {
            text.truncate(end);
        }
        Self::Text(text.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Whole(number)
    }
}

impl From<http::StatusCode> for Value {
    fn from(status: http::StatusCode) -> Self {
        Self::Whole(status.as_u16().into())
    }
}

impl From<&HeaderValue> for Value {
    fn from(value: &HeaderValue) -> Self {
        String::from_utf8_lossy(value.as_bytes()).into_owned().into()
    }
}

// === impl Within ===

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        enter(this.parent.as_ref(), || this.inner.poll(cx))
    }
}

// === impl Restore ===

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

// === impl Counts ===

impl Counts {
    /// Each result and its count.
    pub fn results(&self) -> [(&'static str, u64); 3] {
        [("exported", &self.exported), ("failed", &self.failed), ("dropped", &self.dropped)]
            .map(|(result, count)| (result, count.load(Relaxed)))
    }
}

/// Nanoseconds since the Unix epoch.
fn now() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}

/// Longest text of an attribute, in characters.
const MAX_TEXT: usize = 512;
