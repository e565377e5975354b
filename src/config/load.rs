use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use super::{
    ConfigError, Root, check, de, env, keys,
    node::{Node, Value},
};

/// Reads the file, lets the variables override it, and checks the result.
///
/// `env` holds the process's variables; those without the prefix `FEDGATE_` are ignored.
pub fn load(path: &Path, env: &BTreeMap<String, String>) -> Result<Root, ConfigError> {
    let text =
        fs::read_to_string(path).map_err(|error| ConfigError::Read { path: path.to_owned(), error })?;
    parse(&text, &path.display().to_string(), env)
}

/// The same for a text; `origin` is what errors call it.
pub fn parse(text: &str, origin: &str, env: &BTreeMap<String, String>) -> Result<Root, ConfigError> {
    let mut root = Node::parse(text, &Arc::from(origin))?;
    if matches!(root.value, Value::Null) {
        root.value = Value::Map(Vec::new());
    }
    if matches!(root.value, Value::Map(_)) {
        env::apply(&mut root, env)?;
    }
    keys::check(&root)?;
    let config: Root = de::read(&root)?;
    check::check(&config, &root)?;
    Ok(config)
}
