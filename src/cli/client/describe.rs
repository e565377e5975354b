//! `describe-type` and `dump --types`: which types there are.

use clap::Args;
use serde_json::{Value, json};

use super::{
    kind::{KINDS, Kind},
    options::{Connection, Format, Output},
    print::{pretty, yaml_text},
    table::{Heading, Table},
};
use crate::cli::{Failure, USAGE, look::Look, output::print};

/// `fedgate describe-type`.
#[derive(Debug, Args)]
pub(in crate::cli) struct DescribeType {
    /// Types, with commas between them, or all
    #[arg(value_name = "TYPE", required = true, value_delimiter = ',')]
    kinds: Vec<String>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

// === impl DescribeType ===

impl DescribeType {
    /// Prints what each type is called, without asking the server.
    pub(in crate::cli) fn run(&self) -> Result<(), Failure> {
        let mut found: Vec<&Kind> = Vec::new();
        for word in &self.kinds {
            if word == "all" {
                found.extend(KINDS.iter());
            } else {
                found.push(Kind::named(word).map_err(|error| Failure::new(USAGE, error))?);
            }
        }
        let format = self.output.format.unwrap_or_else(|| self.connection.format());
        if format == Format::Tabular {
            let headings = ["FULLY QUALIFIED NAME", "SHORT NAME", "API VERSION", "TYPE", "NAMESPACED"];
            let mut table = Table::new(headings.map(Heading::whole));
            for kind in found {
                let cells = [
                    full_name(kind),
                    kind.collection.to_owned(),
                    kind.api_version.to_owned(),
                    kind.type_name.to_owned(),
                ];
                table.push(cells.into_iter().chain([kind.is_namespaced().to_string()]));
            }
            return print(&table.render(&Look::stdout()));
        }
        let described: Value = found.iter().map(|kind| described(kind)).collect();
        show(&described, format)
    }
}

/// Prints the full names of all types, one a line.
pub(super) fn types(format: Option<Format>) -> Result<(), Failure> {
    let names: Vec<String> = KINDS.iter().map(full_name).collect();
    match format {
        None | Some(Format::Tabular) => print(&format!("{}\n", names.join("\n"))),
        Some(format) => show(&names.into(), format),
    }
}

fn show(value: &Value, format: Format) -> Result<(), Failure> {
    match format {
        Format::Yaml => print(&yaml_text(value)),
        _ => print(&format!("{}\n", pretty(value))),
    }
}

fn described(kind: &Kind) -> Value {
    json!({"name": full_name(kind), "short_name": kind.collection, "api_version": kind.api_version,
        "type": kind.type_name, "namespaced": kind.is_namespaced()})
}

fn full_name(kind: &Kind) -> String {
    format!("{}.{}", kind.api_version, kind.type_name)
}
