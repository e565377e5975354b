//! The status as tables.

use std::time::Duration;

use serde_json::Value;

use super::left_behind;
use crate::cli::{
    client::{
        table::{Cell, Heading, Table},
        time,
        value::{list, text},
    },
    look::{Look, Tone},
    text::{terminal_safe, width, wrap},
};

/// Everything at a glance.
pub(super) fn tables(status: &Value, now: i64, look: &Look) -> String {
    let mut shown = clusters(list(&status["clusters"]), now, look);
    let found = list(&status["replicators"]);
    if !found.is_empty() {
        shown.push('\n');
        shown.push_str(&replicators(found, now, look));
    }
    shown.push_str(&left_behind_table(status, look));
    for conflict in list(&status["conflicts"]) {
        shown.push_str(&paragraph(&format!("Conflict: {}", text(&conflict["message"])), look));
    }
    shown.push_str(&outage_sessions(&status["outage_sessions"], now, look));
    if text(&status["authorization"]) == "admin-groups" {
        shown.push_str(&paragraph(
            "Authorization: admin-groups (the gateway does not see Sensu's own rules; members of auth.admin-groups may write)",
            look,
        ));
    }
    let fault = text(&status["authorization_error"]);
    if !fault.is_empty() {
        shown.push_str(&paragraph(&format!("Authorization: {fault}"), look));
    }
    shown
}

fn clusters(found: &[Value], now: i64, look: &Look) -> String {
    let headings = [
        Heading::whole("NAME"),
        Heading::whole("STATE"),
        Heading::cut("SINCE"),
        Heading::hide("VERSION"),
        Heading::whole("BACKENDS"),
    ];
    let row = |cluster: &Value| {
        let backends = list(&cluster["backends"]);
        let up = backends.iter().filter(|backend| text(&backend["state"]) == "up").count();
        let cells = [
            text(&cluster["name"]).into(),
            state_cell(text(&cluster["state"])),
            since(cluster, now).into(),
            text(&cluster["version"]).into(),
            format!("{up}/{} up", backends.len()).into(),
        ];
        (text(&cluster["name"]), cells.to_vec(), cluster_error(cluster, backends))
    };
    with_errors(&headings, &found.iter().map(row).collect::<Vec<_>>(), look)
}

fn replicators(found: &[Value], now: i64, look: &Look) -> String {
    let headings = [
        Heading::whole("REPLICATOR"),
        Heading::whole("STATE"),
        Heading::cut("SINCE"),
        Heading::hide("KEYS"),
        Heading::hide("LAG"),
        Heading::cut("LAST SYNC"),
        Heading::hide("LEADER"),
    ];
    let mut rows = Vec::new();
    for replicator in found {
        let name = text(&replicator["name"]);
        let leader = if replicator["leader"] == true { "yes" } else { "no" };
        match list(&replicator["clusters"]) {
            [] => rows.push(replicator_row(name, replicator, leader, now)),
            // One that acts in several clusters may be well in some of them only.
            clusters => rows.extend(clusters.iter().map(|it| {
                let place = format!("{name}@{}", text(&it["name"]));
                replicator_row(place, it, leader, now)
            })),
        }
    }
    with_errors(&headings, &rows, look)
}

/// A name, its cells, and its error.
type Row = (String, Vec<Cell>, String);

/// A table with a last column of errors, or with the errors below it where they have no room in it.
fn with_errors(headings: &[Heading], rows: &[Row], look: &Look) -> String {
    let mut full = Table::new(headings.iter().copied().chain([Heading::cut("ERROR")]));
    for (_, cells, error) in rows {
        full.push(cells.iter().cloned().chain([error.clone().into()]));
    }
    let widest = |text: &str| text.lines().map(width).max().unwrap_or_default();
    let exact = full.render(&Look { color: false, width: None, ..*look });
    if look.width.is_none_or(|columns| widest(&exact) <= columns) {
        return full.render(&Look { width: None, ..*look });
    }
    let mut table = Table::new(headings.iter().copied());
    for (_, cells, _) in rows {
        table.push(cells.iter().cloned());
    }
    let mut shown = table.render(look);
    let errors = rows.iter().filter(|(_, _, error)| !error.is_empty());
    let errors = errors.map(|(name, _, error)| lines(&format!("{name}: {error}"), look));
    shown.extend(std::iter::once("\n".to_owned()).chain(errors));
    shown
}

fn replicator_row(name: String, it: &Value, leader: &str, now: i64) -> Row {
    let lag = it.get("lag_seconds").and_then(Value::as_f64).filter(|lag| *lag >= 0.0);
    let lag = lag.and_then(|lag| Duration::try_from_secs_f64(lag).ok()).map(time::age);
    let cells = [
        name.clone().into(),
        state_cell(state(it)),
        since(it, now).into(),
        text(&it["keys"]).into(),
        lag.unwrap_or_else(|| "-".to_owned()).into(),
        ago(&text(&it["last_sync"]), now).into(),
        leader.to_owned().into(),
    ];
    (name, cells.to_vec(), text(&it["error"]))
}

/// A replicator's state; that of a deleted one is that of its cleaning up.
fn state(replicator: &Value) -> String {
    let state = text(&replicator["state"]);
    if replicator["deleted"] == true { format!("{state} (deleted)") } else { state }
}

fn state_cell(state: String) -> Cell {
    let tone = match state.split(' ').next().unwrap_or_default() {
        "up" | "following" | "syncing" => Tone::Good,
        "degraded" | "retrying" => Tone::Warning,
        "down" | "rejected" => Tone::Bad,
        _ => Tone::Dim,
    };
    Cell::new(state, Some(tone))
}

/// What is left behind and where; nothing when nothing is.
fn left_behind_table(status: &Value, look: &Look) -> String {
    let headings = [
        Heading::whole("LEFT BEHIND BY"),
        Heading::whole("DESTINATION"),
        Heading::hide("KEYS"),
        Heading::cut("ERROR"),
    ];
    let mut table = Table::new(headings);
    let mut is_empty = true;
    for (name, left) in left_behind(status) {
        is_empty = false;
        table.push([name, text(&left["destination"]), text(&left["keys"]), text(&left["error"])]);
    }
    if is_empty { String::new() } else { format!("\n{}", table.render(look)) }
}

/// Whether the gateway renews sessions in place of the local cluster; nothing where it never does.
fn outage_sessions(sessions: &Value, now: i64, look: &Look) -> String {
    let Some(longest) = sessions["longest_seconds"].as_u64() else { return String::new() };
    let longest = time::age(Duration::from_secs(longest));
    let line = if sessions["active"] == true {
        format!(
            "Outage sessions: the gateway renews the local cluster's sessions since {}, for at most {longest}; {} renewed",
            since(sessions, now),
            text(&sessions["renewed"])
        )
    } else {
        format!("Outage sessions: not active (at most {longest} while the local cluster is away)")
    };
    paragraph(&line, look)
}

/// A text after an empty line.
fn paragraph(text: &str, look: &Look) -> String {
    format!("\n{}", lines(text, look))
}

/// A text in lines that fit.
fn lines(text: &str, look: &Look) -> String {
    let text = terminal_safe(text);
    let lines = look.width.map_or_else(|| text.to_string(), |columns| wrap(&text, columns));
    format!("{lines}\n")
}

/// The cluster's own error, else the first error of a backend.
fn cluster_error(cluster: &Value, backends: &[Value]) -> String {
    let own = text(&cluster["error"]);
    if !own.is_empty() {
        return own;
    }
    let failed = backends.iter().find(|backend| !text(&backend["error"]).is_empty());
    failed
        .map(|backend| format!("{}: {}", text(&backend["url"]), text(&backend["error"])))
        .unwrap_or_default()
}

fn since(item: &Value, now: i64) -> String {
    ago(&text(&item["since"]), now)
}

/// An instant and how long ago it was; any other text is shown as it is.
fn ago(instant: &str, now: i64) -> String {
    match time::parse(instant) {
        None if instant.is_empty() => "-".to_owned(),
        None => instant.to_owned(),
        Some(then) => {
            let age = Duration::from_secs(u64::try_from(now - then).unwrap_or_default());
            format!("{} ({} ago)", time::show(then), time::age(age))
        }
    }
}
