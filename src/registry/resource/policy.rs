//! The spec of a `Replicator`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{CLUSTER_WIDE, FieldError, Fields, REPLICABLE, check_name, interval, shortened};
use crate::types::{ClusterName, Kind, LOCAL_CLUSTER, OnConflict, OnDelete, PolicySpec, Targets};

/// Reads the spec.
pub(super) fn policy(fields: &Fields<'_>) -> Result<PolicySpec, FieldError> {
    fields.only(&[
        "resources",
        "clusters",
        "namespace",
        "replication_interval_seconds",
        "conflicts",
        "on_delete",
        "dry_run",
    ])?;
    let resources = resources(fields)?;
    let namespace = fields.text("namespace")?;
    if let Some(namespace) = namespace {
        check_name(Kind::Replicator, namespace).map_err(|what| fields.wrong("namespace", what))?;
        if resources.iter().all(|resource| CLUSTER_WIDE.contains(&&**resource)) {
            let what = "must be absent: none of spec.resources belongs to a namespace";
            return Err(fields.wrong("namespace", what));
        }
    }
    Ok(PolicySpec {
        resources,
        clusters: targets(fields)?,
        namespace: namespace.map(str::to_owned),
        interval: interval(fields)?,
        conflicts: choice(fields, "conflicts", &OnConflict::ALL)?,
        on_delete: choice(fields, "on_delete", &OnDelete::ALL)?,
        dry_run: fields.flag("dry_run")?,
    })
}

fn resources(fields: &Fields<'_>) -> Result<BTreeSet<String>, FieldError> {
    let resource = |(key, text): (String, &str)| {
        let what = match why_not(text) {
            Some(why) => format!("{text} cannot be replicated by API: {why}"),
            None if REPLICABLE.contains(&text) => return Ok(text.to_owned()),
            None => format!("{} cannot be replicated: use one of {}", shortened(text), by_api().join(", ")),
        };
        Err(fields.wrong(&key, what))
    };
    texts(fields, "resources", "a list of types, such as Role")?.into_iter().map(resource).collect()
}

/// The types that Sensu's API shows as they are stored.
fn by_api() -> Vec<&'static str> {
    REPLICABLE.iter().copied().filter(|name| why_not(name).is_none()).collect()
}

/// Why a type cannot be replicated by API, if that is known of it.
fn why_not(resource: &str) -> Option<&'static str> {
    NOT_BY_API.iter().find(|(name, _)| *name == resource).map(|(_, why)| *why)
}

fn targets(fields: &Fields<'_>) -> Result<Targets, FieldError> {
    let named = texts(fields, "clusters", "a list of names of clusters, or [\"*\"]")?;
    if named.iter().any(|(_, name)| *name == ALL) {
        return match &named[..] {
            [_] => Ok(Targets::All),
            _ => Err(fields.wrong("clusters", "must hold * alone, or names")),
        };
    }
    let name = |(key, text): (String, &str)| {
        let name: ClusterName = text.parse().map_err(|e| fields.wrong(&key, format!("{e}")))?;
        if name.is_local() || text.eq_ignore_ascii_case(LOCAL_CLUSTER) {
            return Err(fields.wrong(&key, format!("must not be {LOCAL_CLUSTER}: that is the source")));
        }
        Ok(name)
    };
    Ok(Targets::Named(named.into_iter().map(name).collect::<Result<_, _>>()?))
}

/// A list of texts that is not empty, each with its key for messages.
fn texts<'a>(fields: &Fields<'a>, key: &str, what: &str) -> Result<Vec<(String, &'a str)>, FieldError> {
    let list = match fields.get(key) {
        None => return Err(fields.wrong(key, "is missing")),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(fields.wrong(key, format!("must be {what}"))),
    };
    if !(1..=MAX_LIST).contains(&list.len()) {
        return Err(fields.wrong(key, format!("must hold 1 to {MAX_LIST} items")));
    }
    let text = |(index, item): (usize, &'a Value)| {
        let key = format!("{key}[{index}]");
        match item.as_str() {
            Some(text) => Ok((key, text)),
            None => Err(fields.wrong(&key, "must be a string")),
        }
    };
    list.iter().enumerate().map(text).collect()
}

/// One of several words; the first when it is absent.
fn choice<T: Copy>(fields: &Fields<'_>, key: &str, all: &[(&str, T)]) -> Result<T, FieldError> {
    let Some(text) = fields.text(key)? else { return Ok(all[0].1) };
    let words = || all.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" or ");
    let found = all.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice);
    found.ok_or_else(|| fields.wrong(key, format!("must be {}", words())))
}

/// Every remote cluster.
const ALL: &str = "*";

/// More clusters than a gateway is made for.
const MAX_LIST: usize = 4096;

/// The types that Sensu's API does not show as they are stored, or that stay in their cluster, and why.
const NOT_BY_API: &[(&str, &str)] = &[
    ("User", "Sensu's API does not show passwords. An EtcdReplicator copies users from etcd to etcd"),
    ("APIKey", "Sensu's API chooses each key itself. An EtcdReplicator copies API keys from etcd to etcd"),
    (
        "Silenced",
        "Sensu's API shows the time that is left in place of the one that was set. An EtcdReplicator copies silences from etcd to etcd",
    ),
    ("Entity", "entities and their state belong to the cluster of their agents"),
    ("Event", "events belong to the cluster that they happen in"),
    ("TessenConfig", "it belongs to its own cluster"),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::resource::Checked;

    fn body(spec: &Value) -> Value {
        let mut whole = json!({"resources": ["Role"], "clusters": ["*"]});
        for (key, value) in spec.as_object().unwrap() {
            whole[key] = value.clone();
        }
        json!({"type": "Replicator", "api_version": "federation/v1", "metadata": {"name": "rbac"}, "spec": whole})
    }

    fn parse(spec: &Value) -> Result<PolicySpec, FieldError> {
        let checked = Checked::parse(Kind::Replicator, Some("rbac"), body(spec).to_string().as_bytes())?;
        let again = Checked::parse(Kind::Replicator, None, &checked.to_json()).unwrap();
        assert_eq!(again, checked, "what is stored reads the same");
        match checked.spec {
            crate::types::Spec::Replicator(spec) => Ok(spec),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_defaults_are_the_careful_ones() {
        let spec = parse(&json!({})).unwrap();
        assert_eq!(spec.interval.as_secs(), 30);
        assert_eq!(
            (spec.conflicts, spec.on_delete, spec.dry_run),
            (OnConflict::Report, OnDelete::Remove, false)
        );
        assert_eq!((spec.clusters, spec.namespace), (Targets::All, None));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (spec, said) in [
            (json!({"resources": []}), "spec.resources: must hold 1 to"),
            (json!({"resources": null}), "spec.resources: is missing"),
            (json!({"resources": "Role"}), "spec.resources: must be a list of types"),
            (json!({"resources": ["Role", 1]}), "spec.resources[1]: must be a string"),
            (json!({"resources": ["Role", "User"]}), "spec.resources[1]: User cannot be replicated by API"),
            (json!({"resources": ["APIKey"]}), "An EtcdReplicator copies API keys"),
            (json!({"resources": ["Silenced"]}), "the time that is left"),
            (json!({"resources": ["Event"]}), "belong to the cluster"),
            (
                json!({"resources": ["roles"]}),
                "spec.resources[0]: roles cannot be replicated: use one of Asset",
            ),
            (json!({"clusters": []}), "spec.clusters: must hold 1 to"),
            (json!({"clusters": "*"}), "spec.clusters: must be a list of names"),
            (json!({"clusters": ["*", "alpha"]}), "spec.clusters: must hold * alone"),
            (json!({"clusters": ["alpha", "a b"]}), "spec.clusters[1]: "),
            (json!({"clusters": ["local-cluster"]}), "spec.clusters[0]: must not be local-cluster"),
            (json!({"conflicts": "ignore"}), "spec.conflicts: must be report or overwrite"),
            (json!({"on_delete": true}), "spec.on_delete: must be a string"),
            (json!({"on_delete": "drop"}), "spec.on_delete: must be remove or keep"),
            (json!({"dry_run": "yes"}), "spec.dry_run: must be true or false"),
            (json!({"replication_interval_seconds": 0}), "spec.replication_interval_seconds: "),
            (json!({"namespace": "a/b"}), "spec.namespace: "),
            (json!({"namespace": "web", "resources": ["ClusterRole"]}), "none of spec.resources"),
            (json!({"url": "https://a:2379"}), "spec.url: is not a known key"),
        ] {
            let error = parse(&spec).unwrap_err().to_string();
            assert!(error.contains(said), "{spec}: {error}");
        }
    }

    #[test]
    fn names_may_be_of_clusters_that_are_registered_later() {
        let spec = parse(&json!({"clusters": ["beta", "alpha", "beta"], "namespace": "web"})).unwrap();
        let names = ["alpha", "beta"].map(|name| name.parse().unwrap());
        assert_eq!(spec.clusters, Targets::Named(names.into()));
        let gamma: ClusterName = "gamma".parse().unwrap();
        assert!(!spec.clusters.contain(&gamma) && Targets::All.contain(&gamma));
        assert!(!Targets::All.contain(&LOCAL_CLUSTER.parse().unwrap()));
    }
}
