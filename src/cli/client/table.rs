use std::{
    fmt::Write as _,
    io::{self, IsTerminal},
    iter,
};

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
        let lines: Vec<Vec<String>> = iter::once(&self.headings)
            .chain(&self.rows)
            .map(|row| (0..self.headings.len()).map(|column| cell(row, column)).collect())
            .collect();
        // One long cell must not make a line of every other row as long: it juts out of its own.
        let widths: Vec<usize> = (0..self.headings.len())
            .map(|column| lines.iter().map(|line| width(&line[column])).filter(|it| *it <= MAX_WIDTH).max())
            .map(Option::unwrap_or_default)
            .collect();
        let mut text = String::new();
        for line in &lines {
            let mut shown = String::new();
            for (cell, column) in line.iter().zip(&widths) {
                shown.push_str(cell);
                shown.extend(iter::repeat_n(' ', column.saturating_sub(width(cell)) + GAP));
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
/// Widest column, whose other cells are aligned to the widest.
const MAX_WIDTH: usize = 200;
/// Widest cell at a terminal, in columns.
const MAX_CELL: usize = 60;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    /// Text that people do not write into resources, and others do.
    fn hostile() -> impl Strategy<Value = String> {
        let odd = prop_oneof![
            "\\PC{0,20}",
            "[\\x00-\\x1f\\x7f-\\u{9f}]{0,5}",
            Just("\u{1b}[31m\u{1b}]0;x\u{7}".to_owned()),
            Just("e\u{301}\u{301}\u{301}".to_owned()),
            Just("中文\u{1f600}".to_owned()),
            Just("\u{202e}\u{2066}\u{200f}עברית".to_owned()),
            Just("\u{2028}\u{85}\u{feff}".to_owned()),
            (0_usize..70_000).prop_map(|length| "x".repeat(length)),
        ];
        prop::collection::vec(odd, 0..3).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_cell_breaks_its_line_or_swells_the_others(
            rows in prop::collection::vec(prop::array::uniform3(hostile()), 1..8),
            max_cell in prop_oneof![Just(MAX_CELL), Just(usize::MAX)],
        ) {
            let mut table = Table::new(["A", "B", "C"]);
            rows.iter().cloned().for_each(|row| table.push(row));
            let text = table.render_within(max_cell);
            prop_assert_eq!(text.lines().count(), rows.len() + 1);
            prop_assert!(text.chars().all(|c| c == '\n' || terminal_safe(&c.to_string()) == c.to_string()));
            for (line, row) in text.lines().skip(1).zip(&rows) {
                let own: usize = row.iter().map(|cell| width(&terminal_safe(cell))).sum();
                prop_assert!(width(line) <= own + 3 * (MAX_WIDTH + GAP), "{}", width(line));
            }
            let shown = pairs(&rows[0].clone().map(|cell| ("Label".to_owned(), cell)));
            prop_assert_eq!(shown.lines().count(), 3);
        }
    }

    #[test]
    fn pairs_are_aligned() {
        let text = pairs(&[("Name".into(), "a".into()), ("Publish?".into(), "true".into())]);
        assert_eq!(text, "Name:      a\nPublish?:  true\n");
    }
}
