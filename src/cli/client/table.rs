use std::{fmt::Write as _, io, io::IsTerminal};

use crate::cli::text::{fit, terminal_safe, width};

/// Rows under headings, with aligned columns.
#[derive(Default)]
pub(super) struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
}

// === impl Table ===

impl Table {
    /// A table without rows.
    pub(super) fn new<T: Into<String>>(headings: impl IntoIterator<Item = T>) -> Self {
        Self { headings: headings.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(super) fn push(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| terminal_safe(cell.trim_end()).into_owned()).collect());
    }

    /// The table as text. At a terminal, long cells are truncated so that the others stay visible.
    pub(super) fn render(&self) -> String {
        self.render_within(if io::stdout().is_terminal() { MAX_CELL } else { usize::MAX })
    }

    fn render_within(&self, max_cell: usize) -> String {
        let cell = |row: &[String], column: usize| -> String {
            let text = row.get(column).map_or("", String::as_str);
            fit(text, max_cell).into_owned()
        };
        let lines: Vec<Vec<String>> = std::iter::once(&self.headings)
            .chain(&self.rows)
            .map(|row| (0..self.headings.len()).map(|column| cell(row, column)).collect())
            .collect();
        let widths: Vec<usize> = (0..self.headings.len())
            .map(|column| lines.iter().map(|line| width(&line[column])).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for line in &lines {
            let mut shown = String::new();
            for (cell, column) in line.iter().zip(&widths) {
                let padding = column.saturating_sub(width(cell)) + GAP;
                let _ = write!(shown, "{cell}{:padding$}", "");
            }
            text.push_str(shown.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Labels and values, one pair a line.
pub(super) fn pairs(pairs: &[(String, String)]) -> String {
    let widest = pairs.iter().map(|(label, _)| width(label)).max().unwrap_or(0);
    let mut text = String::new();
    for (label, value) in pairs {
        let padding = widest - width(label) + GAP;
        let line = format!("{label}:{:padding$}{}", "", terminal_safe(value.trim_end()));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// Columns between two cells.
const GAP: usize = 2;
/// Widest cell at a terminal, in columns.
const MAX_CELL: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_also_with_wide_and_unsafe_text() {
        let mut table = Table::new(["NAME", "VALUE", "LAST"]);
        table.push(["中文", "x\u{1b}[2J", "end\n"].map(str::to_owned));
        table.push(["a", "", "z".repeat(9).as_str()].map(str::to_owned));
        assert_eq!(
            table.render_within(10),
            "NAME  VALUE       LAST\n中文  x\\u{1b}[2J  end\na                 zzzzzzzzz\n"
        );
        assert!(table.render_within(5).contains("x\\u{…"));
    }

    #[test]
    fn pairs_are_aligned() {
        let text = pairs(&[("Name".into(), "a".into()), ("Publish?".into(), "true".into())]);
        assert_eq!(text, "Name:      a\nPublish?:  true\n");
    }
}
