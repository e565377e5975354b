use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::StatusCode;

use super::{is_space, json_path::JsonPath};
use crate::{
    error::{Classify, ErrorKind, Reply},
    types::{ClusterName, NamespaceRef, Shape},
};

/// A request body as its cluster is to see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unqualified {
    /// The body; the same memory when nothing had to change.
    pub body: Bytes,
    /// The remote cluster that the body names; `None` when all namespaces are plain or of `local-cluster`.
    pub cluster: Option<ClusterName>,
    /// Whether a plain, non-empty namespace stands beside qualified ones.
    pub mixed: bool,
    /// Every namespace string found, un-qualified, in document order, duplicates and empty ones included. Of
    /// duplicates of one key Sensu takes the last; an empty one means the same to it as none. To be sure
    /// what a body names, all of them must be what they should be.
    pub namespaces: Vec<String>,
    /// Every `metadata.name` of a resource (not of an event's entity or check), in document order: of duplicates
    /// Sensu takes the last.
    pub names: Vec<String>,
}

/// Why a request body was refused. The client's fault, each of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnqualifyError {
    /// A namespace such as `@x`, `x@`, `a@b@c`, `.` or `..`: a typing error, or a name that was qualified
    /// twice.
    #[error("the body holds a malformed namespace")]
    Malformed,
    /// Two namespaces of one body name different clusters, as in an event whose entity and check were copied
    /// from two of them.
    #[error("the namespaces in the body name different clusters")]
    Mismatch,
}

/// Takes the cluster out of each namespace string of a complete request body, and the top-level member
/// `cluster`, with the comma that it no longer needs. All other bytes are kept, those after the first JSON
/// value too, which Sensu does not read.
///
/// The body is read as Go's decoder reads it, only more leniently: keys match in any case (by simple folding,
/// so U+017F is an `s` and U+212A a `k`; and U+0130 is an `i`, as for decoders that turn keys to lower case), keys
/// and values may be escaped, duplicates all count. What Go takes
/// for no JSON but this function does is merely edited before Sensu refuses it. What this function takes for
/// no JSON object is returned as it is, without namespaces, and Sensu refuses it in its own words.
///
/// # Errors
///
/// [`UnqualifyError`].
pub fn unqualify(body: &Bytes, shape: Shape) -> Result<Unqualified, UnqualifyError> {
    let mut found = Found::default();
    let mut walk = Walk { body, shape, at: 0, levels: Vec::new(), found: &mut found };
    match walk.object() {
        Ok(()) => {}
        Err(Stop::NotJson) => found = Found::default(),
        Err(Stop::Refused(error)) => return Err(error),
    }
    let cluster = found.cluster.filter(|name| !name.is_local());
    let mixed = found.plain && cluster.is_some();
    let body = if found.cuts.is_empty() { body.clone() } else { without(body, &found.cuts) };
    Ok(Unqualified { body, cluster, mixed, namespaces: found.namespaces, names: found.names })
}

/// What was found on the way.
#[derive(Default)]
struct Found {
    cuts: Vec<Range<usize>>,
    cluster: Option<ClusterName>,
    plain: bool,
    namespaces: Vec<String>,
    names: Vec<String>,
}

/// Why reading ended early.
enum Stop {
    NotJson,
    Refused(UnqualifyError),
}

/// An open container.
struct Level {
    object: bool,
    /// Where it stands, if that matters.
    path: Option<JsonPath>,
    /// What the value of the current member is.
    role: Role,
}

/// What a value is to us.
#[derive(Clone, Copy)]
enum Role {
    Other,
    Object(JsonPath),
    Name,
    Namespace,
}

/// What may stand next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// A value, or `]` in an empty array.
    Value { or_end: bool },
    /// A key, or `}` in an empty object.
    Key { or_end: bool },
    /// A comma or the end of the container.
    Comma,
}

struct Walk<'a> {
    body: &'a [u8],
    shape: Shape,
    at: usize,
    levels: Vec<Level>,
    found: &'a mut Found,
}

/// The members of the top-level object, as far as removing some of them needs it.
#[derive(Default)]
struct Members {
    /// Start of the current member's key, when it is to be removed.
    doomed: Option<usize>,
    /// Whether a member before the current one stays.
    kept: bool,
    /// The comma before the current member.
    comma: usize,
    /// End of the last value.
    end: usize,
}

// === impl Walk ===

impl<'a> Walk<'a> {
    /// Reads the first value, which must be an object.
    fn object(&mut self) -> Result<(), Stop> {
        let mut members = Members::default();
        if self.token()? != b'{' {
            return Err(Stop::NotJson);
        }
        let mut next = self.open(b'{', Some(JsonPath::default()));
        while !self.levels.is_empty() {
            let byte = self.token()?;
            let top = self.levels.len() == 1;
            next = match next {
                Next::Key { .. } if byte == b'"' => self.key(&mut members)?,
                Next::Value { .. } if byte != b']' => self.value(byte)?,
                Next::Comma if byte == b',' => {
                    if top {
                        members.next(self.at - 1, &mut self.found.cuts);
                    }
                    if self.in_object() { Next::Key { or_end: false } } else { Next::Value { or_end: false } }
                }
                Next::Comma | Next::Key { or_end: true } | Next::Value { or_end: true } => {
                    if top {
                        members.last(&mut self.found.cuts);
                    }
                    self.close(byte)?
                }
                _ => return Err(Stop::NotJson),
            };
            if self.levels.len() == 1 && next == Next::Comma {
                members.end = self.at;
            }
        }
        Ok(())
    }

    /// A member's key after its opening quote, and the colon.
    fn key(&mut self, members: &mut Members) -> Result<Next, Stop> {
        let start = self.at;
        let raw = self.string()?;
        if self.levels.len() == 1 && is_cluster(raw) {
            members.doomed = Some(start - 1);
        }
        let shape = self.shape;
        if let Some(level) = self.levels.last_mut() {
            level.role = level.path.map_or(Role::Other, |path| role(shape, path, raw));
        }
        if self.token()? != b':' {
            return Err(Stop::NotJson);
        }
        Ok(Next::Value { or_end: false })
    }

    /// A value after its first byte.
    fn value(&mut self, byte: u8) -> Result<Next, Stop> {
        let role = self.levels.last().map_or(Role::Other, |level| level.role);
        match byte {
            b'{' | b'[' if self.levels.len() >= MAX_LEVELS => return Err(Stop::NotJson),
            b'{' => {
                let path = if let Role::Object(path) = role { Some(path) } else { None };
                return Ok(self.open(byte, path));
            }
            b'[' => return Ok(self.open(byte, None)),
            b'"' => {
                let start = self.at;
                let raw = self.string()?;
                match role {
                    Role::Namespace => self.namespace(start, raw).map_err(Stop::Refused)?,
                    Role::Name => self.found.names.push(decode(raw)),
                    Role::Other | Role::Object(_) => {}
                }
            }
            b'}' | b']' | b',' | b':' => return Err(Stop::NotJson),
            _ => {
                let ends =
                    |b: &u8| is_space(*b) || matches!(b, b',' | b':' | b'}' | b']' | b'{' | b'[' | b'"');
                let rest = &self.body[self.at..];
                self.at += rest.iter().position(ends).ok_or(Stop::NotJson)?;
            }
        }
        Ok(Next::Comma)
    }

    /// A namespace string whose text starts at `start`.
    fn namespace(&mut self, start: usize, raw: &[u8]) -> Result<(), UnqualifyError> {
        let text = decode(raw);
        if text.is_empty() {
            self.found.namespaces.push(text);
            return Ok(());
        }
        let parsed = NamespaceRef::parse(&text).map_err(|_| UnqualifyError::Malformed)?;
        if let Some(sign) = at_sign(raw) {
            let cluster = parsed.cluster.unwrap_or_else(ClusterName::local);
            if self.found.cluster.get_or_insert_with(|| cluster.clone()) != &cluster {
                return Err(UnqualifyError::Mismatch);
            }
            self.found.cuts.push(start + sign..start + raw.len());
        } else {
            self.found.plain = true;
        }
        self.found.namespaces.push(parsed.namespace);
        Ok(())
    }

    fn open(&mut self, byte: u8, path: Option<JsonPath>) -> Next {
        let object = byte == b'{';
        self.levels.push(Level { object, path, role: Role::Other });
        if object { Next::Key { or_end: true } } else { Next::Value { or_end: true } }
    }

    fn close(&mut self, byte: u8) -> Result<Next, Stop> {
        let closer = if self.in_object() { b'}' } else { b']' };
        if byte != closer {
            return Err(Stop::NotJson);
        }
        self.levels.pop();
        Ok(Next::Comma)
    }

    fn in_object(&self) -> bool {
        self.levels.last().is_some_and(|level| level.object)
    }

    /// The next byte that is not white space.
    fn token(&mut self) -> Result<u8, Stop> {
        let rest = &self.body[self.at..];
        let skipped = rest.iter().position(|b| !is_space(*b)).ok_or(Stop::NotJson)?;
        self.at += skipped + 1;
        Ok(rest[skipped])
    }

    /// The raw text of a string after its opening quote.
    fn string(&mut self) -> Result<&'a [u8], Stop> {
        let body = self.body;
        let start = self.at;
        loop {
            let step = memchr::memchr2(b'"', b'\\', &body[self.at..]).ok_or(Stop::NotJson)?;
            let end = self.at + step;
            if body[end] == b'"' {
                self.at = end + 1;
                return Ok(&body[start..end]);
            }
            self.at = (end + 2).min(body.len());
        }
    }
}

// === impl Members ===

impl Members {
    /// At the comma after the current member.
    fn next(&mut self, comma: usize, cuts: &mut Vec<Range<usize>>) {
        match self.doomed.take() {
            Some(_) if self.kept => cuts.push(self.comma..self.end),
            Some(start) => cuts.push(start..comma + 1),
            None => self.kept = true,
        }
        self.comma = comma;
    }

    /// At the end of the object.
    fn last(&mut self, cuts: &mut Vec<Range<usize>>) {
        match self.doomed.take() {
            Some(_) if self.kept => cuts.push(self.comma..self.end),
            Some(start) => cuts.push(start..self.end),
            None => {}
        }
    }
}

// === impl UnqualifyError ===

impl Classify for UnqualifyError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Client
    }

    fn reply(&self) -> Reply {
        let message = match self {
            Self::Malformed => {
                "the body holds a malformed namespace: write <namespace> or <namespace>@<cluster>"
            }
            Self::Mismatch => "the namespaces in the body name different clusters",
        };
        Reply::router(StatusCode::BAD_REQUEST, 1, message)
    }
}

fn role(shape: Shape, path: JsonPath, raw_key: &[u8]) -> Role {
    let Some(key) = fold(raw_key) else { return Role::Other };
    if path.key(shape) == Some(key.as_bytes()) {
        return Role::Namespace;
    }
    if shape == Shape::Resource && path.is_metadata() && key == "name" {
        return Role::Name;
    }
    path.child(shape, key.as_bytes()).map_or(Role::Other, Role::Object)
}

fn is_cluster(raw_key: &[u8]) -> bool {
    raw_key.len() <= MAX_RAW_KEY && decode(raw_key) == "cluster"
}

/// A key as Go compares it; nothing when it is too long to be one that matters.
fn fold(raw_key: &[u8]) -> Option<String> {
    if raw_key.len() > MAX_RAW_KEY {
        return None;
    }
    let fold_char = |c| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        '\u{130}' => 'i',
        _ => c.to_ascii_lowercase(),
    };
    Some(decode(raw_key).chars().map(fold_char).collect())
}

/// Where the (first) `@` of a string stands in its raw text.
fn at_sign(raw: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < raw.len() {
        match raw[at] {
            b'@' => return Some(at),
            b'\\' if raw[at..].starts_with(br"\u0040") => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

/// The text of a string as Go decodes it: what is not UTF-8 or a lone surrogate becomes U+FFFD.
fn decode(raw: &[u8]) -> String {
    if !raw.contains(&b'\\') {
        return String::from_utf8_lossy(raw).into_owned();
    }
    let mut text = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            text.push(*byte);
            continue;
        }
        let Some((kind, after)) = rest.split_first() else { break };
        rest = after;
        let c = match kind {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => unicode(&mut rest),
            other => {
                text.push(*other);
                continue;
            }
        };
        text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The character after `\u`, with its second half if it is a surrogate.
fn unicode(rest: &mut &[u8]) -> char {
    let Some(high) = hex(rest) else { return char::REPLACEMENT_CHARACTER };
    *rest = &rest[4..];
    if let Some(c) = char::from_u32(high) {
        return c;
    }
    let low = rest.strip_prefix(br"\u").and_then(hex);
    match low {
        Some(low @ 0xdc00..=0xdfff) if high < 0xdc00 => {
            *rest = &rest[6..];
            let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
        _ => char::REPLACEMENT_CHARACTER,
    }
}

/// The first four bytes as hexadecimal digits.
fn hex(digits: &[u8]) -> Option<u32> {
    digits.get(..4)?.iter().try_fold(0, |code, digit| Some(code << 4 | char::from(*digit).to_digit(16)?))
}

fn without(body: &[u8], cuts: &[Range<usize>]) -> Bytes {
    let mut kept = BytesMut::with_capacity(body.len());
    let mut done = 0;
    for cut in cuts {
        kept.extend_from_slice(&body[done..cut.start]);
        done = cut.end;
    }
    kept.extend_from_slice(&body[done..]);
    kept.freeze()
}

/// Longest raw spelling of a key that matters: `namespace`, each letter as `\uXXXX`.
const MAX_RAW_KEY: usize = "namespace".len() * 6;

/// Deepest nesting that is followed. Go gives up after 10,000 levels.
const MAX_LEVELS: usize = 16_384;
