//! What the tables show of each kind: sensuctl's columns, and the cluster.

use serde_json::Value;

mod kinds;

use kinds::{NAMESPACE, of_kind};

use super::{
    kind::Kind,
    time,
    value::{at, joined, list, text},
};

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

/// Where items come from, for the columns that Sensu does not have.
pub(super) struct Origin<'a> {
    /// The cluster of items that do not name one.
    pub(super) cluster: &'a str,
    /// Whether to show namespaces.
    pub(super) namespaces: bool,
}

// === impl Column ===

impl Column {
    /// The text for an item as the API shows it.
    pub(super) fn text(&self, item: &Value) -> String {
        match self.cell {
            Cell::Text(path) => text(at(item, path)),
            Cell::Number(path) => item.pointer(path).map_or_else(|| "0".to_owned(), text),
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

/// Which cluster an item belongs to.
pub(super) fn cluster_of(item: &Value, origin: &Origin<'_>) -> String {
    item.get("cluster").and_then(Value::as_str).unwrap_or(origin.cluster).to_owned()
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
    fn every_kind_has_columns_for_any_item() {
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
