//! Fields, arguments, directives and fragments must be those of the schema.

use super::{
    super::{
        GraphqlError,
        inputs::{invalid_argument, problems_of_literal},
        schema::{self, Input, Kind, SCHEMA, Type},
        syntax::{Action, At, Directive, Document, Field, Literal, Selection},
    },
    did_you_mean, find, type_of,
};

pub(super) fn check(document: &Document, errors: &mut Vec<GraphqlError>) {
    let mut checker = Checker { document, errors };
    for operation in &document.operations {
        let (root, location) = match operation.action {
            Action::Query => (SCHEMA.get("Query"), "QUERY"),
            Action::Mutation => (SCHEMA.get("Mutation"), "MUTATION"),
            Action::Subscription => (None, "SUBSCRIPTION"),
        };
        checker.directives(&operation.directives, location);
        for variable in &operation.variables {
            let at = document.variable_parts_at(variable.at).0;
            checker.known_type(variable.ty.name(), at);
        }
        checker.selections(root, &operation.selections);
    }
    for fragment in &document.fragments {
        let at = document.token_at(fragment.at, 3);
        let ty = checker.condition(&fragment.on, Some(&fragment.name), at);
        checker.selections(ty, &fragment.selections);
    }
}

struct Checker<'a> {
    document: &'a Document,
    errors: &'a mut Vec<GraphqlError>,
}

// === impl Checker ===

impl Checker<'_> {
    fn fail(&mut self, text: impl Into<String>, at: At) {
        self.errors.push(GraphqlError::new(text, [at]));
    }

    fn selections(&mut self, parent: Option<&'static Type>, selections: &[Selection]) {
        // Below what has no fields, nothing is known.
        let parent = parent.filter(|ty| ty.is_composite());
        for selection in selections {
            match selection {
                Selection::Field(field) => self.field(parent, field),
                Selection::Inline { on, directives, selections, at } => {
                    self.directives(directives, "INLINE_FRAGMENT");
                    let ty = match on {
                        Some(on) => self.condition(on, None, self.document.token_at(*at, 2)),
                        None => parent,
                    };
                    self.spreadable(parent, ty, None, *at);
                    self.selections(ty, selections);
                }
                Selection::Spread { name, directives, at, name_at } => {
                    self.directives(directives, "FRAGMENT_SPREAD");
                    match find(self.document, name) {
                        Some(fragment) => self.spreadable(parent, SCHEMA.get(&fragment.on), Some(name), *at),
                        None => self.fail(format!("Unknown fragment \"{name}\"."), *name_at),
                    }
                }
            }
        }
    }

    fn field(&mut self, parent: Option<&'static Type>, field: &Field) {
        let known = parent.and_then(|ty| ty.field(&field.name));
        if let (Some(parent), None) = (parent, known) {
            let text = format!("Cannot query field \"{}\" on type \"{}\".", field.name, parent.name);
            let hint = suggestion(parent, &field.name);
            self.fail(text + &hint, field.at);
        }
        self.directives(&field.directives, "FIELD");
        let ty = known.and_then(|known| type_of(&known.input.ty));
        if let Some(known) = known {
            self.arguments(&known.arguments, &field.arguments, field.at, |name| Owner::Field {
                field: &field.name,
                ty: parent.map_or(name, |ty| ty.name),
            });
            let composite = ty.is_some_and(Type::is_composite);
            let wrong = match (composite, field.selections.is_empty()) {
                (true, true) => Some(("must have a sub selection", field.at)),
                (false, false) => Some(("must not have a sub selection", field.selections_at)),
                _ => None,
            };
            if let Some((wrong, at)) = wrong {
                let text = format!("Field \"{}\" of type \"{}\" {wrong}.", field.name, known.input.ty);
                self.fail(text, at);
            }
        }
        self.selections(ty, &field.selections);
    }

    fn directives(&mut self, directives: &[Directive], location: &str) {
        for directive in directives {
            let name = &directive.name;
            let Some(known) = schema::directives().into_iter().find(|d| d.name == name) else {
                self.fail(format!("Unknown directive \"{name}\"."), directive.at);
                continue;
            };
            if !known.locations.contains(&location) {
                self.fail(format!("Directive \"{name}\" may not be used on {location}."), directive.at);
            }
            let declared = std::slice::from_ref(known.argument);
            self.arguments(declared, &directive.arguments, directive.at, |_| Owner::Directive(known.name));
        }
    }

    fn arguments<'b>(
        &mut self,
        declared: &'static [Input],
        given: &'b [(String, Literal)],
        at: At,
        owner: impl Fn(&'static str) -> Owner<'b>,
    ) {
        for (index, (name, literal)) in given.iter().enumerate() {
            let earlier = given[..index].iter().filter(|(other, _)| other == name).count();
            let (place, value_place) = self.document.argument_at(at, name, earlier);
            if earlier > 0 {
                let first = self.document.argument_at(at, name, 0).0;
                let text = format!("There can be only one argument named \"{name}\".");
                self.errors.push(GraphqlError::new(text, [first, place]));
            }
            let Some(input) = declared.iter().find(|input| input.name == name) else {
                let hint = did_you_mean(name, declared.iter().map(|input| input.name));
                self.fail(format!("Unknown argument \"{name}\" on {}.{hint}", owner("")), place);
                continue;
            };
            let problems = problems_of_literal(literal, &input.ty);
            if !problems.is_empty() {
                self.errors.push(invalid_argument(name, literal, &problems, value_place));
            }
        }
        for input in declared.iter().filter(|input| input.ty.is_non_null()) {
            if !given.iter().any(|(name, _)| name == input.name) {
                let owner = owner("").short();
                let Input { name, ty, .. } = input;
                let text =
                    format!("{owner} argument \"{name}\" of type \"{ty}\" is required but not provided.");
                self.fail(text, at);
            }
        }
    }

    /// The type of a fragment's condition.
    fn condition(&mut self, on: &str, name: Option<&str>, at: At) -> Option<&'static Type> {
        let ty = self.known_type(on, at)?;
        if !ty.is_composite() {
            let name = name.map(|name| format!(" \"{name}\"")).unwrap_or_default();
            self.fail(format!("Fragment{name} cannot condition on non composite type \"{on}\"."), at);
        }
        Some(ty)
    }

    fn known_type(&mut self, name: &str, at: At) -> Option<&'static Type> {
        let ty = SCHEMA.get(name);
        if ty.is_none() {
            let hint = did_you_mean(name, SCHEMA.types().map(|ty| ty.name));
            self.fail(format!("Unknown type \"{name}\".{hint}"), at);
        }
        ty
    }

    /// A fragment must be able to apply where it is spread.
    fn spreadable(
        &mut self,
        parent: Option<&'static Type>,
        ty: Option<&'static Type>,
        name: Option<&str>,
        at: At,
    ) {
        let (Some(parent), Some(ty)) = (parent, ty) else { return };
        if !SCHEMA.possible(parent.name).any(|object| SCHEMA.is_a(object.name, ty.name)) {
            let name = name.map(|name| format!(" \"{name}\"")).unwrap_or_default();
            let text = format!(
                "Fragment{name} cannot be spread here as objects of type \"{}\" can never be of type \"{}\".",
                parent.name, ty.name
            );
            self.fail(text, at);
        }
    }
}

/// What arguments belong to.
enum Owner<'a> {
    Field { field: &'a str, ty: &'static str },
    Directive(&'static str),
}

// === impl Owner ===

impl Owner<'_> {
    fn short(&self) -> String {
        match self {
            Self::Field { field, .. } => format!("Field \"{field}\""),
            Self::Directive(name) => format!("Directive \"@{name}\""),
        }
    }
}

impl std::fmt::Display for Owner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Field { field, ty } => write!(f, "field \"{field}\" of type \"{ty}\""),
            Self::Directive(name) => write!(f, "directive \"@{name}\""),
        }
    }
}

/// Where a field that a type does not have may be found: on its implementations, or under another name.
fn suggestion(parent: &Type, name: &str) -> String {
    if parent.kind == Kind::Interface {
        let owners: Vec<_> = SCHEMA
            .possible(parent.name)
            .filter(|ty| ty.fields.contains_key(name))
            .map(|ty| ty.name)
            .collect();
        if !owners.is_empty() {
            // The names are their own nearest ones: all of them are listed.
            let list = match owners.as_slice() {
                [only] => format!("\"{only}\""),
                [first, second] => format!("\"{first}\" or \"{second}\""),
                many => {
                    let most: Vec<_> = many.iter().take(5).map(|name| format!("\"{name}\"")).collect();
                    let (last, most) = most.split_last().expect("there are more than two");
                    format!("{}, or {last}", most.join(", "))
                }
            };
            return format!(" Did you mean to use an inline fragment on {list}?");
        }
    }
    did_you_mean(name, parent.fields.keys().copied())
}
