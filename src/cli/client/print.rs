use std::io::{self, IsTerminal};

use serde_json::Value;

use super::{
    columns::{self, Column, Origin},
    document::{for_dump, wrapped},
    kind::Kind,
    options::Format,
    sink::Sink,
    table::{self, Cell, Heading, Table},
    yaml,
};
use crate::cli::{Failure, look::Look, text::terminal_safe_json};

/// Prints resources as they arrive, or as a table at the end.
pub(super) struct Printer<'a> {
    format: Format,
    origin: Origin<'a>,
    look: Look,
    /// Whether what is printed is meant to be created again.
    is_dump: bool,
    sink: Sink,
    printed: usize,
    table: Option<(Table, Vec<Column>)>,
}

/// What is shown of one round of a command that is repeated, however wide the terminal is by then.
pub(super) type Frame = Box<dyn Fn(&Look) -> String>;

// === impl Printer ===

impl<'a> Printer<'a> {
    /// For a list.
    pub(super) fn new(format: Format, origin: Origin<'a>, sink: Sink) -> Self {
        Self { format, origin, look: Look::stdout(), is_dump: false, sink, printed: 0, table: None }
    }

    /// For a dump. It is YAML instead of a table, and wrapped JSON instead of JSON, so that it can be created again.
    pub(super) fn dump(format: Format, origin: Origin<'a>, sink: Sink) -> Self {
        let format = match format {
            Format::Tabular | Format::Yaml => Format::Yaml,
            Format::Json | Format::WrappedJson => Format::WrappedJson,
        };
        Self { is_dump: true, ..Self::new(format, origin, sink) }
    }

    /// Begins a list of this kind.
    pub(super) fn start(&mut self, kind: &Kind) -> Result<(), Failure> {
        match self.format {
            Format::Tabular => {
                let columns = columns::columns(kind, &self.origin, false);
                let mut headings: Vec<Heading> = columns.iter().map(Column::heading).collect();
                if !kind.is_federation() {
                    headings.insert(kind.names().max(1), Heading::whole(CLUSTER));
                }
                self.table = Some((Table::new(headings), columns));
            }
            Format::Json => self.sink.write("[")?,
            Format::Yaml | Format::WrappedJson => {}
        }
        Ok(())
    }

    /// Takes an item as the API shows it.
    pub(super) fn item(&mut self, kind: &Kind, item: Value) -> Result<(), Failure> {
        if let Some((table, columns)) = &mut self.table {
            let mut cells: Vec<Cell> = columns.iter().map(|column| column.cell(&item, &self.look)).collect();
            if !kind.is_federation() {
                cells.insert(kind.names().max(1), columns::cluster_of(&item, &self.origin).into());
            }
            table.push(cells);
            return Ok(());
        }
        let item = match self.format {
            _ if self.is_dump => for_dump(kind, item),
            Format::Json => item,
            _ => wrapped(kind, item),
        };
        let is_first = self.printed == 0;
        self.printed += 1;
        match self.format {
            Format::Json => {
                let text = pretty(&item).replace('\n', "\n  ");
                self.sink.write(&format!("{}\n  {text}", if is_first { "" } else { "," }))
            }
            Format::WrappedJson => self.sink.write(&format!("{}\n", pretty(&item))),
            _ if self.sink.is_file() => self.sink.write(&yaml_document(&item)),
            _ => self.sink.write(&yaml_text(&item)),
        }
    }

    /// Ends the list.
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        if let Some((table, _)) = self.table.take() {
            return self.sink.write(&table.render(&self.look));
        }
        self.end_text()
    }

    /// Ends the list, and returns what is to be shown of it.
    pub(super) fn into_frame(mut self) -> Result<Frame, Failure> {
        if let Some((table, _)) = self.table.take() {
            return Ok(Box::new(move |look| table.render(look)));
        }
        self.end_text()?;
        let text = self.sink.into_text();
        Ok(Box::new(move |_| text.clone()))
    }

    fn end_text(&mut self) -> Result<(), Failure> {
        match self.format {
            Format::Json if self.printed == 0 => self.sink.write("]\n"),
            Format::Json => self.sink.write("\n]\n"),
            _ => self.sink.finish(),
        }
    }
}

/// What is shown of one resource by itself.
pub(super) fn one(format: Format, origin: &Origin<'_>, kind: &Kind, item: Value) -> Frame {
    let text = match format {
        Format::Tabular => {
            let look = Look::stdout();
            let columns = columns::columns(kind, origin, true);
            let mut pairs: Vec<(String, Cell)> =
                columns.iter().map(|column| (label(column.title), column.cell(&item, &look))).collect();
            if !kind.is_federation() {
                let cluster = columns::cluster_of(&item, origin);
                pairs.insert(kind.names().max(1), (label(CLUSTER), cluster.into()));
            }
            return Box::new(move |look| table::pairs(&pairs, look));
        }
        Format::Json => format!("{}\n", pretty(&item)),
        Format::WrappedJson => format!("{}\n", pretty(&wrapped(kind, item))),
        Format::Yaml => yaml_text(&wrapped(kind, item)),
    };
    Box::new(move |_| text.clone())
}

/// `METRIC FORMAT` as a label: `Metric format`.
fn label(title: &str) -> String {
    let is_acronym = matches!(title, "ID" | "OS" | "TTL" | "URL" | "UUID");
    let mut chars = title.chars();
    match chars.next() {
        Some(first) if !is_acronym => first.to_string() + &chars.as_str().to_lowercase(),
        _ => title.to_owned(),
    }
}

/// A YAML document, safe for a terminal if it goes to one; in a file it is exact. It begins with `---`, so that outputs
/// can be appended to each other.
pub(super) fn yaml_text(value: &Value) -> String {
    let text = yaml_document(value);
    if io::stdout().is_terminal() { terminal_safe_json(&text).into_owned() } else { text }
}

fn yaml_document(value: &Value) -> String {
    format!("---\n{}", yaml::write(value))
}

/// Indented JSON, safe for a terminal.
pub(super) fn pretty(value: &Value) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    terminal_safe_json(&text).into_owned()
}

const CLUSTER: &str = "CLUSTER";
