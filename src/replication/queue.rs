//! Writes that are due, in the order in which they must be made, and how many fit into one transaction.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::decide::{Op, Rank};

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

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether a key will be deleted.
    pub(super) fn deletes(&self, key: &Bytes) -> bool {
        self.ranks.get(key).is_some_and(|rank| !matches!(rank, Rank::Put(_)))
    }

    /// Whether the first batch makes the store smaller. etcd accepts that even when its space is used up.
    pub(super) fn begins_with_deletion(&self) -> bool {
        self.ops.first_key_value().is_some_and(|((rank, _), _)| !matches!(rank, Rank::Put(_)))
    }

    /// The first batch: at most so many keys, and not much more than [`MAX_BYTES`]. Deletions and writes are never mixed,
    /// so that a full store still accepts revocations.
    pub(super) fn batch(&self, most: usize) -> Vec<(Bytes, Op)> {
        let mut bytes = 0;
        let mut batch = Vec::new();
        let deletes = self.begins_with_deletion();
        for ((rank, key), op) in self.ops.iter().take(most) {
            let size = key.len() * 2 + if let Op::Put { value, .. } = op { value.len() } else { 0 };
            let same_kind = deletes != matches!(rank, Rank::Put(_));
            if !batch.is_empty() && (bytes + size > MAX_BYTES || !same_kind) {
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
            let batch = queue.batch(MAX_KEYS);
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
        assert_eq!(batches, [2, 3, 1], "deletions and writes are not mixed");
    }

    #[test]
    fn a_batch_has_bounds_but_never_nothing() {
        let mut queue = Queue::default();
        for n in 0..100 {
            queue.set(&format!("{n}").into(), Some((Rank::Put(Type::Asset), put(10))));
        }
        assert_eq!(queue.batch(MAX_KEYS).len(), MAX_KEYS);
        queue.clear();
        for n in 0..3 {
            queue.set(&format!("{n}").into(), Some((Rank::Put(Type::Asset), put(MAX_BYTES))));
        }
        assert_eq!(queue.batch(MAX_KEYS).len(), 1);
        // The last decision counts.
        queue.set(&"0".into(), Some((Rank::Revoke(Reverse(Type::Asset)), Op::Delete)));
        assert_eq!(queue.batch(MAX_KEYS), [("0".into(), Op::Delete)]);
        assert!(queue.deletes(&"0".into()) && !queue.deletes(&"1".into()));
    }
}
