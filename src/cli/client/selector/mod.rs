//! `--field-selector` and `--label-selector`, in the language of Sensu's API: `event.check.status != 0 && "linux" in
//! event.check.subscriptions`.
//!
//! Only the commercial edition selects by itself; all others answer everything. So what is selected is selected here.

mod parse;

use serde_json::Value;

use self::parse::{Operator, Requirement, Side};
use super::{
    kind::Kind,
    value::{list, text},
};

/// Which items of a list are wanted.
#[derive(Clone, Debug, Default)]
pub(super) struct Selector {
    fields: Vec<Requirement>,
    labels: Vec<Requirement>,
}

// === impl Selector ===

impl Selector {
    /// Reads the selectors of a list of this kind. The error completes a sentence about the option.
    pub(super) fn parse(kind: &Kind, fields: &[String], labels: &[String]) -> Result<Self, String> {
        let read = |option: &str, texts: &[String]| -> Result<Vec<Requirement>, String> {
            let read = texts.iter().map(|text| parse::requirements(text));
            let read = read.collect::<Result<Vec<_>, _>>().map_err(|what| format!("--{option}: {what}"))?;
            Ok(read.concat())
        };
        let selector =
            Self { fields: read("field-selector", fields)?, labels: read("label-selector", labels)? };
        let prefix = prefix(kind);
        match selector.fields.iter().find(|it| it.field().split('.').next() != Some(prefix.as_str())) {
            Some(other) => Err(format!(
                "--field-selector: {:?} is no field of a list of {}: those begin with {prefix}., such as {prefix}.name",
                other.field(),
                kind.collection
            )),
            None => Ok(selector),
        }
    }

    /// Whether an item, as the API shows it, is wanted.
    pub(super) fn matches(&self, item: &Value) -> bool {
        let by_fields = self.fields.iter().all(|it| it.holds(&field(item, it.field())));
        by_fields && self.labels.iter().all(|it| it.holds(&label(item, it.field())))
    }
}

/// What the fields of a kind begin with: `role_binding` for `role-binding`.
fn prefix(kind: &Kind) -> String {
    kind.word.replace('-', "_")
}

/// A field of an item. What Sensu keeps in the metadata is found without naming that.
fn field(item: &Value, path: &str) -> Value {
    let mut found = item;
    let mut rest = path.split('.').skip(1);
    while let Some(key) = rest.next() {
        let inner = |outer: &str| found.get(outer).and_then(|outer| outer.get(key));
        // An event is silenced as its check is.
        let of_check = || if key == "is_silenced" { inner("check") } else { None };
        let Some(next) =
            found.get(key).or_else(|| inner("metadata")).or_else(|| inner("spec")).or_else(of_check)
        else {
            return Value::Null;
        };
        found = next;
        if matches!(key, "labels" | "annotations") {
            let name = rest.collect::<Vec<_>>().join(".");
            return found.get(&name).cloned().unwrap_or_default();
        }
    }
    found.clone()
}

/// A label of an item; of an event also one of its entity or check.
fn label(item: &Value, name: &str) -> Value {
    let parts = [Some(item), item.get("check"), item.get("entity")];
    let of = |part: &Value| part.get("metadata")?.get("labels")?.get(name).cloned();
    parts.into_iter().flatten().find_map(of).unwrap_or_default()
}

// === impl Requirement ===

impl Requirement {
    fn holds(&self, found: &Value) -> bool {
        let items: Vec<String> = match found {
            Value::Array(_) => list(found).iter().map(text).collect(),
            one => vec![text(one)],
        };
        let joined = items.join(",");
        match (self.operator, &self.side) {
            (Operator::Is, Side::Values(values)) => values.contains(&joined),
            (Operator::IsNot, Side::Values(values)) => values.iter().all(|value| *value != joined),
            (Operator::Matches, Side::Values(values)) => values.iter().any(|value| joined.contains(value)),
            (Operator::In, Side::Values(values)) => items.iter().any(|item| values.contains(item)),
            (Operator::NotIn, Side::Values(values)) => !items.iter().any(|item| values.contains(item)),
            (Operator::In, Side::Value(value)) => items.contains(value),
            (Operator::NotIn, Side::Value(value)) => !items.contains(value),
            (_, Side::Value(value)) => joined == *value,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn selects(word: &str, selector: &str, item: &Value) -> bool {
        let kind = Kind::named(word).unwrap();
        Selector::parse(kind, &[selector.to_owned()], &[]).unwrap().matches(item)
    }

    #[test]
    fn what_sensus_pages_select_is_selected() {
        let event = json!({
            "metadata": {"namespace": "default"},
            "entity": {"entity_class": "agent", "metadata": {"name": "web-1", "labels": {"region": "eu"}}},
            "check": {"status": 2, "state": "failing", "is_silenced": false, "publish": true,
                "subscriptions": ["linux", "web"], "handlers": ["slack"], "metadata": {"name": "cpu"}},
        });
        for (selector, expected) in [
            ("event.check.status != 0", true),
            ("event.check.status == \"2\" && event.check.state == failing", true),
            ("event.check.status==0", false),
            ("event.is_silenced == true", false),
            ("event.check.is_silenced == false", true),
            ("event.entity.name == web-1", true),
            ("event.entity.name matches 'web'", true),
            ("event.entity.name in [web-1, web-2]", true),
            ("event.entity.name notin ['web-1','web-2']", false),
            ("linux in event.check.subscriptions", true),
            ("\"windows\" notin event.check.subscriptions", true),
            ("event.check.handlers == slack", true),
            ("event.entity.labels.region == eu", true),
            ("event.namespace == default", true),
            ("event.nothing == \"\"", true),
        ] {
            assert_eq!(selects("event", selector, &event), expected, "{selector}");
        }
        let labels = |text: &str| {
            Selector::parse(Kind::named("event").unwrap(), &[], &[text.to_owned()]).unwrap().matches(&event)
        };
        assert!(labels("region == eu") && labels("region in [eu, us]") && !labels("region != 'eu'"));
        let cluster = json!({"type": "Cluster", "metadata": {"name": "alpha"}, "spec": {"api_urls": ["https://a:8080"]}});
        assert!(selects("cluster", "cluster.name == alpha && cluster.api_urls matches 8080", &cluster));
        let binding = json!({"metadata": {"name": "b"}, "role_ref": {"type": "Role", "name": "r"}});
        assert!(selects("role-binding", "role_binding.role_ref.name == r", &binding));
        let dotted = json!({"metadata": {"labels": {"sensu.io/managed_by": "sensuctl"}}});
        assert!(selects("check", "check.labels.sensu.io/managed_by == sensuctl", &dotted));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let kind = Kind::named("check").unwrap();
        for text in [
            "",
            "check.name",
            "check.name ==",
            "check.name = x",
            "check.name == x &&",
            "event.name == x",
            "check.name in [a",
            "check.name == 'x",
            "check.name == x y",
            "check.name in [a b]",
            "check.name === x",
        ] {
            assert!(Selector::parse(kind, &[text.to_owned()], &[]).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd_to_read(text in "[a-z.=!&\\[\\],' \"]{0,30}|.*") {
            let _ = parse::requirements(&text);
        }

        #[test]
        fn a_quoted_value_is_that_value(value in "[^'\\\\]{0,20}") {
            let item = json!({"metadata": {"name": value}});
            let selector = format!("check.name == '{value}'");
            prop_assert!(selects("check", &selector, &item));
        }
    }
}
