//! `adopt`: lets a replicator take over what a federation that is gone has left in its destination.

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
};

/// `fedgate adopt`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Adopt {
    /// What it is: etcd-replicator
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
        if kind.type_name != "EtcdReplicator" {
            return Err(Failure::new(USAGE, "only an etcd-replicator adopts keys"));
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
        let found = orphans(&status, &name);
        if found.is_empty() || !name_in(&mut replicator, &found) {
            return print(&format!("{title}: nothing to adopt (see fedgate status)\n"));
        }
        let tag = before.headers.get(header::ETAG);
        let done = gateway.send(Method::PUT, &path, Some(&replicator), tag).await?.success();
        done.map_err(|failure| failure.with_context(&title))?;
        for (federation, gateway, keys) in found {
            report(&format!("{title} adopts {keys} keys of {gateway} ({federation})\n"));
        }
        Ok(())
    }
}

/// The federations whose keys a replicator could take over, each with a gateway and the number of keys.
fn orphans(status: &Value, name: &str) -> Vec<(String, String, String)> {
    let named = list(&status["replicators"]).iter().filter(|replicator| text(&replicator["name"]) == name);
    let all = named.flat_map(|replicator| list(&replicator["orphans"]));
    all.map(|it| (text(&it["federation"]), text(&it["gateway"]), text(&it["keys"]))).collect()
}

/// Adds the federations to the replicator's annotation. Returns whether that changes anything.
fn name_in(replicator: &mut Value, found: &[(String, String, String)]) -> bool {
    let annotation = text(&replicator["metadata"]["annotations"][ANNOTATION]);
    let mut named: Vec<&str> = annotation.split(',').map(str::trim).filter(|it| !it.is_empty()).collect();
    let before = named.len();
    for (federation, ..) in found {
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
        ]});
        let found = orphans(&status, "roles");
        assert_eq!(found, [("f".to_owned(), "g".to_owned(), "4".to_owned())]);
        for (annotations, expected) in
            [(Value::Null, "f"), (json!({"fedgate.io/adopt": "e", "team": "a"}), "e,f")]
        {
            let mut replicator = json!({"metadata": {"name": "roles", "annotations": annotations}});
            assert!(name_in(&mut replicator, &found));
            assert_eq!(replicator["metadata"]["annotations"][ANNOTATION], expected);
            assert!(!name_in(&mut replicator, &found));
        }
        assert_eq!(orphans(&json!({}), "roles"), []);
    }
}
