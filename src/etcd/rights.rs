//! The rights that a request needs where etcd's access control is on, in the words of `etcdctl role grant-permission`.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

use super::proto::{
    CompactionRequest, Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseRequest, Op, PutRequest,
    RangeRequest, RequestOp, StatusRequest, TxnRequest, WatchCreateRequest, prefix_range,
};

/// The rights that a request needs. Of many keys it names what those of each kind have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Needed {
    rights: BTreeMap<Right, BTreeMap<Vec<u8>, Vec<u8>>>,
}

/// What is done with keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Right {
    Read,
    Write,
}

/// A request, with the keys that it reads and writes.
pub(super) trait Needs {
    /// Notes what the request needs.
    fn note(&self, needed: &mut Needed);

    /// Everything that the request needs.
    fn needed(&self) -> Needed {
        let mut needed = Needed::default();
        self.note(&mut needed);
        needed
    }
}

// === impl Needed ===

impl Needed {
    fn keys(&mut self, right: Right, key: &[u8], range_end: &[u8]) {
        let (_, end) = prefix_range(key);
        let path = match range_end {
            [] => key,
            _ if key == [0] => b"",
            _ if *range_end == *end && key.ends_with(b"/") => key,
            _ => directory(&key[..common(key, range_end)]),
        };
        let known = self.rights.entry(right).or_default();
        let known = known.entry(first_part(path).to_vec()).or_insert_with(|| path.to_vec());
        if known != path {
            let common = common(known, path);
            *known = directory(&path[..common]).to_vec();
        }
    }

    #[cfg(test)]
    pub(super) fn allows(&self, right: Right, key: &[u8]) -> bool {
        self.rights.get(&right).is_some_and(|paths| paths.values().any(|path| key.starts_with(path)))
    }
}

impl fmt::Display for Needed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths = |right| self.rights.get(&right).into_iter().flat_map(BTreeMap::values);
        let reads = |path: &Vec<u8>| paths(Right::Read).any(|it| it == path);
        let writes = |path: &Vec<u8>| paths(Right::Write).any(|it| it == path);
        let both = paths(Right::Write).filter(|path| reads(path)).map(|path| ("readwrite", path));
        let only_read = paths(Right::Read).filter(|path| !writes(path)).map(|path| ("read", path));
        let only_written = paths(Right::Write).filter(|path| !reads(path)).map(|path| ("write", path));
        for (n, (right, path)) in both.chain(only_read).chain(only_written).take(MOST_PATHS).enumerate() {
            f.write_str(if n == 0 { "" } else { ", " })?;
            write!(f, "{right} ")?;
            match path.as_slice() {
                [] => f.write_str("all keys")?,
                path => String::from_utf8_lossy(path)
                    .chars()
                    .take(MAX_PATH_CHARS)
                    .try_for_each(|c| f.write_char(if c.is_control() { ' ' } else { c }))?,
            }
        }
        Ok(())
    }
}

// === impl Needs ===

impl Needs for RangeRequest {
    fn note(&self, needed: &mut Needed) {
        needed.keys(Right::Read, &self.key, &self.range_end);
    }
}

impl Needs for WatchCreateRequest {
    fn note(&self, needed: &mut Needed) {
        needed.keys(Right::Read, &self.key, &self.range_end);
    }
}

impl Needs for PutRequest {
    fn note(&self, needed: &mut Needed) {
        needed.keys(Right::Write, &self.key, &[]);
        if self.prev_kv {
            needed.keys(Right::Read, &self.key, &[]);
        }
    }
}

impl Needs for DeleteRangeRequest {
    fn note(&self, needed: &mut Needed) {
        needed.keys(Right::Write, &self.key, &self.range_end);
        if self.prev_kv {
            needed.keys(Right::Read, &self.key, &self.range_end);
        }
    }
}

impl Needs for Compare {
    fn note(&self, needed: &mut Needed) {
        needed.keys(Right::Read, &self.key, &[]);
    }
}

impl Needs for RequestOp {
    fn note(&self, needed: &mut Needed) {
        match &self.request {
            Some(Op::Range(range)) => range.note(needed),
            Some(Op::Put(put)) => put.note(needed),
            Some(Op::DeleteRange(delete)) => delete.note(needed),
            None => {}
        }
    }
}

impl Needs for TxnRequest {
    fn note(&self, needed: &mut Needed) {
        self.compare.iter().for_each(|compare| compare.note(needed));
        // Those of both branches, whichever is taken.
        self.success.iter().chain(&self.failure).for_each(|op| op.note(needed));
    }
}

/// Requests without keys.
macro_rules! keyless {
    ($($request:ty),*) => {
        $(impl Needs for $request {
            fn note(&self, _: &mut Needed) {}
        })*
    };
}

keyless!(CompactionRequest, LeaseGrantRequest, LeaseRequest, StatusRequest);

/// A path up to its last slash.
fn directory(path: &[u8]) -> &[u8] {
    &path[..path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1)]
}

/// A path up to its third slash: Sensu's kinds differ there, and a gateway's own keys from them.
fn first_part(path: &[u8]) -> &[u8] {
    let mut slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.nth(2).map_or(path, |(at, _)| &path[..=at])
}

/// The length of what two paths begin with.
fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Most paths that are named.
const MOST_PATHS: usize = 8;

/// Most characters of a path that are shown.
const MAX_PATH_CHARS: usize = 120;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn txn(compare: &str, ops: impl IntoIterator<Item = Op>) -> TxnRequest {
        TxnRequest {
            compare: vec![Compare::unchanged(compare, 1)],
            success: ops.into_iter().map(Into::into).collect(),
            failure: Vec::new(),
        }
    }

    #[test]
    fn each_request_names_its_keys_and_rights() {
        let put = |key: &str| Op::Put(PutRequest::new(key, "value"));
        let delete = |key: &str| Op::DeleteRange(DeleteRangeRequest::key(key));
        let fence = "/fedgate/replication/fence";
        let batch = |keys: &[&str]| txn(fence, keys.iter().map(|key| put(key))).needed().to_string();
        for (needed, text) in [
            (RangeRequest::prefix(b"/sensu.io/rbac/").needed(), "read /sensu.io/rbac/"),
            (RangeRequest::key(fence).needed(), "read /fedgate/replication/fence"),
            (RangeRequest::prefix(b"").needed(), "read all keys"),
            // A range that is no prefix, as the registry's.
            (
                WatchCreateRequest::range(b"/fedgate/registry/".into(), b"/fedgate/schema\0".into(), 0)
                    .needed(),
                "read /fedgate/",
            ),
            (WatchCreateRequest::prefix(b"/sensu.io/rbac/cluster", 0).needed(), "read /sensu.io/rbac/"),
            (PutRequest::new("/a/b", "value").needed(), "write /a/b"),
            (PutRequest { prev_kv: true, ..PutRequest::new("/a/b", "value") }.needed(), "readwrite /a/b"),
            (DeleteRangeRequest::prefix(b"/a/").needed(), "write /a/"),
            (txn(fence, [put(fence)]).needed(), "readwrite /fedgate/replication/fence"),
            (LeaseRequest { id: 1 }.needed(), ""),
            (
                txn(fence, [delete("/sensu.io/checks/a/b"), Op::Range(RangeRequest::key("/c"))]).needed(),
                "read /c, read /fedgate/replication/fence, write /sensu.io/checks/a/b",
            ),
        ] {
            assert_eq!(needed.to_string(), text);
        }
        // Of many keys what they share.
        let read = "read /fedgate/replication/fence, write";
        assert_eq!(
            batch(&["/sensu.io/checks/a/b", "/sensu.io/checks/a/c"]),
            format!("{read} /sensu.io/checks/a/")
        );
        assert_eq!(
            batch(&["/sensu.io/checks/a/b", "/sensu.io/checks/b/b"]),
            format!("{read} /sensu.io/checks/")
        );
        let kinds = ["/sensu.io/checks/a/b", "/sensu.io/users/c", "/sensu.io/checks/b/b"];
        assert_eq!(batch(&kinds), format!("{read} /sensu.io/checks/, write /sensu.io/users/c"));
        assert_eq!(
            batch(&["/sensu.io/users/c", "/fedgate/replication/owned/1/c"]),
            "read /fedgate/replication/fence, write /fedgate/replication/owned/1/c, write /sensu.io/users/c"
        );
    }

    #[test]
    fn what_is_shown_of_keys_is_short_and_in_one_line() {
        let key = format!("/a\n{}", "b".repeat(500));
        let shown = PutRequest::new(key, "value").needed().to_string();
        assert!(shown.chars().count() < 140 && !shown.contains('\n'), "{shown}");
    }

    proptest! {
        /// Whoever grants what is named can send the request.
        #[test]
        fn every_key_is_covered(
            keys in prop::collection::vec(("(/[ab]{1,2}){0,4}/?", any::<bool>(), any::<bool>()), 1..12),
        ) {
            let ops = keys.iter().map(|(key, is_prefix, is_read)| match (is_read, is_prefix) {
                (true, true) => Op::Range(RangeRequest::prefix(key.as_bytes())),
                (true, false) => Op::Range(RangeRequest::key(key.as_str())),
                (false, true) => Op::DeleteRange(DeleteRangeRequest::prefix(key.as_bytes())),
                (false, false) => Op::Put(PutRequest::new(key.as_str(), "value")),
            });
            let needed = txn("/c", ops).needed();
            prop_assert!(needed.allows(Right::Read, b"/c"));
            for (key, _, is_read) in &keys {
                let right = if *is_read { Right::Read } else { Right::Write };
                prop_assert!(needed.allows(right, key.as_bytes()), "{key}: {needed}");
            }
        }
    }
}
