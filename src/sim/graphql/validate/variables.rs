//! Variables must be defined, used, of input types, and allowed where they are used.

use std::collections::BTreeSet;

use super::{
    super::{
        GraphqlError,
        inputs::problems_of_literal,
        schema::{Input, Kind, Ref, SCHEMA, Type},
        syntax::{Action, At, Directive, Document, Literal, Operation, Selection, Variable},
    },
    find, type_of,
};

/// A use of a variable.
struct Use<'a> {
    name: &'a str,
    at: At,
    /// What the place expects, when that is known.
    expected: Option<&'static Ref>,
}

pub(super) fn check(document: &Document, errors: &mut Vec<GraphqlError>) {
    for operation in &document.operations {
        let mut finder = Finder { document, uses: Vec::new(), visited: BTreeSet::new() };
        finder.directives(&operation.directives);
        let root = match operation.action {
            Action::Mutation => SCHEMA.get("Mutation"),
            _ => SCHEMA.get("Query"),
        };
        finder.selections(root, &operation.selections);
        check_definitions(document, operation, errors);
        check_uses(operation, &finder.uses, errors);
    }
}

fn check_definitions(document: &Document, operation: &Operation, errors: &mut Vec<GraphqlError>) {
    for (index, variable) in operation.variables.iter().enumerate() {
        let Variable { name, ty, default, at } = variable;
        let (type_at, default_at) = document.variable_parts_at(*at);
        if let Some(first) = operation.variables[..index].iter().find(|other| other.name == *name) {
            let text = format!("There can only be one variable named \"{name}\".");
            let places = [first.at, *at].map(|at| document.token_at(at, 1));
            errors.push(GraphqlError::new(text, places));
        }
        if SCHEMA.get(ty.name()).is_some_and(|known| !known.is_input()) {
            let text = format!("Variable \"${name}\" cannot be non-input type \"{ty}\".");
            errors.push(GraphqlError::new(text, [type_at]));
        }
        let Some(default) = default else { continue };
        if let Ref::NonNull(inner) = ty {
            let text = format!(
                "Variable \"${name}\" of type \"{ty}\" is required and will not use the default value. Perhaps you meant to use type \"{inner}\"."
            );
            errors.push(GraphqlError::new(text, [default_at]));
        }
        let problems = problems_of_literal(default, ty);
        if !problems.is_empty() {
            let problems = problems.join("\n");
            let text = format!("Variable \"${name}\" has invalid default value: {default}.\n{problems}");
            errors.push(GraphqlError::new(text, [default_at]));
        }
    }
}

fn check_uses(operation: &Operation, uses: &[Use<'_>], errors: &mut Vec<GraphqlError>) {
    for used in uses {
        let Some(variable) = operation.variables.iter().find(|v| v.name == used.name) else {
            let text = match &operation.name {
                Some(name) => format!("Variable \"${}\" is not defined by operation \"{name}\".", used.name),
                None => format!("Variable \"${}\" is not defined.", used.name),
            };
            errors.push(GraphqlError::new(text, [used.at, operation.at]));
            continue;
        };
        let Some(expected) = used.expected else { continue };
        // A default makes up for a missing `!`.
        let required = variable.default.is_some() && !variable.ty.is_non_null();
        let effective = if required { &Ref::NonNull(Box::new(variable.ty.clone())) } else { &variable.ty };
        if SCHEMA.get(variable.ty.name()).is_some() && !fits(effective, expected) {
            let text = format!(
                "Variable \"${}\" of type \"{}\" used in position expecting type \"{expected}\".",
                used.name, variable.ty
            );
            errors.push(GraphqlError::new(text, [variable.at, used.at]));
        }
    }
    for variable in &operation.variables {
        if !uses.iter().any(|used| used.name == variable.name) {
            let text = match &operation.name {
                Some(name) => {
                    format!("Variable \"${}\" is never used in operation \"{name}\".", variable.name)
                }
                None => format!("Variable \"${}\" is never used.", variable.name),
            };
            errors.push(GraphqlError::new(text, [variable.at]));
        }
    }
}

/// Whether a value of one type can stand where the other is expected.
fn fits(ty: &Ref, expected: &Ref) -> bool {
    match (ty, expected) {
        (Ref::NonNull(ty), Ref::NonNull(expected)) | (Ref::List(ty), Ref::List(expected)) => {
            fits(ty, expected)
        }
        (_, Ref::NonNull(_)) => false,
        (Ref::NonNull(ty), expected) => fits(ty, expected),
        (ty, expected) => ty == expected,
    }
}

struct Finder<'a> {
    document: &'a Document,
    uses: Vec<Use<'a>>,
    visited: BTreeSet<&'a str>,
}

// === impl Finder ===

impl<'a> Finder<'a> {
    fn selections(&mut self, parent: Option<&'static Type>, selections: &'a [Selection]) {
        for selection in selections {
            match selection {
                Selection::Field(field) => {
                    let known = parent.and_then(|ty| ty.field(&field.name));
                    let declared = known.map(|known| known.arguments.as_slice()).unwrap_or_default();
                    self.arguments(declared, &field.arguments, field.at);
                    self.directives(&field.directives);
                    self.selections(known.and_then(|known| type_of(&known.input.ty)), &field.selections);
                }
                Selection::Inline { on, directives, selections, .. } => {
                    self.directives(directives);
                    self.selections(on.as_deref().map_or(parent, |on| SCHEMA.get(on)), selections);
                }
                Selection::Spread { name, directives, .. } => {
                    self.directives(directives);
                    if let Some(fragment) = find(self.document, name).filter(|_| self.visited.insert(name)) {
                        self.selections(SCHEMA.get(&fragment.on), &fragment.selections);
                    }
                }
            }
        }
    }

    fn directives(&mut self, directives: &'a [Directive]) {
        for directive in directives {
            let known =
                super::super::schema::directives().into_iter().find(|known| known.name == directive.name);
            let declared = known.map(|known| std::slice::from_ref(known.argument)).unwrap_or_default();
            self.arguments(declared, &directive.arguments, directive.at);
        }
    }

    fn arguments(&mut self, declared: &'static [Input], given: &'a [(String, Literal)], at: At) {
        for (name, literal) in given {
            let input = declared.iter().find(|input| input.name == name);
            self.literal(literal, input.map(|input| &input.ty), at);
        }
    }

    fn literal(&mut self, literal: &'a Literal, expected: Option<&'static Ref>, at: At) {
        match literal {
            Literal::Variable(name) => {
                let at = self.document.variable_at(at, name);
                self.uses.push(Use { name, at, expected });
            }
            Literal::List(items) => {
                let inner = expected.and_then(|expected| match expected.nullable() {
                    Ref::List(inner) => Some(&**inner),
                    _ => None,
                });
                for item in items {
                    self.literal(item, inner, at);
                }
            }
            Literal::Object(fields) => {
                let ty = expected.and_then(type_of).filter(|ty| ty.kind == Kind::Input);
                for (name, value) in fields {
                    let field = ty.and_then(|ty| ty.fields.get(name.as_str()));
                    self.literal(value, field.map(|field| &field.input.ty), at);
                }
            }
            _ => {}
        }
    }
}
