use bytes::{BufMut, BytesMut};

use super::{
    Brackets, ScanError,
    block::{BLOCK, Block, Marks, Strings},
    bracket_stack::{BracketStack, OPENS},
    is_space,
    json_path::JsonPath,
    key_lookback::{KeyLookback, key_before, spaced},
};
use crate::{
    types::{ClusterName, Shape},
    wire::Transform,
};

/// Rewrites one response body as it streams through.
///
/// A top-level array is a list: each object in it is labelled and qualified. A top-level object is a single
/// resource: qualified, never labelled. With [`Brackets::Keep`] any other value passes through, and so do items
/// that are not objects. With [`Brackets::Strip`] the body must be an array of objects, or `null`, which Go
/// writes for an empty list.
///
/// The output does not depend on how the input is cut into chunks. White space right after the `{` of a
/// labelled item is held back until it is known whether the item is empty; more than 4 KiB of it is cut to
/// 4 KiB.
///
/// Keys are recognized when written plainly, as Go's encoder does; an escaped spelling is not. An item that
/// already has a `cluster` member keeps it behind ours, where most parsers would let it win; items of Sensu
/// never have one.
#[derive(Debug)]
pub struct Rewriter {
    shape: Shape,
    strip: bool,
    /// `,{"cluster":"<name>",`, of which each item takes what it needs.
    label: Option<Vec<u8>>,
    /// `@<name>`
    suffix: Option<Vec<u8>>,
    strings: Strings,
    stack: BracketStack,
    state: State,
    /// Depth between the items of a list: 1; 0 for other values.
    floor: u32,
    path: JsonPath,
    /// Depth inside the object at `path`; 0 while no namespace is looked for.
    watch: u32,
    /// Key of the namespace string in the object at `path`.
    key: Option<&'static [u8]>,
    in_namespace: bool,
    lookback: KeyLookback,
    held: Vec<u8>,
    items: u64,
    failed: Option<ScanError>,
}

/// Where the scan is. All but `Inside` look at each byte; `Inside` only at brackets and some quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the top-level value => (`FirstItem` | `Inside` | `Text` | `Scalar` | `Null`)
    Start,
    /// After `[` => (a value | `End`)
    FirstItem,
    /// After a comma => a value
    NextItem,
    /// After the `{` of an item to be labelled => `Inside`
    Opened,
    /// In an object, or in an array that is an item => (`Comma` | `End`)
    Inside,
    /// In a string that is an item or the whole value => (`Comma` | `End`)
    Text,
    /// In a number or literal that is an item or the whole value => (`Comma` | `End`)
    Scalar,
    /// In a top-level `null`, of which this many bytes were seen => `End`
    Null(u8),
    /// After an item => (`NextItem` | `End`)
    Comma,
    /// After the top-level value.
    End,
}

/// One chunk on its way to the output: all before `done` was copied or dropped.
struct ChunkWriter<'a> {
    chunk: &'a [u8],
    out: &'a mut BytesMut,
    done: usize,
}

// === impl Rewriter ===

impl Transform for Rewriter {
    type Error = ScanError;

    fn push(&mut self, chunk: &[u8], out: &mut BytesMut) -> Result<(), ScanError> {
        Rewriter::push(self, chunk, out)
    }

    fn finish(&mut self, out: &mut BytesMut) -> Result<(), ScanError> {
        Rewriter::finish(self, out)
    }
}

impl Rewriter {
    /// A rewriter for one body. With `label`, `"cluster":"<label>"` becomes the first member of each item of
    /// a list; with `qualify`, `@<qualify>` is appended to each namespace string.
    pub fn new(
        shape: Shape,
        label: Option<&ClusterName>,
        qualify: Option<&ClusterName>,
        brackets: Brackets,
    ) -> Self {
        Self {
            shape,
            strip: brackets == Brackets::Strip,
            label: label.map(|name| format!(",{{\"cluster\":\"{name}\",").into_bytes()),
            suffix: qualify.map(|name| format!("@{name}").into_bytes()),
            strings: Strings::default(),
            stack: BracketStack::default(),
            state: State::Start,
            floor: 0,
            path: JsonPath::default(),
            watch: 0,
            key: None,
            in_namespace: false,
            lookback: KeyLookback::default(),
            held: Vec::new(),
            items: 0,
            failed: None,
        }
    }

    /// Reads one chunk and appends what it becomes to `out`.
    ///
    /// # Errors
    ///
    /// Says why the body is broken, and again at each later call. `out` then holds a part of the edited body.
    pub fn push(&mut self, chunk: &[u8], out: &mut BytesMut) -> Result<(), ScanError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        out.reserve(chunk.len() + chunk.len() / 32 + BLOCK);
        let mut writer = ChunkWriter { chunk, out, done: 0 };
        if let Err(error) = self.scan(&mut writer) {
            self.failed = Some(error);
            return Err(error);
        }
        if !self.strip || self.state == State::Inside {
            writer.flush(chunk.len());
        }
        self.lookback = self.lookback.then(chunk, self.strings.open());
        Ok(())
    }

    /// Ends the body. Nothing is held back at the end of a complete one, so `out` stays as it is.
    ///
    /// # Errors
    ///
    /// [`ScanError::Incomplete`] when the value is not complete, or the error of an earlier `push`.
    pub fn finish(&mut self, _out: &mut BytesMut) -> Result<(), ScanError> {
        let complete = self.state == State::End || (self.state == State::Scalar && self.stack.depth() == 0);
        match self.failed {
            Some(error) => Err(error),
            None if complete => Ok(()),
            None => Err(ScanError::Incomplete),
        }
    }

    /// Items seen so far in a top-level array; 0 for other values.
    pub fn items(&self) -> u64 {
        self.items
    }

    fn scan(&mut self, writer: &mut ChunkWriter<'_>) -> Result<(), ScanError> {
        let (blocks, rest) = writer.chunk.as_chunks::<BLOCK>();
        let mut base = 0;
        for block in blocks {
            let seen = self.strings.next(Marks::of(block), BLOCK);
            // Much of an item lies deeper than anything of interest.
            let deep = self.state == State::Inside && self.stack.depth() > self.watch;
            if !deep || seen.brackets | seen.stray != 0 {
                self.block(writer, base, block, &seen, u64::MAX)?;
            }
            base += BLOCK;
        }
        if !rest.is_empty() {
            let mut block = [b' '; BLOCK];
            block[..rest.len()].copy_from_slice(rest);
            let seen = self.strings.next(Marks::of(&block), rest.len());
            self.block(writer, base, &block, &seen, (1 << rest.len()) - 1)?;
        }
        Ok(())
    }

    /// Reads the bytes of `block` that are set in `left`.
    fn block(
        &mut self,
        writer: &mut ChunkWriter<'_>,
        base: usize,
        block: &[u8; BLOCK],
        seen: &Block,
        mut left: u64,
    ) -> Result<(), ScanError> {
        if seen.stray != 0 {
            // What stands before it may be wrong in another way.
            left &= (1 << seen.stray.trailing_zeros()) - 1;
        }
        while left != 0 {
            if self.state != State::Inside {
                let at = left.trailing_zeros() as usize;
                let closes_string = (seen.quotes & !seen.inside) >> at & 1 == 1;
                if self.between(writer, base + at, closes_string)? {
                    left &= left - 1;
                }
            } else if self.stack.depth() == self.watch {
                left = self.look(writer, base, block, seen, left)?;
            } else {
                left = self.skip(writer, base, block, seen, left)?;
            }
        }
        if seen.stray == 0 { Ok(()) } else { Err(ScanError::Unexpected) }
    }

    /// Follows the brackets of something that holds no namespace string to its end; returns the bytes after
    /// that.
    #[inline]
    fn skip(
        &mut self,
        writer: &mut ChunkWriter<'_>,
        base: usize,
        block: &[u8; BLOCK],
        seen: &Block,
        left: u64,
    ) -> Result<u64, ScanError> {
        let events = seen.brackets & left;
        let stop = self.watch.max(self.floor);
        let after = self.stack.skip(block, events, stop)?;
        if self.stack.depth() > stop {
            return Ok(0);
        }
        // The last event that was read is the highest one that is not among those after it.
        let at = (events & !after).ilog2() as usize;
        if stop == self.floor {
            self.end_value(writer, base + at);
        }
        Ok(left & u64::MAX << at << 1)
    }

    /// Reads what stands directly in the object at `path` up to the next bracket that leads out of it;
    /// returns the bytes after that.
    #[inline]
    fn look(
        &mut self,
        writer: &mut ChunkWriter<'_>,
        base: usize,
        block: &[u8; BLOCK],
        seen: &Block,
        mut left: u64,
    ) -> Result<u64, ScanError> {
        let strings = if self.key.is_some() { seen.quotes } else { 0 };
        loop {
            let events = (seen.brackets | strings) & left;
            if events == 0 {
                return Ok(0);
            }
            let at = events.trailing_zeros() as usize;
            left &= u64::MAX << at << 1;
            let byte = block[at];
            if byte == b'"' {
                self.quote(writer, base + at, seen.inside >> at & 1 == 1);
                continue;
            }
            if byte & OPENS != 0 {
                if byte == b'{' {
                    self.enter(writer.chunk, base + at);
                }
                self.stack.open(byte)?;
            } else {
                self.leave();
                self.stack.close(byte)?;
                if self.stack.depth() == self.floor {
                    self.end_value(writer, base + at);
                }
            }
            return Ok(left);
        }
    }

    /// A quote directly in an object that may hold a namespace string.
    fn quote(&mut self, writer: &mut ChunkWriter<'_>, at: usize, opens: bool) {
        if opens {
            self.in_namespace = self.with_key(writer.chunk, at, |key| key == self.key);
        } else if self.in_namespace {
            writer.flush(at);
            writer.out.put_slice(self.suffix.as_deref().unwrap_or_default());
            self.in_namespace = false;
        }
    }

    /// A `{` directly in the object at `path`.
    fn enter(&mut self, chunk: &[u8], at: usize) {
        let child = self.with_key(chunk, at, |key| self.path.child(self.shape, key?));
        if let Some(child) = child {
            self.look_in(child, self.watch + 1);
        }
    }

    /// The `}` of the object at `path`.
    fn leave(&mut self) {
        self.look_in(self.path.parent(), self.watch - 1);
    }

    fn look_in(&mut self, path: JsonPath, depth: u32) {
        self.path = path;
        self.watch = depth;
        self.key = path.key(self.shape);
    }

    /// Reads the key before a value that starts at `at`.
    #[inline]
    fn with_key<T>(&self, chunk: &[u8], at: usize, read: impl Fn(Option<&[u8]>) -> T) -> T {
        let before = &chunk[..at];
        if before.len() >= BLOCK && !spaced(before) {
            read(key_before(before))
        } else {
            read(self.lookback.then(before, false).key())
        }
    }

    /// Reads one byte outside items, or returns false when the byte is to be read in the new state.
    fn between(
        &mut self,
        writer: &mut ChunkWriter<'_>,
        at: usize,
        closes_string: bool,
    ) -> Result<bool, ScanError> {
        let byte = writer.chunk[at];
        match self.state {
            State::Opened => return Ok(self.label(writer, at, byte)),
            State::Text if closes_string => self.end_value(writer, at),
            State::Scalar if !byte.is_ascii_alphanumeric() && !matches!(byte, b'+' | b'-' | b'.') => {
                self.end_value(writer, at);
                return Ok(false);
            }
            State::Text | State::Scalar => {}
            State::Null(seen) if byte == b"null"[usize::from(seen)] => {
                self.state = if seen == 3 { State::End } else { State::Null(seen + 1) };
            }
            State::Null(_) => return Err(ScanError::Unexpected),
            _ if is_space(byte) => {}
            State::Start => self.start(byte)?,
            State::End => return Err(ScanError::Trailing),
            State::FirstItem | State::Comma if byte == b']' => {
                self.stack.close(byte)?;
                self.state = State::End;
            }
            State::Comma if byte == b',' => self.state = State::NextItem,
            State::Comma if byte == b'}' => return Err(ScanError::Unbalanced),
            State::Comma => return Err(ScanError::Separator),
            State::FirstItem | State::NextItem | State::Inside => self.item(writer, at, byte)?,
        }
        Ok(true)
    }

    /// The first byte of the top-level value.
    fn start(&mut self, byte: u8) -> Result<(), ScanError> {
        match byte {
            b'[' => {
                self.stack.open(byte)?;
                self.floor = 1;
                self.state = State::FirstItem;
                Ok(())
            }
            b'n' if self.strip => {
                self.state = State::Null(1);
                Ok(())
            }
            _ => self.value(byte, ScanError::NotAnArray),
        }
    }

    /// The first byte of an item.
    fn item(&mut self, writer: &mut ChunkWriter<'_>, at: usize, byte: u8) -> Result<(), ScanError> {
        match byte {
            b']' | b',' => return Err(ScanError::Separator),
            b'}' => return Err(ScanError::Unbalanced),
            _ => self.value(byte, ScanError::NotAnObject)?,
        }
        self.items += 1;
        if byte == b'{' && self.label.is_some() {
            if !self.strip {
                writer.flush(at);
            }
            writer.done = at + 1;
            self.state = State::Opened;
        } else if self.strip {
            if self.items > 1 {
                writer.out.put_u8(b',');
            }
            writer.done = at;
        }
        Ok(())
    }

    /// The first byte of a value that is an item or stands alone; only objects pass when brackets are
    /// stripped, else `refusal`, and of those only items.
    fn value(&mut self, byte: u8, refusal: ScanError) -> Result<(), ScanError> {
        self.state = match byte {
            b'{' | b'[' => State::Inside,
            b'"' => State::Text,
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => State::Scalar,
            _ => return Err(ScanError::Unexpected),
        };
        if self.strip && (byte != b'{' || self.floor == 0) {
            return Err(refusal);
        }
        if self.state == State::Inside {
            self.stack.open(byte)?;
            if byte == b'{' && self.suffix.is_some() {
                self.look_in(JsonPath::default(), self.stack.depth());
            }
        }
        Ok(())
    }

    /// A byte after the `{` of an item: white space is held, anything else brings the label out.
    fn label(&mut self, writer: &mut ChunkWriter<'_>, at: usize, byte: u8) -> bool {
        if is_space(byte) {
            if self.held.len() < MAX_HELD {
                self.held.push(byte);
            }
            writer.done = at + 1;
            return true;
        }
        let label = self.label.as_deref().unwrap_or_default();
        let start = usize::from(!(self.strip && self.items > 1));
        let end = label.len() - usize::from(byte == b'}');
        writer.out.put_slice(&label[start..end]);
        writer.out.put_slice(&self.held);
        self.held.clear();
        self.state = State::Inside;
        false
    }

    /// The last byte of an item or of the whole value (of a number or literal, the byte after it).
    fn end_value(&mut self, writer: &mut ChunkWriter<'_>, at: usize) {
        if self.strip {
            writer.flush(at + 1);
        }
        self.watch = 0;
        self.key = None;
        self.state = if self.floor == 1 { State::Comma } else { State::End };
    }
}

// === impl ChunkWriter ===

impl ChunkWriter<'_> {
    /// Copies all that is not yet copied before `end`.
    #[inline]
    fn flush(&mut self, end: usize) {
        self.out.extend_from_slice(&self.chunk[self.done..end]);
        self.done = end;
    }
}

/// Most white space held back after the `{` of an item.
const MAX_HELD: usize = 4096;
