//! Percent-encodes what clients leave raw in a query: `?fieldSelector=event.check.status>0`.
//!
//! A Sensu backend takes any byte above the space there, while the URI type below hyper refuses `"`, `<`, `>` and what is
//! no UTF-8, and ends the query at a `#`. So these bytes are encoded before hyper reads them, and mean the same.
//!
//! ```text
//! Start ─ Method ─ Path ─?─ Query ─ Version ─ Header… ─┬─ Body ── Start
//!           (the only state that changes anything) ┘   ├─ Chunk… ─ Start
//!                                                      └─ Start
//! ```
//!
//! Nothing is added to, or taken from, what frames a message, so hyper finds the same messages as it would without this.
//! To know where the next request line begins, heads and bodies are followed in their strictest spelling only; after
//! anything else (a bare line feed, two lengths, chunk extensions), and in HTTP/2, all bytes pass as they are until the
//! connection ends.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use memchr::memchr;
use tokio::io::{AsyncRead, ReadBuf};

use super::pending::Pending;
use crate::net::ReadFilter;

/// Lets hyper read the request lines of a transport.
#[derive(Default)]
pub(super) struct EncodedQueries {
    encoder: Encoder,
    /// What had no room in the reader's buffer: at most twice its size.
    pending: Pending,
}

/// Follows the bytes that a client sends, without a transport.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    state: State,
    line: Line,
    framing: Framing,
    start: Start,
}

/// Method and path of the last request that has begun, as much as is kept for the log.
#[derive(Debug)]
struct Start {
    bytes: [u8; START],
    length: usize,
    /// How many requests have begun.
    number: u64,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// A request line's first byte, or an empty line before it.
    #[default]
    Start,
    Method,
    Path,
    Query,
    Version,
    Header,
    /// So many bytes of a body, or of a chunk with its line end.
    Skip {
        left: u64,
        then: After,
    },
    ChunkSize,
    Trailer,
    /// Passed on unread, to the end of the connection.
    Opaque,
}

/// What follows skipped bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Message,
    Chunk,
}

/// How long the body of the present message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Framing {
    #[default]
    None,
    Length(u64),
    Chunked,
    /// Not in its strict spelling: better not followed.
    Unclear,
}

/// The beginning of a line, as much as is looked at.
#[derive(Debug)]
struct Line {
    bytes: [u8; LINE],
    /// May be more than is held.
    length: usize,
    last: u8,
}

// === impl EncodedQueries ===

impl EncodedQueries {
    /// Method and path of the request after so many others, if that is the last one that has begun, and its line can be
    /// read.
    pub(super) fn request_line(&self, before: u64) -> Option<(&str, &str)> {
        let start = &self.encoder.start;
        let text = std::str::from_utf8(&start.bytes[..start.length]).ok()?;
        let (method, path) = text.split_once(' ').filter(|_| start.number == before + 1)?;
        let path = path.split(['?', ' ']).next().filter(|path| path.starts_with('/'))?;
        path.bytes().all(|byte| byte.is_ascii_graphic()).then_some((method, path))
    }
}

impl<I: AsyncRead> ReadFilter<I> for EncodedQueries {
    fn poll_read(
        &mut self,
        io: Pin<&mut I>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.pending.is_empty() {
            let before = buf.filled().len();
            ready!(io.poll_read(cx, buf))?;
            if self.encoder.state == State::Opaque {
                return Poll::Ready(Ok(()));
            }
            let Some(encoded) = self.encoder.encode(&buf.filled()[before..]) else {
                return Poll::Ready(Ok(()));
            };
            buf.set_filled(before);
            self.pending = encoded.into();
        }
        self.pending.fill(buf);
        Poll::Ready(Ok(()))
    }
}

// === impl Encoder ===

impl Encoder {
    /// What has to be read in place of `bytes`; `None` for the same.
    pub(super) fn encode(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut encoded: Option<Vec<u8>> = None;
        let mut at = 0;
        while at < bytes.len() {
            let begin = at;
            if self.state == State::Query {
                at += self.query(&bytes[at..], &bytes[..begin], &mut encoded);
            } else {
                at += self.follow(&bytes[at..]);
                if let Some(encoded) = &mut encoded {
                    encoded.extend_from_slice(&bytes[begin..at]);
                }
            }
        }
        encoded
    }

    /// Reads on to the end of the query or of the bytes, and says how far. `before` has passed already.
    fn query(&mut self, bytes: &[u8], before: &[u8], encoded: &mut Option<Vec<u8>>) -> usize {
        for (at, byte) in bytes.iter().copied().enumerate() {
            match byte {
                b' ' => {
                    self.state = State::Version;
                    return at;
                }
                b'\r' | b'\n' => {
                    self.state = State::Opaque;
                    return at;
                }
                _ if is_refused(byte) => {
                    let encoded = encoded.get_or_insert_with(|| [before, &bytes[..at]].concat());
                    encoded.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
                }
                _ => {
                    if let Some(encoded) = encoded {
                        encoded.push(byte);
                    }
                }
            }
        }
        bytes.len()
    }

    /// Reads at least one byte of anything else, and says how many. The bytes are not empty.
    fn follow(&mut self, bytes: &[u8]) -> usize {
        match self.state {
            State::Start => {
                if !matches!(bytes[0], b'\r' | b'\n') {
                    self.line.clear();
                    self.start.begin();
                    self.framing = Framing::None;
                    self.state = State::Method;
                    return 0;
                }
                1
            }
            State::Method => self.until(bytes, b" ", |this, _| {
                let is_other = matches!(this.line.held(), b"CONNECT " | b"PRI ");
                if is_other { State::Opaque } else { State::Path }
            }),
            State::Path => self.until(bytes, b"? ", |_, found| match found {
                b'?' => State::Query,
                _ => State::Version,
            }),
            State::Version => self.line(bytes, |_, _| State::Header),
            State::Header => self.line(bytes, Self::header),
            State::Trailer => {
                self.line(bytes, |_, line| if line.text().is_empty() { State::Start } else { State::Trailer })
            }
            State::ChunkSize => self.line(bytes, |_, line| match chunk_size(line) {
                Some(0) => State::Trailer,
                // Its own line end comes after it.
                Some(size) => State::Skip { left: size + 2, then: After::Chunk },
                None => State::Opaque,
            }),
            State::Skip { left, then } => {
                let skipped = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                self.state = match (left - skipped as u64, then) {
                    (0, After::Message) => State::Start,
                    (0, After::Chunk) => State::ChunkSize,
                    (left, then) => State::Skip { left, then },
                };
                skipped
            }
            State::Query | State::Opaque => bytes.len(),
        }
    }

    /// To the first of `ends`, all within the request line.
    fn until(&mut self, bytes: &[u8], ends: &[u8], next: fn(&mut Self, u8) -> State) -> usize {
        let is_end = |byte: &u8| ends.contains(byte) || matches!(byte, b'\r' | b'\n');
        let Some(at) = bytes.iter().position(is_end) else {
            self.line.push(bytes);
            self.start.push(bytes);
            return bytes.len();
        };
        self.line.push(&bytes[..=at]);
        self.start.push(&bytes[..=at]);
        self.state = if ends.contains(&bytes[at]) { next(self, bytes[at]) } else { State::Opaque };
        at + 1
    }

    /// To the end of the line, which `next` gets.
    fn line(&mut self, bytes: &[u8], next: fn(&mut Self, &Line) -> State) -> usize {
        let Some(at) = memchr(b'\n', bytes) else {
            self.line.push(bytes);
            return bytes.len();
        };
        self.line.push(&bytes[..at]);
        let line = std::mem::take(&mut self.line);
        self.state = if line.last == b'\r' { next(self, &line) } else { State::Opaque };
        at + 1
    }

    fn header(&mut self, line: &Line) -> State {
        let text = line.text();
        if text.is_empty() {
            return match self.framing {
                Framing::None | Framing::Length(0) => State::Start,
                Framing::Length(left) => State::Skip { left, then: After::Message },
                Framing::Chunked => State::ChunkSize,
                Framing::Unclear => State::Opaque,
            };
        }
        let found = if let Some(value) = value_of(text, b"content-length") {
            number(value, 10, 18).map(Framing::Length)
        } else if let Some(value) = value_of(text, b"transfer-encoding") {
            value.eq_ignore_ascii_case(b"chunked").then_some(Framing::Chunked)
        } else {
            return State::Header;
        };
        self.framing = match (self.framing, found) {
            (Framing::None, Some(found)) if line.is_whole() => found,
            _ => Framing::Unclear,
        };
        State::Header
    }
}

// === impl Start ===

impl Default for Start {
    fn default() -> Self {
        Self { bytes: [0; START], length: 0, number: 0 }
    }
}

impl Start {
    fn begin(&mut self) {
        self.length = 0;
        self.number += 1;
    }

    fn push(&mut self, bytes: &[u8]) {
        let fits = bytes.len().min(START - self.length);
        self.bytes[self.length..self.length + fits].copy_from_slice(&bytes[..fits]);
        self.length += fits;
    }
}

// === impl Line ===

impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; LINE], length: 0, last: 0 }
    }
}

impl Line {
    fn clear(&mut self) {
        self.length = 0;
    }

    fn push(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        let held = self.length.min(LINE);
        let fits = bytes.len().min(LINE - held);
        self.bytes[held..held + fits].copy_from_slice(&bytes[..fits]);
        self.length = self.length.saturating_add(bytes.len());
        self.last = *last;
    }

    fn held(&self) -> &[u8] {
        &self.bytes[..self.length.min(LINE)]
    }

    /// Whether nothing is missing from its text.
    fn is_whole(&self) -> bool {
        self.length <= LINE
    }

    /// What is held of it, without the carriage return that ends it.
    fn text(&self) -> &[u8] {
        &self.bytes[..self.length.saturating_sub(1).min(LINE)]
    }
}

/// What a connection's first bytes become; `None` when they stay as they are. For benches.
#[doc(hidden)]
pub fn encode_first(bytes: &[u8]) -> Option<Vec<u8>> {
    Encoder::default().encode(bytes)
}

/// What a Go server takes in a query and the `http` crate does not, or, `#`, not as a part of it.
fn is_refused(byte: u8) -> bool {
    matches!(byte, b'"' | b'#' | b'<' | b'>') || !byte.is_ascii()
}

/// A header's value, for a line that begins with this name. An odd spelling has an odd value.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then(|| rest.strip_prefix(b":").unwrap_or(b"?").trim_ascii())
}

fn chunk_size(line: &Line) -> Option<u64> {
    number(line.text(), 16, 15)
}

/// Digits only, and no more than so many.
fn number(text: &[u8], radix: u32, digits: usize) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let is_plain = text.len() <= digits && text.chars().all(|digit| digit.is_digit(radix));
    is_plain.then(|| u64::from_str_radix(text, radix).ok()).flatten()
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Bytes of a request line that are kept.
const START: usize = 256;

/// Longer than any line that says how long a body is; a longer one of that name is not followed.
const LINE: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fuzzing;

    /// All at once, and one by one.
    fn encoded(input: &[u8]) -> String {
        let whole = fuzzing::encode(input, &[]);
        let bytes: Vec<usize> = (1..input.len()).collect();
        assert_eq!(whole, fuzzing::encode(input, &bytes), "{}", input.escape_ascii());
        String::from_utf8_lossy(&whole).into_owned()
    }

    const HEAD: &str = " HTTP/1.1\r\nHost: gw\r\n";

    #[test]
    fn bytes_that_a_uri_cannot_hold_are_encoded_in_the_query_only() {
        for (target, read) in [
            ("/a?b=c>0&d=\"e\"<#f", "/a?b=c%3E0&d=%22e%22%3C%23f"),
            ("/a<?b=?>", "/a<?b=?%3E"),
            ("/a?\u{e4}`{|}^%3e+", "/a?%C3%A4`{|}^%3e+"),
            ("http://gw/a?>", "http://gw/a?%3E"),
            ("/a#?>", "/a#?%3E"),
            ("/a", "/a"),
        ] {
            let request = |target: &str| format!("GET {target}{HEAD}Referer: http://gw/?<>\r\n\r\n");
            assert_eq!(encoded(request(target).as_bytes()), request(read));
        }
        let latin = [b"GET /?\xe4".as_slice(), HEAD.as_bytes(), b"\r\n"].concat();
        assert_eq!(encoded(&latin), format!("GET /?%E4{HEAD}\r\n"));
    }

    #[test]
    fn the_next_request_line_is_found_behind_any_body() {
        let next = |query: &str| format!("\r\nGET /?{query}{HEAD}\r\n");
        for message in [
            "\r\n",
            "content-length: 0\r\n\r\n",
            "Content-Length:12 \r\nA: b\r\n\r\nGET /?< H\r\n\"",
            "Transfer-Encoding: Chunked\r\n\r\na\r\nGET /?<> H\r\n1\r\n>\r\n0\r\nT: ?<\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ] {
            let first = format!("POST /{HEAD}{message}");
            let input = format!("{first}{}{}", next(">"), next("\""));
            assert_eq!(encoded(input.as_bytes()), format!("{first}{}{}", next("%3E"), next("%22")));
        }
    }

    #[test]
    fn what_is_not_followed_is_left_alone() {
        let long = format!("Content-Length: {}1", " ".repeat(60));
        for header in [
            "Content-Length: 1\r\nContent-Length: 1",
            "Content-Length: 1\r\nTransfer-Encoding: chunked",
            "Content-Length: +1",
            "Content-Length : 1",
            "Content-Length: 1, 1",
            "Content-Length: 9999999999999999999999",
            "Transfer-Encoding: gzip, chunked",
            "A: b\nContent-Length: 1",
            &long,
        ] {
            let input = format!("GET /{HEAD}{header}\r\n\r\nxGET /?>{HEAD}\r\n");
            assert_eq!(encoded(input.as_bytes()), input, "{header}");
        }
        for size in ["1;a=b", "1 ", "0x1", "", "fffffffffffffffff"] {
            let head = format!("GET /{HEAD}Transfer-Encoding: chunked\r\n\r\n");
            let input = format!("{head}{size}\r\nx\r\n0\r\n\r\nGET /?>{HEAD}\r\n");
            assert_eq!(encoded(input.as_bytes()), input, "{size}");
        }
        for input in [
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET /?> HTTP/1.1\r\n\r\n",
            "CONNECT a:1 HTTP/1.1\r\n\r\nGET /?> HTTP/1.1\r\n\r\n",
            "GET /? HTTP/1.1\n\nGET /?> HTTP/1.1\r\n\r\n",
            "GET\r\nGET /?> HTTP/1.1\r\n\r\n",
            "GET /?\r\nGET /?> HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(encoded(input.as_bytes()), input);
        }
    }

    proptest! {
        #[test]
        fn only_raw_bytes_of_queries_change(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..200),
                "(GET|POST) /[a?<>\"# ]{0,9} HTTP/1.1\r?\n(Content-Length: [0-9]{1,2}\r\n)?(T: x\r\n)?\r\n[?<>\r\nGET /]{0,40}"
                    .prop_map(String::into_bytes),
            ]
        ) {
            fuzzing::queries(&bytes);
        }
    }
}
