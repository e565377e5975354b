use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::net::FileTimeout;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file, and the line in it when there is one.
    File {
        /// The file's name as the operator wrote it.
        origin: Arc<str>,
        /// Counted from 1.
        line: Option<u64>,
    },
    /// An environment variable, by name.
    Variable(Arc<str>),
}

/// Why there is no configuration. Every text is one line that says where, what and what to do.
///
/// Values are not repeated but for short ones that cannot be secret: a URL may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read. Usual cause: missing rights.
    #[error("cannot read {}: {error}; check the path and its permissions, or name another file with --config", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
    /// There is no such file. Usual cause: a first start.
    #[error("there is no {}: {EXAMPLE}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be read in time.
    #[error("cannot read {}: {error}", path.display())]
    Timeout {
        /// The file.
        path: PathBuf,
        /// What to look at.
        error: FileTimeout,
    },
    /// Not YAML, or YAML with a key written twice: usually wrong indentation.
    #[error("{place}: not valid YAML: {what}")]
    Syntax {
        /// Where the parser stopped.
        place: Place,
        /// What it said.
        what: String,
    },
    /// A key that does not exist: usually misspelt or under the wrong section.
    #[error("{place}: unknown key {key:?}{}", suggestion(nearest.as_deref()))]
    UnknownKey {
        /// Where the key stands.
        place: Place,
        /// Its full path.
        key: String,
        /// The known key that looks most like it.
        nearest: Option<String>,
    },
    /// A key that earlier versions had.
    #[error("{place}: {key} was removed: {why}")]
    RemovedKey {
        /// Where the key stands.
        place: Place,
        /// Its full path.
        key: String,
        /// What to do.
        why: &'static str,
    },
    /// A variable that looks like configuration but matches no key.
    #[error("environment variable {} sets no known key{}", name.escape_debug(), suggestion(nearest.as_deref()))]
    UnknownVariable {
        /// The variable's name.
        name: String,
        /// The variable that sets the most similar key.
        nearest: Option<String>,
    },
    /// A value of the wrong type, out of range, or at odds with another one.
    #[error("{place}: {key}: {what}")]
    Value {
        /// Where the value stands, or the file when it stands nowhere.
        place: Place,
        /// Its full path.
        key: String,
        /// What it must be.
        what: String,
    },
}

// === impl ConfigError ===

impl ConfigError {
    /// Why the file could not be read.
    pub(super) fn of(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            _ => Self::Read { path, error },
        }
    }
}

// === impl Place ===

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { origin, line: Some(line) } => write!(f, "{origin}:{line}"),
            Self::File { origin, line: None } => f.write_str(origin),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

fn suggestion(nearest: Option<&str>) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean {nearest:?}?"),
        None => "; remove it or see the list of keys in the documentation".to_owned(),
    }
}

/// The shortest configuration that can work, on one line.
const EXAMPLE: &str = "write it, for example {listen: {address: \"127.0.0.1:8080\"}, \
                       auth: {jwt-public-key-files: [/etc/sensu/certs/jwt_public.pem]}, \
                       local-cluster: {api-urls: [\"https://sensu.example.com:8080\"]}}, \
                       or name another file with --config; fedgate demo needs none";
