//! What the tables show of each kind: sensuctl's columns, and the cluster.

use serde_json::Value;

mod kinds;

use kinds::{NAMESPACE, of_kind};

use super::{kind::Kind, time};

/// One column of a kind's table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    /// The heading.
    pub(super) title: &'static str,
    cell: Cell,
    /// Only shown when it is about one resource.
    only_info: bool,
}

/// Where a cell's text comes from; paths are JSON pointers.
#[derive(Clone, Copy, Debug)]
enum Cell {
    Text(&'static str),
    /// Absent is zero.
    Number(&'static str),
    /// Absent is false.
    Flag(&'static str),
    NotFlag(&'static str),
    /// A list of texts.
    Joined(&'static str),
    /// How many there are.
    Count(&'static str),
    /// Unix seconds.
    Time(&'static str),
    Special(fn(&Value) -> String),
}

/// What is known about where items come from, to fill the columns that Sensu does not have.
pub(super) struct Origin<'a> {
    /// The cluster of an item that names none.
    pub(super) cluster: &'a str,
    /// Whether to show namespaces.
    pub(super) namespaces: bool,
}

// === impl Column ===

impl Column {
    /// The text for an item as the API shows it.
    pub(super) fn text(&self, item: &Value) -> String {
        let at = |path: &str| item.pointer(path);
        match self.cell {
            Cell::Text(path) => at(path).map(shown).unwrap_or_default(),
            Cell::Number(path) => at(path).map_or_else(|| "0".to_owned(), shown),
            Cell::Flag(path) => at(path).is_some_and(|flag| flag == true).to_string(),
            Cell::NotFlag(path) => at(path).is_none_or(|flag| flag != true).to_string(),
            Cell::Joined(path) => at(path).map(joined).unwrap_or_default(),
            Cell::Count(path) => at(path).and_then(Value::as_array).map_or(0, Vec::len).to_string(),
            Cell::Time(path) => time::show(at(path).and_then(Value::as_i64).unwrap_or_default()),
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

/// Which cluster an item belongs to.
pub(super) fn cluster_of(item: &Value, origin: &Origin<'_>) -> String {
    item.get("cluster").and_then(Value::as_str).unwrap_or(origin.cluster).to_owned()
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn joined(value: &Value) -> String {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().map(shown).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::client::kind::KINDS;

    fn row(word: &str, item: &Value, info: bool) -> Vec<(&'static str, String)> {
        let origin = Origin { cluster: "local-cluster", namespaces: false };
        let columns = columns(Kind::named(word).unwrap(), &origin, info);
        columns.iter().map(|column| (column.title, column.text(item))).collect()
    }

    #[test]
    fn every_kind_has_columns_and_stands_any_item() {
        for kind in &KINDS {
            for item in
                [json!({}), json!(null), json!({"metadata": 1, "spec": [], "rules": {}, "subjects": 3})]
            {
                assert!(!row(kind.word, &item, true).is_empty(), "{}", kind.word);
            }
        }
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
