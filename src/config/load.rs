use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use super::{
    ConfigError, Root, check, de, env, keys,
    node::{Node, Value},
};
use crate::net;

/// Reads the file, lets the variables override it, and checks the result. Blocks for as long as its file system does.
///
/// `env` holds the process's variables; those without the prefix `FEDGATE_` are ignored.
pub fn load(path: &Path, env: &BTreeMap<String, String>) -> Result<Root, ConfigError> {
    let text = read(path).map_err(|error| ConfigError::of(path, error))?;
    parse(&text, &path.display().to_string(), env)
}

/// The same on a thread for blocking work, which is given up when its file system hangs.
pub async fn load_in_time(path: &Path, env: &BTreeMap<String, String>) -> Result<Root, ConfigError> {
    let owned = path.to_owned();
    let text = net::in_time(move || read(&owned)).await;
    let text = text.map_err(|error| ConfigError::Timeout { path: path.to_owned(), error })?;
    parse(&text.map_err(|error| ConfigError::of(path, error))?, &path.display().to_string(), env)
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

/// A pipe is as good as a file, so that a shell can make the configuration on the way.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too large for a configuration"));
    }
    Ok(text)
}

/// Room for tens of thousands of clusters.
const MAX_BYTES: u64 = 16 << 20;
