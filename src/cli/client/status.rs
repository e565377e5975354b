//! `status`: which clusters and replicators are unhealthy, and since when.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::{
    http::Gateway,
    options::{Connection, Format, Output},
    print::{pretty, yaml_text},
    table::Table,
    time,
    value::{list, text},
};
use crate::cli::{
    Failure, INCOMPLETE,
    output::{note, print},
    text::terminal_safe,
};

/// `fedgate status`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Status {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

// === impl Status ===

impl Status {
    /// Prints the status; fails when something is unhealthy.
    pub(in crate::cli) async fn run(self) -> Result<(), Failure> {
        let settings = self.connection.settings()?;
        let format = self.output.format.unwrap_or(settings.format);
        let gateway = Gateway::open(settings).await?;
        let answer = gateway.get(PATH).await.map_err(|failure| {
            if failure.is_not_found() {
                let line = format!("{} has no federation status: is it a fedgate?", gateway.base());
                return Failure::new(1, line);
            }
            failure
        })?;
        let status = answer.json()?;
        let shown = match format {
            Format::Tabular => print(&tables(&status, time::now())),
            Format::Yaml => print(&yaml_text(&status)),
            Format::Json | Format::WrappedJson => print(&format!("{}\n", pretty(&status))),
        };
        match unhealthy(&status) {
            // A caller that only reads the exit code may close the standard output.
            Some(what) if shown.as_ref().err().is_none_or(Failure::is_quiet) => {
                Err(Failure::new(INCOMPLETE, what))
            }
            _ => shown,
        }
    }
}

/// What is unhealthy, in one line.
fn unhealthy(status: &Value) -> Option<String> {
    let named = |key: &str, healthy: &[&str]| -> Vec<String> {
        let is_unhealthy = |item: &&Value| !healthy.contains(&text(&item["state"]).as_str());
        let name = |item: &Value| {
            terminal_safe(&format!("{} ({})", text(&item["name"]), text(&item["state"]))).into_owned()
        };
        list(&status[key]).iter().filter(is_unhealthy).map(name).collect()
    };
    let mut parts = Vec::new();
    // A cluster that was never checked is not known to be unhealthy.
    let clusters = named("clusters", &["up", "unknown"]);
    if !clusters.is_empty() {
        parts.push(format!("unhealthy clusters: {}", clusters.join(", ")));
    }
    let replicators = named("replicators", &["syncing", "following", "stopped"]);
    if !replicators.is_empty() {
        parts.push(format!("unhealthy replicators: {}", replicators.join(", ")));
    }
    let left: Vec<String> = left_behind(status)
        .filter(|(_, left)| left.get("error").is_some_and(|error| !error.is_null()))
        .map(|(name, left)| format!("{name} (at {})", text(&left["destination"])))
        .map(|line| terminal_safe(&line).into_owned())
        .collect();
    if !left.is_empty() {
        parts.push(format!("keys left behind: {}", left.join(", ")));
    }
    if let Some(store) = status.get("store") {
        let reason = terminal_safe(&text(&store["error"])).into_owned();
        parts.push(format!("the registry's store is {}: {reason}", terminal_safe(&text(&store["state"]))));
    }
    let fault = text(&status["authorization_error"]);
    if !fault.is_empty() {
        parts.push(terminal_safe(&fault).into_owned());
    }
    if parts.is_empty() && status.get("complete") == Some(&Value::Bool(false)) {
        parts.push("the gateway's status is incomplete: see its log".to_owned());
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// What replicators still own where they are not registered any more, with their names.
fn left_behind(status: &Value) -> impl Iterator<Item = (String, &Value)> {
    list(&status["replicators"]).iter().flat_map(|replicator| {
        list(&replicator["left_behind"]).iter().map(|left| (text(&replicator["name"]), left))
    })
}

/// Says on the standard error output which replicators of a type were deleted and have left something behind: a list of
/// what is registered does not show them.
pub(super) async fn note_left_behind(gateway: &Gateway, type_name: &str) {
    let status = gateway.get(PATH).await.and_then(|answer| answer.json()).unwrap_or_default();
    let is_it =
        |it: &&Value| it["deleted"] == true && (it["type"] == "Replicator") == (type_name == "Replicator");
    for replicator in list(&status["replicators"]).iter().filter(is_it) {
        let places: Vec<_> =
            list(&replicator["left_behind"]).iter().map(|left| text(&left["destination"])).collect();
        let line = format!(
            "deleted, but {} left at {}: {} (see fedgate status)",
            left_in_words(replicator),
            places.join(", "),
            text(&replicator["name"])
        );
        note(line);
    }
}

/// How much a deleted replicator has left, as far as that is known.
fn left_in_words(replicator: &Value) -> String {
    let what = if replicator["type"] == "Replicator" { "copies" } else { "keys" };
    let is_counted = list(&replicator["left_behind"]).iter().all(|left| left["keys"].is_number());
    match text(&replicator["keys"]) {
        count if is_counted => format!("{count} of its {what} are"),
        _ => format!("{what} of it are"),
    }
}

fn tables(status: &Value, now: i64) -> String {
    let mut clusters = Table::new(["NAME", "STATE", "SINCE", "VERSION", "BACKENDS", "ERROR"]);
    for cluster in list(&status["clusters"]) {
        let backends = list(&cluster["backends"]);
        let up = backends.iter().filter(|backend| text(&backend["state"]) == "up").count();
        clusters.push([
            text(&cluster["name"]),
            text(&cluster["state"]),
            since(cluster, now),
            text(&cluster["version"]),
            format!("{up}/{} up", backends.len()),
            cluster_error(cluster, backends),
        ]);
    }
    let mut shown = clusters.render();
    let found = list(&status["replicators"]);
    if !found.is_empty() {
        let mut replicators =
            Table::new(["REPLICATOR", "STATE", "SINCE", "KEYS", "LAG", "LAST SYNC", "LEADER", "ERROR"]);
        for replicator in found {
            let name = text(&replicator["name"]);
            let leader = if replicator["leader"] == true { "yes" } else { "no" };
            match list(&replicator["clusters"]) {
                [] => replicators.push(replicator_row(name, replicator, leader, now)),
                // One that acts in several clusters may be well in some of them only.
                clusters => clusters.iter().for_each(|it| {
                    let place = format!("{name}@{}", text(&it["name"]));
                    replicators.push(replicator_row(place, it, leader, now));
                }),
            }
        }
        shown.push('\n');
        shown.push_str(&replicators.render());
    }
    shown.push_str(&left_behind_table(status));
    shown.push_str(&outage_sessions(&status["outage_sessions"], now));
    if text(&status["authorization"]) == "admin-groups" {
        shown.push_str(
            "\nAuthorization: admin-groups (the gateway does not see Sensu's own rules; members of auth.admin-groups may write)\n",
        );
    }
    let fault = text(&status["authorization_error"]);
    if !fault.is_empty() {
        shown.extend(["\nAuthorization: ", &terminal_safe(&fault), "\n"]);
    }
    shown
}

fn replicator_row(name: String, it: &Value, leader: &str, now: i64) -> [String; 8] {
    let lag = it.get("lag_seconds").and_then(Value::as_f64).filter(|lag| *lag >= 0.0);
    let lag = lag.and_then(|lag| Duration::try_from_secs_f64(lag).ok()).map(time::age);
    [
        name,
        state(it),
        since(it, now),
        text(&it["keys"]),
        lag.unwrap_or_else(|| "-".to_owned()),
        ago(&text(&it["last_sync"]), now),
        leader.to_owned(),
        text(&it["error"]),
    ]
}

/// A replicator's state; that of a deleted one is that of its cleaning up.
fn state(replicator: &Value) -> String {
    let state = text(&replicator["state"]);
    if replicator["deleted"] == true { format!("{state} (deleted)") } else { state }
}

/// What is left behind and where; nothing when nothing is.
fn left_behind_table(status: &Value) -> String {
    let mut table = Table::new(["LEFT BEHIND BY", "DESTINATION", "KEYS", "ERROR"]);
    let mut is_empty = true;
    for (name, left) in left_behind(status) {
        is_empty = false;
        table.push([name, text(&left["destination"]), text(&left["keys"]), text(&left["error"])]);
    }
    if is_empty { String::new() } else { format!("\n{}", table.render()) }
}

/// Whether the gateway renews sessions in place of the local cluster; nothing where it never does.
fn outage_sessions(sessions: &Value, now: i64) -> String {
    let Some(longest) = sessions["longest_seconds"].as_u64() else { return String::new() };
    let longest = time::age(Duration::from_secs(longest));
    let renewed = text(&sessions["renewed"]);
    if sessions["active"] == true {
        let since = terminal_safe(&since(sessions, now)).into_owned();
        format!(
            "\nOutage sessions: the gateway renews the local cluster's sessions since {since}, for at most {longest}; {} renewed\n",
            terminal_safe(&renewed)
        )
    } else {
        format!("\nOutage sessions: not active (at most {longest} while the local cluster is away)\n")
    }
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

/// Where a gateway shows its status.
pub(super) const PATH: &str = "/api/enterprise/federation/v1/status";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fault_of_the_rules_is_shown() {
        let status = json!({"authorization": "rbac", "authorization_error": "nobody is\nan administrator"});
        assert!(tables(&status, 0).ends_with("\nAuthorization: nobody is\\nan administrator\n"));
        assert_eq!(unhealthy(&status).unwrap(), "nobody is\\nan administrator");
    }

    #[test]
    fn sessions_that_the_gateway_renews_are_shown() {
        let status = |sessions: &Value| tables(&json!({"outage_sessions": sessions}), 1_764_000_120);
        let active =
            json!({"active": true, "since": "2025-11-24T16:00:00Z", "longest_seconds": 3600, "renewed": 7});
        let expected = "\nOutage sessions: the gateway renews the local cluster's sessions since 2025-11-24T16:00:00Z (2m ago), \
                        for at most 1h00m; 7 renewed\n";
        assert!(status(&active).ends_with(expected), "{}", status(&active));
        let ready = json!({"active": false, "since": null, "longest_seconds": 1800, "renewed": 7});
        let expected = "\nOutage sessions: not active (at most 30m while the local cluster is away)\n";
        assert!(status(&ready).ends_with(expected), "{}", status(&ready));
        assert!(!status(&Value::Null).contains("Outage"));
    }

    #[test]
    fn the_unhealthy_stand_out() {
        let status = json!({
            "complete": true,
            "authorization": "admin-groups",
            "clusters": [
                {"name": "local-cluster", "source": "local", "version": "6.12.0", "state": "up", "error": null,
                    "since": "2026-11-24T05:00:00Z", "backends": [{"url": "https://a", "state": "up"}]},
                {"name": "beta", "source": "api", "version": null, "state": "degraded",
                    "since": "2026-11-24T05:58:00.5Z", "backends": [{"url": "https://b1", "state": "up"},
                    {"url": "https://b2", "state": "down", "error": "unreachable"}]},
            ],
            "replicators": [{"name": "roles", "state": "retrying", "since": "2026-11-24T05:59:30Z", "keys": 12,
                "lag_seconds": 75.2, "last_sync": null, "leader": true, "error": "no\nleader"}],
        });
        let expected = "\
NAME           STATE     SINCE                             VERSION  BACKENDS  ERROR
local-cluster  up        2026-11-24T05:00:00Z (1h00m ago)  6.12.0   1/1 up
beta           degraded  2026-11-24T05:58:00Z (2m ago)              1/2 up    https://b2: unreachable

REPLICATOR  STATE     SINCE                           KEYS  LAG  LAST SYNC  LEADER  ERROR
roles       retrying  2026-11-24T05:59:30Z (30s ago)  12    1m   -          yes     no\\nleader

Authorization: admin-groups (the gateway does not see Sensu's own rules; members of auth.admin-groups may write)
";
        assert_eq!(tables(&status, time::parse("2026-11-24T06:00:00Z").unwrap()), expected);
        let line = unhealthy(&status).unwrap();
        assert_eq!(line, "unhealthy clusters: beta (degraded); unhealthy replicators: roles (retrying)");
    }

    #[test]
    fn a_replicator_of_several_clusters_has_a_line_for_each() {
        let status = json!({
            "complete": true, "clusters": [],
            "replicators": [{"type": "Replicator", "name": "rbac", "state": "retrying", "leader": true, "keys": 7,
                "clusters": [{"name": "alpha", "state": "following", "since": null, "keys": 7, "error": null},
                    {"name": "beta", "state": "retrying", "since": null, "keys": 0, "error": "away"}]}],
        });
        let shown = tables(&status, 0);
        assert!(shown.contains("rbac@alpha  following  -      7     -    -          yes\n"), "{shown}");
        assert!(
            shown.contains("rbac@beta   retrying   -      0     -    -          yes     away\n"),
            "{shown}"
        );
        assert_eq!(unhealthy(&status).unwrap(), "unhealthy replicators: rbac (retrying)");
    }

    #[test]
    fn what_is_left_behind_is_shown_with_its_place_and_is_not_healthy() {
        let mut status = json!({
            "complete": true, "clusters": [],
            "replicators": [{"name": "roles", "state": "retrying", "since": null, "keys": 12, "lag_seconds": null,
                "last_sync": null, "leader": true, "error": "deleted, but", "deleted": true,
                "left_behind": [{"destination": "https://a:2379", "keys": 12, "error": "down"}]}],
        });
        let shown = tables(&status, 0);
        assert!(shown.contains("roles       retrying (deleted)  -"), "{shown}");
        let expected =
            "\nLEFT BEHIND BY  DESTINATION     KEYS  ERROR\nroles           https://a:2379  12    down\n";
        assert!(shown.ends_with(expected), "{shown}");
        let line = "unhealthy replicators: roles (retrying); keys left behind: roles (at https://a:2379)";
        assert_eq!(unhealthy(&status).unwrap(), line);
        status["replicators"][0]["state"] = "syncing".into();
        status["replicators"][0]["left_behind"][0]["error"] = Value::Null;
        assert_eq!(unhealthy(&status), None, "it is being removed");
    }

    #[test]
    fn a_malformed_status_is_shown_as_far_as_possible() {
        for status in [json!(null), json!({}), json!({"clusters": 1}), json!({"clusters": [{}, 3]})] {
            let _ = (tables(&status, 0), unhealthy(&status));
        }
        assert_eq!(
            unhealthy(&json!({"complete": true, "clusters": [{"state": "up"}], "replicators": []})),
            None
        );
        assert!(unhealthy(&json!({"complete": false})).is_some());
    }
}
