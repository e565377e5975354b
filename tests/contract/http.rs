//! HTTP/1.1 by hand: what goes out is exactly what was recorded, which no client library promises.

use std::{convert::Infallible, fmt::Write, io, time::Duration};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A connection to a backend.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

/// What came back.
pub(crate) enum Answer {
    Response(Received),
    /// The connection was closed before the first byte of an answer.
    Dropped,
}

pub(crate) struct Received {
    pub(crate) status: u16,
    /// Names as on the wire.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Sends `request` and reads one answer. A server may answer and close before it has read everything, so writing
/// must not hold up reading, and its failure is no failure of the exchange.
pub(crate) async fn exchange(io: impl Io, method: &str, request: &[u8]) -> io::Result<Answer> {
    let (mut reader, mut writer) = tokio::io::split(io);
    let send = async {
        if writer.write_all(request).await.is_ok() {
            let _ = writer.flush().await;
        }
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        answer = tokio::time::timeout(TIMEOUT, read_answer(&mut reader, method)) => {
            answer.unwrap_or_else(|_| Err(io::Error::other("no complete answer in time")))
        }
        never = send => match never {},
    }
}

/// The bytes of a request: `Host` first, then `headers`, then `Content-Length` where there is a body.
pub(crate) fn encode(
    method: &str,
    path: &str,
    host: &str,
    headers: &[(String, String)],
    body: Option<&str>,
) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let expects_length = body.is_some() || matches!(method, "POST" | "PUT" | "PATCH");
    if expects_length {
        let _ = write!(head, "Content-Length: {}\r\n", body.map_or(0, str::len));
    }
    head.push_str("\r\n");
    head.push_str(body.unwrap_or_default());
    head.into_bytes()
}

// === impl Received ===

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

async fn read_answer(reader: &mut (impl AsyncRead + Unpin), method: &str) -> io::Result<Answer> {
    let mut buffer = Buffer { reader, bytes: Vec::new() };
    let head = loop {
        if let Some(at) = find(&buffer.bytes, b"\r\n\r\n") {
            let head = buffer.take(at + 4);
            if !head.starts_with(b"HTTP/1.1 1") {
                break head;
            }
        }
        match buffer.fill().await {
            Ok(true) => {}
            Ok(false) if buffer.bytes.is_empty() => return Ok(Answer::Dropped),
            Err(error) if buffer.bytes.is_empty() && is_closing(&error) => return Ok(Answer::Dropped),
            Ok(false) => return Err(io::Error::other("closed in the middle of a response head")),
            Err(error) => return Err(error),
        }
    };
    let (status, headers) = parse_head(&head)?;
    let mut received = Received { status, headers, body: Vec::new() };
    received.body = buffer.body(method, &received).await?;
    Ok(Answer::Response(received))
}

fn parse_head(head: &[u8]) -> io::Result<(u16, Vec<(String, String)>)> {
    let head = std::str::from_utf8(head).map_err(io::Error::other)?;
    let mut lines = head.trim_end().split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| io::Error::other(format!("no status line in {head:?}")))?;
    let headers = lines
        .map(|line| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned())))
        .collect::<Option<_>>()
        .ok_or_else(|| io::Error::other(format!("a header line without a colon in {head:?}")))?;
    Ok((status, headers))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// TLS reports a peer that closes without `close_notify` as an error.
fn is_closing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

/// Bytes read but not yet consumed.
struct Buffer<'a, R> {
    reader: &'a mut R,
    bytes: Vec<u8>,
}

// === impl Buffer ===

impl<R: AsyncRead + Unpin> Buffer<'_, R> {
    /// Reads some more; false at the end of the stream.
    async fn fill(&mut self) -> io::Result<bool> {
        Ok(self.reader.read_buf(&mut self.bytes).await? > 0)
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.bytes.split_off(count);
        std::mem::replace(&mut self.bytes, rest)
    }

    async fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.bytes.len() < count {
            if !self.fill().await? {
                return Err(io::Error::other("closed in the middle of a body"));
            }
        }
        Ok(self.take(count))
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = find(&self.bytes, b"\r\n") {
                let line = self.take(at + 2);
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if !self.fill().await? {
                return Err(io::Error::other("closed in the middle of a chunked body"));
            }
        }
    }

    /// The body by the rules of RFC 9112, section 6.3.
    async fn body(&mut self, method: &str, head: &Received) -> io::Result<Vec<u8>> {
        if method == "HEAD" || matches!(head.status, 204 | 304) {
            return Ok(Vec::new());
        }
        if head.header("Transfer-Encoding").is_some() {
            return self.chunks().await;
        }
        if let Some(length) = head.header("Content-Length") {
            return self.exactly(length.parse().map_err(io::Error::other)?).await;
        }
        while self.fill().await? {}
        Ok(std::mem::take(&mut self.bytes))
    }

    async fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            body.extend(self.exactly(size).await?);
            let end = self.line().await?;
            if !end.is_empty() {
                return Err(io::Error::other(format!("{end:?} where a chunk should end")));
            }
            if size == 0 {
                return Ok(body);
            }
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(30);
