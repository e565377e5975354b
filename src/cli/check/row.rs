use std::{
    fmt::{self, Write as _},
    path::Path,
};

use crate::cli::{
    look::{Look, Tone},
    text::{terminal_safe, width},
};

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
pub(super) fn table(rows: &[Row], look: Look) -> String {
    let what: Vec<_> = rows.iter().map(|row| terminal_safe(&row.what)).collect();
    let widest = what.iter().map(|what| width(what)).max().unwrap_or(0);
    let mut text = String::new();
    for (row, what) in rows.iter().zip(&what) {
        let (mark, tone, result) = match &row.result {
            Ok(result) => ("works", Tone::Good, result),
            Err(error) => ("FAILS", Tone::Bad, error),
        };
        let gap = widest - width(what);
        let _ =
            writeln!(text, "{}  {what}{:gap$}  {}", look.paint(mark, Some(tone)), "", terminal_safe(result));
    }
    text
}
