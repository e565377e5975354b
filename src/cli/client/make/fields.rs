//! Which options make up a resource of each type, as sensuctl has them.

use serde_json::{Map, Value, json};

use crate::cli::client::time;

/// A type that can be created from options.
pub(in crate::cli::client) struct Maker {
    /// The type.
    pub(in crate::cli::client) word: &'static str,
    /// Whether the user gives it a name.
    pub(in crate::cli::client) is_named: bool,
    /// Its options.
    pub(in crate::cli::client) fields: &'static [Field],
    /// Makes of the options' values what Sensu has, where that differs.
    pub(in crate::cli::client) finish: fn(&mut Map<String, Value>) -> Result<(), String>,
}

/// An option.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli::client) struct Field {
    /// Its name.
    pub(in crate::cli::client) option: &'static str,
    /// Its letter.
    pub(in crate::cli::client) letter: Option<char>,
    /// What Sensu calls it.
    pub(in crate::cli::client) key: &'static str,
    /// What it takes.
    pub(in crate::cli::client) shape: Shape,
    /// Its value unless it is given; without one, it is left out.
    pub(in crate::cli::client) default: Option<&'static str>,
    /// Whether it must be given.
    pub(in crate::cli::client) required: bool,
}

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli::client) enum Shape {
    /// Text.
    Text,
    /// A whole number.
    Whole,
    /// Texts with commas between them.
    Items,
    /// `true`, `false`, or nothing for `true`.
    Switch,
}

// === impl Shape ===

impl Shape {
    /// The value that a text means.
    pub(in crate::cli::client) fn value(self, text: &str) -> Result<Value, String> {
        match self {
            Self::Text => Ok(text.into()),
            Self::Whole => text
                .trim()
                .parse::<i64>()
                .map(Value::from)
                .map_err(|_| format!("{text:?} is no whole number")),
            Self::Items => {
                Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect())
            }
            Self::Switch => match text {
                "true" | "1" | "t" | "T" | "TRUE" | "True" => Ok(true.into()),
                "false" | "0" | "f" | "F" | "FALSE" | "False" => Ok(false.into()),
                _ => Err(format!("{text:?} must be true or false")),
            },
        }
    }

    /// What is written when the field is removed: Sensu keeps what a patch sets to null.
    pub(in crate::cli::client) fn nothing(self) -> Value {
        match self {
            Self::Text => "".into(),
            Self::Whole => 0.into(),
            Self::Items => json!([]),
            Self::Switch => false.into(),
        }
    }

    /// How help calls the value.
    pub(in crate::cli::client) fn placeholder(self) -> &'static str {
        match self {
            Self::Text => "TEXT",
            Self::Whole => "N",
            Self::Items => "NAME,…",
            Self::Switch => "true|false",
        }
    }
}

const fn field(option: &'static str, key: &'static str, shape: Shape) -> Field {
    let default = match shape {
        // Sensu shows an empty list in another way than none at all, and sensuctl sends the former.
        Shape::Items => Some(""),
        _ => None,
    };
    Field { option, letter: None, key, shape, default, required: false }
}

const fn lettered(letter: char, option: &'static str, key: &'static str, shape: Shape) -> Field {
    Field { letter: Some(letter), ..field(option, key, shape) }
}

const fn required(field: Field) -> Field {
    Field { required: true, ..field }
}

const fn or(default: &'static str, field: Field) -> Field {
    Field { default: Some(default), ..field }
}

const fn maker(word: &'static str, fields: &'static [Field]) -> Maker {
    Maker { word, is_named: true, fields, finish: |_| Ok(()) }
}

use Shape::{Items, Switch, Text, Whole};

/// Every type that can be created from options.
pub(in crate::cli::client) static MAKERS: [Maker; 13] = [
    maker("namespace", &[]),
    maker(
        "asset",
        &[
            field("filter", "filters", Items),
            required(field("sha512", "sha512", Text)),
            required(lettered('u', "url", "url", Text)),
        ],
    ),
    maker(
        "check",
        &[
            required(lettered('c', "command", "command", Text)),
            field("cron", "cron", Text),
            field("handlers", "handlers", Items),
            field("high-flap-threshold", "high_flap_threshold", Whole),
            lettered('i', "interval", "interval", Whole),
            field("low-flap-threshold", "low_flap_threshold", Whole),
            field("output-metric-format", "output_metric_format", Text),
            field("output-metric-handlers", "output_metric_handlers", Items),
            field("proxy-entity-name", "proxy_entity_name", Text),
            or("true", lettered('p', "publish", "publish", Switch)),
            field("round-robin", "round_robin", Switch),
            lettered('r', "runtime-assets", "runtime_assets", Items),
            field("stdin", "stdin", Switch),
            required(lettered('s', "subscriptions", "subscriptions", Items)),
            lettered('t', "timeout", "timeout", Whole),
            field("ttl", "ttl", Whole),
        ],
    ),
    maker(
        "entity",
        &[
            required(lettered('c', "entity-class", "entity_class", Text)),
            lettered('s', "subscriptions", "subscriptions", Items),
        ],
    ),
    maker(
        "filter",
        &[
            required(lettered('a', "action", "action", Text)),
            required(lettered('s', "expressions", "expressions", Items)),
        ],
    ),
    Maker {
        finish: socket,
        ..maker(
            "handler",
            &[
                field("command", "command", Text),
                field("env-vars", "env_vars", Items),
                field("filters", "filters", Items),
                field("handlers", "handlers", Items),
                lettered('m', "mutator", "mutator", Text),
                lettered('r', "runtime-assets", "runtime_assets", Items),
                field("socket-host", "host", Text),
                field("socket-port", "port", Whole),
                lettered('i', "timeout", "timeout", Whole),
                or("pipe", lettered('t', "type", "type", Text)),
            ],
        )
    },
    maker(
        "hook",
        &[
            required(lettered('c', "command", "command", Text)),
            lettered('s', "stdin", "stdin", Switch),
            or("60", lettered('t', "timeout", "timeout", Whole)),
        ],
    ),
    maker(
        "mutator",
        &[
            lettered('c', "command", "command", Text),
            field("env-vars", "env_vars", Items),
            field("eval", "eval", Text),
            lettered('r', "runtime-assets", "runtime_assets", Items),
            lettered('t', "timeout", "timeout", Whole),
            or("pipe", field("type", "type", Text)),
        ],
    ),
    Maker { finish: rule, ..maker("role", &RULE) },
    Maker { finish: rule, ..maker("cluster-role", &RULE) },
    Maker {
        finish: binding,
        ..maker(
            "role-binding",
            &[
                lettered('c', "cluster-role", "cluster_role", Text),
                lettered('g', "group", "groups", Items),
                lettered('r', "role", "role", Text),
                lettered('u', "user", "users", Items),
            ],
        )
    },
    Maker {
        finish: binding,
        ..maker(
            "cluster-role-binding",
            &[
                required(lettered('c', "cluster-role", "cluster_role", Text)),
                lettered('g', "group", "groups", Items),
                lettered('u', "user", "users", Items),
            ],
        )
    },
    Maker {
        is_named: false,
        finish: silence,
        ..maker(
            "silenced",
            &[
                or("now", lettered('b', "begin", "begin", Text)),
                lettered('c', "check", "check", Text),
                or("-1", lettered('e', "expire", "expire", Whole)),
                or("false", lettered('x', "expire-on-resolve", "expire_on_resolve", Switch)),
                required(lettered('r', "reason", "reason", Text)),
                lettered('s', "subscription", "subscription", Text),
            ],
        )
    },
];

static RULE: [Field; 3] = [
    required(lettered('r', "resource", "resources", Items)),
    lettered('n', "resource-name", "resource_names", Items),
    required(lettered('v', "verb", "verbs", Items)),
];

fn socket(spec: &mut Map<String, Value>) -> Result<(), String> {
    match (spec.shift_remove("host"), spec.shift_remove("port")) {
        (None, None) => Ok(()),
        (Some(host), Some(port)) => {
            spec.insert("socket".into(), json!({"host": host, "port": port}));
            Ok(())
        }
        _ => Err("a socket needs --socket-host and --socket-port".to_owned()),
    }
}

fn rule(spec: &mut Map<String, Value>) -> Result<(), String> {
    let rule = std::mem::take(spec);
    if let Some((key, _)) = rule.iter().find(|(key, value)| *key != "resource_names" && **value == json!([]))
    {
        return Err(format!("a rule needs {key}"));
    }
    spec.insert("rules".into(), json!([rule]));
    Ok(())
}

fn binding(spec: &mut Map<String, Value>) -> Result<(), String> {
    let mut taken = std::mem::take(spec);
    let mut names = |key: &str, of: &str| -> Vec<Value> {
        let found = taken.shift_remove(key);
        let found = found.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
        found.into_iter().map(|name| json!({"type": of, "name": name})).collect()
    };
    let subjects = [names("groups", "Group"), names("users", "User")].concat();
    let role = match (taken.shift_remove("cluster_role"), taken.shift_remove("role")) {
        (Some(name), _) => json!({"type": "ClusterRole", "name": name}),
        (None, Some(name)) => json!({"type": "Role", "name": name}),
        (None, None) => return Err("give --role or --cluster-role".to_owned()),
    };
    if subjects.is_empty() {
        return Err("give --user, --group or both".to_owned());
    }
    spec.insert("subjects".into(), subjects.into());
    spec.insert("role_ref".into(), role);
    Ok(())
}

fn silence(spec: &mut Map<String, Value>) -> Result<(), String> {
    for key in ["check", "subscription"] {
        if spec.get(key).is_some_and(|value| value == "") {
            spec.shift_remove(key);
        }
    }
    if !spec.contains_key("check") && !spec.contains_key("subscription") {
        return Err("give --subscription, --check or both".to_owned());
    }
    let begin = spec.get("begin").and_then(Value::as_str).unwrap_or_default().to_owned();
    let begin = instant(&begin).ok_or_else(|| {
        format!("--begin {begin:?} must be now, or an instant such as 2026-11-30T14:00:00+01:00 or '2026-11-30 14:00:00 +01:00'")
    })?;
    spec.insert("begin".into(), begin.into());
    Ok(())
}

/// `now`, or an instant as sensuctl takes them, with a T or a space between its parts.
fn instant(text: &str) -> Option<i64> {
    match text {
        "0" | "now" => Some(time::now()),
        _ => time::parse(&text.trim().replacen(' ', "T", 1).replacen(' ', "", 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_what_sensu_has() {
        assert_eq!(Items.value(" a, b ,,c ").unwrap(), json!(["a", "b", "c"]));
        assert_eq!(Items.value("").unwrap(), json!([]));
        assert_eq!(Whole.value("60").unwrap(), json!(60));
        assert_eq!(Switch.value("true").unwrap(), json!(true));
        assert!(Whole.value("1m").is_err() && Switch.value("yes").is_err());
    }

    #[test]
    fn instants_are_read_as_sensuctl_reads_them() {
        for text in [
            "2021-03-14T01:00:00-04:00",
            "2021-03-14 01:00:00 -04:00",
            "2021-03-14 05:00:00 +00:00",
            "2021-03-14 05:00:00 -00:00",
        ] {
            assert_eq!(instant(text), Some(1_615_698_000), "{text}");
        }
        assert!(instant("now").unwrap() > 1_700_000_000);
        for text in ["", "tomorrow", "Mar 14 2021 1:00AM"] {
            assert_eq!(instant(text), None, "{text}");
        }
    }
}
