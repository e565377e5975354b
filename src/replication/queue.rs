//! Writes that are due, in the order in which they must be made, and how many fit into one transaction.

use std::{
    collections::{BTreeMap, HashMap},
    mem::discriminant,
};

use bytes::Bytes;

use super::{
    decide::{Op, Rank},
    refused::kind_prefix,
};

/// Decisions that have not been carried out; for each key the last one.
#[derive(Debug, Default)]
pub(super) struct Queue {
    ops: BTreeMap<(Rank, Bytes), Op>,
    ranks: HashMap<Bytes, Rank>,
}

// === impl Queue ===

impl Queue {
    /// Replaces what was decided about a key before.
    pub(super) fn set(&mut self, key: &Bytes, op: Option<(Rank, Op)>) {
        if let Some(rank) = self.ranks.remove(key) {
            self.ops.remove(&(rank, key.clone()));
        }
        if let Some((rank, op)) = op {
            self.ranks.insert(key.clone(), rank);
            self.ops.insert((rank, key.clone()), op);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Everything, in its order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Bytes, &Op)> {
        self.ops.iter().map(|((_, key), op)| (key, op))
    }

    /// Whether something is to be done with a key.
    pub(super) fn has(&self, key: &Bytes) -> bool {
        self.ranks.contains_key(key)
    }

    /// The keys that something is to be done with.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Bytes> {
        self.ranks.keys()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether a key will be deleted.
    pub(super) fn deletes(&self, key: &Bytes) -> bool {
        self.ranks.get(key).is_some_and(|rank| !matches!(rank, Rank::Put(_)))
    }

    /// Drops what was decided about the keys under a prefix.
    pub(super) fn remove_under(&mut self, prefix: &str) {
        self.ops.retain(|(_, key), _| !key.starts_with(prefix.as_bytes()));
        self.ranks.retain(|key, _| !key.starts_with(prefix.as_bytes()));
    }

    /// Whether something is to be done with a key under a prefix.
    pub(super) fn has_under(&self, prefix: &str) -> bool {
        self.ranks.keys().any(|key| key.starts_with(prefix.as_bytes()))
    }

    /// Whether the first batch makes the store smaller. etcd accepts that even when its space is used up.
    pub(super) fn begins_with_deletion(&self) -> bool {
        self.ops.first_key_value().is_some_and(|((rank, _), _)| !matches!(rank, Rank::Put(_)))
    }

    /// The first batch: at most so many keys, and not much more than [`MAX_BYTES`]. Revocations, other deletions and writes
    /// are never mixed, so that a full store still accepts deletions and nothing else makes a revocation fail. With
    /// `one_kind`, nor are kinds and namespaces.
    pub(super) fn batch(&self, most: usize, one_kind: bool) -> Vec<(Bytes, Op)> {
        let mut bytes = 0;
        let mut batch = Vec::new();
        let Some(((first, key), _)) = self.ops.first_key_value() else { return batch };
        let prefix = kind_prefix(key).filter(|_| one_kind).unwrap_or_default();
        for ((rank, key), op) in self.ops.iter().take(most) {
            let size = key.len() * 2 + if let Op::Put { value, .. } = op { value.len() } else { 0 };
            let belongs = discriminant(rank) == discriminant(first) && key.starts_with(prefix.as_bytes());
            if !batch.is_empty() && (bytes + size > MAX_BYTES || !belongs) {
                break;
            }
            bytes += size;
            batch.push((key.clone(), op.clone()));
        }
        batch
    }
}

/// Most keys in one transaction. Each takes up to two operations, and etcd accepts 128 by default.
pub(super) const MAX_KEYS: usize = 64;

/// etcd accepts 1.5 MiB per request by default.
const MAX_BYTES: usize = 512 << 10;

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use super::*;
    use crate::corev2::Type;

    fn put(size: usize) -> Op {
        Op::Put { value: vec![0; size].into(), own: None }
    }

    #[test]
    fn roles_are_written_before_bindings_and_deleted_after_them_and_revocations_come_first() {
        let mut queue = Queue::default();
        let entries = [
            ("new binding", Rank::Put(Type::RoleBinding), put(1)),
            ("role in use", Rank::Last(Reverse(Type::ClusterRole)), Op::Delete),
            ("new role", Rank::Put(Type::Role), put(1)),
            ("free role", Rank::Delete(Reverse(Type::Role)), Op::Delete),
            ("new namespace", Rank::Put(Type::Namespace), put(1)),
            ("old binding", Rank::Revoke(Reverse(Type::ClusterRoleBinding)), Op::Delete),
        ];
        for (key, rank, op) in entries {
            queue.set(&key.into(), Some((rank, op)));
        }
        let mut order = Vec::new();
        let mut batches = Vec::new();
        while !queue.is_empty() {
            let batch = queue.batch(MAX_KEYS, false);
            batches.push(batch.len());
            for (key, _) in batch {
                queue.set(&key, None);
                order.push(String::from_utf8(key.to_vec()).unwrap());
            }
        }
        assert_eq!(
            order,
            ["old binding", "free role", "new namespace", "new role", "new binding", "role in use"]
        );
        assert_eq!(batches, [1, 1, 3, 1], "revocations, deletions and writes are not mixed");
    }

    #[test]
    fn a_batch_has_bounds_but_never_nothing() {
        let mut queue = Queue::default();
        for n in 0..100 {
            queue.set(&format!("{n}").into(), Some((Rank::Put(Type::Asset), put(10))));
        }
        assert_eq!(queue.batch(MAX_KEYS, false).len(), MAX_KEYS);
        queue.clear();
        for n in 0..3 {
            queue.set(&format!("{n}").into(), Some((Rank::Put(Type::Asset), put(MAX_BYTES))));
        }
        assert_eq!(queue.batch(MAX_KEYS, false).len(), 1);
        // The last decision counts.
        queue.set(&"0".into(), Some((Rank::Revoke(Reverse(Type::Asset)), Op::Delete)));
        assert_eq!(queue.batch(MAX_KEYS, false), [("0".into(), Op::Delete)]);
        assert!(queue.deletes(&"0".into()) && !queue.deletes(&"1".into()));
    }
    #[test]
    fn a_batch_can_be_kept_to_one_kind_and_namespace_in_the_same_order() {
        let mut queue = Queue::default();
        for key in ["checks/a/x", "checks/a/y", "checks/b/x", "hooks/a/x"] {
            let kind = if key.starts_with('c') { Type::CheckConfig } else { Type::HookConfig };
            queue.set(&format!("/sensu.io/{key}").into(), Some((Rank::Put(kind), put(1))));
        }
        assert_eq!(queue.batch(MAX_KEYS, false).len(), 4);
        for (expected, prefix) in [(2, "/sensu.io/checks/a/"), (1, "/sensu.io/checks/b/")] {
            let batch = queue.batch(MAX_KEYS, true);
            assert!(
                batch.len() == expected && batch.iter().all(|(key, _)| key.starts_with(prefix.as_bytes()))
            );
            assert!(queue.has_under(prefix));
            queue.remove_under(prefix);
            assert!(!queue.has_under(prefix));
        }
        assert_eq!(queue.batch(MAX_KEYS, true).len(), 1);
    }
}
