//! The TYPE and NAME arguments that many commands take.

use super::kind::{Kind, Scope};
use crate::cli::{Failure, USAGE};

/// The kind that a TYPE argument names.
pub(super) fn kind_named(word: &str) -> Result<&'static Kind, Failure> {
    Kind::named(word).map_err(|error| Failure::new(USAGE, error))
}

/// Refuses too few or too many NAME arguments, and names that a path cannot hold.
pub(super) fn check_names(kind: &Kind, names: &[String]) -> Result<(), Failure> {
    if names.len() != kind.names() {
        let wanted = match kind.scope {
            Scope::Single => "no name",
            Scope::Event => "two names: entity and check",
            Scope::Namespaced | Scope::ClusterWide => "one name",
        };
        return Err(Failure::new(USAGE, format!("{} takes {wanted}", kind.word)));
    }
    match names.iter().find(|name| matches!(name.as_str(), "" | "." | "..")) {
        Some(name) => Err(Failure::new(USAGE, format!("{name:?} cannot be a name"))),
        None => Ok(()),
    }
}

/// `cluster "alpha"`
pub(super) fn titled(kind: &Kind, names: &[String]) -> String {
    if names.is_empty() { kind.word.to_owned() } else { format!("{} {:?}", kind.word, names.join("/")) }
}
