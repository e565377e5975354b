use std::{fmt, io, path::PathBuf, sync::Arc};

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
    /// The file is missing or unreadable: usually a wrong path or missing rights.
    #[error("cannot read {}: {error}; check the path and its permissions, or name another file with --config", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
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
