use std::{
    fmt::{self, Write as _},
    path::Path,
};

use crate::cli::text::terminal_safe;

/// One line of the table: what was tried, and how it went.
pub(super) struct Row {
    what: String,
    result: Result<String, String>,
}

// === impl Row ===

impl Row {
    /// With what was found, or why it does not work.
    pub(super) fn new(what: impl fmt::Display, result: Result<String, String>) -> Self {
        Self { what: what.to_string(), result }
    }

    /// A file or directory that loads, or why it does not.
    pub(super) fn loaded<T, E: fmt::Display>(what: &str, path: &Path, loaded: Result<T, E>) -> Self {
        let result = loaded.map(|_| "ok".to_owned()).map_err(|error| error.to_string());
        Self::new(format_args!("{what} {}", path.display()), result)
    }

    /// Whether the check failed.
    pub(super) fn has_failed(&self) -> bool {
        self.result.is_err()
    }
}

/// The rows as text, with their results aligned.
pub(super) fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.what.len()).max().unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        let (mark, result) = match &row.result {
            Ok(result) => ("works", result),
            Err(error) => ("FAILS", error),
        };
        let _ = writeln!(text, "{mark}  {:width$}  {}", row.what, terminal_safe(result));
    }
    text
}
