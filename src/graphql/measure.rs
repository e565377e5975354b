//! How large an operation is once its fragments are opened, without opening them.

use super::{
    ast::{Document, Selection, SelectionSet},
    limits::{self, Limit},
    parse::ParseError,
};

/// Checks depth, root fields and aliases.
///
/// Each fragment is measured once, so the cost is linear in the text however far the fragments multiply.
///
/// # Errors
/// A limit, or that a fragment is missing or contains itself.
pub(super) fn check(document: &Document) -> Result<(), ParseError> {
    let mut measure = Measure { document, fragments: vec![Known::No; document.fragments.len()] };
    let whole = measure.set(&document.operation.set)?;
    for index in 0..document.fragments.len() {
        measure.fragment(index)?;
    }
    let limit = |over, limit| if over { Err(ParseError::Limit(limit)) } else { Ok(()) };
    limit(whole.depth > limits::DEPTH, Limit::Depth)?;
    limit(whole.fields > limits::ROOT_FIELDS, Limit::RootFields)?;
    limit(whole.aliases > limits::ALIASES, Limit::Aliases)
}

/// The size of a selection set.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    depth: usize,
    /// Fields of the set itself, fragments opened.
    fields: usize,
    /// Aliases of the set and all below.
    aliases: usize,
}

#[derive(Clone, Copy)]
enum Known {
    No,
    /// Being measured: met again, it contains itself.
    Open,
    Yes(Size),
}

struct Measure<'a> {
    document: &'a Document,
    fragments: Vec<Known>,
}

// === impl Measure ===

impl<'a> Measure<'a> {
    fn set(&mut self, set: &'a SelectionSet) -> Result<Size, ParseError> {
        let mut size = Size::default();
        for item in &set.items {
            let part = match item {
                Selection::Field(field) => {
                    let below = field.set.as_ref().map(|set| self.set(set)).transpose()?.unwrap_or_default();
                    Size {
                        depth: below.depth + 1,
                        fields: 1,
                        aliases: below.aliases.saturating_add(usize::from(field.alias.is_some())),
                    }
                }
                Selection::Inline(inline) => self.set(&inline.set)?,
                Selection::Spread(spread) => {
                    let index = self.document.by_name.get(&spread.name).ok_or(ParseError::NotUnderstood)?;
                    self.fragment(*index)?
                }
            };
            size.depth = size.depth.max(part.depth);
            size.fields = size.fields.saturating_add(part.fields);
            size.aliases = size.aliases.saturating_add(part.aliases);
        }
        Ok(size)
    }

    fn fragment(&mut self, index: usize) -> Result<Size, ParseError> {
        match self.fragments[index] {
            Known::Yes(size) => Ok(size),
            Known::Open => Err(ParseError::NotUnderstood),
            Known::No => {
                self.fragments[index] = Known::Open;
                let document = self.document;
                let size = self.set(&document.fragments[index].set)?;
                self.fragments[index] = Known::Yes(size);
                Ok(size)
            }
        }
    }
}
