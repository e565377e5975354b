use std::{borrow::Cow, fmt::Write as _, iter};

use crate::cli::{
    look::{Look, Tone, listed},
    text::{fit, terminal_safe, width},
};

/// Rows under headings, with aligned columns.
#[derive(Default)]
pub(super) struct Table {
    headings: Vec<Heading>,
    rows: Vec<Vec<Cell>>,
}

/// The head of a column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heading {
    /// Its title.
    pub(super) title: &'static str,
    /// What may be done to it.
    pub(super) fitting: Fitting,
}

/// What may be done to a column so that a table fits the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fitting {
    /// Nothing: it is a name, or what the table is about.
    Whole,
    /// Its cells may be cut: free text. It is left out only when that is not enough.
    Cut,
    /// It may be left out.
    Hide,
}

/// A text, and what it says about what its row names.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    tone: Option<Tone>,
}

// === impl Cell ===

impl Cell {
    /// With a tone.
    pub(super) fn new(text: impl Into<String>, tone: Option<Tone>) -> Self {
        let text = text.into();
        Self { text: terminal_safe(text.trim_end()).into_owned(), tone }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(text, None)
    }
}

// === impl Heading ===

impl Heading {
    const fn new(title: &'static str, fitting: Fitting) -> Self {
        Self { title, fitting }
    }

    /// Of a column that is always shown whole.
    pub(super) const fn whole(title: &'static str) -> Self {
        Self::new(title, Fitting::Whole)
    }

    /// Of one whose cells may be cut.
    pub(super) const fn cut(title: &'static str) -> Self {
        Self::new(title, Fitting::Cut)
    }

    /// Of one that may be left out.
    pub(super) const fn hide(title: &'static str) -> Self {
        Self::new(title, Fitting::Hide)
    }
}

// === impl Table ===

impl Table {
    /// A table without rows.
    pub(super) fn new(headings: impl IntoIterator<Item = Heading>) -> Self {
        Self { headings: headings.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(super) fn push<T: Into<Cell>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The table as text. Where the look has a width, it fits: free text is cut, then what matters least is left out, and
    /// a last line names that. Names are never cut.
    pub(super) fn render(&self, look: &Look) -> String {
        let layout = Layout::of(self, look.width);
        let mut text = String::new();
        self.line(&mut text, look, &layout, |column| {
            let heading = &self.headings[column];
            (heading.title, Some(Tone::Heading))
        });
        for row in &self.rows {
            self.line(&mut text, look, &layout, |column| {
                row.get(column).map_or(("", None), |cell| (cell.text.as_str(), cell.tone))
            });
        }
        if !layout.hidden.is_empty() {
            let titles: Vec<_> = layout.hidden.iter().map(|column| self.headings[*column].title).collect();
            let line = format!("(not shown for want of space: {})", listed(&titles));
            let line = fit(&line, look.width.unwrap_or(usize::MAX));
            text.push_str(&look.paint(&line, Some(Tone::Dim)));
            text.push('\n');
        }
        text
    }

    fn line<'a>(
        &'a self,
        text: &mut String,
        look: &Look,
        layout: &Layout,
        cell: impl Fn(usize) -> (&'a str, Option<Tone>),
    ) {
        // Of the spaces only those that a cell follows are written.
        let mut spaces = 0;
        for (column, layout_width) in &layout.shown {
            let (full, tone) = cell(*column);
            let is_whole = look.width.is_none() || self.headings[*column].fitting == Fitting::Whole;
            let shown = if is_whole { Cow::Borrowed(full) } else { fit(full, *layout_width) };
            if !shown.is_empty() {
                text.extend(iter::repeat_n(' ', spaces));
                text.push_str(&look.paint(&shown, tone));
                spaces = 0;
            }
            spaces += layout_width.saturating_sub(width(&shown)) + GAP;
        }
        text.push('\n');
    }

    /// The widest cell of a column. Without a limit those that are very long do not count: one must not make a line of
    /// every other row as long.
    fn natural_width(&self, column: usize, is_limited: bool) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| width(&cell.text));
        let cells =
            cells.filter_map(|it| if it > MAX_WIDTH { is_limited.then_some(MAX_WIDTH) } else { Some(it) });
        cells.max().unwrap_or_default().max(width(self.headings[column].title))
    }

    fn is_blank(&self, column: usize) -> bool {
        self.rows.iter().all(|row| row.get(column).is_none_or(|cell| cell.text.is_empty()))
    }
}

/// Which columns are shown, how wide.
struct Layout {
    shown: Vec<(usize, usize)>,
    hidden: Vec<usize>,
}

// === impl Layout ===

impl Layout {
    fn of(table: &Table, limit: Option<usize>) -> Self {
        let natural = |column| (column, table.natural_width(column, limit.is_some()));
        let mut layout = Self { shown: (0..table.headings.len()).map(natural).collect(), hidden: Vec::new() };
        let Some(limit) = limit else { return layout };
        let fitting = |column: usize| table.headings[column].fitting;
        let is_hopeless = layout.total(|column| fitting(column) == Fitting::Whole) > limit;
        loop {
            // What is empty is not missed.
            let is_blank = |column| fitting(column) != Fitting::Whole && table.is_blank(column);
            if layout.cut(table, limit, COMFORT) || layout.remove_last(is_blank).is_some() {
                if layout.total(|_| true) <= limit {
                    return layout;
                }
            } else if let Some(column) = layout.remove_last(|column| fitting(column) == Fitting::Hide) {
                layout.hide(column);
            } else if layout.cut(table, limit, 0) || is_hopeless {
                return layout;
            } else if let Some(column) = layout.remove_last(|column| fitting(column) == Fitting::Cut) {
                layout.hide(column);
            } else {
                return layout;
            }
        }
    }

    fn remove_last(&mut self, is_wanted: impl Fn(usize) -> bool) -> Option<usize> {
        let place = self.shown.iter().rposition(|(column, _)| is_wanted(*column))?;
        Some(self.shown.remove(place).0)
    }

    fn hide(&mut self, column: usize) {
        self.hidden.push(column);
        self.hidden.sort_unstable();
    }

    /// What some of the columns take together.
    fn total(&self, counts: impl Fn(usize) -> bool) -> usize {
        total(self.shown.iter().filter(|(column, _)| counts(*column)))
    }

    /// Cuts the widest columns of free text until the table fits, none of them below `least` or its heading; changes
    /// nothing when that is not enough.
    fn cut(&mut self, table: &Table, limit: usize, least: usize) -> bool {
        let mut columns = self.shown.clone();
        let least_of =
            |column: usize, natural: usize| natural.min(least.max(width(table.headings[column].title)));
        loop {
            let Some(excess) = total(columns.iter()).checked_sub(limit).filter(|excess| *excess > 0) else {
                self.shown = columns;
                return true;
            };
            let can = |(column, width): &(usize, usize)| {
                table.headings[*column].fitting == Fitting::Cut && *width > least_of(*column, *width)
            };
            let widest = (0..columns.len())
                .filter(|place| can(&columns[*place]))
                .max_by_key(|place| columns[*place].1);
            let Some(widest) = widest else { return false };
            let (column, now) = columns[widest];
            // Down to the next widest, so that they shrink together.
            let next = columns.iter().enumerate().filter(|(place, it)| *place != widest && can(it));
            let next = next.map(|(_, (_, width))| *width).max().unwrap_or_default().min(now - 1);
            let floor = least_of(column, now).max(next).max(now.saturating_sub(excess));
            columns[widest].1 = floor.min(now - 1);
        }
    }
}

fn total<'a>(columns: impl Iterator<Item = &'a (usize, usize)>) -> usize {
    columns.map(|(_, width)| width + GAP).sum::<usize>().saturating_sub(GAP)
}

/// Labels and values, one pair a line.
pub(super) fn pairs(pairs: &[(String, Cell)], look: &Look) -> String {
    let widest = pairs.iter().map(|(label, _)| width(label)).max().unwrap_or(0);
    let mut text = String::new();
    for (label, value) in pairs {
        let padding = widest - width(label) + GAP;
        let label = format!("{label}:");
        let value_shown = look.paint(&value.text, value.tone);
        let line = format!("{}{:padding$}{value_shown}", look.paint(&label, Some(Tone::Heading)), "");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// Columns between two cells.
const GAP: usize = 2;
/// Widest column, whose other cells are aligned to the widest.
const MAX_WIDTH: usize = 200;
/// Columns of free text that are cut only when all else fails.
const COMFORT: usize = 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wide(width: usize) -> Look {
        Look { width: Some(width), ..Look::default() }
    }

    fn table(headings: &[Heading], rows: &[&[&str]]) -> Table {
        let mut table = Table::new(headings.iter().copied());
        for row in rows {
            table.push(row.iter().map(|cell| (*cell).to_owned()));
        }
        table
    }

    #[test]
    fn columns_are_aligned_also_with_wide_and_unsafe_text() {
        let headings = [Heading::whole("NAME"), Heading::cut("VALUE"), Heading::cut("LAST")];
        let long = "z".repeat(9);
        let table = table(&headings, &[&["中文", "x\u{1b}[2J", "end\n"], &["a", "", &long]]);
        let plain = "NAME  VALUE       LAST\n中文  x\\u{1b}[2J  end\na                 zzzzzzzzz\n";
        assert_eq!(table.render(&Look::default()), plain);
        assert_eq!(table.render(&wide(27)), plain);
        assert_eq!(table.render(&wide(20)), "NAME  VALUE   LAST\n中文  x\\u{1…  end\na             zzzzz…\n");
    }

    #[test]
    fn what_a_terminal_has_no_room_for_is_cut_then_left_out_and_names_stay() {
        let headings = [
            Heading::whole("NAME"),
            Heading::cut("COMMAND"),
            Heading::hide("INTERVAL"),
            Heading::hide("CRON"),
            Heading::cut("HANDLERS"),
        ];
        let (name, command, handlers) = ("n".repeat(30), "c".repeat(40), "h".repeat(25));
        let table = table(&headings, &[&[&name, &command, "60", "", &handlers]]);
        let shown = |width| table.render(&wide(width));
        let (heads, cells) = (" ".repeat(28), "c".repeat(38));
        let expected = format!(
            "NAME{heads}COMMAND{}INTERVAL  CRON  HANDLERS\n{name}  {cells}…  60              {handlers}\n",
            " ".repeat(34)
        );
        assert_eq!(shown(114), expected);
        // The empty column goes without a word, others are named.
        let titles =
            |width| shown(width).lines().next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(titles(90), "NAME COMMAND INTERVAL CRON HANDLERS");
        assert_eq!((titles(89).as_str(), shown(89).lines().count()), ("NAME COMMAND INTERVAL HANDLERS", 2));
        assert_eq!(titles(78), "NAME COMMAND HANDLERS");
        assert!(shown(78).ends_with("(not shown for want of space: INTERVAL)\n"), "{}", shown(78));
        assert_eq!(titles(50), "NAME COMMAND HANDLERS");
        assert!(shown(45).contains("(not shown for want of space: INTERVAL and"), "{}", shown(45));
        assert!(shown(45).contains(&format!("{name}  ccccc")), "{}", shown(45));
        // Where not even the names have room, their lines are longer.
        assert!(shown(10).contains(&name));
    }

    #[test]
    fn colors_change_no_width() {
        let mut table = Table::new([Heading::whole("NAME"), Heading::whole("STATE"), Heading::cut("ERROR")]);
        table.push([
            Cell::from("a".to_owned()),
            Cell::new("down", Some(Tone::Bad)),
            Cell::from("no".to_owned()),
        ]);
        let color = Look { color: true, ..Look::default() };
        let shown = table.render(&color);
        assert!(shown.contains("a     \u{1b}[1m\u{1b}[31mdown\u{1b}[0m   no\n"), "{shown:?}");
        assert!(!table.render(&Look::default()).contains('\u{1b}'));
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

    fn heading() -> impl Strategy<Value = Heading> {
        prop_oneof![Just(Heading::whole("A")), Just(Heading::cut("BB")), Just(Heading::hide("CCC"))]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_cell_breaks_its_line_or_swells_the_others(
            rows in prop::collection::vec(prop::array::uniform3(hostile()), 1..8),
        ) {
            let mut table = Table::new(["A", "B", "C"].map(Heading::cut));
            rows.iter().cloned().for_each(|row| table.push(row));
            let text = table.render(&Look::default());
            prop_assert_eq!(text.lines().count(), rows.len() + 1);
            prop_assert!(text.chars().all(|c| c == '\n' || terminal_safe(&c.to_string()) == c.to_string()));
            for (line, row) in text.lines().skip(1).zip(&rows) {
                let own: usize = row.iter().map(|cell| width(&terminal_safe(cell))).sum();
                prop_assert!(width(line) <= own + 3 * (MAX_WIDTH + GAP), "{}", width(line));
            }
            let shown = pairs(&rows[0].clone().map(|cell| ("Label".to_owned(), cell.into())), &Look::default());
            prop_assert_eq!(shown.lines().count(), 3);
        }

        #[test]
        fn a_table_fits_every_width_that_its_names_have_room_in(
            headings in prop::collection::vec(heading(), 1..6),
            rows in prop::collection::vec(prop::collection::vec(hostile(), 6), 0..6),
            limit in 1_usize..300,
            color: bool,
        ) {
            let mut table = Table::new(headings.iter().copied());
            rows.iter().cloned().for_each(|row| table.push(row));
            let whole = |line: &dyn Fn(usize) -> usize| -> usize {
                let names = headings.iter().enumerate().filter(|(_, it)| it.fitting == Fitting::Whole);
                names.map(|(column, _)| line(column) + GAP).sum::<usize>().saturating_sub(GAP)
            };
            let names = whole(&|column| {
                let cells = rows.iter().map(|row| width(&terminal_safe(row[column].trim_end())));
                cells.max().unwrap_or_default().max(1)
            });
            let text = table.render(&Look { color, width: Some(limit), words: true });
            // Colors aside, what remains is harmless.
            let style = ["\u{1b}[1m", "\u{1b}[2m", "\u{1b}[0m"];
            let plain = style.iter().fold(text, |text, code| text.replace(code, ""));
            prop_assert!(plain.chars().all(|c| c == '\n' || terminal_safe(&c.to_string()) == c.to_string()));
            prop_assert!(plain.lines().count() > rows.len() && plain.lines().count() <= rows.len() + 2);
            if names <= limit {
                for line in plain.lines() {
                    prop_assert!(width(line) <= limit, "{} > {limit}: {line:?}", width(line));
                }
            }
        }
    }

    #[test]
    fn pairs_are_aligned() {
        let text = pairs(
            &[("Name".into(), "a".to_owned().into()), ("Publish?".into(), "true".to_owned().into())],
            &Look::default(),
        );
        assert_eq!(text, "Name:      a\nPublish?:  true\n");
    }
}
