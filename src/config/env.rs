//! Overrides from the environment: `FEDGATE_LISTEN__ADDRESS` sets `listen.address`.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    ConfigError, Place,
    keys::{known_keys, nearest, removed, removed_keys},
    node::{Node, Value},
};

/// Applies the variables to the document; they win over the file.
pub(super) fn apply(root: &mut Node, env: &BTreeMap<String, String>) -> Result<(), ConfigError> {
    for (name, text) in env {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        if let Some(key) = settable().find(|key| variable(key) == *name) {
            let path: Vec<&str> = key.split('.').collect();
            root.set(&path, value(name, text)?);
        } else if let Some(key) = removed_keys().find(|key| variable(key) == *name) {
            let (place, why) = (Place::Variable(name.as_str().into()), removed(key).unwrap_or_default());
            return Err(ConfigError::RemovedKey { place, key: key.to_owned(), why });
        } else if looks_like_a_key(rest) {
            let variables: Vec<String> = settable().map(variable).collect();
            let nearest = nearest(name, variables.iter().map(String::as_str)).map(ToOwned::to_owned);
            return Err(ConfigError::UnknownVariable { name: name.clone(), nearest });
        }
    }
    Ok(())
}

/// The keys that a variable can set: `clusters` only as a whole.
fn settable() -> impl Iterator<Item = &'static str> {
    let plain = known_keys().iter().map(String::as_str).filter(|key| !key.contains('['));
    plain.chain(std::iter::once("clusters"))
}

/// The variable that sets a key.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").replace('-', "_").to_ascii_uppercase())
}

/// Whether a variable that sets no key was meant to. Others with our prefix are none of our business: the
/// command line has some, and Kubernetes makes `FEDGATE_SERVICE_HOST` for a service called fedgate.
fn looks_like_a_key(rest: &str) -> bool {
    if rest.starts_with("TEST_") {
        return false;
    }
    let once = |name: &str| name.replace("__", "_");
    rest.contains("__")
        || settable().any(|key| {
            let known = variable(key);
            let section = known.split("__").next().unwrap_or(&known);
            section.strip_prefix(PREFIX) == Some(rest)
                || strsim::damerau_levenshtein(&once(&known[PREFIX.len()..]), &once(rest)) <= 1
        })
}

/// Reads a variable's text as YAML, but for `[::]:8080`: it needs quotes in a file, which are easily
/// forgotten here.
fn value(name: &str, text: &str) -> Result<Node, ConfigError> {
    let name: Arc<str> = name.into();
    let place = Place::Variable(Arc::clone(&name));
    if text.starts_with('[') && text.contains("]:") {
        return Ok(Node { value: Value::Text(text.to_owned()), place });
    }
    match Node::parse(text, &name) {
        Ok(node) => Ok(node.moved(&place)),
        Err(ConfigError::Syntax { what, .. }) => Err(ConfigError::Syntax { place, what }),
        Err(other) => Err(other),
    }
}

/// What every variable of the gateway starts with.
const PREFIX: &str = "FEDGATE_";
