//! Variables and arguments: coerced as Sensu's library does, which is more lenient than the specification.

use serde_json::{Map, Number, Value};

use super::{
    GraphqlError, dates,
    schema::{Input, Kind, Ref, SCHEMA, Type},
    syntax::{self, At, Literal, Operation},
};
use crate::sim::json as go;

/// Values of variables or arguments by name; what is null is absent.
pub(super) type Values = Map<String, Value>;

/// The values of an operation's variables.
///
/// # Errors
///
/// The first variable that is missing or has a value of another type.
pub(super) fn variables(
    operation: &Operation,
    given: Option<&Map<String, Value>>,
) -> Result<Values, GraphqlError> {
    let mut values = Values::new();
    for variable in &operation.variables {
        let value = given.and_then(|given| given.get(&variable.name)).unwrap_or(&Value::Null);
        match variable_value(variable, value) {
            Ok(Value::Null) => {}
            Ok(value) => drop(values.insert(variable.name.clone(), value)),
            Err(message) => return Err(GraphqlError::new(message, [variable.at])),
        }
    }
    Ok(values)
}

fn variable_value(variable: &syntax::Variable, value: &Value) -> Result<Value, String> {
    let syntax::Variable { name, ty, default, .. } = variable;
    if !SCHEMA.get(ty.name()).is_some_and(Type::is_input) {
        return Err(format!(
            "Variable \"${name}\" expected value of type \"{ty}\" which cannot be used as an input type."
        ));
    }
    if value.is_null() {
        if ty.is_non_null() {
            return Err(format!("Variable \"${name}\" of required type \"{ty}\" was not provided."));
        }
        let nothing = Values::new();
        return Ok(default.as_ref().map_or(Value::Null, |literal| from_literal(literal, ty, &nothing)));
    }
    let problems = problems_of_value(value, ty);
    if problems.is_empty() {
        return Ok(coerce(value, ty));
    }
    let mut shown = String::new();
    go::write_value(&mut shown, value);
    Err(format!("Variable \"${name}\" got invalid value {shown}.\n{}", problems.join("\n")))
}

/// The arguments of a field, with defaults.
pub(super) fn arguments(declared: &[Input], given: &[(String, Literal)], variables: &Values) -> Values {
    let mut values = Values::new();
    for input in declared {
        let literal = given.iter().find(|(name, _)| name == input.name).map(|(_, literal)| literal);
        let value = literal.map_or(Value::Null, |literal| from_literal(literal, &input.ty, variables));
        let value = if value.is_null() { default_of(input) } else { value };
        if !value.is_null() {
            values.insert(input.name.to_owned(), value);
        }
    }
    values
}

/// The value of a literal that has passed validation; null for what cannot be coerced.
fn from_literal(literal: &Literal, ty: &Ref, variables: &Values) -> Value {
    match (ty, literal) {
        (Ref::NonNull(inner), literal) => from_literal(literal, inner, variables),
        (_, Literal::Variable(name)) => variables.get(name).cloned().unwrap_or_default(),
        (Ref::List(inner), Literal::List(items)) => {
            items.iter().map(|item| from_literal(item, inner, variables)).collect()
        }
        (Ref::List(inner), single) => Value::Array(vec![from_literal(single, inner, variables)]),
        (Ref::Named(name), literal) => match SCHEMA.get(name) {
            Some(ty) if ty.kind == Kind::Input => match literal {
                Literal::Object(fields) => input_object(ty, |name, inner| {
                    let field = fields.iter().find(|(key, _)| key == name);
                    field.map_or(Value::Null, |(_, value)| from_literal(value, inner, variables))
                }),
                _ => Value::Null,
            },
            Some(ty) => leaf_from_literal(ty, literal),
            None => Value::Null,
        },
    }
}

fn input_object(ty: &Type, value_of: impl Fn(&str, &Ref) -> Value) -> Value {
    let mut object = Map::new();
    for field in ty.fields.values() {
        let value = value_of(field.input.name, &field.input.ty);
        let value = if value.is_null() { default_of(&field.input) } else { value };
        if !value.is_null() {
            object.insert(field.input.name.to_owned(), value);
        }
    }
    Value::Object(object)
}

fn default_of(input: &Input) -> Value {
    let literal = input.default.and_then(syntax::parse_literal);
    literal.map_or(Value::Null, |literal| from_literal(&literal, &input.ty, &Values::new()))
}

/// Scalars and enumerations as literals: only their own notation counts.
fn leaf_from_literal(ty: &Type, literal: &Literal) -> Value {
    match (ty.name, literal) {
        ("Uint", Literal::Int(number)) if u32::try_from(*number).is_ok() => (*number).into(),
        // The library takes integers of the machine's size here.
        ("Int" | "Float" | "JSON", Literal::Int(number)) => (*number).into(),
        ("Float" | "JSON", Literal::Float(number)) => (*number).into(),
        ("ID", Literal::Int(number)) => number.to_string().into(),
        ("ID" | "String" | "JSON", Literal::String(text)) => text.as_str().into(),
        ("DateTime", Literal::String(text)) if dates::parse(text).is_some() => text.as_str().into(),
        ("Boolean" | "JSON", Literal::Bool(value)) => (*value).into(),
        (_, Literal::Enum(name)) if ty.values.iter().any(|(value, _)| value == name) => name.as_str().into(),
        _ => Value::Null,
    }
}

/// What is wrong with a literal, one line each.
pub(super) fn problems_of_literal(literal: &Literal, ty: &Ref) -> Vec<String> {
    match (ty, literal) {
        (Ref::NonNull(inner), literal) => problems_of_literal(literal, inner),
        // Checked against the variable's definition instead.
        (_, Literal::Variable(_)) => Vec::new(),
        (Ref::List(inner), Literal::List(items)) => numbered(items.iter(), |i| problems_of_literal(i, inner)),
        (Ref::List(inner), single) => problems_of_literal(single, inner),
        (Ref::Named(name), literal) => match SCHEMA.get(name) {
            Some(ty) if ty.kind == Kind::Input => {
                let Literal::Object(fields) = literal else {
                    return vec![format!("Expected \"{name}\", found not an object.")];
                };
                let find = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value);
                problems_of_object(ty, fields.iter().map(|(name, _)| name.as_str()), |name, inner| {
                    find(name).map(|value| problems_of_literal(value, inner))
                })
            }
            Some(ty) if leaf_from_literal(ty, literal).is_null() => {
                vec![format!("Expected type \"{name}\", found {literal}.")]
            }
            _ => Vec::new(),
        },
    }
}

/// What is wrong with the value of a variable, one line each.
fn problems_of_value(value: &Value, ty: &Ref) -> Vec<String> {
    match (ty, value) {
        (Ref::NonNull(inner), Value::Null) => match **inner {
            Ref::Named(_) => vec![format!("Expected \"{inner}!\", found null.")],
            _ => vec!["Expected non-null value, found null.".into()],
        },
        (Ref::NonNull(inner), value) => problems_of_value(value, inner),
        (_, Value::Null) => Vec::new(),
        (Ref::List(inner), Value::Array(items)) => numbered(items.iter(), |i| problems_of_value(i, inner)),
        (Ref::List(inner), single) => problems_of_value(single, inner),
        (Ref::Named(name), value) => match SCHEMA.get(name) {
            Some(ty) if ty.kind == Kind::Input => {
                let Value::Object(fields) = value else {
                    return vec![format!("Expected \"{name}\", found not an object.")];
                };
                problems_of_object(ty, fields.keys().map(String::as_str), |name, inner| {
                    fields.get(name).map(|value| problems_of_value(value, inner))
                })
            }
            Some(ty) if leaf(ty, value).is_null() => {
                vec![format!("Expected type \"{name}\", found \"{}\".", go_text(value))]
            }
            _ => Vec::new(),
        },
    }
}

fn numbered<'a, T: 'a>(
    items: impl Iterator<Item = &'a T>,
    problems: impl Fn(&T) -> Vec<String>,
) -> Vec<String> {
    let at = |(number, item)| {
        let found: Vec<String> = problems(item);
        found.into_iter().map(move |problem| format!("In element #{}: {problem}", number + 1))
    };
    items.enumerate().flat_map(at).collect()
}

fn problems_of_object<'a>(
    ty: &Type,
    names: impl Iterator<Item = &'a str>,
    problems: impl Fn(&str, &Ref) -> Option<Vec<String>>,
) -> Vec<String> {
    let unknown = names.filter(|name| !ty.fields.contains_key(name));
    let mut all: Vec<_> = unknown.map(|name| format!("In field \"{name}\": Unknown field.")).collect();
    for field in ty.fields.values() {
        let Input { name, ty, default } = &field.input;
        let missing = || match ty {
            Ref::NonNull(inner) if default.is_none() => vec![format!("Expected \"{inner}!\", found null.")],
            _ => Vec::new(),
        };
        let found = problems(name, ty).unwrap_or_else(missing);
        all.extend(found.into_iter().map(|problem| format!("In field \"{name}\": {problem}")));
    }
    all
}

/// The value of a variable that has no problems.
fn coerce(value: &Value, ty: &Ref) -> Value {
    match (ty, value) {
        (Ref::NonNull(inner), value) => coerce(value, inner),
        (_, Value::Null) => Value::Null,
        (Ref::List(inner), Value::Array(items)) => items.iter().map(|item| coerce(item, inner)).collect(),
        (Ref::List(inner), single) => Value::Array(vec![coerce(single, inner)]),
        (Ref::Named(name), value) => match SCHEMA.get(name) {
            Some(ty) if ty.kind == Kind::Input => input_object(ty, |name, inner| {
                value.get(name).map_or(Value::Null, |value| coerce(value, inner))
            }),
            Some(ty) => leaf(ty, value),
            None => Value::Null,
        },
    }
}

/// Scalars and enumerations as JSON: numbers, strings and booleans turn into each other.
fn leaf(ty: &Type, value: &Value) -> Value {
    match (ty.name, value) {
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
        (_, Value::String(name)) if ty.values.iter().any(|(value, _)| value == name) => value.clone(),
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

/// Where a value of a field or directive stands wrong.
pub(super) fn invalid_argument(name: &str, literal: &Literal, problems: &[String], at: At) -> GraphqlError {
    let text = format!("Argument \"{name}\" has invalid value {literal}.\n{}", problems.join("\n"));
    GraphqlError::new(text, [at])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(head: &str, given: &Value) -> Result<Values, String> {
        let document = syntax::parse(&format!("query Q({head}){{__typename}}")).unwrap();
        variables(&document.operations[0], given.as_object()).map_err(|e| e.message)
    }

    #[test]
    fn values_turn_into_the_declared_type() {
        let given = json!({"a": 5, "b": "7", "c": 2.9, "d": "NAME", "e": "one", "f": 1_234_567, "g": true});
        let head = "$a:String,$b:Int,$c:Int!,$d:CheckListOrder,$e:[String!],$f:ID,$g:Boolean,$h:Int=3";
        let read = read(head, &given).unwrap();
        assert_eq!(
            Value::Object(read),
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
