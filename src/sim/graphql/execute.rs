//! Execution: selections applied to what resolvers give, nulls carried up to where they are allowed.

use std::rc::Rc;

use serde_json::{Map, Value};

use super::{
    Answer, GraphqlError, dates, inputs,
    inputs::Values,
    out::{Data, Node, Out},
    resolve,
    schema::{Kind, Ref, SCHEMA, Type},
    session::Session,
    syntax::{Action, At, Directive, Document, Field, Fragment, Operation, Selection},
};

/// Executes an operation whose document is valid, or whose sender did not want to know.
pub(super) fn execute(
    session: &mut Session<'_>,
    document: &Document,
    operation: &Operation,
    variables: &Values,
) -> Answer {
    let ty = match operation.action {
        Action::Mutation => "Mutation",
        Action::Query | Action::Subscription => "Query",
    };
    let mut execution = Execution { session, document, variables, errors: Vec::new(), path: Vec::new() };
    let root = Node::made(ty, Vec::new());
    let data = execution.object(&root, &[&operation.selections]).unwrap_or_default();
    (data, execution.errors)
}

struct Execution<'a, 'b> {
    session: &'a mut Session<'b>,
    document: &'a Document,
    variables: &'a Values,
    errors: Vec<GraphqlError>,
    path: Vec<Value>,
}

/// The fields of one response key: their selections are merged.
type Merged<'a> = (&'a str, Vec<&'a Field>);

/// A null where none is allowed; its error is recorded.
struct Nulled;

// === impl Execution ===

impl Execution<'_, '_> {
    fn object(&mut self, node: &Node, selections: &[&[Selection]]) -> Result<Value, Nulled> {
        if self.path.len() > LONGEST_PATH {
            // Without validation, a fragment can lead through fields to itself.
            return Ok(Value::Null);
        }
        let document = self.document;
        let mut fields = Vec::new();
        for selection in selections {
            collect(document, self.variables, node.ty, selection, &mut fields, &mut Vec::new());
        }
        let Some(ty) = SCHEMA.get(node.ty) else { return Ok(Value::Null) };
        let mut entries = Vec::with_capacity(fields.len());
        for (key, merged) in fields {
            // Without validation, fields that do not exist are left out.
            let Some(field) = ty.field(&merged[0].name) else { continue };
            self.path.push(key.into());
            let value = self.field(node, field, &merged);
            self.path.pop();
            entries.push((key.to_owned(), value?));
        }
        // Go writes maps with their keys sorted.
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Value::Object(entries.into_iter().collect::<Map<_, _>>()))
    }

    fn field(
        &mut self,
        node: &Node,
        field: &super::schema::Field,
        merged: &[&Field],
    ) -> Result<Value, Nulled> {
        let arguments = inputs::arguments(&field.arguments, &merged[0].arguments, self.variables);
        let ty = &field.input.ty;
        let place = Place { merged, owner: node.ty, name: field.input.name };
        let value = match resolve::resolve(self.session, node, &merged[0].name, &arguments) {
            Ok(out) => self.complete(out, ty, &place),
            Err(message) => Err(self.fail(message, &place)),
        };
        match value {
            Err(Nulled) if !ty.is_non_null() => Ok(Value::Null),
            other => other,
        }
    }

    fn complete(&mut self, out: Out, ty: &Ref, place: &Place<'_>) -> Result<Value, Nulled> {
        let Ref::NonNull(inner) = ty else { return self.complete_nullable(out, ty, false, place) };
        let value = self.complete_nullable(out, inner, true, place)?;
        if !value.is_null() || inner.name() == "JSON" {
            return Ok(value);
        }
        Err(self.fail(
            match &**inner {
                Ref::Named(ty) if COERCED.contains(&ty.as_str()) => uncoerced(place.name),
                _ => format!("Cannot return null for non-nullable field {}.{}.", place.owner, place.name),
            },
            place,
        ))
    }

    fn complete_nullable(
        &mut self,
        out: Out,
        ty: &Ref,
        required: bool,
        place: &Place<'_>,
    ) -> Result<Value, Nulled> {
        match (ty, out) {
            (_, Out::Flawed(value, message)) => {
                self.fail(message, place);
                Ok(value)
            }
            (Ref::List(inner), Out::List(items)) => self.list(items, inner, place),
            (Ref::List(inner), Out::Value(Value::Array(items))) => {
                self.list(items.into_iter().map(Out::Value), inner, place)
            }
            (_, out) if out.is_null() => Ok(Value::Null),
            (Ref::List(_), _) => {
                let text = format!(
                    "User Error: expected iterable, but did not find one for field {}.{}.",
                    place.owner, place.name
                );
                Err(self.fail(text, place))
            }
            (_, out) => match SCHEMA.get(ty.name()) {
                Some(ty) if ty.is_composite() => self.composite(out, ty, place),
                Some(ty) => {
                    let Out::Value(value) = out else { return Ok(Value::Null) };
                    let value = leaf(ty, value, required);
                    if value.is_null() && !required && ty.name == "Int" {
                        self.fail(uncoerced(place.name), place);
                        return Ok(0.into());
                    }
                    Ok(value)
                }
                None => Ok(Value::Null),
            },
        }
    }

    fn list(
        &mut self,
        items: impl IntoIterator<Item = Out>,
        ty: &Ref,
        place: &Place<'_>,
    ) -> Result<Value, Nulled> {
        let mut values = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            self.path.push(index.into());
            let value = self.complete(item, ty, place);
            self.path.pop();
            values.push(match value {
                Err(Nulled) if !ty.is_non_null() => Value::Null,
                other => other?,
            });
        }
        Ok(Value::Array(values))
    }

    fn composite(&mut self, out: Out, ty: &'static Type, place: &Place<'_>) -> Result<Value, Nulled> {
        let node = match out {
            Out::Node(node) => node,
            Out::Value(Value::Object(object)) => Node { ty: ty.name, data: Data::Object(Rc::new(object)) },
            Out::Value(_) | Out::List(_) | Out::Flawed(..) => return Ok(Value::Null),
        };
        if !SCHEMA.is_a(node.ty, ty.name) {
            let text =
                format!("Runtime Object type \"{}\" is not a possible type for \"{}\".", node.ty, ty.name);
            return Err(self.fail(text, place));
        }
        let selections: Vec<&[Selection]> = place.merged.iter().map(|f| f.selections.as_slice()).collect();
        self.object(&node, &selections)
    }

    fn fail(&mut self, message: impl Into<String>, place: &Place<'_>) -> Nulled {
        let places: Vec<At> = place.merged.iter().map(|field| field.at).collect();
        let mut error = GraphqlError::new(message, places);
        error.path = Some(self.path.clone());
        self.errors.push(error);
        Nulled
    }
}

/// Where a value is being completed, for errors.
struct Place<'a> {
    merged: &'a [&'a Field],
    owner: &'static str,
    name: &'static str,
}

/// Further than any valid query leads, lists included.
const LONGEST_PATH: usize = 100;

/// The scalars for which a missing value, or one out of range, has an error of its own.
const COERCED: [&str; 4] = ["Boolean", "Float", "Int", "String"];

fn uncoerced(field: &str) -> String {
    format!("unable to coerce value for field '{field}'")
}

/// Gathers the fields that apply to a type, those of one response key together.
fn collect<'a>(
    document: &'a Document,
    variables: &Values,
    ty: &str,
    selections: &'a [Selection],
    fields: &mut Vec<Merged<'a>>,
    visited: &mut Vec<&'a str>,
) {
    for selection in selections {
        let (on, inner, directives) = match selection {
            Selection::Field(field) => {
                if is_included(&field.directives, variables) {
                    let key = field.alias.as_ref().unwrap_or(&field.name).as_str();
                    match fields.iter_mut().find(|(known, _)| *known == key) {
                        Some((_, merged)) => merged.push(field),
                        None => fields.push((key, vec![field])),
                    }
                }
                continue;
            }
            Selection::Inline { on, directives, selections, .. } => (on.as_deref(), selections, directives),
            Selection::Spread { name, directives, .. } => {
                if visited.contains(&name.as_str()) || !is_included(directives, variables) {
                    continue;
                }
                visited.push(name);
                match find(document, name) {
                    Some(fragment) => (Some(fragment.on.as_str()), &fragment.selections, directives),
                    None => continue,
                }
            }
        };
        if on.is_none_or(|on| SCHEMA.is_a(ty, on)) && is_included(directives, variables) {
            collect(document, variables, ty, inner, fields, visited);
        }
    }
}

/// The fragment of that name.
pub(super) fn find<'a>(document: &'a Document, name: &str) -> Option<&'a Fragment> {
    document.fragments.iter().find(|fragment| fragment.name == name)
}

fn is_included(directives: &[Directive], variables: &Values) -> bool {
    directives.iter().all(|directive| {
        let Some(known) = super::schema::directives().into_iter().find(|d| d.name == directive.name) else {
            return true;
        };
        let arguments =
            inputs::arguments(std::slice::from_ref(known.argument), &directive.arguments, variables);
        let condition = arguments.get("if") == Some(&Value::Bool(true));
        match directive.name.as_str() {
            "skip" => !condition,
            "include" => condition,
            _ => true,
        }
    })
}

/// A scalar or enumeration as Sensu writes it. A time of 0 is null where it may be.
fn leaf(ty: &Type, value: Value, required: bool) -> Value {
    match (ty.name, &value) {
        ("Int", _) => whole(&value).filter(|n| i32::try_from(*n).is_ok()).map_or(Value::Null, Value::from),
        ("Uint", _) => whole(&value).filter(|n| u32::try_from(*n).is_ok()).map_or(Value::Null, Value::from),
        ("DateTime", Value::Number(number)) => match number.as_i64() {
            Some(0) if !required => Value::Null,
            Some(unix) => dates::format(unix).map_or(Value::Null, Value::from),
            None => Value::Null,
        },
        (_, Value::String(text)) if ty.kind == Kind::Enum => {
            if ty.values.iter().any(|(known, _)| known == text) { value } else { Value::Null }
        }
        _ => value,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a float as large as that saturates, and is refused")]
fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Bool(value) => Some(i64::from(*value)),
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|float| float as i64)),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}
