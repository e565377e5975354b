//! The records of a destination that are not about one object: which place it is, who owns something there, and what
//! becomes of the ownership of federations that are gone.
//!
//! While this federation holds the fence, no other one writes. What another one owns is taken over when it came from the
//! same source and a replicator of this federation copies it: the keys are then compared with the source like any other,
//! and what was revoked meanwhile disappears. What came from elsewhere stays as it is and is reported, until an operator
//! has it adopted; so does what no replicator copies, because nobody has asked for its deletion.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use super::{Machine, batch};
use crate::{
    corev2::ObjectKey,
    etcd::proto::{self, DeleteRangeRequest, PutRequest, TxnRequest},
    replication::{
        cache::{Content, OwnWrite},
        record::{
            FEDERATIONS, FENCE, Federation, OWNED, PLACE, federation_key, object_of, owned_prefix, record_of,
            store_of,
        },
        work::Sides,
    },
};

/// Changes of records, in one transaction.
#[derive(Debug)]
pub(in crate::replication) struct Settlement {
    pub(in crate::replication) request: TxnRequest,
    /// The epoch of the destination's cache when it was built.
    pub(in crate::replication) epoch: u64,
    edits: Vec<Edit>,
    /// The lease of the fence that goes with it, when this leaves the destination.
    pub(in crate::replication) leaves: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Edit {
    Put(Bytes, Bytes),
    Delete(Bytes),
}

/// How far the records are.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// The place's identity has been seen in its record.
    pub(super) has_place: bool,
    /// They may have to be changed.
    pub(super) due: bool,
    pub(super) writing: Writing,
}

/// What is being written of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Writing {
    #[default]
    Nothing,
    Some,
    /// Everything is deleted.
    End,
}

/// What a federation that is gone still owns and nobody takes over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::replication) struct Orphans {
    /// Its store.
    pub(in crate::replication) store: String,
    /// One of its gateways.
    pub(in crate::replication) gateway: String,
    /// How many keys each replicator of this federation could take over.
    pub(in crate::replication) adoptable: BTreeMap<Arc<str>, u64>,
    /// How many keys no replicator copies.
    pub(in crate::replication) uncovered: u64,
}

/// What a look at the other federations' records finds.
#[derive(Default)]
struct Survey {
    edits: Vec<Edit>,
    orphans: Vec<Orphans>,
}

// === impl Settlement ===

impl Settlement {
    fn new(fence: i64, held: &[u8], epoch: u64, edits: Vec<Edit>) -> Self {
        let op = |edit: &Edit| match edit {
            Edit::Put(key, value) => proto::Op::Put(PutRequest::new(&key[..], &value[..])).into(),
            Edit::Delete(key) => proto::Op::DeleteRange(DeleteRangeRequest::key(&key[..])).into(),
        };
        let request = batch::fenced(fence, held, edits.iter().map(op).collect());
        Self { request, epoch, edits, leaves: None }
    }

    /// What the destination holds once it is written.
    pub(in crate::replication) fn effects(&self) -> impl Iterator<Item = OwnWrite> {
        self.edits.iter().cloned().map(|edit| match edit {
            Edit::Put(key, value) => OwnWrite::Put(key, value),
            Edit::Delete(key) => OwnWrite::Deleted(key),
        })
    }
}

// === impl Machine ===

impl Machine {
    /// The next change of records that is due; `None` when there is none. The fence is ours.
    pub(super) fn settle(&mut self, fence: i64, sides: Sides<'_>) -> Option<Settlement> {
        if !self.records.due {
            return None;
        }
        let mut edits = self.own_records(sides.dest);
        let most = self.most.min(MOST_MOVES);
        let survey = self.survey(sides.dest, most);
        edits.extend(survey.edits);
        self.orphans = survey.orphans;
        self.records.has_place |= sides.dest.get(PLACE.as_bytes()).is_some();
        if edits.is_empty() {
            self.records.due = false;
            return None;
        }
        Some(Settlement::new(fence, &self.held, sides.dest.epoch(), edits))
    }

    /// The end of everything that this federation has in the destination, once it owns nothing there.
    pub(super) fn leave(&self, fence: i64, sides: Sides<'_>) -> Option<Settlement> {
        let owns = sides.dest.range(owned_prefix(&self.store).as_bytes()).next().is_some();
        if !self.assignment.leaves || owns {
            return None;
        }
        let own = Bytes::from(federation_key(&self.store));
        let others = sides.dest.range(FEDERATIONS.as_bytes()).any(|(key, _)| *key != own)
            || sides.dest.range(OWNED.as_bytes()).next().is_some();
        let place = Bytes::from_static(PLACE.as_bytes());
        let gone = [Some(own), (!others).then_some(place), Some(Bytes::from_static(FENCE.as_bytes()))];
        let edits = gone.into_iter().flatten().map(Edit::Delete).collect();
        let settlement = Settlement::new(fence, &self.held, sides.dest.epoch(), edits);
        Some(Settlement { leaves: self.lease, ..settlement })
    }

    /// The records of the place and of this federation, where they are not as they should be.
    fn own_records(&self, dest: &Content) -> Vec<Edit> {
        let Some(place) = self.place.as_ref().filter(|_| !self.assignment.scopes.is_empty()) else {
            return Vec::new();
        };
        let record = Federation { gateway: self.identity().gateway, source: self.source_id.clone() };
        let wanted = [
            (Bytes::from_static(PLACE.as_bytes()), Bytes::from(place.clone().into_bytes())),
            (federation_key(&self.store).into(), record.to_bytes().into()),
        ];
        let differs = |(key, value): &(Bytes, Bytes)| dest.get(key).is_none_or(|found| found.value != *value);
        wanted.into_iter().filter(differs).map(|(key, value)| Edit::Put(key, value)).collect()
    }

    /// Looks at what other federations own: what is taken over, at most so many keys, and what is left.
    fn survey(&self, dest: &Content, most: usize) -> Survey {
        let mut survey = Survey::default();
        for store in stores(dest).into_iter().filter(|store| *store != self.store) {
            self.survey_store(dest, store, most, &mut survey);
        }
        let is_empty = |store: &str| dest.range(owned_prefix(store).as_bytes()).next().is_none();
        for (key, _) in dest.range(FEDERATIONS.as_bytes()) {
            let store =
                key.strip_prefix(FEDERATIONS.as_bytes()).and_then(|name| std::str::from_utf8(name).ok());
            if survey.edits.len() < most * 2 && store.is_some_and(|it| it != self.store && is_empty(it)) {
                survey.edits.push(Edit::Delete(key.clone()));
            }
        }
        survey
    }

    fn survey_store(&self, dest: &Content, store: String, most: usize, survey: &mut Survey) {
        let federation = dest.get(federation_key(&store).as_bytes()).map(|it| Federation::parse(&it.value));
        let Federation { gateway, source } = federation.unwrap_or_default();
        let is_same_source = source.is_some() && source == self.source_id;
        let (prefix, own) = (owned_prefix(&store), owned_prefix(&self.store));
        let mut orphans = Orphans { store, gateway, ..Orphans::default() };
        for (record, _) in dest.range(prefix.as_bytes()) {
            let Some(object) = object_of(&prefix, record) else { continue };
            let key = ObjectKey::parse(&object).and_then(Result::ok);
            let scope = key.and_then(|key| self.assignment.scopes.iter().find(|scope| scope.covers(&key)));
            match scope {
                None => orphans.uncovered += 1,
                // It will be, once the old destination is clean.
                Some(scope) if scope.held => {}
                Some(scope) if is_same_source || self.assignment.adopts(&scope.name, &orphans.store) => {
                    if survey.edits.len() < most * 2 {
                        let new = record_of(&own, &object);
                        if dest.get(&new).is_none() {
                            let name = Bytes::copy_from_slice(scope.name.as_bytes());
                            survey.edits.push(Edit::Put(new, name));
                        }
                        survey.edits.push(Edit::Delete(record.clone()));
                    }
                }
                Some(scope) => *orphans.adoptable.entry(Arc::clone(&scope.name)).or_default() += 1,
            }
        }
        if orphans.uncovered > 0 || !orphans.adoptable.is_empty() {
            survey.orphans.push(orphans);
        }
    }
}

/// Every store with ownership records.
fn stores(dest: &Content) -> Vec<String> {
    let mut stores = Vec::new();
    let mut from = Bytes::from_static(OWNED.as_bytes());
    while let Some(key) = dest.first_from(&from).filter(|key| key.starts_with(OWNED.as_bytes())) {
        if let Some(store) = store_of(key) {
            // What follows the last of its records: `0` is next to `/`.
            from = format!("{OWNED}{store}0").into();
            stores.push(store.to_owned());
        } else {
            from = [&key[..], &[0]].concat().into();
        }
    }
    stores
}

/// Most keys that are taken over in one transaction. Each takes two operations, the records of this federation two more,
/// and etcd accepts 128 by default.
const MOST_MOVES: usize = 60;
