//! The part of a client's document that one cluster gets.
//!
//! It is the client's own text with everything that is not for the cluster blanked out, so that lines and columns in the
//! cluster's errors fit the client's document.

use std::collections::HashSet;

use super::{
    ast::{Directive, Field, Selection, SelectionSet, Value},
    plan::{Blanks, Plan},
};

/// The whole document, with the edits that every cluster needs.
pub(super) fn whole(plan: &Plan) -> String {
    write(plan, &[])
}

/// The document with only the root fields that start at `kept`, and the fragments and variables that these use.
pub(super) fn part(plan: &Plan, kept: &HashSet<usize>) -> String {
    let mut cut = Cut {
        plan,
        kept,
        blanks: Blanks::new(),
        roots: HashSet::new(),
        fragments: HashSet::new(),
        variables: HashSet::new(),
    };
    let operation = &plan.document.operation;
    cut.directives(&operation.directives);
    cut.root(&operation.set);
    for fragment in &plan.document.fragments {
        if !cut.fragments.contains(&*fragment.name) {
            cut.blanks.push(fragment.span.clone());
        }
    }
    let unused = |variable: &&super::ast::Variable| !cut.variables.contains(&*variable.name);
    let unused: Vec<_> = operation.variables.iter().filter(unused).map(|v| v.span.clone()).collect();
    if unused.len() == operation.variables.len() {
        cut.blanks.extend(operation.variables_span.clone());
    } else {
        cut.blanks.extend(unused);
    }
    cut.blanks.sort_by_key(|span| span.start);
    write(plan, &cut.blanks)
}

/// The text with edits applied and blanks blanked; where they overlap, blanks win.
fn write(plan: &Plan, blanks: &[std::ops::Range<usize>]) -> String {
    let text = &plan.text;
    let mut out = String::with_capacity(text.len() + 64);
    let mut edits = plan.edits.iter().peekable();
    let mut at = 0;
    let mut copy = |from: usize, to: usize, out: &mut String| {
        let mut from = from;
        while let Some(edit) =
            edits.next_if(|edit| edit.span.start < to || (edit.span.start == to && to == text.len()))
        {
            if edit.span.start < from {
                continue;
            }
            out.push_str(&text[from..edit.span.start]);
            out.push_str(&edit.text);
            from = edit.span.end;
        }
        out.push_str(&text[from..to]);
    };
    for blank in blanks {
        if blank.start < at {
            continue;
        }
        copy(at, blank.start, &mut out);
        out.extend(
            text[blank.clone()].bytes().map(|b| if matches!(b, b'\n' | b'\r') { b as char } else { ' ' }),
        );
        at = blank.end;
    }
    copy(at, text.len(), &mut out);
    out
}

/// What is kept and what is blanked.
struct Cut<'a> {
    plan: &'a Plan,
    kept: &'a HashSet<usize>,
    blanks: Blanks,
    /// Fragments on the root type that have been cut already.
    roots: HashSet<&'a str>,
    fragments: HashSet<&'a str>,
    variables: HashSet<&'a str>,
}

// === impl Cut ===

impl<'a> Cut<'a> {
    /// Cuts a set of root fields; returns whether anything is left.
    fn root(&mut self, set: &'a SelectionSet) -> bool {
        let mut any = false;
        for item in &set.items {
            let (keeps, span, directives) = match item {
                Selection::Field(field) => {
                    let keeps = self.kept.contains(&field.span.start);
                    if keeps {
                        self.field(field);
                    }
                    (keeps, &field.span, &field.directives)
                }
                Selection::Inline(inline) => (self.root(&inline.set), &inline.span, &inline.directives),
                Selection::Spread(spread) => {
                    (self.root_fragment(&spread.name), &spread.span, &spread.directives)
                }
            };
            if keeps {
                self.directives(directives);
            } else {
                self.blanks.push(span.clone());
            }
            any |= keeps;
        }
        any
    }

    fn root_fragment(&mut self, name: &str) -> bool {
        let Some(fragment) = self.plan.document.fragment(name) else { return false };
        if !self.roots.insert(&fragment.name) {
            return self.fragments.contains(&*fragment.name);
        }
        let keeps = self.root(&fragment.set);
        if keeps {
            self.fragments.insert(&fragment.name);
            self.directives(&fragment.directives);
        }
        keeps
    }

    /// Records what a kept field uses.
    fn field(&mut self, field: &'a Field) {
        field.arguments.iter().for_each(|(_, value)| self.value(value));
        self.directives(&field.directives);
        if let Some(set) = &field.set {
            self.set(set);
        }
    }

    fn set(&mut self, set: &'a SelectionSet) {
        for item in &set.items {
            match item {
                Selection::Field(field) => self.field(field),
                Selection::Inline(inline) => {
                    self.directives(&inline.directives);
                    self.set(&inline.set);
                }
                Selection::Spread(spread) => {
                    self.directives(&spread.directives);
                    if let Some(fragment) = self.plan.document.fragment(&spread.name)
                        && self.fragments.insert(&fragment.name)
                    {
                        self.directives(&fragment.directives);
                        self.set(&fragment.set);
                    }
                }
            }
        }
    }

    fn directives(&mut self, directives: &'a [Directive]) {
        for (_, value) in directives.iter().flat_map(|directive| &directive.arguments) {
            self.value(value);
        }
    }

    fn value(&mut self, value: &'a Value) {
        match value {
            Value::Variable(name) => {
                self.variables.insert(name);
            }
            Value::List(items) => items.iter().for_each(|item| self.value(item)),
            Value::Object(fields) => fields.iter().for_each(|(_, value)| self.value(value)),
            Value::String(_) | Value::Boolean(_) | Value::Other => {}
        }
    }
}
