//! What the tables show of each kind: sensuctl's columns, and the cluster.

use serde_json::Value;

mod kinds;

use kinds::{NAMESPACE, of_kind};

use super::{
    kind::Kind,
    table::{self, Heading},
    time,
    value::{at, joined, list, text},
};
use crate::cli::look::{Look, Tone};

/// One column of a kind's table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    /// The heading.
    pub(super) title: &'static str,
    cell: Cell,
    /// Shown by `info` only.
    only_info: bool,
}

/// Where a cell's text comes from; paths are JSON pointers.
#[derive(Clone, Copy, Debug)]
enum Cell {
    Text(&'static str),
    /// And what it is when absent.
    Or(&'static str, &'static str),
    /// Absent is false.
    Flag(&'static str),
    NotFlag(&'static str),
    /// A list of texts.
    Joined(&'static str),
    /// How many there are.
    Count(&'static str),
    /// Unix seconds.
    Time(&'static str),
    /// What a check found out: 0, 1, 2 or anything else.
    Status(&'static str),
    Special(fn(&Value) -> String),
}

/// Where items come from, for the columns that Sensu does not have.
pub(super) struct Origin<'a> {
    /// The cluster of items that do not name one.
    pub(super) cluster: &'a str,
    /// Whether to show namespaces.
    pub(super) namespaces: bool,
}

// === impl Column ===

impl Column {
    /// The head of the column: what may be done to it so that a table fits.
    pub(super) fn heading(&self) -> Heading {
        match (self.title, self.cell) {
            (title, _) if WHOLE.contains(&title) => Heading::whole(title),
            (title @ "UUID", _) => Heading::hide(title),
            (title, Cell::Text(_) | Cell::Joined(_) | Cell::Special(_)) => Heading::cut(title),
            (title, _) => Heading::hide(title),
        }
    }

    /// The cell for an item as the API shows it. People get a word for a status.
    pub(super) fn cell(&self, item: &Value, look: &Look) -> table::Cell {
        let Cell::Status(path) = self.cell else { return self.text(item).into() };
        let Some(status) = at(item, path).as_i64().or(item.pointer(path).is_none().then_some(0)) else {
            return self.text(item).into();
        };
        let (word, tone) = match status {
            0 => ("OK".to_owned(), Tone::Good),
            1 => ("WARNING".to_owned(), Tone::Warning),
            2 => ("CRITICAL".to_owned(), Tone::Bad),
            other => (format!("UNKNOWN ({other})"), Tone::Unknown),
        };
        table::Cell::new(if look.words { word } else { status.to_string() }, Some(tone))
    }

    /// The text for an item as the API shows it.
    pub(super) fn text(&self, item: &Value) -> String {
        match self.cell {
            Cell::Text(path) => text(at(item, path)),
            Cell::Status(path) => item.pointer(path).map_or_else(|| "0".to_owned(), text),
            Cell::Or(path, default) => item.pointer(path).map_or_else(|| default.to_owned(), text),
            Cell::Flag(path) => (at(item, path) == true).to_string(),
            Cell::NotFlag(path) => (at(item, path) != true).to_string(),
            Cell::Joined(path) => joined(at(item, path)),
            Cell::Count(path) => list(at(item, path)).len().to_string(),
            Cell::Time(path) => time::show(at(item, path).as_i64().unwrap_or_default()),
            Cell::Special(text) => text(item),
        }
    }
}

/// The columns of a kind; `info` is for one resource.
pub(super) fn columns(kind: &Kind, origin: &Origin<'_>, info: bool) -> Vec<Column> {
    let all = of_kind(kind);
    let mut columns: Vec<Column> = all.iter().filter(|column| info || !column.only_info).copied().collect();
    if kind.is_namespaced() && (info || origin.namespaces) && !columns.iter().any(|c| c.title == "NAMESPACE")
    {
        columns.insert(kind.names(), NAMESPACE);
    }
    columns
}

/// Titles of what names an item, or is what a list is for.
const WHOLE: [&str; 10] = [
    "NAME",
    "ENTITY",
    "CHECK",
    "ID",
    "USERNAME",
    "NAMESPACE",
    "ROLE",
    "CLUSTER ROLE",
    "SUBSCRIPTION",
    "STATUS",
];

/// Which cluster an item belongs to.
pub(super) fn cluster_of(item: &Value, origin: &Origin<'_>) -> String {
    item.get("cluster").and_then(Value::as_str).unwrap_or(origin.cluster).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::client::{kind::KINDS, table::Table};

    fn row(word: &str, item: &Value, info: bool) -> Vec<(&'static str, String)> {
        let origin = Origin { cluster: "local-cluster", namespaces: false };
        let columns = columns(Kind::named(word).unwrap(), &origin, info);
        columns.iter().map(|column| (column.title, column.text(item))).collect()
    }

    #[test]
    fn every_kind_has_columns_for_any_item() {
        for kind in &KINDS {
            for item in
                [json!({}), json!(null), json!({"metadata": 1, "spec": [], "rules": {}, "subjects": 3})]
            {
                assert!(!row(kind.word, &item, true).is_empty(), "{}", kind.word);
            }
        }
    }

    /// One of each kind, as far as its columns go.
    fn sample() -> Value {
        let text = r#"{"metadata": {"name": "n", "namespace": "d", "created_by": "c", "labels": {"a": "b"}}, "name": "n", "username": "u",
            "command": "c", "interval": 60, "cron": "c", "timeout": 5, "ttl": 6, "subscriptions": ["s"], "handlers": ["h"],
            "runtime_assets": ["a"], "check_hooks": [{"critical": ["h"]}], "publish": true, "stdin": true, "url": "https://a/b",
            "sha512": "ab", "entity_class": "p", "last_seen": 7, "system": {"os": "linux"}, "action": "allow",
            "expressions": ["e"], "type": "tcp", "socket": {"host": "h", "port": 7}, "filters": ["f"], "mutator": "m",
            "env_vars": ["e"], "groups": ["g"], "disabled": false, "created_at": 8, "opt_out": true, "workflows": [{"name": "w"}],
            "rules": [{"verbs": ["v"], "resources": ["r"], "resource_names": ["n"]}], "role_ref": {"type": "Role", "name": "r"},
            "subjects": [{"type": "User", "name": "u"}], "subscription": "s", "check": {"metadata": {"name": "c"}, "output": "o",
            "status": 1, "is_silenced": true}, "entity": {"metadata": {"name": "e"}}, "timestamp": 9, "id": "i", "begin": 1,
            "expire": 2, "expire_at": 3, "expire_on_resolve": true, "creator": "c", "reason": "r", "spec": {"api_urls": ["u"],
            "url": "u", "ca_cert": "c", "api_group": "g", "resource": "r", "replication_interval_seconds": 3}}"#;
        serde_json::from_str(text).unwrap()
    }

    /// The same with this in place of every text.
    fn with(value: Value, hostile: &Value) -> Value {
        match value {
            Value::Array(items) => items.into_iter().map(|item| with(item, hostile)).collect(),
            Value::Object(map) => map.into_iter().map(|(key, item)| (key, with(item, hostile))).collect(),
            _ => hostile.clone(),
        }
    }

    #[test]
    fn no_value_of_any_column_is_too_hostile_for_a_table() {
        for hostile in [
            json!("x".repeat(70_000)),
            json!("\u{1b}[2J\n\r\t\u{0}\u{202e}\u{200f}"),
            json!("中".repeat(300)),
            json!("e\u{301}".repeat(70_000)),
            json!(u64::MAX),
            json!(i64::MIN),
            json!(1e300),
            json!(-1.5),
            json!([[[]]]),
            json!({"a": [null]}),
            json!(null),
        ] {
            for kind in &KINDS {
                let item = with(sample(), &hostile);
                let columns = columns(kind, &Origin { cluster: "local-cluster", namespaces: true }, true);
                let mut table = Table::new(columns.iter().map(Column::heading));
                for words in [false, true] {
                    let look = Look { words, ..Look::default() };
                    table.push(columns.iter().map(|column| column.cell(&item, &look)));
                }
                for width in [None, Some(1), Some(80), Some(500)] {
                    let text = table.render(&Look { width, ..Look::default() });
                    let lines = 3..=if width.is_some() { 4 } else { 3 };
                    assert!(lines.contains(&text.lines().count()), "{}", kind.word);
                    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{}", kind.word);
                }
            }
        }
    }

    #[test]
    fn people_read_a_status_and_scripts_its_number() {
        let status =
            columns(Kind::named("event").unwrap(), &Origin { cluster: "c", namespaces: false }, false);
        let status = status.into_iter().find(|column| column.title == "STATUS").unwrap();
        let shown = |item: Value, words, color| {
            let mut table = Table::new([status.heading()]);
            let look = Look { words, color, width: None };
            table.push([status.cell(&item, &look)]);
            table.render(&look).lines().nth(1).unwrap().to_owned()
        };
        for (number, word) in
            [(0, "OK"), (1, "WARNING"), (2, "CRITICAL"), (3, "UNKNOWN (3)"), (-1, "UNKNOWN (-1)")]
        {
            let item = || json!({"check": {"status": number}});
            assert_eq!(shown(item(), true, false), word);
            assert_eq!(shown(item(), false, false), number.to_string());
            assert!(shown(item(), true, true).contains(&format!("m{word}\u{1b}[0m")));
        }
        assert_eq!(shown(json!({}), true, false), "OK");
        assert_eq!(shown(json!({"check": {"status": "x\u{1b}"}}), true, true), "x\\u{1b}");
    }

    #[test]
    fn cells_are_what_sensuctl_shows() {
        let cell = |word: &str, item: Value, title: &str| {
            row(word, &item, true).into_iter().find(|(t, _)| *t == title).unwrap().1
        };
        let check = json!({"check_hooks": [{"critical": ["a", "b"]}, {"0": ["c"]}], "interval": 60});
        assert_eq!(cell("check", check.clone(), "HOOKS"), "critical: [a,b], 0: [c]");
        assert_eq!(
            (cell("check", check.clone(), "INTERVAL"), cell("check", check, "TTL")),
            ("60".into(), "0".into())
        );
        let asset = json!({"url": "https://u:p@bonsai.sensu.io/assets/x/check.tar.gz?y=1", "sha512": "ab".repeat(64)});
        assert_eq!(cell("asset", asset.clone(), "URL"), "//bonsai.sensu.io/.../check.tar.gz");
        assert_eq!(cell("asset", asset, "HASH"), "abababa");
        let filter = json!({"action": "deny", "expressions": ["a", "b"]});
        assert_eq!(cell("filter", filter, "EXPRESSIONS"), "(a) || (b)");
        let handler = json!({"type": "tcp", "socket": {"host": "h", "port": 7}});
        assert_eq!(cell("handler", handler, "EXECUTE"), "PUSH: tcp://h:7");
        assert_eq!(cell("user", json!({"username": "ann"}), "ENABLED"), "true");
        let binding =
            json!({"role_ref": {"type": "Role", "name": "r"}, "subjects": [{"type": "User", "name": "ann"}]});
        assert_eq!(cell("role-binding", binding.clone(), "ROLE"), "r");
        assert_eq!(cell("role-binding", binding.clone(), "CLUSTER ROLE"), "");
        assert_eq!(cell("role-binding", binding, "WHO"), "User ann");
        assert_eq!(cell("silenced", json!({"expire_at": -1}), "EXPIRATION"), "never");
    }
}
