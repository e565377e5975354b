//! Registered clusters that get in each other's way.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use super::{Backend, Cluster, ClusterName, Snapshot};

/// What is wrong with one or several registered clusters, none of which is at fault by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// What it is.
    pub kind: ConflictKind,
    /// Which clusters, in their order.
    pub clusters: Vec<ClusterName>,
    /// What follows from it, and what to do.
    pub message: String,
}

/// Kinds of conflicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictKind {
    /// The URLs of one cluster lead to several.
    MixedUrls,
    /// One URL is that of several clusters.
    SameUrl,
    /// Two names are the same but for upper and lower case.
    SimilarNames,
}

// === impl ConflictKind ===

impl ConflictKind {
    /// Its name in the status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MixedUrls => "mixed-urls",
            Self::SameUrl => "same-url",
            Self::SimilarNames => "similar-names",
        }
    }
}

/// All conflicts, with the ids of etcd clusters as far as they are known.
pub fn conflicts(
    clusters: &Snapshot,
    etcd_cluster: impl Fn(&Cluster, &Backend) -> Option<u64>,
) -> Vec<Conflict> {
    let mixed = clusters.iter().filter_map(|cluster| {
        let ids = cluster.backends.iter().map(|backend| (backend, etcd_cluster(cluster, backend)));
        Some(Conflict {
            kind: ConflictKind::MixedUrls,
            clusters: vec![cluster.name.clone()],
            message: mixed_urls(ids)?,
        })
    });
    let mut found: Vec<Conflict> = mixed.collect();
    found.extend(same_urls(clusters));
    found.extend(similar_names(clusters));
    found
}

/// What to say when the URLs of one cluster lead to several: one of each.
///
/// Clusters are told apart by the ids of their etcds, as far as they are known.
pub fn mixed_urls<'a>(backends: impl Iterator<Item = (&'a Backend, Option<u64>)>) -> Option<String> {
    let mut first: Vec<(u64, &Backend)> = Vec::new();
    for (backend, id) in backends {
        if let Some(id) = id
            && !first.iter().any(|(known, _)| *known == id)
        {
            first.push((id, backend));
        }
    }
    let [(_, one), (_, other), ..] = &first[..] else { return None };
    Some(format!(
        "{one} and {other} belong to different Sensu clusters (their etcds have different ids), so requests switch between \
         them: register one cluster for each"
    ))
}

fn same_urls(clusters: &Snapshot) -> Vec<Conflict> {
    let mut owners: HashMap<String, Vec<&ClusterName>> = HashMap::new();
    for cluster in clusters.iter() {
        for backend in &cluster.backends {
            let owners = owners.entry(backend.authority().to_ascii_lowercase()).or_default();
            if owners.last() != Some(&&cluster.name) {
                owners.push(&cluster.name);
            }
        }
    }
    // Two clusters that share several URLs are one conflict.
    let mut shared: BTreeMap<Vec<&ClusterName>, String> = BTreeMap::new();
    for (url, owners) in owners.into_iter().filter(|(_, owners)| owners.len() > 1) {
        let first = shared.entry(owners).or_insert_with(|| url.clone());
        if url < *first {
            *first = url;
        }
    }
    let conflict = |(names, url): (Vec<&ClusterName>, String)| Conflict {
        kind: ConflictKind::SameUrl,
        message: format!(
            "{url} is a URL of the clusters {}: everything in it is listed more than once; keep one of them",
            Names(&names)
        ),
        clusters: names.into_iter().cloned().collect(),
    };
    shared.into_iter().map(conflict).collect()
}

fn similar_names(clusters: &Snapshot) -> Vec<Conflict> {
    let mut similar: BTreeMap<String, Vec<&ClusterName>> = BTreeMap::new();
    for cluster in clusters.iter() {
        similar.entry(cluster.name.as_str().to_lowercase()).or_default().push(&cluster.name);
    }
    let conflict = |names: Vec<&ClusterName>| Conflict {
        kind: ConflictKind::SimilarNames,
        message: format!(
            "the names of the clusters {} differ only in upper and lower case, and will be mistaken for each other: \
             rename one of them",
            Names(&names)
        ),
        clusters: names.into_iter().cloned().collect(),
    };
    similar.into_values().filter(|names| names.len() > 1).map(conflict).collect()
}

/// `a, b and c`
struct Names<'a>(&'a [&'a ClusterName]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            let before = match index {
                0 => "",
                _ if index + 1 == self.0.len() => " and ",
                _ => ", ",
            };
            write!(f, "{before}{}", name.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Source, TlsFiles};

    fn snapshot(clusters: &[(&str, &[&str])]) -> Snapshot {
        Snapshot::new(clusters.iter().map(|(name, urls)| Cluster {
            name: name.parse().unwrap(),
            backends: urls.iter().map(|url| url.parse().unwrap()).collect(),
            tls: TlsFiles::default(),
            source: Source::Api,
        }))
    }

    /// Kinds and names; the id of a backend's etcd is the number at the start of its host.
    fn found(clusters: &[(&str, &[&str])]) -> Vec<String> {
        let id = |_: &Cluster, backend: &Backend| {
            backend.host.split('.').next().and_then(|number| number.parse().ok())
        };
        let shown = |conflict: Conflict| {
            assert!(conflict.clusters.iter().all(|name| {
                conflict.kind == ConflictKind::MixedUrls || conflict.message.contains(name.as_str())
            }));
            format!(
                "{} {:?}",
                conflict.kind.as_str(),
                conflict.clusters.iter().map(ClusterName::as_str).collect::<Vec<_>>()
            )
        };
        conflicts(&snapshot(clusters), id).into_iter().map(shown).collect()
    }

    #[test]
    fn clusters_that_are_well_are_left_alone() {
        let urls: &[&str] = &["https://1.a:8080", "https://1.b:8080", "https://unknown:8080"];
        // The ids of two clusters may be equal: etcds with the usual URL of their member all have the same.
        assert_eq!(
            found(&[("a", urls), ("b", &["https://1.c:8080"]), ("c", &["https://1.c:8081"])]),
            [""; 0]
        );
    }

    #[test]
    fn one_cluster_that_is_two_is_found() {
        let clusters: &[(&str, &[&str])] =
            &[("a", &["https://1.a", "https://1.b", "http://2.c", "http://3.c"])];
        assert_eq!(found(clusters), ["mixed-urls [\"a\"]"]);
        let message = &conflicts(&snapshot(clusters), |_, backend| {
            Some(backend.host.len() as u64 + u64::from(backend.tls))
        })[0]
            .message;
        assert!(message.starts_with("https://1.a:443 and http://2.c:80 belong to"), "{message}");
    }

    #[test]
    fn two_clusters_that_are_one_are_found() {
        assert_eq!(
            found(&[
                ("a", &["https://1.a:8080", "https://1.b:8080"]),
                ("b", &["http://1.b:8080", "https://1.A:8080"]),
                ("c", &["https://1.c:8080", "https://1.c:8080"]),
                ("d", &["https://1.c:8080"]),
            ]),
            ["same-url [\"a\", \"b\"]", "same-url [\"c\", \"d\"]"]
        );
    }

    #[test]
    fn names_that_are_easily_mistaken_are_found() {
        let (a, b, c): (&[&str], &[&str], &[&str]) = (&["https://a"], &["https://b"], &["https://c"]);
        assert_eq!(
            found(&[("Alpha", a), ("alpha", b), ("ALPHA", c), ("alph", &["https://d"])]),
            ["similar-names [\"ALPHA\", \"Alpha\", \"alpha\"]"]
        );
    }
}
