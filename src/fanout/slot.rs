use std::{collections::VecDeque, mem, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures::{
    FutureExt,
    future::{Aborted, BoxFuture, abortable},
};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt;

use super::Abort;
use crate::{
    member::{Member, body_failure},
    rewrite::{Brackets, Rewriter, validate_list},
    types::{ClusterName, FailureClass, Shape},
    wire::{Body, read_limited},
};

/// A read that is under way, with the member's index.
pub(super) type Step = BoxFuture<'static, Result<(usize, Event), Aborted>>;

/// What a read brought.
pub(super) enum Event {
    /// The head of a good answer; its body follows.
    Opened(Reader),
    /// Some of the body, rewritten.
    Chunk(Reader, Bytes),
    /// The end of the body, with the last bytes.
    End(Bytes),
    /// The namespaces list of a user who may see none: an empty list (Sensu behaviour: a 500).
    Nothing,
    /// An answer that is not a list.
    Refused(Refusal),
    /// No answer, or a bad body.
    Failed(FailureClass),
}

/// What the head of a member's answer promises.
pub(super) enum Opening {
    /// A list, in this body.
    List(HeaderMap, Body),
    /// As [`Event::Nothing`].
    Nothing,
    /// As [`Event::Refused`].
    Refused(Refusal),
    /// As [`Event::Failed`].
    Failed(FailureClass),
}

/// An answer other than 200, kept so that it can be passed on in the cluster's own words.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A member's body and the rewriter that it goes through.
pub(super) struct Reader {
    body: Body,
    rewriter: Rewriter,
    read: u64,
}

/// One member of a fan-out.
pub(super) struct Slot {
    pub(super) name: ClusterName,
    /// Who was asked, if anyone.
    member: Option<Arc<dyn Member>>,
    state: State,
    /// Rewritten bytes in one piece, opened by a `[` that is not sent: they can be checked as a whole while nothing
    /// has gone out.
    held: BytesMut,
    /// Rewritten bytes that wait to be sent.
    queue: VecDeque<Bytes>,
    queued: usize,
    reader: Option<Reader>,
    abort: Option<Abort>,
}

enum State {
    /// No decision yet.
    Asked,
    /// Enough has arrived to commit; more follows.
    Flowing,
    /// All is in `queue`.
    Complete,
    /// Answered with another status.
    Refused(Refusal),
    /// Failed before the commit.
    Failed(FailureClass),
    /// Failed after it was decided that its items go out.
    Broken(FailureClass),
}

/// Sends the request to a member; the step ends with its head.
pub(super) fn open(
    index: usize,
    member: Arc<dyn Member>,
    request: Request<Bytes>,
    shape: Shape,
) -> (Step, Abort) {
    let (step, abort) = abortable(async move {
        let event = match member.send(request).await {
            Ok(response) => head(response, member.name(), shape).await,
            Err(failure) => Event::Failed(failure),
        };
        (index, event)
    });
    (step.boxed(), abort)
}

async fn head(response: Response<Body>, name: &ClusterName, shape: Shape) -> Event {
    match Opening::of(response, shape).await {
        Opening::List(_, body) => {
            let qualify = (!name.is_local()).then_some(name);
            let rewriter = Rewriter::new(shape, Some(name), qualify, Brackets::Strip);
            Event::Opened(Reader { body, rewriter, read: 0 })
        }
        Opening::Nothing => Event::Nothing,
        Opening::Refused(refusal) => Event::Refused(refusal),
        Opening::Failed(failure) => Event::Failed(failure),
    }
}

/// The request for one more member.
pub(super) fn copy_of(request: &Request<()>) -> Request<Bytes> {
    let mut copy = Request::new(Bytes::new());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

// === impl Opening ===

impl Opening {
    /// Reads the head of a member's answer, and the body of one that is no list.
    pub(super) async fn of(response: Response<Body>, shape: Shape) -> Self {
        let (parts, body) = response.into_parts();
        if parts.status == StatusCode::OK {
            if parts.headers.contains_key(header::CONTENT_ENCODING) {
                return Self::Failed(FailureClass::BadBody);
            }
            return Self::List(parts.headers, body);
        }
        let Ok(body) = read_limited(body, MAX_REFUSAL).await else {
            return Self::Failed(FailureClass::of_status(parts.status));
        };
        if shape == Shape::Namespace
            && parts.status == StatusCode::INTERNAL_SERVER_ERROR
            && memchr::memmem::find(&body, b"request unauthorized").is_some()
        {
            return Self::Nothing;
        }
        Self::Refused(Refusal { status: parts.status, headers: parts.headers, body })
    }
}

// === impl Reader ===

impl Reader {
    /// Reads at least one frame, then those that have arrived, up to [`CHUNK`].
    async fn advance(mut self, max_bytes: u64) -> Event {
        // A length that was announced is refused while the others' items can still be sent without this member's.
        if self.read.saturating_add(self.body.size_hint().lower()) > max_bytes {
            return Event::Failed(FailureClass::TooLarge);
        }
        let mut out = BytesMut::new();
        let mut next = self.body.frame().await;
        loop {
            match next {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.read += data.len() as u64;
                        if self.read > max_bytes {
                            return Event::Failed(FailureClass::TooLarge);
                        }
                        if self.rewriter.push(data, &mut out).is_err() {
                            return Event::Failed(FailureClass::BadBody);
                        }
                    }
                }
                Some(Err(error)) => return Event::Failed(body_failure(&*error)),
                None => {
                    return match self.rewriter.finish(&mut out) {
                        Ok(()) => Event::End(out.freeze()),
                        Err(_) => Event::Failed(FailureClass::BadBody),
                    };
                }
            }
            if out.len() >= CHUNK {
                break;
            }
            match self.body.frame().now_or_never() {
                Some(frame) => next = frame,
                None if out.is_empty() => next = self.body.frame().await,
                None => break,
            }
        }
        Event::Chunk(self, out.freeze())
    }
}

// === impl Slot ===

impl Slot {
    pub(super) fn asked(member: Arc<dyn Member>, abort: Abort) -> Self {
        let name = member.name().clone();
        Self { member: Some(member), ..Self::new(name, abort) }
    }

    fn new(name: ClusterName, abort: Abort) -> Self {
        Self {
            name,
            member: None,
            state: State::Asked,
            held: BytesMut::new(),
            queue: VecDeque::new(),
            queued: 0,
            reader: None,
            abort: Some(abort),
        }
    }

    pub(super) fn failed(name: ClusterName, failure: FailureClass) -> Self {
        let mut slot = Self::new(name, futures::future::AbortHandle::new_pair().0);
        slot.state = State::Failed(failure);
        slot
    }

    /// A member whose items are all there: bytes as [`Brackets::Strip`] leaves them.
    pub(super) fn whole(name: ClusterName, items: Bytes) -> Self {
        let mut slot = Self::failed(name, FailureClass::BadBody);
        slot.enqueue(items);
        slot.state = State::Complete;
        slot
    }

    pub(super) fn refused(name: ClusterName, refusal: Refusal) -> Self {
        let mut slot = Self::failed(name, FailureClass::BadBody);
        slot.state = State::Refused(refusal);
        slot
    }

    /// Whether its part in the commit is decided.
    pub(super) fn decided(&self) -> bool {
        !matches!(self.state, State::Asked)
    }

    pub(super) fn is_failed(&self) -> bool {
        matches!(self.state, State::Failed(_) | State::Broken(_) | State::Refused(_))
    }

    pub(super) fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete)
    }

    /// A failure after its items were promised.
    pub(super) fn failure_after_commit(&self) -> Option<FailureClass> {
        if let State::Broken(failure) = self.state { Some(failure) } else { None }
    }

    pub(super) fn failure(&self) -> Option<FailureClass> {
        match &self.state {
            State::Failed(failure) | State::Broken(failure) => Some(*failure),
            State::Refused(refusal) => Some(FailureClass::of_status(refusal.status)),
            _ => None,
        }
    }

    pub(super) fn refusal(&self) -> Option<&Refusal> {
        if let State::Refused(refusal) = &self.state { Some(refusal) } else { None }
    }

    pub(super) fn into_refusal(self) -> Option<Refusal> {
        if let State::Refused(refusal) = self.state { Some(refusal) } else { None }
    }

    /// Bytes in memory.
    pub(super) fn buffered(&self) -> usize {
        self.held.len() + self.queued
    }

    /// Bytes in memory beyond what the commit rule holds back.
    pub(super) fn ahead(&self, buffer_bytes: usize) -> usize {
        self.buffered().saturating_sub(buffer_bytes)
    }

    /// Drops the member; answers how many bytes that freed.
    pub(super) fn fail(&mut self, failure: FailureClass) -> usize {
        let freed = self.buffered();
        self.state = if self.decided() { State::Broken(failure) } else { State::Failed(failure) };
        self.count_missing();
        self.held = BytesMut::new();
        self.queue.clear();
        self.queued = 0;
        self.reader = None;
        if let Some(abort) = self.abort.take() {
            abort.abort();
        }
        freed
    }

    fn count_missing(&self) {
        if let Some((member, failure)) = self.member.as_ref().zip(self.failure()) {
            member.count_missing(failure);
        }
    }

    /// A failure before the head goes out is reported in the head and cuts nothing.
    pub(super) fn settle(&mut self) {
        if let State::Broken(failure) = self.state {
            self.state = State::Failed(failure);
        }
    }

    pub(super) fn take(&mut self, event: Event, hold_back: usize) {
        match event {
            Event::Opened(reader) => {
                // The label and the suffix make it a little longer than declared; growing once is enough.
                let declared = usize::try_from(reader.body.size_hint().lower()).unwrap_or(usize::MAX);
                self.held.reserve(declared.min(hold_back));
                self.reader = Some(reader);
            }
            Event::Chunk(reader, bytes) => {
                self.reader = Some(reader);
                self.keep(bytes);
            }
            Event::End(bytes) => {
                self.keep(bytes);
                self.complete();
            }
            Event::Nothing => self.state = State::Complete,
            Event::Refused(refusal) => {
                self.state = State::Refused(refusal);
                self.count_missing();
            }
            Event::Failed(failure) => {
                self.fail(failure);
            }
        }
    }

    fn keep(&mut self, bytes: Bytes) {
        if self.decided() {
            self.enqueue(bytes);
            return;
        }
        if self.held.is_empty() {
            self.held.extend_from_slice(b"[");
        }
        self.held.extend_from_slice(&bytes);
    }

    /// A whole body that was held back is checked to the last byte: later nothing could be taken back.
    fn complete(&mut self) {
        if matches!(self.state, State::Asked) {
            let mut whole = mem::take(&mut self.held);
            whole.extend_from_slice(b"]");
            if validate_list(&whole).is_err() {
                self.fail(FailureClass::BadBody);
                return;
            }
            let whole = whole.freeze();
            self.enqueue(whole.slice(1..whole.len() - 1));
        }
        self.state = State::Complete;
    }

    /// Lets the member's items go out once enough is held, or the process has no room to hold more.
    pub(super) fn decide(&mut self, buffer_bytes: usize, exhausted: bool) {
        let enough = self.held.len() > buffer_bytes || (exhausted && self.held.len() > 1);
        if matches!(self.state, State::Asked) && enough {
            let held = mem::take(&mut self.held).freeze();
            self.enqueue(held.slice(1..));
            self.state = State::Flowing;
        }
    }

    fn enqueue(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.queued += bytes.len();
            self.queue.push_back(bytes);
        }
    }

    /// The next bytes to send. What has left here is counted no longer, so it is not much at a time.
    pub(super) fn dequeue(&mut self) -> Option<Bytes> {
        let mut bytes = self.queue.pop_front()?;
        if bytes.len() > PIECE {
            self.queue.push_front(bytes.split_off(PIECE));
        }
        self.queued -= bytes.len();
        Some(bytes)
    }

    /// The next read, unless one is under way or the body has ended.
    pub(super) fn next_step(&mut self, index: usize, max_bytes: u64) -> Option<(Step, Abort)> {
        let reader = self.reader.take()?;
        let (step, abort) = abortable(reader.advance(max_bytes).map(move |event| (index, event)));
        Some((step.boxed(), abort))
    }

    pub(super) fn reading(&mut self, abort: Abort) {
        self.abort = Some(abort);
    }
}

/// A read takes frames that have arrived, up to this many bytes.
const CHUNK: usize = 64 * 1024;

/// Most bytes that are handed to a client's connection at once.
const PIECE: usize = 256 * 1024;

/// Largest error body that is passed on, in bytes.
const MAX_REFUSAL: usize = 64 * 1024;
