//! Numbers that Sensu keeps as integers. Template tools print them as floats (`60.0`, `1.048576e+06`), which Sensu refuses.

use serde_json::{Map, Number, Value};

/// Names of fields; those of a part that is a kind of its own are a list of their own.
type Fields = &'static [&'static [&'static str]];

/// Writes the kind's integers as such. The error completes a sentence about the document.
pub(super) fn settle(type_name: &str, spec: &mut Map<String, Value>) -> Result<(), String> {
    match fields(type_name) {
        [] => Ok(()),
        fields => settle_in(fields, spec, "spec"),
    }
}

/// The names of a kind's integer fields, wherever in it they are. None of them is also the name of a field that may
/// hold another number.
fn fields(type_name: &str) -> Fields {
    match type_name {
        "CheckConfig" => &[CHECK],
        "Event" => &[EVENT, CHECK, ENTITY],
        "Entity" => &[ENTITY],
        "Handler" => &[&["timeout", "port"]],
        "HookConfig" | "Mutator" => &[&["timeout"]],
        "Silenced" => &[&["expire", "expire_at", "begin"]],
        "EtcdReplicator" | "Replicator" => &[&["replication_interval_seconds"]],
        _ => &[],
    }
}

fn settle_in(fields: Fields, object: &mut Map<String, Value>, path: &str) -> Result<(), String> {
    for (key, value) in object {
        if MAPS.contains(&key.as_str()) {
            continue;
        }
        let path = format!("{path}.{key}");
        match value {
            Value::Number(number)
                if fields.iter().copied().flatten().any(|field| field.eq_ignore_ascii_case(key)) =>
            {
                *number =
                    integer(number).ok_or_else(|| format!("has a {path} that is not whole: {number}"))?;
            }
            value => settle_value(fields, value, &path)?,
        }
    }
    Ok(())
}

fn settle_value(fields: Fields, value: &mut Value, path: &str) -> Result<(), String> {
    match value {
        Value::Object(object) => settle_in(fields, object, path),
        Value::Array(items) => items
            .iter_mut()
            .enumerate()
            .try_for_each(|(index, item)| settle_value(fields, item, &format!("{path}[{index}]"))),
        _ => Ok(()),
    }
}

fn integer(number: &Number) -> Option<Number> {
    if !number.is_f64() {
        return Some(number.clone());
    }
    let float = number.as_f64().filter(|float| float.fract() == 0.0)?;
    // Written out, it is exact; `as` would be, too, but would also take what does not fit.
    let digits = format!("{float:.0}");
    let digits = if digits == "-0" { "0" } else { &digits };
    digits.parse::<i64>().map(Number::from).or_else(|_| digits.parse::<u64>().map(Number::from)).ok()
}

const CHECK: &[&str] = &[
    "interval",
    "timeout",
    "ttl",
    "high_flap_threshold",
    "low_flap_threshold",
    "max_output_size",
    "splay_coverage",
];

/// Without those of the check and the entity in it.
const EVENT: &[&str] = &[
    "timestamp",
    "sequence",
    "executed",
    "issued",
    "status",
    "total_state_change",
    "occurrences",
    "occurrences_watermark",
    "last_ok",
];

const ENTITY: &[&str] = &["last_seen"];

/// Objects whose keys are not fields.
const MAPS: [&str; 3] = ["metadata", "labels", "annotations"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn settled(type_name: &str, spec: Value) -> Result<Value, String> {
        let Value::Object(mut spec) = spec else { panic!("{spec}") };
        settle(type_name, &mut spec).map(|()| spec.into())
    }

    #[test]
    fn whole_floats_become_integers_where_sensu_has_one() {
        let check = json!({"interval": 60.0, "timeout": 3e1, "ttl": 1e3, "high_flap_threshold": 20.0, "low_flap_threshold": 10.0,
            "max_output_size": 1.048_576e6, "proxy_requests": {"splay": true, "splay_coverage": 90.0},
            "annotations": {"interval": 60.0}, "of_the_future": 5.0});
        let expected = r#"{"interval":60,"timeout":30,"ttl":1000,"high_flap_threshold":20,"low_flap_threshold":10,"max_output_size":1048576,"proxy_requests":{"splay":true,"splay_coverage":90},"annotations":{"interval":60.0},"of_the_future":5.0}"#;
        assert_eq!(settled("CheckConfig", check).unwrap().to_string(), expected);
        for (type_name, spec, expected) in [
            (
                "Handler",
                json!({"timeout": 0.0, "socket": {"port": 3e3}}),
                json!({"timeout": 0, "socket": {"port": 3000}}),
            ),
            ("HookConfig", json!({"timeout": 10.0}), json!({"timeout": 10})),
            ("Mutator", json!({"timeout": -0.0}), json!({"timeout": 0})),
            (
                "Silenced",
                json!({"expire": -1.0, "begin": 1.7e9}),
                json!({"expire": -1, "begin": 1_700_000_000}),
            ),
            ("Entity", json!({"last_seen": 1.5e9}), json!({"last_seen": 1_500_000_000})),
            (
                "EtcdReplicator",
                json!({"replication_interval_seconds": 30.0}),
                json!({"replication_interval_seconds": 30}),
            ),
            (
                "Event",
                json!({"timestamp": 1e9, "check": {"status": 2.0, "duration": 1.5, "history": [{"status": 0.0}]},
                    "metrics": {"points": [{"value": 2.0, "timestamp": 5.0}]}}),
                json!({"timestamp": 1_000_000_000, "check": {"status": 2, "duration": 1.5, "history": [{"status": 0}]},
                    "metrics": {"points": [{"value": 2.0, "timestamp": 5}]}}),
            ),
            ("Role", json!({"interval": 1.5}), json!({"interval": 1.5})),
        ] {
            assert_eq!(settled(type_name, spec).unwrap().to_string(), expected.to_string(), "{type_name}");
        }
    }

    #[test]
    fn what_is_not_whole_or_does_not_fit_is_refused_by_name() {
        for (spec, error) in [
            (json!({"interval": 1.5}), "has a spec.interval that is not whole: 1.5"),
            (json!({"Interval": 0.1}), "has a spec.Interval that is not whole: 0.1"),
            (
                json!({"proxy_requests": {"splay_coverage": 1e30}}),
                "has a spec.proxy_requests.splay_coverage that is not whole: 1e+30",
            ),
        ] {
            assert_eq!(settled("CheckConfig", spec).unwrap_err(), error);
        }
        let spec = json!({"check": {"history": [{"status": 0}, {"status": 0.5}]}});
        assert_eq!(
            settled("Event", spec).unwrap_err(),
            "has a spec.check.history[1].status that is not whole: 0.5"
        );
    }

    proptest! {
        #[test]
        fn every_whole_number_keeps_its_value(number in any::<i32>()) {
            let spec = settled("CheckConfig", json!({ "interval": f64::from(number) })).unwrap();
            prop_assert_eq!(spec["interval"].to_string(), number.to_string());
        }

        #[test]
        fn no_number_is_too_odd(number in any::<f64>().prop_filter("JSON", |x| x.is_finite())) {
            let _ = settled("CheckConfig", json!({ "interval": number }));
        }
    }
}
