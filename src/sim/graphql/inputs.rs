//! Variables: coerced as Sensu's library does, which is more lenient than the specification.

use apollo_compiler::{
    ast::{Type, VariableDefinition},
    executable::Operation,
    parser::SourceMap,
    request::coerce_variable_values,
    response::{JsonMap, JsonValue},
    schema::{ExtendedType, InputValueDefinition},
    validation::Valid,
};
use serde_json::{Map, Number, Value};

use super::{
    dates,
    error::GraphqlError,
    schema::{self, SCHEMA},
};
use crate::sim::json as go;

/// Values of arguments by name; what is null is absent.
pub(super) type Values = Map<String, Value>;

/// The values of an operation's variables, with defaults.
///
/// # Errors
///
/// The first variable that is missing or has a value of another type.
pub(super) fn variables(
    operation: &Operation,
    given: Option<&Map<String, Value>>,
    sources: &SourceMap,
) -> Result<Valid<JsonMap>, GraphqlError> {
    let mut values = JsonMap::new();
    for variable in &operation.variables {
        let value = given.and_then(|given| given.get(variable.name.as_str())).unwrap_or(&Value::Null);
        match variable_value(variable, value) {
            Ok(Value::Null) => {}
            Ok(value) => drop(values.insert(variable.name.as_str(), JsonValue::from(value))),
            Err(message) => {
                let at = variable.location().and_then(|span| span.line_column(sources));
                return Err(GraphqlError::new(message, at));
            }
        }
    }
    coerce_variable_values(&SCHEMA, operation, &values)
        .map_err(|error| error.to_graphql_error(sources).into())
}

fn variable_value(variable: &VariableDefinition, value: &Value) -> Result<Value, String> {
    let VariableDefinition { name, ty, .. } = variable;
    if !SCHEMA.is_input_type(ty) {
        return Err(format!(
            "Variable \"${name}\" expected value of type \"{ty}\" which cannot be used as an input type."
        ));
    }
    if value.is_null() {
        if ty.is_non_null() {
            return Err(format!("Variable \"${name}\" of required type \"{ty}\" was not provided."));
        }
        return Ok(Value::Null);
    }
    let problems = problems_of_value(value, ty);
    if problems.is_empty() {
        return Ok(coerce(value, ty));
    }
    let mut shown = String::new();
    go::write_value(&mut shown, value);
    Err(format!("Variable \"${name}\" got invalid value {shown}.\n{}", problems.join("\n")))
}

/// What is wrong with the value of a variable, one line each.
fn problems_of_value(value: &Value, ty: &Type) -> Vec<String> {
    match (ty, value) {
        (Type::NonNullNamed(name), Value::Null) => vec![format!("Expected \"{name}!\", found null.")],
        (Type::NonNullList(_), Value::Null) => vec!["Expected non-null value, found null.".into()],
        (_, Value::Null) => Vec::new(),
        (Type::List(inner) | Type::NonNullList(inner), Value::Array(items)) => {
            let numbered = |(index, item)| {
                let found = problems_of_value(item, inner).into_iter();
                found.map(move |problem| format!("In element #{}: {problem}", index + 1))
            };
            items.iter().enumerate().flat_map(numbered).collect()
        }
        (Type::List(inner) | Type::NonNullList(inner), single) => problems_of_value(single, inner),
        (Type::Named(name) | Type::NonNullNamed(name), value) => match schema::named(ty) {
            Some(ExtendedType::InputObject(ty)) => match value {
                Value::Object(object) => {
                    problems_of_object(ty.fields.values().map(|field| &***field), object)
                }
                _ => vec![format!("Expected \"{name}\", found not an object.")],
            },
            Some(ty) if leaf(ty, value).is_null() => {
                vec![format!("Expected type \"{name}\", found \"{}\".", go_text(value))]
            }
            _ => Vec::new(),
        },
    }
}

fn problems_of_object<'a>(
    declared: impl Iterator<Item = &'a InputValueDefinition> + Clone,
    given: &Map<String, Value>,
) -> Vec<String> {
    let is_unknown = |name: &&String| !declared.clone().any(|field| field.name == name.as_str());
    let unknown = given.keys().filter(is_unknown);
    let mut all: Vec<_> = unknown.map(|name| format!("In field \"{name}\": Unknown field.")).collect();
    for field in declared {
        let found = match given.get(field.name.as_str()) {
            Some(value) => problems_of_value(value, &field.ty),
            None if field.is_required() => vec![format!("Expected \"{}\", found null.", field.ty)],
            None => Vec::new(),
        };
        all.extend(found.into_iter().map(|problem| format!("In field \"{}\": {problem}", field.name)));
    }
    all
}

/// The value of a variable that has no problems; in an object, null is absent.
fn coerce(value: &Value, ty: &Type) -> Value {
    match (ty, value) {
        (_, Value::Null) => Value::Null,
        (Type::List(inner) | Type::NonNullList(inner), Value::Array(items)) => {
            items.iter().map(|item| coerce(item, inner)).collect()
        }
        (Type::List(inner) | Type::NonNullList(inner), single) => Value::Array(vec![coerce(single, inner)]),
        (Type::Named(_) | Type::NonNullNamed(_), value) => match schema::named(ty) {
            Some(ExtendedType::InputObject(ty)) => {
                let fields = ty.fields.values().filter_map(|field| {
                    let value = coerce(value.get(field.name.as_str())?, &field.ty);
                    (!value.is_null()).then(|| (field.name.as_str().to_owned(), value))
                });
                Value::Object(fields.collect())
            }
            Some(ty) => leaf(ty, value),
            None => Value::Null,
        },
    }
}

/// Scalars and enumerations as JSON: numbers, strings and booleans turn into each other.
fn leaf(ty: &ExtendedType, value: &Value) -> Value {
    match (ty.name().as_str(), value) {
        ("JSON", value) => value.clone(),
        (_, Value::Null) => Value::Null,
        ("String" | "ID", value) => go_text(value).into(),
        (_, Value::Array(_) | Value::Object(_)) => Value::Null,
        ("Int", value) => whole(value).filter(|n| i32::try_from(*n).is_ok()).map_or(Value::Null, Value::from),
        ("Uint", value) => {
            whole(value).filter(|n| u32::try_from(*n).is_ok()).map_or(Value::Null, Value::from)
        }
        ("Float", Value::Number(_)) | ("Boolean", Value::Bool(_)) => value.clone(),
        ("Float", Value::Bool(value)) => f64::from(u8::from(*value)).into(),
        ("Float", value) => {
            value.as_str().and_then(|t| t.parse::<f64>().ok()).map_or(Value::Null, Value::from)
        }
        ("Boolean", Value::Number(number)) => (number.as_f64() != Some(0.0)).into(),
        ("Boolean", value) => (!matches!(value.as_str(), Some("" | "false"))).into(),
        ("DateTime", Value::String(text)) if dates::parse(text).is_some() => value.clone(),
        (_, Value::String(name)) if ty.as_enum().is_some_and(|ty| ty.values.contains_key(name.as_str())) => {
            value.clone()
        }
        _ => Value::Null,
    }
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Bool(value) => Some(i64::from(*value)),
        Value::String(text) => text.parse::<f64>().ok().and_then(truncated),
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(truncated)),
        _ => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
fn truncated(number: f64) -> Option<i64> {
    (number.abs() < 9e15).then_some(number as i64)
}

/// A value as Go prints it.
fn go_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => go_number(number),
        Value::Null => "<nil>".into(),
        Value::Bool(value) => value.to_string(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(go_text).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(map) => {
            let mut entries: Vec<_> =
                map.iter().map(|(key, value)| format!("{key}:{}", go_text(value))).collect();
            entries.sort_unstable();
            format!("map[{}]", entries.join(" "))
        }
    }
}

/// Go reads JSON numbers as floats, and prints those of seven digits and more with an exponent.
fn go_number(number: &Number) -> String {
    let float = number.as_f64().unwrap_or_default();
    if float == 0.0 || (1e-4..1e21).contains(&float.abs()) && float.abs() < 1e6 {
        return float.to_string();
    }
    let text = format!("{float:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    match exponent.strip_prefix('-') {
        Some(digits) => format!("{mantissa}e-{digits:0>2}"),
        None => format!("{mantissa}e+{exponent:0>2}"),
    }
}

#[cfg(test)]
mod tests {
    use apollo_compiler::ExecutableDocument;
    use serde_json::json;

    use super::*;

    fn read(head: &str, given: &Value) -> Result<Value, String> {
        let text = format!("query Q({head}){{__typename}}");
        let document = ExecutableDocument::parse(&SCHEMA, text, "request").unwrap();
        let values = variables(document.operations.get(None).unwrap(), given.as_object(), &document.sources);
        values.map(|values| serde_json::to_value(&*values).unwrap()).map_err(|error| error.message)
    }

    #[test]
    fn values_turn_into_the_declared_type() {
        let given = json!({"a": 5, "b": "7", "c": 2.9, "d": "NAME", "e": "one", "f": 1_234_567, "g": true});
        let head = "$a:String,$b:Int,$c:Int!,$d:CheckListOrder,$e:[String!],$f:ID,$g:Boolean,$h:Int=3";
        let read = read(head, &given).unwrap();
        assert_eq!(
            read,
            json!({"a": "5", "b": 7, "c": 2, "d": "NAME", "e": ["one"], "f": "1.234567e+06", "g": true, "h": 3})
        );
    }

    #[test]
    fn wrong_values_are_refused_in_sensus_words() {
        let refused = |head: &str, given: Value| read(head, &given).unwrap_err();
        assert_eq!(
            refused("$a:Int", json!({"a": "x"})),
            "Variable \"$a\" got invalid value \"x\".\nExpected type \"Int\", found \"x\"."
        );
        assert_eq!(
            refused("$i:DeleteRecordInput!", json!({"i": {"other": 1}})),
            "Variable \"$i\" got invalid value {\"other\":1}.\nIn field \"other\": Unknown field.\nIn field \"id\": Expected \"ID!\", found null."
        );
        assert_eq!(
            refused("$a:[Int!]", json!({"a": [1, null]})),
            "Variable \"$a\" got invalid value [1,null].\nIn element #2: Expected \"Int!\", found null."
        );
        assert!(refused("$a:Namespace", json!({})).contains("cannot be used as an input type"));
    }

    #[test]
    fn input_objects_get_their_defaults() {
        let given = json!({"i": {"props": {}, "check": "c"}});
        let values = read("$i:CreateSilenceInput!", &given).unwrap();
        assert_eq!(
            values["i"],
            json!({"check": "c", "namespace": "default", "props": {"expire": -1, "expireOnResolve": true}})
        );
    }
}
