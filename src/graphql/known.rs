//! What is known about a user's namespaces without asking: the last good lists, kept per user and cluster.
//!
//! A user is a subject with its groups, because that is all that a cluster's RBAC looks at. Nothing here grants anything:
//! names that a cluster has told a user are told to that user again.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest;
use moka::sync::Cache;
use tokio::time::Instant;

use crate::types::{ClusterName, Principal};

/// A user, as a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct UserKey([u8; 32]);

/// Names of namespaces as clients write them: qualified for remote clusters.
#[derive(Debug)]
pub(super) struct Names {
    /// When the cluster said so.
    at: Instant,
    pub(super) names: Vec<Box<str>>,
}

#[derive(Clone, Debug)]
pub(super) struct Namespaces {
    lists: Cache<(UserKey, ClusterName), Arc<Names>>,
    /// Single namespaces that were seen outside lists.
    singles: Cache<(UserKey, Box<str>), Instant>,
    /// Clusters that have not answered lately.
    unhealthy: Cache<ClusterName, ()>,
}

// === impl UserKey ===

impl UserKey {
    pub(super) fn of(principal: &Principal) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        let mut groups: Vec<&str> = principal.groups.iter().map(String::as_str).collect();
        groups.sort_unstable();
        for part in std::iter::once(principal.subject.as_str()).chain(groups) {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part.as_bytes());
        }
        let mut key = [0; 32];
        key.copy_from_slice(context.finish().as_ref());
        Self(key)
    }
}

// === impl Namespaces ===

impl Namespaces {
    pub(super) fn new() -> Self {
        let weight = |_: &(UserKey, ClusterName), list: &Arc<Names>| {
            let bytes: usize = list.names.iter().map(|name| name.len() + 24).sum();
            u32::try_from(bytes + 128).unwrap_or(u32::MAX)
        };
        Self {
            lists: Cache::builder().weigher(weight).max_capacity(LIST_BYTES).time_to_live(LIST_LIFE).build(),
            singles: Cache::builder().max_capacity(SINGLES).time_to_live(FRESH).build(),
            unhealthy: Cache::builder().max_capacity(1024).time_to_live(UNHEALTHY_LIFE).build(),
        }
    }

    /// A cluster has listed a user's namespaces.
    pub(super) fn learn(&self, user: UserKey, cluster: &ClusterName, names: Vec<Box<str>>) {
        self.lists.insert((user, cluster.clone()), Arc::new(Names { at: Instant::now(), names }));
    }

    /// A cluster has shown a user one namespace.
    pub(super) fn learn_one(&self, user: UserKey, qualified: &str) {
        self.singles.insert((user, qualified.into()), Instant::now());
    }

    /// The last good list, however old.
    pub(super) fn last_good(&self, user: UserKey, cluster: &ClusterName) -> Option<Arc<Names>> {
        self.lists.get(&(user, cluster.clone()))
    }

    /// Whether the cluster has shown this namespace to the user, lately or (`ever`) at all.
    pub(super) fn has(&self, user: UserKey, cluster: &ClusterName, qualified: &str, ever: bool) -> bool {
        let fresh = |at: Instant| ever || at.elapsed() < FRESH;
        self.singles.get(&(user, qualified.into())).is_some_and(fresh)
            || self
                .last_good(user, cluster)
                .is_some_and(|list| fresh(list.at) && list.names.iter().any(|name| **name == *qualified))
    }

    /// Notes whether a cluster answers.
    pub(super) fn note(&self, cluster: &ClusterName, answers: bool) {
        if answers {
            self.unhealthy.invalidate(cluster);
        } else {
            self.unhealthy.insert(cluster.clone(), ());
        }
    }

    pub(super) fn is_unhealthy(&self, cluster: &ClusterName) -> bool {
        self.unhealthy.contains_key(cluster)
    }
}

/// How long a namespace counts as there without asking: the life of Sensu's access tokens, which bounds in the same way
/// how long a change of groups goes unnoticed.
const FRESH: Duration = Duration::from_secs(300);

/// How long a list stands in for a cluster that is down.
const LIST_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Memory for lists, in bytes.
const LIST_BYTES: u64 = 32 * 1024 * 1024;

const SINGLES: u64 = 50_000;

/// How long a cluster that failed is given little time.
const UNHEALTHY_LIFE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn user(subject: &str, groups: &[&str]) -> UserKey {
        UserKey::of(&Principal {
            subject: subject.to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            expires_at: 0,
        })
    }

    #[test]
    fn users_are_told_apart_by_subject_and_groups() {
        assert_eq!(user("a", &["x", "y"]), user("a", &["y", "x"]));
        assert_ne!(user("a", &["x"]), user("a", &["x", "y"]));
        assert_ne!(user("a", &["b"]), user("ab", &[]));
        assert_ne!(user("", &["a", "b"]), user("", &["ab"]));
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_user_was_told_no_other_is() {
        let known = Namespaces::new();
        let cluster: ClusterName = "alpha".parse().unwrap();
        known.learn(user("a", &[]), &cluster, vec!["default@alpha".into()]);
        assert!(known.has(user("a", &[]), &cluster, "default@alpha", false));
        assert!(!known.has(user("b", &[]), &cluster, "default@alpha", true));
        assert!(!known.has(user("a", &[]), &ClusterName::local(), "default@alpha", true));
        tokio::time::advance(FRESH).await;
        assert!(!known.has(user("a", &[]), &cluster, "default@alpha", false));
        assert!(known.has(user("a", &[]), &cluster, "default@alpha", true));
    }
}
