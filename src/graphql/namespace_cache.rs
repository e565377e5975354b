//! The namespaces that each cluster last showed to each user.
//!
//! A user is a subject with its groups, because that is all that a cluster's RBAC looks at. Nothing here grants anything:
//! a user sees again only what a cluster has shown to that same user.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest;
use moka::sync::Cache;
use tokio::time::Instant;

use crate::types::{ClusterName, Principal};

/// A user, as a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct UserKey([u8; 32]);

/// A list of namespaces as clients write them: qualified for remote clusters.
#[derive(Debug)]
pub(super) struct NamespaceList {
    /// When the cluster answered with it.
    at: Instant,
    pub(super) names: Vec<Box<str>>,
}

#[derive(Clone, Debug)]
pub(super) struct NamespaceCache {
    lists: Cache<(UserKey, ClusterName), Arc<NamespaceList>>,
    /// Single namespaces that were seen outside lists.
    singles: Cache<(UserKey, Box<str>), Instant>,
    /// Clusters whose last answer failed, for [`UNHEALTHY_LIFE`].
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

// === impl NamespaceCache ===

impl NamespaceCache {
    pub(super) fn new() -> Self {
        let weight = |_: &(UserKey, ClusterName), list: &Arc<NamespaceList>| {
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
        self.lists.insert((user, cluster.clone()), Arc::new(NamespaceList { at: Instant::now(), names }));
    }

    /// A cluster has shown a user one namespace.
    pub(super) fn learn_one(&self, user: UserKey, qualified: &str) {
        self.singles.insert((user, qualified.into()), Instant::now());
    }

    /// The last good list, of any age.
    pub(super) fn last_good(&self, user: UserKey, cluster: &ClusterName) -> Option<Arc<NamespaceList>> {
        self.lists.get(&(user, cluster.clone()))
    }

    /// Whether the cluster has shown this namespace to the user: within [`FRESH`], or (`ever`) at any time.
    pub(super) fn has(&self, user: UserKey, cluster: &ClusterName, qualified: &str, ever: bool) -> bool {
        let fresh = |at: Instant| ever || at.elapsed() < FRESH;
        self.singles.get(&(user, qualified.into())).is_some_and(fresh)
            || self
                .last_good(user, cluster)
                .is_some_and(|list| fresh(list.at) && list.names.iter().any(|name| **name == *qualified))
    }

    /// Records whether a cluster answered.
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

/// How long a namespace is assumed to exist without asking again: the lifetime of Sensu's access tokens, which bounds how long
/// a change of groups goes unnoticed in the same way.
const FRESH: Duration = Duration::from_secs(300);

/// How long a list stands in for a cluster that is down.
const LIST_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Memory for lists, in bytes.
const LIST_BYTES: u64 = 32 * 1024 * 1024;

const SINGLES: u64 = 50_000;

/// How long a cluster that failed gets little time to answer.
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
    async fn no_user_sees_what_was_shown_to_another() {
        let cache = NamespaceCache::new();
        let cluster: ClusterName = "alpha".parse().unwrap();
        cache.learn(user("a", &[]), &cluster, vec!["default@alpha".into()]);
        assert!(cache.has(user("a", &[]), &cluster, "default@alpha", false));
        assert!(!cache.has(user("b", &[]), &cluster, "default@alpha", true));
        assert!(!cache.has(user("a", &[]), &ClusterName::local(), "default@alpha", true));
        tokio::time::advance(FRESH).await;
        assert!(!cache.has(user("a", &[]), &cluster, "default@alpha", false));
        assert!(cache.has(user("a", &[]), &cluster, "default@alpha", true));
    }
}
