//! An executable document as the planner reads it: names, structure and spans in the text.
//!
//! Only what planning needs is kept. Ranges are byte offsets into the document's text, so that a cluster's document can
//! be made by blanking parts of the client's own.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

/// Byte offsets in the text.
pub(super) type Span = Range<usize>;

/// A document with exactly one operation.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) operation: Operation,
    pub(super) fragments: Vec<Fragment>,
    /// Index in `fragments` by name.
    pub(super) by_name: HashMap<Box<str>, usize>,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OperationKind {
    Query,
    Mutation,
    Subscription,
}

#[derive(Debug)]
pub(super) struct Operation {
    pub(super) kind: OperationKind,
    pub(super) name: Option<Box<str>>,
    /// The parenthesised list, parentheses included.
    pub(super) variables_span: Option<Span>,
    pub(super) variables: Vec<Variable>,
    pub(super) directives: Vec<Directive>,
    pub(super) set: SelectionSet,
}

/// A variable's definition.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: Box<str>,
    pub(super) span: Span,
    pub(super) default: Option<Value>,
}

#[derive(Debug)]
pub(super) struct Fragment {
    pub(super) name: Box<str>,
    pub(super) condition: Box<str>,
    pub(super) span: Span,
    pub(super) directives: Vec<Directive>,
    pub(super) set: SelectionSet,
}

#[derive(Debug)]
pub(super) struct SelectionSet {
    /// Unique in the document.
    pub(super) id: usize,
    /// Right after the opening brace.
    pub(super) start: usize,
    pub(super) items: Vec<Selection>,
}

#[derive(Debug)]
pub(super) enum Selection {
    Field(Field),
    Spread(Spread),
    Inline(Inline),
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) span: Span,
    pub(super) alias: Option<Box<str>>,
    pub(super) name: Box<str>,
    pub(super) name_span: Span,
    pub(super) arguments: Vec<(Box<str>, Value)>,
    pub(super) directives: Vec<Directive>,
    pub(super) set: Option<SelectionSet>,
}

/// `...Name`
#[derive(Debug)]
pub(super) struct Spread {
    pub(super) span: Span,
    pub(super) name: Box<str>,
    pub(super) directives: Vec<Directive>,
}

/// `... on Type { }`
#[derive(Debug)]
pub(super) struct Inline {
    pub(super) span: Span,
    pub(super) condition: Option<Box<str>>,
    pub(super) directives: Vec<Directive>,
    pub(super) set: SelectionSet,
}

#[derive(Debug)]
pub(super) struct Directive {
    pub(super) name: Box<str>,
    pub(super) arguments: Vec<(Box<str>, Value)>,
}

#[derive(Debug)]
pub(super) enum Value {
    Variable(Box<str>),
    /// A string or block string; the span includes its quotes.
    String(Span),
    Boolean(bool),
    List(Vec<Value>),
    Object(Vec<(Box<str>, Value)>),
    /// Numbers, enums, null: nothing that names a cluster.
    Other,
}

// === impl Field ===

impl Field {
    /// The name of the field in the answer.
    pub(super) fn key(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.name)
    }
}

// === impl Document ===

impl Document {
    pub(super) fn fragment(&self, name: &str) -> Option<&Fragment> {
        self.by_name.get(name).map(|index| &self.fragments[*index])
    }

    /// The fields of sets by key, fragments opened, type conditions taken for true.
    pub(super) fn fields<'a>(&'a self, sets: &[&'a SelectionSet]) -> Vec<(&'a str, Vec<&'a Field>)> {
        let mut keys: Vec<(&'a str, Vec<&'a Field>)> = Vec::new();
        let mut open: Vec<&'a SelectionSet> = sets.iter().rev().copied().collect();
        let mut opened = HashSet::new();
        while let Some(set) = open.pop() {
            for item in &set.items {
                match item {
                    Selection::Field(field) => match keys.iter_mut().find(|(key, _)| *key == field.key()) {
                        Some((_, all)) => all.push(field),
                        None => keys.push((field.key(), vec![field])),
                    },
                    Selection::Inline(inline) => open.push(&inline.set),
                    Selection::Spread(spread) => {
                        let fragment = self.fragment(&spread.name);
                        open.extend(
                            fragment.filter(|fragment| opened.insert(&fragment.name)).map(|it| &it.set),
                        );
                    }
                }
            }
        }
        keys
    }
}
