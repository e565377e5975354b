//! Queries drawn from the schema: they validate, and are answered without a crash and in the promised form.

use std::fmt::Write;

use apollo_compiler::{Name, ast::Type, schema::ExtendedType};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    super::schema::{self, SCHEMA},
    ask, demo, fields, messages,
};
use crate::sim::Sensu;

thread_local! {
    static SENSU: Sensu = demo();
}

/// Draws numbers from a list, and zeros when it is used up.
struct Dice<'a>(std::slice::Iter<'a, u8>);

// === impl Dice ===

impl Dice<'_> {
    fn roll(&mut self, sides: usize) -> usize {
        self.0.next().map_or(0, |byte| usize::from(*byte) % sides.max(1))
    }

    fn pick<'b>(&mut self, items: &[&'b str]) -> &'b str {
        items[self.roll(items.len())]
    }

    fn selection(&mut self, ty: &ExtendedType, depth: usize) -> String {
        let mut selection = String::from("{__typename");
        let fields = fields(ty);
        for number in 0..=self.roll(4) {
            let field = fields[self.roll(fields.len())];
            let inner = schema::named(&field.ty).unwrap();
            if schema::is_composite(inner) && depth == 0 {
                continue;
            }
            // With a key of its own, no field conflicts with another.
            let _ = write!(selection, " f{number}_{}:{}", self.roll(3), field.name);
            let arguments: Vec<_> = field
                .arguments
                .iter()
                .filter_map(|input| {
                    let given = input.ty.is_non_null() || self.roll(2) == 1;
                    given.then(|| format!("{}:{}", input.name, self.literal(&input.ty, &input.name)))
                })
                .collect();
            if !arguments.is_empty() {
                let _ = write!(selection, "({})", arguments.join(","));
            }
            if self.roll(8) == 7 {
                selection += self.pick(&["@include(if:true)", "@skip(if:true)", "@skip(if:false)"]);
            }
            if schema::is_composite(inner) {
                selection += &self.selection(inner, depth - 1);
            }
        }
        if ty.is_interface() && depth > 0 {
            let names = schema::implementations(ty.name());
            let ty = &SCHEMA.types[names[self.roll(names.len())]];
            let inner = self.selection(ty, depth - 1).replace(" f", " g");
            let _ = write!(selection, " ...on {}{inner}", ty.name());
        }
        selection + "}"
    }

    fn literal(&mut self, ty: &Type, name: &str) -> String {
        match ty {
            Type::List(inner) | Type::NonNullList(inner) => match self.roll(3) {
                0 => "[]".into(),
                1 => self.literal(inner, name),
                _ => format!("[{}]", self.literal(inner, name)),
            },
            Type::Named(_) | Type::NonNullNamed(_) => match schema::named(ty).unwrap() {
                ExtendedType::Enum(ty) => {
                    let values: Vec<&str> = ty.values.keys().map(Name::as_str).collect();
                    self.pick(&values).into()
                }
                ExtendedType::InputObject(ty) => {
                    let fields: Vec<_> = ty
                        .fields
                        .values()
                        .map(|f| format!("{}:{}", f.name, self.literal(&f.ty, &f.name)))
                        .collect();
                    format!("{{{}}}", fields.join(","))
                }
                ty => self.scalar(ty.name(), name),
            },
        }
    }

    fn scalar(&mut self, ty: &str, name: &str) -> String {
        match (ty, name) {
            ("Int" | "Uint", _) => self.pick(&["0", "1", "-1", "25", "2147483647"]).into(),
            ("Boolean", _) => self.pick(&["true", "false"]).into(),
            ("DateTime", _) => "\"2030-01-01T00:00:00Z\"".into(),
            (_, "namespace") => self.pick(&["\"default\"", "\"nope\"", "\"\""]).into(),
            (_, "filters") => self.pick(&["\"check:cpu\"", "\"x\"", "\"silenced:maybe\""]).into(),
            (_, "ref") => {
                self.pick(&["\"core/v2/entity/metadata/labels\"", "\"core/v2/user/groups\"", "\"x\""]).into()
            }
            (_, "raw") => self
                .pick(&[
                    "\"{}\"",
                    "\"x\"",
                    "\"{\\\"type\\\":\\\"Event\\\",\\\"metadata\\\":{\\\"namespace\\\":\\\"..\\\"}}\"",
                ])
                .into(),
            ("ID", _) => self.pick(IDS).into(),
            _ => self.pick(&["\"cpu\"", "\"default\"", "\"\"", "\"../x\"", "\"slack\"", "\"é\\n\""]).into(),
        }
    }
}

const IDS: &[&str] = &[
    "\"srn:checks:default:cpu\"",
    "\"srn:events:default:check/WyJhIiwiYiJd\"",
    "\"srn:events:default:metric/WyJhIiwiYiJd\"",
    "\"srn:entities:sensu-system:sensu-backend-1\"",
    "\"srn:core/v3.EntityState:sensu-system:sensu-backend-1\"",
    "\"srn:silences:default:linux:ntp\"",
    "\"srn:checks:default:..%2F..%2Fusers%2Fadmin\"",
    "\"srn:users:admin\"",
    "\"\"",
];

/// Keys of objects are sorted, and every path of an error leads through the data to a null.
fn is_in_form(answer: &Value) -> Result<(), TestCaseError> {
    fn sorted(value: &Value) -> bool {
        match value {
            // Wrapped objects keep the order of their structs.
            Value::Object(map) if map.contains_key("api_version") => true,
            Value::Object(map) => map.keys().is_sorted() && map.values().all(sorted),
            Value::Array(items) => items.iter().all(sorted),
            _ => true,
        }
    }
    prop_assert!(sorted(&answer["data"]), "{answer}");
    for error in answer["errors"].as_array().into_iter().flatten() {
        let path = error["path"].as_array().expect("an error of execution");
        let mut at = &answer["data"];
        for step in path {
            at = match step {
                Value::String(key) => at.get(key).unwrap_or(&Value::Null),
                index => at.get(usize::try_from(index.as_u64().unwrap()).unwrap()).unwrap_or(&Value::Null),
            };
        }
        // Suggestions come with an error as an empty list.
        let is_flawed = *at == json!({"values": []}) || *at == json!(0);
        prop_assert!(at.is_null() || is_flawed, "{error} {answer}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_query_drawn_from_the_schema_is_answered(rolls in prop::collection::vec(any::<u8>(), 0..120)) {
        let query = Dice(rolls.iter()).selection(&SCHEMA.types["Query"], 5);
        let answer = SENSU.with(|sensu| ask(sensu, &query, &json!({})));
        prop_assert!(answer["data"].is_object() || !messages(&answer).is_empty(), "{query} {answer}");
        if answer["data"].is_object() {
            is_in_form(&answer)?;
        } else {
            // Validation refuses none of these, and a null of the whole has an error of execution.
            prop_assert!(answer["errors"][0]["path"].is_array(), "{query} {answer}");
        }
    }

    #[test]
    fn a_mutation_drawn_from_the_schema_is_answered(rolls in prop::collection::vec(any::<u8>(), 0..60)) {
        let query = format!("mutation{}", Dice(rolls.iter()).selection(&SCHEMA.types["Mutation"], 3));
        // What earlier mutations did stays done.
        let answer = SENSU.with(|sensu| ask(sensu, &query, &json!({})));
        let valid = answer["data"].is_object() || answer["errors"][0]["path"].is_array();
        prop_assert!(valid, "{query} {answer}");
        is_in_form(&answer)?;
    }

    #[test]
    fn any_text_is_answered(query in "[a-z{}()\\[\\]:$@!.,\" ]{0,60}|.{0,40}", variables in any::<bool>()) {
        let variables = if variables { json!({"a": [1, {"b": null}]}) } else { json!("x") };
        SENSU.with(|sensu| ask(sensu, &query, &variables));
    }
}
