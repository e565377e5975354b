use super::{
    ScanError,
    block::{BLOCK, string_stops},
    bracket_stack::BracketStack,
    is_space,
};

/// Checks that a complete body is a list as [`Brackets::Strip`](super::Brackets::Strip) needs it: an array of
/// objects, or `null`, UTF-8, and valid to the last byte by the grammar of RFC 8259. A body that passes also
/// passes a [`Rewriter`](super::Rewriter).
///
/// # Errors
///
/// The first fault; see [`ScanError`].
pub fn validate_list(body: &[u8]) -> Result<(), ScanError> {
    // Much of a response is ASCII, for which this runs at many bytes per cycle.
    std::str::from_utf8(body).map_err(|_| ScanError::Encoding)?;
    let mut cursor = Cursor { body, at: 0, stops: 0, base: usize::MAX };
    match cursor.token()? {
        b'[' => cursor.list()?,
        b'n' => cursor.literal(b"ull")?,
        b'{' | b'"' | b't' | b'f' | b'-' | b'0'..=b'9' => return Err(ScanError::NotAnArray),
        _ => return Err(ScanError::Unexpected),
    }
    match cursor.token() {
        Err(ScanError::Incomplete) => Ok(()),
        _ => Err(ScanError::Trailing),
    }
}

/// A position in the body, and the ends of plain string runs in the block around it.
struct Cursor<'a> {
    body: &'a [u8],
    at: usize,
    stops: u64,
    base: usize,
}

// === impl Cursor ===

impl Cursor<'_> {
    /// A list after its `[`.
    fn list(&mut self) -> Result<(), ScanError> {
        let mut open = BracketStack::default();
        open.open(b'[')?;
        let mut byte = self.token()?;
        if byte == b']' {
            return Ok(());
        }
        loop {
            match byte {
                b'{' => self.container(&mut open, byte)?,
                b']' | b',' => return Err(ScanError::Separator),
                b'[' | b'"' | b't' | b'f' | b'n' | b'-' | b'0'..=b'9' => return Err(ScanError::NotAnObject),
                _ => return Err(ScanError::Unexpected),
            }
            match self.token()? {
                b']' => return Ok(()),
                b',' => byte = self.token()?,
                _ => return Err(ScanError::Separator),
            }
        }
    }

    /// A container after its opening bracket, to its end.
    fn container(&mut self, open: &mut BracketStack, opener: u8) -> Result<(), ScanError> {
        let floor = open.depth();
        open.open(opener)?;
        let mut byte = self.token()?;
        let mut empty = byte == b'}' || byte == b']';
        loop {
            // A member or an item, unless the container is empty.
            if !empty {
                if open.in_object() {
                    byte = self.key(byte)?;
                }
                match byte {
                    b'"' => self.string()?,
                    b'{' | b'[' => {
                        open.open(byte)?;
                        byte = self.token()?;
                        empty = byte == b'}' || byte == b']';
                        continue;
                    }
                    b'-' | b'0'..=b'9' => self.number(byte)?,
                    b't' => self.literal(b"rue")?,
                    b'f' => self.literal(b"alse")?,
                    b'n' => self.literal(b"ull")?,
                    _ => return Err(ScanError::Unexpected),
                }
                byte = self.token()?;
            }
            // The ends of containers, then a comma.
            while byte != b',' || empty {
                if byte != b'}' && byte != b']' {
                    return Err(ScanError::Unexpected);
                }
                open.close(byte)?;
                if open.depth() == floor {
                    return Ok(());
                }
                empty = false;
                byte = self.token()?;
            }
            byte = self.token()?;
        }
    }

    /// A key after its first byte, and the colon; returns the first byte of the value.
    #[inline]
    fn key(&mut self, byte: u8) -> Result<u8, ScanError> {
        if byte != b'"' {
            return Err(ScanError::Unexpected);
        }
        self.string()?;
        if self.token()? != b':' {
            return Err(ScanError::Unexpected);
        }
        self.token()
    }

    /// The next byte that is not white space.
    #[expect(clippy::inline_always, reason = "a call per token halves the rate")]
    #[inline(always)]
    fn token(&mut self) -> Result<u8, ScanError> {
        loop {
            let byte = *self.body.get(self.at).ok_or(ScanError::Incomplete)?;
            self.at += 1;
            if byte > b' ' || !is_space(byte) {
                return Ok(byte);
            }
        }
    }

    /// A string after its opening quote.
    #[expect(clippy::inline_always, reason = "a call per token halves the rate")]
    #[inline(always)]
    fn string(&mut self) -> Result<(), ScanError> {
        loop {
            let stop = self.next_stop()?;
            self.at = stop + 1;
            match self.body[stop] {
                b'"' => return Ok(()),
                b'\\' => self.escape()?,
                _ => return Err(ScanError::Unexpected),
            }
        }
    }

    /// Where the plain run that starts here ends.
    #[expect(clippy::inline_always, reason = "a call per token halves the rate")]
    #[inline(always)]
    fn next_stop(&mut self) -> Result<usize, ScanError> {
        if self.at & !(BLOCK - 1) != self.base {
            self.load(self.at & !(BLOCK - 1))?;
        }
        let mut ahead = self.stops & u64::MAX << (self.at % BLOCK);
        while ahead == 0 {
            self.load(self.base + BLOCK)?;
            ahead = self.stops;
        }
        Ok(self.base + ahead.trailing_zeros() as usize)
    }

    #[inline]
    fn load(&mut self, base: usize) -> Result<(), ScanError> {
        let rest = self.body.get(base..).filter(|rest| !rest.is_empty()).ok_or(ScanError::Incomplete)?;
        self.stops = if let Some(block) = rest.first_chunk::<BLOCK>() {
            string_stops(block)
        } else {
            let mut block = [b' '; BLOCK];
            block[..rest.len()].copy_from_slice(rest);
            string_stops(&block)
        };
        self.base = base;
        Ok(())
    }

    /// An escape after its backslash.
    fn escape(&mut self) -> Result<(), ScanError> {
        let rest = &self.body[self.at..];
        match rest.first() {
            None => return Err(ScanError::Incomplete),
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                let digits = rest.get(1..5).ok_or(ScanError::Incomplete)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(ScanError::Unexpected);
                }
                self.at += 5;
            }
            Some(_) => return Err(ScanError::Unexpected),
        }
        Ok(())
    }

    fn literal(&mut self, rest: &[u8]) -> Result<(), ScanError> {
        let found = &self.body[self.at..];
        if found.starts_with(rest) {
            self.at += rest.len();
            Ok(())
        } else if rest.starts_with(found) {
            Err(ScanError::Incomplete)
        } else {
            Err(ScanError::Unexpected)
        }
    }

    /// A number after its first byte.
    #[inline]
    fn number(&mut self, first: u8) -> Result<(), ScanError> {
        let mut lead = first;
        if first == b'-' {
            lead = *self.body.get(self.at).ok_or(ScanError::Incomplete)?;
            self.at += 1;
            if !lead.is_ascii_digit() {
                return Err(ScanError::Unexpected);
            }
        }
        if lead != b'0' {
            self.digits();
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(())
    }

    #[inline]
    fn digits(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), ScanError> {
        match self.peek() {
            None => Err(ScanError::Incomplete),
            Some(b) if b.is_ascii_digit() => {
                self.digits();
                Ok(())
            }
            Some(_) => Err(ScanError::Unexpected),
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }
}
