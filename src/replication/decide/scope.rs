use std::{fmt, sync::Arc};

use bytes::Bytes;

use crate::corev2::{ObjectKey, Type};

/// What one replicator copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::replication) struct Scope {
    /// The replicator.
    pub(in crate::replication) name: Arc<str>,
    pub(in crate::replication) kind: Type,
    pub(in crate::replication) namespace: Option<String>,
    /// Nothing is copied for it yet: its old destination is being cleaned up.
    pub(in crate::replication) held: bool,
}

/// A problem with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::replication) struct Problem {
    /// The replicator that copies the key.
    pub(in crate::replication) replicator: Arc<str>,
    /// Whether the destination differs from the source because of it; otherwise it is only a warning.
    pub(in crate::replication) is_error: bool,
    pub(in crate::replication) text: String,
    /// How long its beginning is, which names the key.
    about: usize,
}

// === impl Scope ===

impl Scope {
    pub(in crate::replication) fn covers(&self, key: &ObjectKey<'_>) -> bool {
        self.kind == key.kind && self.namespace.as_deref().is_none_or(|name| key.namespace == Some(name))
    }

    /// The prefix of its keys.
    pub(in crate::replication) fn prefix(&self) -> String {
        self.kind.prefix_in(self.namespace.as_deref())
    }

    pub(super) fn error(&self, key: &Bytes, what: &dyn fmt::Display) -> Problem {
        self.problem(key, true, &what.to_string())
    }

    pub(super) fn warning(&self, key: &Bytes, what: &str) -> Problem {
        self.problem(key, false, what)
    }

    fn problem(&self, key: &Bytes, is_error: bool, what: &str) -> Problem {
        let about = format!("{}: ", printable_key(self.kind, key));
        let text = format!("{about}{what}");
        Problem { replicator: Arc::clone(&self.name), is_error, text, about: about.len() }
    }
}

// === impl Problem ===

impl Problem {
    /// What it is, without the key.
    pub(in crate::replication) fn what(&self) -> &str {
        self.text.get(self.about..).unwrap_or_default()
    }
}

/// A key for messages. The name of an API key is the secret itself.
fn printable_key(kind: Type, key: &Bytes) -> String {
    if kind == Type::ApiKey {
        return format!("{}…", kind.prefix());
    }
    let text = key.escape_ascii().to_string();
    text.chars().take(MAX_KEY_CHARS).collect()
}

/// Longer names are cut.
pub(super) const MAX_KEY_CHARS: usize = 200;
