use std::{borrow::Borrow, cmp::Ordering, fmt, str::FromStr, sync::Arc};

/// The reserved name of the cluster that the gateway belongs to.
pub const LOCAL_CLUSTER: &str = "local-cluster";

/// Longest cluster name, in bytes.
const MAX_CLUSTER_NAME: usize = 253;

/// The name of a registered cluster: `[A-Za-z0-9_.-]{1,253}`, neither `.` nor `..`.
///
/// No `:`, which would break Sensu's GraphQL ids. Ordered with `local-cluster` first, then by bytes, which is
/// the order in which clusters appear in every merged answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClusterName(Arc<str>);

/// A namespace as a client wrote it: `<namespace>` or `<namespace>@<cluster>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceRef {
    /// The part that the cluster itself knows.
    pub namespace: String,
    /// The cluster it was qualified with; `None` when it was plain or qualified with `local-cluster`.
    pub cluster: Option<ClusterName>,
}

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The cluster name has a wrong character, a wrong length, or is `.` or `..`.
    #[error("cluster name {0:?} is not valid: use 1 to 253 of the characters A-Z a-z 0-9 _ . -")]
    Cluster(String),
    /// A namespace such as `@x`, `x@`, `a@b@c`, `.` or `..`.
    #[error("namespace {0:?} is not valid: write <namespace> or <namespace>@<cluster>")]
    Namespace(String),
}

// === impl ClusterName ===

impl ClusterName {
    /// The name of the local cluster.
    pub fn local() -> Self {
        Self(LOCAL_CLUSTER.into())
    }

    /// Whether this is `local-cluster`.
    pub fn is_local(&self) -> bool {
        &*self.0 == LOCAL_CLUSTER
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClusterName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        if text.is_empty()
            || text.len() > MAX_CLUSTER_NAME
            || matches!(text, "." | "..")
            || !text.bytes().all(legal)
        {
            return Err(NameError::Cluster(text.chars().take(MAX_CLUSTER_NAME).collect()));
        }
        Ok(Self(text.into()))
    }
}

impl Ord for ClusterName {
    fn cmp(&self, other: &Self) -> Ordering {
        other.is_local().cmp(&self.is_local()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for ClusterName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Borrow<str> for ClusterName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl NamespaceRef ===

impl NamespaceRef {
    /// Parses a *decoded* namespace. `x@local-cluster` equals `x`.
    ///
    /// The characters of the namespace itself are Sensu's to judge, but for what could not be addressed:
    /// empty, `.` and `..`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let malformed = || NameError::Namespace(text.chars().take(MAX_CLUSTER_NAME).collect());
        let (namespace, cluster) = match text.split_once('@') {
            None => (text, None),
            Some((namespace, cluster)) => {
                let cluster: ClusterName = cluster.parse().map_err(|_| malformed())?;
                (namespace, (!cluster.is_local()).then_some(cluster))
            }
        };
        if matches!(namespace, "" | "." | "..") {
            return Err(malformed());
        }
        Ok(Self { namespace: namespace.to_owned(), cluster })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_cluster_sorts_first_and_others_by_bytes() {
        let mut names: Vec<ClusterName> =
            ["zeta", "alpha", "local-cluster", "Beta"].iter().map(|n| n.parse().unwrap()).collect();
        names.sort();
        let names: Vec<&str> = names.iter().map(ClusterName::as_str).collect();
        assert_eq!(names, ["local-cluster", "Beta", "alpha", "zeta"]);
    }

    #[test]
    fn cluster_names_refuse_what_would_be_ambiguous() {
        for bad in ["", ".", "..", "a:b", "a/b", "a@b", "a~b", "ä", &"x".repeat(254)] {
            assert!(bad.parse::<ClusterName>().is_err(), "{bad:?}");
        }
        for good in ["a", "A.b-c_9", "...", &"x".repeat(253)] {
            assert!(good.parse::<ClusterName>().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn qualified_namespaces_split_at_the_at_sign() {
        let parsed = NamespaceRef::parse("default@alpha").unwrap();
        assert_eq!(parsed.namespace, "default");
        assert_eq!(parsed.cluster.unwrap().as_str(), "alpha");
        assert_eq!(NamespaceRef::parse("default@local-cluster").unwrap().cluster, None);
        assert_eq!(NamespaceRef::parse("a:b").unwrap().namespace, "a:b");
        for bad in ["@x", "x@", "a@b@c", ".", "..", "", "@", "..@alpha", "x@.."] {
            assert!(NamespaceRef::parse(bad).is_err(), "{bad:?}");
        }
    }
}
