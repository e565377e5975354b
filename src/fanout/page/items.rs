use crate::rewrite::ScanError;

/// Splits a list that arrives in chunks into its items, one in memory at a time.
///
/// The list must be an array of objects, or `null`, which Go writes for an empty one. Only its structure is looked at: what
/// stands inside an item is checked by whoever reads the item.
#[derive(Debug, Default)]
pub(super) struct Items {
    state: State,
    /// The beginning of an item whose end has not arrived.
    partial: Vec<u8>,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before the array => (`First` | `Null`)
    #[default]
    Start,
    /// After `[` => (`Inside` | `End`)
    First,
    /// After a comma => `Inside`
    Next,
    /// In an item => `Comma`
    Inside,
    /// After an item => (`Next` | `End`)
    Comma,
    /// In `null`, of which this many bytes were seen => `End`
    Null(usize),
    /// After the list.
    End,
}

/// What [`Items::push`] stopped at.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ItemError {
    /// It is no list.
    Scan(ScanError),
    /// An item is longer than [`MAX_ITEM`].
    TooLarge,
}

// === impl Items ===

impl Items {
    /// Reads a chunk; `take` gets each item that is complete with it.
    pub(super) fn push<E: From<ItemError>>(
        &mut self,
        chunk: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut at = 0;
        while at < chunk.len() {
            if self.state != State::Inside {
                self.between(chunk[at]).map_err(ItemError::Scan)?;
                if self.state != State::Inside {
                    at += 1;
                    continue;
                }
            }
            let Some(length) = self.end_of_item(&chunk[at..]) else {
                self.keep(&chunk[at..])?;
                return Ok(());
            };
            let item = &chunk[at..at + length];
            at += length;
            self.state = State::Comma;
            if self.partial.is_empty() {
                take(item)?;
            } else {
                self.keep(item)?;
                take(&std::mem::take(&mut self.partial))?;
            }
        }
        Ok(())
    }

    /// Ends the list.
    pub(super) fn finish(&self) -> Result<(), ItemError> {
        if self.state == State::End { Ok(()) } else { Err(ItemError::Scan(ScanError::Incomplete)) }
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), ItemError> {
        if self.partial.len() + bytes.len() > MAX_ITEM {
            return Err(ItemError::TooLarge);
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    /// One byte outside items. The first one of an item leads to `Inside` and is read again there.
    fn between(&mut self, byte: u8) -> Result<(), ScanError> {
        self.state = match (self.state, byte) {
            (State::Null(3), b'l') | (State::First | State::Comma, b']') => State::End,
            (State::Null(seen), _) if b"null".get(seen) == Some(&byte) => State::Null(seen + 1),
            (State::Null(_), _) => return Err(ScanError::Unexpected),
            (state, b' ' | b'\t' | b'\n' | b'\r') => state,
            (State::Start, b'[') => State::First,
            (State::Start, b'n') => State::Null(1),
            (State::Start, _) => return Err(ScanError::NotAnArray),
            (State::First | State::Next, b'{') | (State::Inside, _) => State::Inside,
            (State::First | State::Next, b',' | b']') => return Err(ScanError::Separator),
            (State::First | State::Next, _) => return Err(ScanError::NotAnObject),
            (State::Comma, b',') => State::Next,
            (State::Comma, _) => return Err(ScanError::Separator),
            (State::End, _) => return Err(ScanError::Trailing),
        };
        Ok(())
    }

    /// Where the item that is being read ends in `bytes`.
    fn end_of_item(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    // It begins with a bracket, so the depth is never 0 here.
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

// === impl ItemError ===

impl From<ScanError> for ItemError {
    fn from(error: ScanError) -> Self {
        Self::Scan(error)
    }
}

/// Longest item, in bytes. A Sensu backend stores nothing longer than etcd's 1.5 MiB.
pub(super) const MAX_ITEM: usize = 16 << 20;
