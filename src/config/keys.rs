//! The names of all keys, taken from the structs themselves.

use std::sync::LazyLock;

use serde_json::Value as Json;

use super::{
    ConfigError, Root,
    node::{Node, Value},
};
use crate::{registry::StaticCluster, types::ClusterName};

/// The full path of every key that holds a value, such as `listen.address`; the items of a list of sections
/// are written `clusters[].name`.
pub fn known_keys() -> &'static [String] {
    &KEYS
}

/// Refuses the first key that does not exist.
pub(super) fn check(node: &Node) -> Result<(), ConfigError> {
    check_below(node, "", "")
}

/// Of `names` the one that looks most like `name`, when one does.
pub(super) fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let similarity = |candidate: &str| strsim::normalized_damerau_levenshtein(name, candidate);
    names
        .into_iter()
        .map(|candidate| (similarity(candidate), candidate))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(score, _)| *score >= SIMILAR)
        .map(|(_, candidate)| candidate)
}

/// `written` is the path as the operator knows it (`clusters[1].nmae`), `plain` the same as the table has it.
fn check_below(node: &Node, written: &str, plain: &str) -> Result<(), ConfigError> {
    match &node.value {
        // A section in the place of a plain value is refused for its type later on.
        Value::Map(entries) if plain.is_empty() || has_below(plain, '.') => {
            for entry in entries {
                let (written, plain) = (join(written, &entry.key), join(plain, &entry.key));
                if let Some(why) = removed(&plain) {
                    return Err(ConfigError::RemovedKey { place: entry.place.clone(), key: written, why });
                }
                if !exists(&plain) {
                    return Err(ConfigError::UnknownKey {
                        place: entry.place.clone(),
                        nearest: suggest(&plain),
                        key: written,
                    });
                }
                check_below(&entry.node, &written, &plain)?;
            }
            Ok(())
        }
        Value::List(items) if has_below(plain, '[') => {
            items.iter().enumerate().try_for_each(|(index, item)| {
                check_below(item, &format!("{written}[{index}]"), &format!("{plain}[]"))
            })
        }
        _ => Ok(()),
    }
}

/// What to do in place of a key that earlier versions had.
pub(super) fn removed(path: &str) -> Option<&'static str> {
    REMOVED.iter().find(|(key, _)| *key == path).map(|(_, why)| *why)
}

/// The keys that earlier versions had.
pub(super) fn removed_keys() -> impl Iterator<Item = &'static str> {
    REMOVED.iter().map(|(key, _)| *key)
}

/// Whether a path is a key or a section.
fn exists(path: &str) -> bool {
    KEYS.iter().any(|key| key == path) || has_below(path, '.') || has_below(path, '[')
}

fn has_below(path: &str, separator: char) -> bool {
    KEYS.iter().any(|key| key.strip_prefix(path).is_some_and(|rest| rest.starts_with(separator)))
}

/// A sister key by spelling; else the same last name in another section, where it was probably meant to be.
fn suggest(path: &str) -> Option<String> {
    let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
    let inside = if section.is_empty() { String::new() } else { format!("{section}.") };
    let sisters = KEYS.iter().filter_map(|key| key.strip_prefix(&inside)).map(|rest| {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        &rest[..end]
    });
    if let Some(sister) = nearest(name, sisters) {
        return Some(format!("{inside}{sister}"));
    }
    let elsewhere: Vec<&String> = KEYS.iter().filter(|key| key.rsplit('.').next() == Some(name)).collect();
    match elsewhere.as_slice() {
        [only] => Some((*only).clone()),
        _ => nearest(path, KEYS.iter().map(String::as_str)).map(ToOwned::to_owned),
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn collect(json: &Json, path: &str, keys: &mut Vec<String>) {
    match json {
        Json::Object(entries) => {
            for (key, value) in entries {
                collect(value, &join(path, key), keys);
            }
        }
        Json::Array(items) if items.first().is_some_and(Json::is_object) => {
            collect(&items[0], &format!("{path}[]"), keys);
        }
        _ => keys.push(path.to_owned()),
    }
}

static KEYS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let example = StaticCluster {
        name: ClusterName::local(),
        api_urls: Vec::new(),
        trusted_ca_file: None,
        cert_file: None,
        key_file: None,
        insecure_skip_tls_verify: false,
    };
    let root = Root { clusters: vec![example], ..Root::default() };
    let json = serde_json::to_value(root).expect("plain structs with text keys always serialise");
    let mut keys = Vec::new();
    collect(&json, "", &mut keys);
    keys
});

/// Below this similarity (1 is equal) a suggestion would confuse more than help.
const SIMILAR: f64 = 0.6;

/// Keys of earlier versions, and what to do instead.
const REMOVED: &[(&str, &str)] = &[(
    "fan-out.timeout",
    "delete the line; fan-out.member-timeout alone says how long a cluster may take for its part of a list",
)];
