use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

/// A value of JSON or YAML in which the last of two equal keys counts, and which ones there were.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Tree {
    /// The value.
    pub(super) value: Value,
    /// Paths of the keys that one of its objects has twice, such as `spec.interval`.
    pub(super) twice: Vec<String>,
}

struct TreeVisitor;

// === impl Tree ===

impl From<Value> for Tree {
    fn from(value: Value) -> Self {
        Self { value, twice: Vec::new() }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

// === impl TreeVisitor ===

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::default())
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Value::Bool(value).into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Value::from(value).into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Value::from(value).into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number).into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Value::from(value).into())
    }

    fn visit_string<E>(self, value: String) -> Result<Tree, E> {
        Ok(Value::from(value).into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let (mut items, mut twice) = (Vec::new(), Vec::new());
        while let Some(item) = access.next_element::<Tree>()? {
            twice.extend(item.twice.iter().map(|path| format!("[{}].{path}", items.len())));
            items.push(item.value);
        }
        Ok(Tree { value: items.into(), twice })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let (mut object, mut twice) = (Map::new(), Vec::new());
        while let Some(key) = access.next_key::<String>()? {
            let inner = access.next_value::<Tree>()?;
            let separator = |path: &str| if path.starts_with('[') { "" } else { "." };
            twice.extend(inner.twice.iter().map(|path| format!("{key}{}{path}", separator(path))));
            if object.insert(key.clone(), inner.value).is_some() && !twice.contains(&key) {
                twice.push(key);
            }
        }
        Ok(Tree { value: object.into(), twice })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::cli::client::yaml;

    #[test]
    fn the_last_of_equal_keys_counts_in_json_and_in_yaml() {
        let json = r#"{"spec": {"interval": 60, "list": [{"a": 1, "a": {"b": 1, "b": 2}}], "interval": 30}, "a": 0}"#;
        let expected = json!({"spec": {"interval": 30, "list": [{"a": {"b": 2}}]}, "a": 0});
        let twice = ["spec.list[0].a.b", "spec.list[0].a", "spec.interval"];
        for tree in [serde_json::from_str::<Tree>(json).unwrap(), yaml::read_tree(json).unwrap()] {
            assert_eq!((&tree.value, &tree.twice[..]), (&expected, &twice.map(str::to_owned)[..]));
        }
        let merged = "x: &x {a: 1, b: 1}\ny: {<<: *x, b: 2}\n1: z\n";
        let tree = yaml::read_tree(merged).unwrap();
        assert_eq!(tree.value["y"], json!({"b": 2, "a": 1}), "a merged key is not a second one");
        assert_eq!((tree.value["1"].as_str(), tree.twice.len()), (Some("z"), 0));
    }

    proptest! {
        #[test]
        fn what_json_holds_is_what_the_tree_holds(text in r#"[\{\}\[\]",:a01. eE-]{0,40}|\{"a":[0-9]{1,30}(\.[0-9]{1,5})?(e[0-9])?\}"#) {
            let plain = serde_json::from_str::<Value>(&text);
            let tree = serde_json::from_str::<Tree>(&text);
            prop_assert_eq!(plain.is_ok(), tree.is_ok());
            if let (Ok(plain), Ok(tree)) = (plain, tree) {
                prop_assert_eq!(plain.to_string(), tree.value.to_string());
            }
        }
    }
}
