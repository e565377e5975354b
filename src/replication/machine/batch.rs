use std::sync::Arc;

use bytes::Bytes;

use crate::{
    etcd::proto::{
        self, Compare, CompareResult, CompareWith, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp,
        TxnRequest,
    },
    replication::{cache::OwnWrite, decide::Op, record::FENCE},
};

/// Several decisions in one transaction.
#[derive(Debug)]
pub(in crate::replication) struct Batch {
    pub(in crate::replication) request: TxnRequest,
    /// The epoch of the destination's cache when the batch was built.
    pub(in crate::replication) epoch: u64,
    pub(super) ops: Vec<(Bytes, Op)>,
    pub(super) records: Vec<(Bytes, Arc<str>)>,
}

// === impl Batch ===

impl Batch {
    /// What the destination holds once the batch is written.
    pub(in crate::replication) fn effects(&self) -> impl Iterator<Item = OwnWrite> {
        self.ops.iter().zip(&self.records).flat_map(|((key, op), (record, _))| {
            let own =
                |name: &Arc<str>| OwnWrite::Put(record.clone(), Bytes::copy_from_slice(name.as_bytes()));
            match op {
                Op::Put { value, own: owner } => {
                    [Some(OwnWrite::Put(key.clone(), value.clone())), owner.as_ref().map(own)]
                }
                Op::Own(owner) => [Some(own(owner)), None],
                Op::Delete => [Some(OwnWrite::Deleted(key.clone())), Some(OwnWrite::Deleted(record.clone()))],
                Op::Disown => [Some(OwnWrite::Deleted(record.clone())), None],
            }
            .into_iter()
            .flatten()
        })
    }
}

/// The transaction that carries out decisions.
pub(super) fn request(
    fence: i64,
    held: &[u8],
    ops: &[(Bytes, Op)],
    records: &[(Bytes, Arc<str>)],
) -> TxnRequest {
    let put = |key: &Bytes, value: &[u8]| proto::Op::Put(PutRequest::new(&key[..], value));
    let delete = |key: &Bytes| proto::Op::DeleteRange(DeleteRangeRequest::key(&key[..]));
    let mut success = Vec::new();
    for ((key, op), (record, _)) in ops.iter().zip(records) {
        match op {
            Op::Put { value, own } => {
                success.push(put(key, value).into());
                success.extend(own.as_ref().map(|name| put(record, name.as_bytes()).into()));
            }
            Op::Own(name) => success.push(put(record, name.as_bytes()).into()),
            Op::Delete => success.extend([delete(key).into(), delete(record).into()]),
            Op::Disown => success.push(delete(record).into()),
        }
    }
    fenced(fence, held, success)
}

/// A transaction that carries out everything, or only reads the fence if that is no longer ours.
///
/// The value of the fence is compared too: etcds that were set up alike have equal revisions.
pub(super) fn fenced(fence: i64, held: &[u8], success: Vec<RequestOp>) -> TxnRequest {
    TxnRequest {
        compare: vec![
            Compare::unchanged(FENCE, fence),
            Compare::new(FENCE, CompareResult::Equal, CompareWith::Value(held.to_vec())),
        ],
        success,
        failure: vec![proto::Op::Range(RangeRequest::key(FENCE)).into()],
    }
}
