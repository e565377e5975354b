//! The alerts and the dashboard: what they name exists, and the alerts fire when they should.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use http::Method;
use serde_json::{Value, json};

use crate::{metrics, support::Running};

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The names of metrics in a text: words that begin like one.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("fedgate_") || word.starts_with("process_")).collect()
}

/// The names of the samples that a page may have, by its types.
fn samples(page: &str) -> BTreeSet<String> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types
        .flat_map(|(name, kind)| match kind {
            "histogram" => ["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}")).to_vec(),
            _ => vec![name.to_owned()],
        })
        .collect()
}

fn promtool(args: &[&str]) -> String {
    let output =
        Command::new("promtool").args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap_or_else(
            |error| panic!("promtool cannot be started ({error}): apt-get install prometheus"),
        );
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {args:?}: {said}");
    said.into_owned()
}

/// The values of a key in the lines of a YAML file.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.trim_start().strip_prefix(key)).map(str::trim).collect()
}

#[tokio::test]
async fn every_metric_that_they_name_is_in_a_scrape() {
    // Replication and outage sessions have their families where they are configured; the etcd need not be there.
    let replication = json!({"source": {"endpoints": ["http://127.0.0.1:1"]}});
    let server =
        Running::with(json!({"replication": replication, "private-key": true, "outage-sessions": "1h"}))
            .await;
    server.call(Method::GET, "/api/core/v2/checks", &Value::Null, 200).await;
    let scraped = samples(&metrics::page(&server).await);
    for (file, least) in [
        ("config/alerts.yaml", 20),
        ("config/grafana-dashboard.json", 40),
        ("tests/data/alerts.test.yaml", 20),
    ] {
        let text = read(file);
        let named = names(&text);
        assert!(named.len() >= least, "{file}: {named:?}");
        for name in named {
            assert!(scraped.contains(name), "{file}: there is no {name}");
        }
    }
}

#[test]
fn each_alert_fires_and_is_quiet_when_it_should_and_has_a_runbook() {
    let rules = read("config/alerts.yaml");
    let said = promtool(&["check", "rules", "config/alerts.yaml"]);
    let alerts = values(&rules, "- alert: ");
    assert!(said.contains(&format!("{} rules found", alerts.len())), "{said}");
    promtool(&["test", "rules", "tests/data/alerts.test.yaml"]);
    let cases = read("tests/data/alerts.test.yaml");
    let cases = values(&cases, "- name: ");
    let page = read("docs/operations.md");
    let runbooks = values(&rules, "runbook_url: ");
    assert_eq!(runbooks.len(), alerts.len());
    for (alert, runbook) in alerts.iter().zip(runbooks) {
        for what in ["fires", "is quiet"] {
            assert!(cases.contains(&format!("{alert} {what}").as_str()), "no test: {alert} {what}");
        }
        assert!(page.contains(&format!("\n### {alert}\n")), "{alert} has no section");
        assert_eq!(runbook, format!("docs/operations.md#{}", alert.to_lowercase()));
    }
    // And no section without its alert.
    let sections = page.lines().filter_map(|line| line.strip_prefix("### Fedgate"));
    assert_eq!(sections.count(), alerts.len());
}

#[test]
fn the_dashboard_is_one_that_grafana_can_import() {
    let dashboard: Value = serde_json::from_str(&read("config/grafana-dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "ids are unique");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let place = &panel["gridPos"];
        assert!(place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap() <= 24, "{panel}");
        for target in panel["targets"].as_array().unwrap() {
            assert!(!names(target["expr"].as_str().unwrap()).is_empty(), "{target}");
            assert_eq!(target["datasource"]["uid"], "${datasource}");
        }
    }
}
