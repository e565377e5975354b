use super::{ScanError, block::BLOCK};

/// Deepest nesting that is followed.
pub(super) const MAX_DEPTH: u32 = 512;

/// The open brackets, one bit each (1 = `{`): the innermost 64 in a register, the others spilled.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BracketStack {
    depth: u32,
    top: u64,
    spilled: [u64; (MAX_DEPTH / 64) as usize],
}

// === impl BracketStack ===

impl BracketStack {
    /// How many brackets are open.
    #[inline]
    pub(super) const fn depth(&self) -> u32 {
        self.depth
    }

    /// Whether the innermost open bracket is `{`.
    #[inline]
    pub(super) const fn in_object(&self) -> bool {
        self.top & 1 == 1
    }

    /// Opens `{` or `[`.
    #[inline]
    pub(super) fn open(&mut self, byte: u8) -> Result<(), ScanError> {
        if self.depth.is_multiple_of(64) {
            self.spill()?;
        }
        self.top = self.top << 1 | kind(byte);
        self.depth += 1;
        Ok(())
    }

    /// Closes with `}` or `]`; at least one bracket is open.
    #[inline]
    pub(super) fn close(&mut self, byte: u8) -> Result<(), ScanError> {
        if self.top & 1 != kind(byte) {
            return Err(ScanError::Unbalanced);
        }
        self.top >>= 1;
        self.depth -= 1;
        if self.depth.is_multiple_of(64) {
            self.unspill();
        }
        Ok(())
    }

    /// Follows the brackets of `block` that are set in `events` until `stop` or fewer are open; returns the
    /// events after that.
    #[inline]
    pub(super) fn skip(&mut self, block: &[u8; BLOCK], mut events: u64, stop: u32) -> Result<u64, ScanError> {
        // A copy, because the registers of this loop decide the speed of the scan.
        let (mut depth, mut top) = (self.depth, self.top);
        while events != 0 && depth > stop {
            let byte = block[events.trailing_zeros() as usize];
            events &= events - 1;
            if byte & OPENS != 0 {
                if depth.is_multiple_of(64) {
                    self.depth = depth;
                    self.top = top;
                    self.spill()?;
                }
                top = top << 1 | kind(byte);
                depth += 1;
            } else {
                if top & 1 != kind(byte) {
                    return Err(ScanError::Unbalanced);
                }
                top >>= 1;
                depth -= 1;
                if depth.is_multiple_of(64) {
                    self.depth = depth;
                    self.unspill();
                    top = self.top;
                }
            }
        }
        self.depth = depth;
        self.top = top;
        Ok(events)
    }

    #[cold]
    fn spill(&mut self) -> Result<(), ScanError> {
        let slot = self.spilled.get_mut((self.depth / 64) as usize).ok_or(ScanError::TooDeep)?;
        *slot = self.top;
        Ok(())
    }

    #[cold]
    fn unspill(&mut self) {
        self.top = self.spilled[(self.depth / 64) as usize];
    }
}

/// `{` and `[` have this bit, `}` and `]` have not.
pub(super) const OPENS: u8 = 0b10;

/// `{` and `}` differ from `[` and `]` in this bit.
#[inline]
const fn kind(byte: u8) -> u64 {
    (byte >> 5 & 1) as u64
}
