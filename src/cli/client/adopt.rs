//! `adopt`: lets a replicator take over what a federation that is gone has left where it copies to.

use clap::Args;
use http::{Method, header};
use serde_json::{Value, json};

use super::{
    http::Gateway,
    list::{check_names, kind_named, titled},
    options::Connection,
    status,
    value::{list, text},
};
use crate::cli::{
    Failure, USAGE,
    output::{print, report},
    text::terminal_safe,
};

/// `fedgate adopt`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Adopt {
    /// What it is: replicator or etcd-replicator
    #[arg(value_name = "TYPE")]
    kind: String,
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    connection: Connection,
}

// === impl Adopt ===

impl Adopt {
    /// Names the federations in the replicator's annotation, unless someone else changes it in the meantime.
    pub(in crate::cli) async fn run(self) -> Result<(), Failure> {
        let kind = kind_named(&self.kind)?;
        if !matches!(kind.type_name, "EtcdReplicator" | "Replicator") {
            return Err(Failure::new(USAGE, "only a replicator or an etcd-replicator adopts something"));
        }
        let names = [self.name];
        check_names(kind, &names)?;
        let settings = self.connection.settings()?;
        let path = kind.item_path(&settings.namespace, &names);
        let title = titled(kind, &names);
        let gateway = Gateway::open(settings).await?;
        let before = gateway.get(&path).await.map_err(|failure| failure.with_context(&title))?;
        let status = gateway.get(status::PATH).await?.json()?;
        let [name] = names;
        let mut replicator = before.json()?;
        let found = orphans(&status, kind.type_name, &name);
        if found.is_empty() || !name_in(&mut replicator, &found) {
            return print(&format!("{title}: nothing to adopt (see fedgate status)\n"));
        }
        let tag = before.headers.get(header::ETAG);
        let done = gateway.send(Method::PUT, &path, Some(&replicator), tag).await?.success();
        done.map_err(|failure| failure.with_context(&title))?;
        for Orphans { federation, what } in found {
            let line = format!("{title} adopts {what} ({federation})");
            report(&format!("{}\n", terminal_safe(&line)));
        }
        Ok(())
    }
}

/// What a replicator could take over from one federation.
#[derive(Debug, PartialEq)]
struct Orphans {
    federation: String,
    /// For people.
    what: String,
}

/// What the status says that a replicator could take over. The two types may share a name.
fn orphans(status: &Value, type_name: &str, name: &str) -> Vec<Orphans> {
    let is_it = |it: &&Value| {
        let is_by_api = it["type"] == "Replicator";
        text(&it["name"]) == name && is_by_api == (type_name == "Replicator")
    };
    let all = list(&status["replicators"]).iter().filter(is_it).flat_map(|it| list(&it["orphans"]));
    let orphans = |it: &Value| {
        let keys = text(&it["keys"]);
        let what = match it.get("cluster") {
            Some(cluster) => format!("{keys} copies in {}", text(cluster)),
            None => format!("{keys} keys of {}", text(&it["gateway"])),
        };
        Orphans { federation: text(&it["federation"]), what }
    };
    all.map(orphans).collect()
}

/// Adds the federations to the replicator's annotation. Returns whether that changes anything.
fn name_in(replicator: &mut Value, found: &[Orphans]) -> bool {
    let annotation = text(&replicator["metadata"]["annotations"][ANNOTATION]);
    let mut named: Vec<&str> = annotation.split(',').map(str::trim).filter(|it| !it.is_empty()).collect();
    let before = named.len();
    for Orphans { federation, .. } in found {
        if !named.contains(&federation.as_str()) {
            named.push(federation);
        }
    }
    let is_changed = named.len() > before;
    let annotation = named.join(",");
    if !replicator["metadata"]["annotations"].is_object() {
        replicator["metadata"]["annotations"] = json!({});
    }
    replicator["metadata"]["annotations"][ANNOTATION] = annotation.into();
    is_changed
}

/// Names the federations whose keys a replicator takes over.
const ANNOTATION: &str = "fedgate.io/adopt";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_federations_that_the_status_names_are_added_once() {
        let status = json!({"replicators": [
            {"name": "other", "orphans": [{"federation": "x", "gateway": "g", "keys": 1}]},
            {"name": "roles", "orphans": [{"federation": "f", "gateway": "g", "keys": 4}]},
            {"name": "roles", "type": "Replicator", "orphans": [{"federation": "p", "cluster": "alpha", "keys": 2}]},
        ]});
        let by_api = orphans(&status, "Replicator", "roles");
        assert_eq!(by_api, [Orphans { federation: "p".into(), what: "2 copies in alpha".into() }]);
        let found = orphans(&status, "EtcdReplicator", "roles");
        assert_eq!(found, [Orphans { federation: "f".into(), what: "4 keys of g".into() }]);
        for (annotations, expected) in
            [(Value::Null, "f"), (json!({"fedgate.io/adopt": "e", "team": "a"}), "e,f")]
        {
            let mut replicator = json!({"metadata": {"name": "roles", "annotations": annotations}});
            assert!(name_in(&mut replicator, &found));
            assert_eq!(replicator["metadata"]["annotations"][ANNOTATION], expected);
            assert!(!name_in(&mut replicator, &found));
        }
        assert_eq!(orphans(&json!({}), "EtcdReplicator", "roles"), []);
    }
}
