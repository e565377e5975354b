//! `verify`: whether the copies of every replicator equal their originals now.

use clap::Args;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    diff::{self, Verdict},
    http::Gateway,
    kind::Kind,
    list::kind_named,
    options::{Connection, Format, Output},
    print::{pretty, yaml_text},
    table::{Heading, Table},
    time,
    value::{list, text},
};
use crate::cli::{Failure, INCOMPLETE, REFUSED, look::Look, output::print, text::terminal_safe};

/// `fedgate verify`.
#[derive(Debug, Args)]
#[command(after_help = CODES)]
pub(in crate::cli) struct Verify {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// One replicator in one place.
struct Row {
    replicator: String,
    kind: &'static str,
    cluster: String,
    verdict: Verdict,
    objects: Option<u64>,
    differences: u64,
    took_ms: Option<f64>,
    error: String,
}

// === impl Verify ===

impl Verify {
    /// Compares one replicator after the other; fails when one differs, or may.
    pub(in crate::cli) async fn run(self) -> Result<(), Failure> {
        let settings = self.connection.settings()?;
        let format = self.output.format.unwrap_or(settings.format);
        let gateway = Gateway::open(settings).await?;
        let start = Instant::now();
        let mut rows = Vec::new();
        for kind in KINDS {
            let kind = kind_named(kind)?;
            for name in names(&gateway, kind).await? {
                rows.extend(compare(&gateway, kind, name).await?);
            }
        }
        let took_ms = (start.elapsed().as_secs_f64() * 1e4).round() / 10.0;
        let shown = match format {
            Format::Tabular => print(&table(&rows)),
            Format::Yaml => print(&yaml_text(&report(&rows, took_ms))),
            Format::Json | Format::WrappedJson => print(&format!("{}\n", pretty(&report(&rows, took_ms)))),
        };
        match failure(&rows) {
            // A caller that only reads the exit code may close the standard output.
            Some(failure) if shown.as_ref().err().is_none_or(Failure::is_quiet) => Err(failure),
            _ => shown,
        }
    }
}

/// The names of all replicators of a kind.
async fn names(gateway: &Gateway, kind: &Kind) -> Result<Vec<String>, Failure> {
    let answer = gateway.get(&kind.list_path(None)).await.map_err(|failure| {
        if failure.is_not_found() {
            return Failure::new(1, format!("{} has no replicators: is it a fedgate?", gateway.base()));
        }
        failure
    })?;
    let listed = answer.json()?;
    Ok(list(&listed).iter().map(|item| text(&item["metadata"]["name"])).collect())
}

async fn compare(gateway: &Gateway, kind: &Kind, name: String) -> Result<Vec<Row>, Failure> {
    let path = diff::path(kind, std::slice::from_ref(&name), None);
    let row = |cluster: String| Row {
        replicator: name.clone(),
        kind: kind.word,
        cluster,
        verdict: Verdict::Unknown,
        objects: None,
        differences: 0,
        took_ms: None,
        error: String::new(),
    };
    let answer = match diff::read(gateway, &path).await {
        Ok(answer) => answer,
        // A gateway that cannot be reached, or refuses the user, does so with all of them.
        Err(failure) if failure.status.is_none() || failure.code == REFUSED => return Err(failure),
        // Deleted since the list was read.
        Err(failure) if failure.is_not_found() => return Ok(Vec::new()),
        Err(failure) => return Ok(vec![Row { error: failure.line, ..row(String::new()) }]),
    };
    let places = list(&answer["clusters"]).iter().map(|place| Row {
        verdict: diff::verdict(place),
        objects: place["objects"].as_u64(),
        differences: diff::differences(place),
        took_ms: place["took_ms"].as_f64(),
        error: diff::error(place),
        ..row(text(&place["name"]))
    });
    let mut rows: Vec<Row> = places.collect();
    if rows.is_empty() {
        rows.push(Row { verdict: Verdict::Equal, error: diff::NO_CLUSTER.to_owned(), ..row(String::new()) });
    }
    Ok(rows)
}

fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "No replicators are registered.\n".to_owned();
    }
    let mut table = Table::new([
        Heading::whole("REPLICATOR"),
        Heading::hide("TYPE"),
        Heading::whole("CLUSTER"),
        Heading::whole("RESULT"),
        Heading::hide("OBJECTS"),
        Heading::whole("DIFFERENCES"),
        Heading::hide("TOOK"),
        Heading::cut("ERROR"),
    ]);
    for row in rows {
        table.push([
            row.replicator.clone(),
            row.kind.to_owned(),
            row.cluster.clone(),
            row.verdict.as_str().to_owned(),
            row.objects.map(|objects| objects.to_string()).unwrap_or_default(),
            row.differences.to_string(),
            row.took_ms.map(|ms| format!("{ms:.0} ms")).unwrap_or_default(),
            row.error.clone(),
        ]);
    }
    table.render(&Look::stdout())
}

fn report(rows: &[Row], took_ms: f64) -> Value {
    let verified = rows.iter().map(|row| {
        json!({
            "replicator": row.replicator, "type": row.kind, "cluster": row.cluster, "result": row.verdict.as_str(),
            "objects": row.objects, "differences": row.differences, "took_ms": row.took_ms,
            "error": Some(&row.error).filter(|error| !error.is_empty()),
        })
    });
    let is = |verdict| rows.iter().all(|row| row.verdict == verdict);
    json!({
        "time": time::show(time::now()), "took_ms": took_ms, "equal": is(Verdict::Equal),
        "verified": verified.collect::<Vec<_>>(),
    })
}

fn failure(rows: &[Row]) -> Option<Failure> {
    let named = |wanted: Verdict| {
        let rows = rows.iter().filter(move |row| row.verdict == wanted);
        let named = rows.map(|row| match &*row.cluster {
            "" => row.replicator.clone(),
            cluster => format!("{}@{cluster}", row.replicator),
        });
        named.collect::<Vec<_>>().join(", ")
    };
    let (differing, unknown) = (named(Verdict::Differs), named(Verdict::Unknown));
    let (code, line) = match (&*differing, &*unknown) {
        ("", "") => return None,
        ("", unknown) => (INCOMPLETE, format!("not compared: {unknown}")),
        (differing, "") => (1, format!("differs: {differing}")),
        (differing, unknown) => (1, format!("differs: {differing}; not compared: {unknown}")),
    };
    Some(Failure::new(code, terminal_safe(&line)))
}

// === impl Verdict ===

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Differs => "differs",
            Self::Unknown => "unknown",
        }
    }
}

/// The kinds that copy.
const KINDS: [&str; 2] = ["replicator", "etcd-replicator"];

const CODES: &str = "Exit codes: 0 everything is equal, 1 something differs, 3 not everything was compared.";
