//! The outermost layer of a protobuf message, without knowledge of its type.

/// How a field is written (the wire types of protobuf).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Varint,
    Fixed64,
    Bytes,
    Fixed32,
}

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'v> {
    pub(super) number: u32,
    pub(super) wire: Wire,
    /// Its content, without the length.
    pub(super) content: &'v [u8],
}

/// The fields of a message, in order. Ends after an error.
pub(super) struct Fields<'v> {
    rest: &'v [u8],
}

/// The bytes are not a protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

// === impl Fields ===

impl<'v> Fields<'v> {
    pub(super) fn of(value: &'v [u8]) -> Self {
        Self { rest: value }
    }

    fn field(&mut self) -> Option<Field<'v>> {
        let (tag, _) = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number != 0)?;
        let (wire, content) = match tag & 7 {
            0 => (Wire::Varint, self.varint()?.1),
            1 => (Wire::Fixed64, self.take(8)?),
            2 => {
                let (length, _) = self.varint()?;
                (Wire::Bytes, self.take(usize::try_from(length).ok()?)?)
            }
            5 => (Wire::Fixed32, self.take(4)?),
            // Groups, which Sensu does not use.
            _ => return None,
        };
        Some(Field { number, wire, content })
    }

    fn varint(&mut self) -> Option<(u64, &'v [u8])> {
        let mut number = 0;
        for (index, byte) in self.rest.iter().take(MAX_VARINT).enumerate() {
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if index == MAX_VARINT - 1 && bits > 1 {
                return None;
            }
            number |= bits << (7 * index);
            if byte & 0x80 == 0 {
                return Some((number, self.take(index + 1)?));
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'v [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

impl<'v> Iterator for Fields<'v> {
    type Item = Result<Field<'v>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field().ok_or(Malformed);
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Most bytes of a number.
const MAX_VARINT: usize = 10;
