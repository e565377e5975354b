//! Execution: `apollo-compiler` walks the selections, and asks here for each field.
//!
//! Values are coerced here, as Sensu's library does it, so that apollo's stricter rules find nothing to object to.
//! Errors are recorded here as well: Sensu names all places of a field, and some errors come beside a value.

use std::{cell::RefCell, rc::Rc};

use apollo_compiler::{
    ExecutableDocument,
    ast::Type,
    executable::{Field, Operation},
    resolvers::{Execution, FieldError, ObjectValue, ResolveInfo, ResolvedValue},
    response::{JsonMap, JsonValue, serde_json_bytes::ByteString},
    schema::ExtendedType,
    validation::Valid,
};
use serde_json::{Map, Value};

use super::{
    dates,
    error::GraphqlError,
    out::{Data, Node, Out},
    resolve,
    schema::{self, SCHEMA},
    session::Session,
};

/// What one operation answers: its data, and its errors.
pub(super) type Answer = (Value, Vec<GraphqlError>);

/// Executes an operation whose document is valid, or whose sender asked for no validation.
pub(super) fn execute(
    session: &mut Session<'_>,
    document: &Valid<ExecutableDocument>,
    operation: &Operation,
    variables: &Valid<JsonMap>,
) -> Answer {
    let run = Run {
        session: RefCell::new(session),
        document,
        errors: RefCell::default(),
        replaced: RefCell::default(),
    };
    let root = Node::made(if operation.is_mutation() { "Mutation" } else { "Query" }, Vec::new());
    let execution = Execution::new(&SCHEMA, document)
        .operation(operation)
        .coerced_variable_values(variables)
        .enable_schema_introspection(true)
        .execute_sync(&Object { run: &run, node: root, path: Path::default() });
    let response = match execution {
        Ok(response) => response,
        Err(error) => return (Value::Null, vec![error.to_graphql_error(&document.sources).into()]),
    };
    let mut data = response.data.map_or(Value::Null, |data| from_apollo(&JsonValue::Object(data)));
    for (path, value) in run.replaced.take() {
        if let Some(place) = place_in(&mut data, &path) {
            *place = value;
        }
    }
    let mut errors = run.errors.take();
    let others = response.errors.into_iter().filter(|error| !error.message.starts_with(RECORDED));
    errors.extend(others.map(GraphqlError::from));
    (data, errors)
}

/// What all fields of one operation share.
struct Run<'a, 'b> {
    session: RefCell<&'a mut Session<'b>>,
    document: &'a ExecutableDocument,
    errors: RefCell<Vec<GraphqlError>>,
    /// Values that stand for what was selected, by path.
    replaced: RefCell<Vec<(Vec<Value>, Value)>>,
}

/// Response keys and indices, from the innermost out.
#[derive(Clone, Default)]
struct Path(Option<Rc<(Path, Value)>>);

/// An object whose fields are asked for.
struct Object<'r, 'a, 'b> {
    run: &'r Run<'a, 'b>,
    node: Node,
    path: Path,
}

/// Where a value is being completed.
struct Place<'a> {
    fields: &'a [&'a Field],
    owner: &'static str,
    path: Path,
}

type Resolved<'a> = Result<ResolvedValue<'a>, FieldError>;

// === impl Path ===

impl Path {
    fn then(&self, step: impl Into<Value>) -> Self {
        Self(Some(Rc::new((self.clone(), step.into()))))
    }

    fn steps(&self) -> Vec<Value> {
        let mut steps = Vec::new();
        let mut at = self;
        while let Some(step) = &at.0 {
            steps.push(step.1.clone());
            at = &step.0;
        }
        steps.reverse();
        steps
    }
}

// === impl Object ===

impl ObjectValue for Object<'_, '_, '_> {
    fn type_name(&self) -> &str {
        self.node.ty
    }

    fn resolve_field<'a>(&'a self, info: &'a ResolveInfo<'a>) -> Resolved<'a> {
        let fields = info.field_selections();
        let path = self.path.then(fields[0].response_key().as_str());
        let place = Place { fields, owner: self.node.ty, path };
        let arguments = serde_json::to_value(info.arguments()).unwrap_or_default();
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        let found =
            resolve::resolve(&mut self.run.session.borrow_mut(), &self.node, info.field_name(), &arguments);
        match found {
            Ok(out) => self.run.complete(out, &info.field_definition().ty, place),
            Err(message) => Err(self.run.fail(message, &place)),
        }
    }
}

// === impl Run ===

impl Run<'_, '_> {
    fn complete<'a>(&'a self, out: Out, ty: &'a Type, place: Place<'a>) -> Resolved<'a> {
        match (ty, out) {
            (_, Out::Flawed(value, message)) => {
                self.fail(message, &place);
                self.replaced.borrow_mut().push((place.path.steps(), value));
                Ok(ResolvedValue::null())
            }
            (_, out) if out.is_null() => self.null(ty, &place),
            (Type::List(inner) | Type::NonNullList(inner), Out::List(items)) => {
                Ok(self.list(items.into_iter(), inner, place))
            }
            (Type::List(inner) | Type::NonNullList(inner), Out::Value(Value::Array(items))) => {
                Ok(self.list(items.into_iter().map(Out::Value), inner, place))
            }
            (Type::List(_) | Type::NonNullList(_), _) => {
                let text = format!(
                    "User Error: expected iterable, but did not find one for field {}.{}.",
                    place.owner, place.fields[0].name
                );
                Err(self.fail(text, &place))
            }
            (ty, out) => match schema::named(ty) {
                Some(named) if schema::is_composite(named) => self.composite(out, ty, named, place),
                Some(named) => self.leaf(out, ty, named, &place),
                None => self.null(ty, &place),
            },
        }
    }

    fn null<'a>(&self, ty: &Type, place: &Place<'_>) -> Resolved<'a> {
        let name = ty.inner_named_type().as_str();
        match ty {
            Type::Named(_) | Type::List(_) => Ok(ResolvedValue::null()),
            Type::NonNullNamed(_) if name == "JSON" => Ok(verbatim(Value::Null)),
            Type::NonNullNamed(_) if COERCED.contains(&name) => Err(self.fail(uncoerced(place), place)),
            _ => {
                let (owner, field) = (place.owner, &place.fields[0].name);
                let text = format!("Cannot return null for non-nullable field {owner}.{field}.");
                Err(self.fail(text, place))
            }
        }
    }

    fn list<'a>(
        &'a self,
        items: impl Iterator<Item = Out> + 'a,
        ty: &'a Type,
        place: Place<'a>,
    ) -> ResolvedValue<'a> {
        ResolvedValue::List(Box::new(items.enumerate().map(move |(index, item)| {
            let place = Place { path: place.path.then(index), ..place };
            match self.complete(item, ty, place) {
                // Apollo would make the whole list null.
                Err(_) if !ty.is_non_null() => Ok(ResolvedValue::null()),
                completed => completed,
            }
        })))
    }

    fn composite<'a>(
        &'a self,
        out: Out,
        ty: &Type,
        named: &'static ExtendedType,
        place: Place<'a>,
    ) -> Resolved<'a> {
        let name = named.name().as_str();
        let node = match out {
            Out::Node(node) => node,
            Out::Value(Value::Object(object)) => Node { ty: name, data: Data::Object(Rc::new(object)) },
            Out::Value(_) | Out::List(_) | Out::Flawed(..) => return self.null(ty, &place),
        };
        if !schema::is_a(node.ty, name) {
            let text = format!("Runtime Object type \"{}\" is not a possible type for \"{name}\".", node.ty);
            return Err(self.fail(text, &place));
        }
        // Without validation, a fragment can lead through fields to itself.
        if place.path.steps().len() > LONGEST_PATH {
            return Ok(ResolvedValue::null());
        }
        Ok(ResolvedValue::object(Object { run: self, node, path: place.path }))
    }

    fn leaf<'a>(&self, out: Out, ty: &Type, named: &ExtendedType, place: &Place<'_>) -> Resolved<'a> {
        let Out::Value(value) = out else { return self.null(ty, place) };
        let value = coerced(named, value, ty.is_non_null());
        if !value.is_null() {
            return Ok(if named.name() == "JSON" { verbatim(value) } else { ResolvedValue::leaf(value) });
        }
        if named.name() == "Int" && !ty.is_non_null() {
            self.fail(uncoerced(place), place);
            return Ok(ResolvedValue::leaf(0));
        }
        self.null(ty, place)
    }

    /// Records an error. What is returned only makes apollo carry the null up to where it is allowed.
    fn fail(&self, message: impl Into<String>, place: &Place<'_>) -> FieldError {
        let spans = place.fields.iter().filter_map(|field| field.response_key().location());
        let places = spans.filter_map(|span| span.line_column(&self.document.sources));
        let mut error = GraphqlError::new(message, places);
        error.path = Some(place.path.steps());
        self.errors.borrow_mut().push(error);
        FieldError { message: String::new() }
    }
}

/// How the errors begin that apollo makes of those recorded here.
const RECORDED: &str = "resolver error: ";

/// Further than any valid query leads, lists included.
const LONGEST_PATH: usize = 100;

/// The scalars for which a missing value, or one out of range, has an error of its own.
const COERCED: [&str; 4] = ["Boolean", "Float", "Int", "String"];

fn uncoerced(place: &Place<'_>) -> String {
    format!("unable to coerce value for field '{}'", place.fields[0].name)
}

/// A scalar or enumeration as Sensu writes it. A time of 0 is null where it may be.
fn coerced(ty: &ExtendedType, value: Value, required: bool) -> Value {
    match (ty.name().as_str(), &value) {
        ("Int", _) => whole(&value).filter(|n| i32::try_from(*n).is_ok()).map_or(Value::Null, Value::from),
        ("Uint", _) => whole(&value).filter(|n| u32::try_from(*n).is_ok()).map_or(Value::Null, Value::from),
        ("Float", Value::Number(number)) => number.as_f64().map_or(Value::Null, Value::from),
        ("DateTime", Value::Number(number)) => match number.as_i64() {
            Some(0) if !required => Value::Null,
            Some(unix) => dates::format(unix).map_or(Value::Null, Value::from),
            None => Value::Null,
        },
        (_, Value::String(text)) => match ty.as_enum() {
            Some(ty) if !ty.values.contains_key(text.as_str()) => Value::Null,
            _ => value,
        },
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

/// A value whose keys keep their order. It is marked as what no selection can be: an object with an empty key.
fn verbatim<'a>(value: Value) -> ResolvedValue<'a> {
    let entry = (ByteString::from(""), JsonValue::from(value));
    ResolvedValue::Leaf(JsonValue::Object(std::iter::once(entry).collect()))
}

/// Response data with its keys sorted, as Go writes maps.
fn from_apollo(value: &JsonValue) -> Value {
    match value {
        JsonValue::Object(object) => {
            if let Some(verbatim) = object.get("") {
                return serde_json::to_value(verbatim).unwrap_or_default();
            }
            let mut entries: Vec<_> = object.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            let entries =
                entries.into_iter().map(|(key, value)| (key.as_str().to_owned(), from_apollo(value)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
        JsonValue::Array(items) => items.iter().map(from_apollo).collect(),
        leaf => serde_json::to_value(leaf).unwrap_or_default(),
    }
}

fn place_in<'a>(data: &'a mut Value, path: &[Value]) -> Option<&'a mut Value> {
    path.iter().try_fold(data, |at, step| match step {
        Value::String(key) => at.get_mut(key.as_str()),
        index => at.get_mut(usize::try_from(index.as_u64()?).ok()?),
    })
}
