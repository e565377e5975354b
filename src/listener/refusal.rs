//! The answer to a request that hyper refuses by itself, because it cannot be read.
//!
//! hyper writes a bare status then, and no service sees the request. So that it has an id, a line and a reason like
//! any other, hyper's answer is replaced where it is written. It is known by what it is not: while no request is open,
//! and everything was written that the service has answered, only hyper itself has something to say.

use std::{
    io::{self, IoSlice},
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, StatusCode, header};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{activity::Activity, query::EncodedQueries};
use crate::{
    error::Reply,
    net::Filtered,
    telemetry::{Access, RequestId, Unreadable},
    wire::{self, header::X_REQUEST_ID},
};

/// A transport of HTTP that answers in hyper's place what hyper refuses.
pub(super) struct Refusals<I> {
    io: Filtered<I, EncodedQueries>,
    activity: Arc<Activity>,
    client: IpAddr,
    access: Arc<Access>,
    /// How many requests there were when the last of their answers was written.
    settled: u64,
    /// What is written in place of hyper's answer.
    answer: Option<Answer>,
}

struct Answer {
    bytes: Vec<u8>,
    written: usize,
}

// === impl Refusals ===

impl<I> Refusals<I> {
    pub(super) fn new(
        io: Filtered<I, EncodedQueries>,
        activity: Arc<Activity>,
        client: IpAddr,
        access: Arc<Access>,
    ) -> Self {
        Self { io, activity, client, access, settled: 0, answer: None }
    }

    /// The status, if what is about to be written is hyper's own refusal.
    fn refusal(&self, bytes: &[u8]) -> Option<StatusCode> {
        if self.answer.is_some() || self.activity.requests() != self.settled {
            return None;
        }
        let status =
            bytes.strip_prefix(b"HTTP/1.1 ").or_else(|| bytes.strip_prefix(b"HTTP/1.0 "))?.get(..3)?;
        StatusCode::from_bytes(status).ok().filter(StatusCode::is_client_error)
    }

    fn refuse(&mut self, status: StatusCode) {
        let id = RequestId::new();
        let (method, path) = self.io.filter().request_line(self.settled).unwrap_or_default();
        self.access.refuse(&Unreadable { id: &id, client: self.client, method, path, status });
        self.activity.refuse();
        self.answer = Some(Answer { bytes: written(status, &id, method), written: 0 });
    }
}

impl<I: AsyncWrite + Unpin> Refusals<I> {
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(answer) = &mut self.answer else { return Poll::Ready(Ok(())) };
        while answer.written < answer.bytes.len() {
            let rest = &answer.bytes[answer.written..];
            match ready!(Pin::new(&mut self.io).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                more => answer.written += more,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Refusals<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Refusals<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if let Some(status) = this.refusal(bytes) {
            this.refuse(status);
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut this.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let first = slices.iter().find(|slice| !slice.is_empty());
        if let Some(status) = first.and_then(|first| this.refusal(first)) {
            this.refuse(status);
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        Pin::new(&mut this.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.poll_answer(cx))?;
        ready!(Pin::new(&mut this.io).poll_flush(cx))?;
        // hyper flushes its transport when it has nothing more to write.
        if this.activity.idle_since().is_some() {
            this.settled = this.activity.requests();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.poll_answer(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

/// The whole answer as it goes over the wire.
fn written(status: StatusCode, id: &RequestId, method: &str) -> Vec<u8> {
    let reply = Reply::router(status, 1, reason(status));
    let mut response = wire::reply(&reply);
    let date = httpdate::fmt_http_date(std::time::SystemTime::now());
    let headers = response.headers_mut();
    headers.insert(X_REQUEST_ID, id.header());
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.extend(HeaderValue::try_from(date).ok().map(|date| (header::DATE, date)));
    let body = response.body().as_full().unwrap_or_default().to_vec();
    response.headers_mut().insert(header::CONTENT_LENGTH, body.len().into());
    let phrase = status.canonical_reason().unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {} {phrase}\r\n", status.as_u16()).into_bytes();
    for (name, value) in response.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    if method != "HEAD" {
        bytes.extend_from_slice(&body);
    }
    bytes
}

fn reason(status: StatusCode) -> &'static str {
    match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            "the request has too many header fields, or too large ones"
        }
        StatusCode::URI_TOO_LONG => "the request's target is too long",
        _ => {
            "the request is not valid HTTP: a character in its target or a header may have to be percent-encoded"
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    fn transport() -> (Refusals<DuplexStream>, DuplexStream, Arc<Activity>) {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let activity = Arc::new(Activity::new());
        let client = [192, 0, 2, 1].into();
        let io = Refusals::new(
            Filtered::new(near, EncodedQueries::default()),
            Arc::clone(&activity),
            client,
            Arc::default(),
        );
        (io, far, activity)
    }

    async fn text(mut far: DuplexStream) -> String {
        let mut bytes = Vec::new();
        far.read_to_end(&mut bytes).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }

    const BARE: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";

    #[tokio::test]
    async fn what_nobody_has_answered_gets_an_id_and_a_reason() {
        let (mut io, far, _) = transport();
        io.write_all(BARE).await.unwrap();
        io.shutdown().await.unwrap();
        let answer = text(far).await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        for part in ["x-request-id: ", "connection: close\r\n", "date: ", r#"{"message":"the request is not"#]
        {
            assert!(answer.contains(part), "{part} is missing in {answer}");
        }
    }

    #[tokio::test]
    async fn the_services_own_answers_pass_as_they_are_however_they_are_cut() {
        let (mut io, far, activity) = transport();
        let request = activity.request();
        io.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        io.flush().await.unwrap();
        drop(request);
        // The rest of its body, which looks like a refusal, before everything was flushed.
        io.write_all(BARE).await.unwrap();
        io.flush().await.unwrap();
        let request = activity.request();
        io.write_all(BARE).await.unwrap();
        drop(request);
        io.flush().await.unwrap();
        // Now nothing is left, so this is hyper's own.
        io.write_all(BARE).await.unwrap();
        io.shutdown().await.unwrap();
        let answers = text(far).await;
        let bare = std::str::from_utf8(BARE).unwrap();
        let passed = format!("HTTP/1.1 200 OK\r\n\r\n{bare}{bare}");
        let last = answers.strip_prefix(&passed).unwrap_or_else(|| panic!("{answers}"));
        assert!(last.contains("x-request-id: "), "{last}");
    }
}
