//! `status`: which clusters and replicators are unhealthy, and since when.

mod tables;
mod twins;

use clap::Args;
use serde_json::Value;

use self::{tables::tables, twins::Twins};
use super::{
    http::Gateway,
    options::{Connection, Format, Output},
    print::{Frame, pretty, yaml_text},
    time,
    value::{list, text},
    watch::{Round, Watch},
};
use crate::cli::{Failure, INCOMPLETE, look::listed, output::note, text::terminal_safe};

/// `fedgate status`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Status {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    watch: Watch,
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
        let twins = Twins::default();
        let round = async || match read(&gateway, &twins).await {
            Err(failure) => Round::of(Err(failure)),
            Ok(status) => {
                let done = unhealthy(&status).map_or(Ok(()), |what| Err(Failure::new(INCOMPLETE, what)));
                Round { frame: Some(frame(format, status)), done }
            }
        };
        self.watch.run(&gateway, format, "fedgate status", round).await
    }
}

/// What the gateway says, and what it cannot know.
async fn read(gateway: &Gateway, twins: &Twins) -> Result<Value, Failure> {
    let answer = gateway.get(PATH).await.map_err(|failure| {
        if failure.is_not_found() {
            let line = format!("{} has no federation status: is it a fedgate?", gateway.base());
            return Failure::new(1, line);
        }
        failure
    })?;
    let mut status = answer.json()?;
    twins.add_to(&mut status, gateway).await;
    Ok(status)
}

fn frame(format: Format, status: Value) -> Frame {
    let text = match format {
        Format::Tabular => {
            let now = time::now();
            return Box::new(move |look| tables(&status, now, look));
        }
        Format::Yaml => yaml_text(&status),
        Format::Json | Format::WrappedJson => format!("{}\n", pretty(&status)),
    };
    Box::new(move |_| text.clone())
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
    let conflict = |conflict: &Value| {
        let clusters: Vec<_> = list(&conflict["clusters"]).iter().map(text).collect();
        terminal_safe(&format!("{} ({})", listed(&clusters), text(&conflict["kind"]))).into_owned()
    };
    let conflicts: Vec<_> = list(&status["conflicts"]).iter().map(conflict).collect();
    if !conflicts.is_empty() {
        parts.push(format!("clusters in conflict: {}", conflicts.join(", ")));
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

/// Where a gateway shows its status.
pub(super) const PATH: &str = "/api/enterprise/federation/v1/status";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::look::Look;

    /// As it is printed where nothing is cut.
    fn shown(status: &Value, now: i64) -> String {
        tables(status, now, &Look::default())
    }

    #[test]
    fn a_fault_of_the_rules_is_shown() {
        let status = json!({"authorization": "rbac", "authorization_error": "nobody is\nan administrator"});
        assert!(shown(&status, 0).ends_with("\nAuthorization: nobody is\\nan administrator\n"));
        assert_eq!(unhealthy(&status).unwrap(), "nobody is\\nan administrator");
    }

    #[test]
    fn sessions_that_the_gateway_renews_are_shown() {
        let status = |sessions: &Value| shown(&json!({"outage_sessions": sessions}), 1_764_000_120);
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
        assert_eq!(shown(&status, time::parse("2026-11-24T06:00:00Z").unwrap()), expected);
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
        let shown = shown(&status, 0);
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
        let shown = shown(&status, 0);
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
            let _ = (shown(&status, 0), unhealthy(&status));
        }
        assert_eq!(
            unhealthy(&json!({"complete": true, "clusters": [{"state": "up"}], "replicators": []})),
            None
        );
        assert!(unhealthy(&json!({"complete": false})).is_some());
    }

    #[test]
    fn conflicts_are_told_and_are_not_healthy() {
        let status = json!({
            "complete": true, "clusters": [{"name": "a", "state": "up"}],
            "conflicts": [{"kind": "same-url", "clusters": ["a", "b\n"], "message": "they are\none"}],
        });
        assert!(shown(&status, 0).ends_with("\nConflict: they are\\none\n"), "{}", shown(&status, 0));
        assert_eq!(unhealthy(&status).unwrap(), "clusters in conflict: a and b\\n (same-url)");
    }

    #[test]
    fn a_terminal_gets_long_errors_below_the_table_and_loses_nothing_of_them() {
        let error = "unreachable: connection refused; nothing listens there: is the port right, and does the server run?";
        let status = json!({
            "complete": true,
            "clusters": [{"name": "beta", "state": "down", "since": "2026-11-24T05:59:00Z", "version": "6.12.0",
                "backends": [{"url": "https://b", "state": "down", "error": error}]}],
        });
        let now = time::parse("2026-11-24T06:00:00Z").unwrap();
        let wide = |width| tables(&status, now, &Look { width: Some(width), color: true, words: true });
        let expected = "\
\u{1b}[1mNAME\u{1b}[0m  \u{1b}[1mSTATE\u{1b}[0m  \u{1b}[1mSINCE\u{1b}[0m                          \u{1b}[1mVERSION\u{1b}[0m  \u{1b}[1mBACKENDS\u{1b}[0m
beta  \u{1b}[1m\u{1b}[31mdown\u{1b}[0m   2026-11-24T05:59:00Z (1m ago)  6.12.0   0/1 up

beta: https://b: unreachable: connection refused; nothing
listens there: is the port right, and does the server run?
";
        assert_eq!(wide(62), expected);
        assert_eq!(wide(300).lines().count(), 2);
    }
}
