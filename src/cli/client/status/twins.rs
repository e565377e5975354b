//! Clusters that are registered under several names.
//!
//! A backend tells everybody the id of its etcd, but an etcd makes that up from the URLs of its members: so do all that
//! run with the usual ones, and they have the same. Sensu's own id of a cluster is unique, but only its administrators may
//! read it. So it is asked for as the user, where the ids of the etcds are the same.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use futures::StreamExt as _;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::cli::{
    REFUSED,
    client::{
        http::Gateway,
        value::{list, text},
    },
    look::listed,
};

/// Sensu's own ids of clusters that were asked.
#[derive(Default)]
pub(super) struct Twins {
    /// By name and id of the etcd; `None` is of a cluster that does not tell.
    known: Mutex<HashMap<(String, String), Option<String>>>,
}

// === impl Twins ===

impl Twins {
    /// Adds the conflicts of clusters that are the same one to a status.
    pub(super) async fn add_to(&self, status: &mut Value, gateway: &Gateway) {
        let candidates = candidates(status);
        let unknown: Vec<_> = {
            let known = self.known.lock();
            candidates.iter().filter(|candidate| !known.contains_key(*candidate)).cloned().collect()
        };
        if !unknown.is_empty() {
            gateway.progress().begin("comparing clusters", Some(unknown.len()));
        }
        let mut asked = futures::stream::iter(unknown)
            .map(|candidate| async {
                let id = id(gateway, &candidate.0).await;
                (candidate, id)
            })
            .buffer_unordered(AT_ONCE);
        while let Some((candidate, id)) = asked.next().await {
            gateway.progress().advance(1);
            if let Some(id) = id {
                self.known.lock().insert(candidate, id);
            }
        }
        let mut same: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let known = self.known.lock();
        for candidate in candidates {
            if let Some(Some(id)) = known.get(&candidate) {
                same.entry(id.clone()).or_default().push(candidate.0);
            }
        }
        for names in same.into_values() {
            add(status, &names);
        }
    }
}

/// Clusters that answer and whose etcd has the id of another one's.
fn candidates(status: &Value) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for cluster in list(&status["clusters"]).iter().filter(|cluster| cluster["state"] != "down") {
        let mut ids =
            list(&cluster["backends"]).iter().filter_map(|backend| backend["etcd_cluster_id"].as_str());
        // One that is several clusters answers now as the one, now as the other.
        let id = ids.next().filter(|first| ids.all(|id| id == *first));
        found.extend(id.map(|id| (text(&cluster["name"]), id.to_owned())));
    }
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for (_, id) in &found {
        *counts.entry(id).or_default() += 1;
    }
    let is_shared = |(_, id): &&(String, String)| counts.get(id.as_str()).is_some_and(|count| *count > 1);
    found.iter().filter(is_shared).cloned().collect()
}

/// A cluster's own id; the inner `None` when it does not tell, the outer one when it may tell later.
async fn id(gateway: &Gateway, cluster: &str) -> Option<Option<String>> {
    let path = format!("/c/{cluster}/api/core/v2/cluster/id");
    match tokio::time::timeout(PATIENCE, gateway.get(&path)).await.ok()? {
        Ok(answer) => Some(answer.json().ok().and_then(|id| id.as_str().map(str::to_owned))),
        Err(failure) if failure.code == REFUSED || failure.is_not_found() => Some(None),
        Err(_) => None,
    }
}

/// Adds a conflict, unless it is known that these share a URL.
fn add(status: &mut Value, names: &[String]) {
    let is_known = |conflict: &Value| {
        let others = list(&conflict["clusters"]);
        conflict["kind"] == "same-url" && names.iter().all(|name| others.iter().any(|other| other == name))
    };
    if names.len() < 2 || list(&status["conflicts"]).iter().any(is_known) {
        return;
    }
    let message = format!(
        "the clusters {} are the same one (Sensu's cluster id tells): everything in it is listed more than once; keep one of \
         them",
        listed(names)
    );
    for cluster in status["clusters"].as_array_mut().into_iter().flatten() {
        if names.iter().any(|name| cluster["name"] == *name) {
            push(cluster, "warnings", message.clone().into());
        }
    }
    push(status, "conflicts", json!({"kind": "same-cluster", "clusters": names, "message": message}));
}

fn push(object: &mut Value, key: &str, item: Value) {
    match &mut object[key] {
        Value::Array(items) => items.push(item),
        other => *other = Value::Array(vec![item]),
    }
}

/// Clusters that are asked at a time.
const AT_ONCE: usize = 16;
/// The status itself must not wait for a cluster that hangs.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(name: &str, state: &str, id: Option<&str>) -> Value {
        json!({"name": name, "state": state, "backends": [{"url": "https://x"}, {"etcd_cluster_id": id}]})
    }

    #[test]
    fn only_clusters_that_may_be_the_same_are_asked() {
        let mut mixed = cluster("m", "up", Some("1"));
        mixed["backends"][0] = json!({"etcd_cluster_id": "2"});
        let status = json!({"clusters": [
            mixed,
            cluster("a", "up", Some("1")), cluster("b", "degraded", Some("1")), cluster("c", "up", Some("2")),
            cluster("d", "down", Some("2")), cluster("e", "up", None), cluster("f", "up", None), 7,
        ]});
        let names: Vec<_> = candidates(&status).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(candidates(&json!({"clusters": {}})), []);
    }

    #[test]
    fn what_is_found_is_added_once() {
        let mut status = json!({"clusters": [cluster("a", "up", None), cluster("b", "up", None)]});
        let names = ["a".to_owned(), "b".to_owned()];
        add(&mut status, &names[..1]);
        assert_eq!(status["conflicts"], Value::Null);
        add(&mut status, &names);
        assert_eq!(status["conflicts"][0]["kind"], "same-cluster");
        assert_eq!(status["conflicts"][0]["message"], status["clusters"][1]["warnings"][0]);
        let mut known = json!({"conflicts": [{"kind": "same-url", "clusters": ["b", "c", "a"]}]});
        add(&mut known, &names);
        assert_eq!(known["conflicts"].as_array().unwrap().len(), 1);
    }
}
