//! Fences, their leases, and what federations that are gone leave behind.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    super::{fence::OUTLIVED, *},
    HOME, Script, assignment, fence, found, keys, proof, role, unleased, waits,
};
use crate::{
    corev2::Type,
    etcd::Error,
    replication::{
        cache::{OwnWrite, tests::cache_of},
        decide::Scope,
        record::{Federation, FoundFence, federation_key, owned_prefix},
    },
};

/// Somebody keeps its lease alive.
#[tokio::test(start_paused = true)]
async fn a_later_term_that_lives_on_is_a_copy_of_the_store_and_not_fought() {
    let mut script = Script::new(1);
    script.lead(3);
    script.step(Input::Woke);
    let begun = script.now;
    while script.now < begun + OUTLIVED * 3 {
        script.now = waits(&script.step(found(7, fence("ours", 9, "other"))));
        assert!(matches!(script.step(Input::Woke), Command::ReadFence));
    }
    assert!(script.machine.trouble.as_ref().unwrap().contains("a copy of this gateway's store"));
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_the_store_is_kept_out_until_its_lease_ends_whatever_the_terms_and_names() {
    for (term, gateway) in [(3, "me"), (2, "me"), (9, "other"), (3, "other")] {
        let mut script = Script::new(1);
        script.lead(3);
        script.step(Input::Woke);
        let value = Fence::parse(&fence("ours", term, gateway)).unwrap();
        let value = Fence { home: "elsewhere".into(), ..value }.to_bytes();
        for _ in 0..10 {
            script.now = waits(&script.step(found(7, value.clone())));
            assert!(script.machine.trouble.as_ref().unwrap().contains("a copy of this gateway's store"));
            assert_eq!((script.machine.follows(), script.machine.lease()), (None, None));
            assert!(matches!(script.step(Input::Woke), Command::ReadFence));
        }
        let gone = Found { place: Some("p".into()), owned: 1, is_recorded: true, fence: None };
        let Command::TakeFence { expected: 0, fence, .. } = script.step(Input::Fence(gone)) else { panic!() };
        assert_eq!((&*fence.place, &*fence.home), ("p", HOME));
    }
}

#[tokio::test(start_paused = true)]
async fn a_fence_of_an_earlier_version_gets_a_lease_and_keeps_its_place() {
    for (term, gateway) in [(3, "me"), (2, "other")] {
        let mut script = Script::new(1);
        script.lead(3);
        script.step(Input::Woke);
        let value = Fence { home: String::new(), ..Fence::parse(&fence("ours", term, gateway)).unwrap() };
        let command = script.step(unleased(7, value.to_bytes()));
        let Command::TakeFence { expected: 7, fence, lease: None, replaces: 0 } = command else {
            panic!("{command:?}")
        };
        assert_eq!((&*fence.place, &*fence.home), ("p", HOME));
        assert!(matches!(script.step(Input::Taken(Some((8, 5)))), Command::Prove));
        assert_eq!(script.machine.lease(), Some(5));
    }
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_kept_while_the_fence_is_ours_and_this_gateway_leads() {
    let (mut script, _) = Script::holding(1);
    assert_eq!(script.machine.lease(), Some(1));
    let until = waits(&script.step(Input::Failed(Error::Denied { reason: "x".into() })));
    assert_eq!(script.machine.lease(), Some(1));
    script.now = until;
    script.machine.lead(None);
    script.step(Input::Woke);
    assert_eq!(script.machine.lease(), None);
    script.lead(4);
    script.step(Input::Woke);
    script.step(found(9, fence("theirs", 1, "other")));
    assert_eq!(script.machine.lease(), None);
}

/// Its lease ended: the watch shows that it is gone.
#[tokio::test(start_paused = true)]
async fn a_fence_that_is_gone_stops_the_writes_and_is_taken_again_at_the_same_place() {
    let (mut script, _) = Script::holding(1);
    script.dest = cache_of(&[RBAC, RECORDS], [(PLACE.as_bytes(), &b"p"[..], 1)]);
    assert!(matches!(script.step(Input::Woke), Command::ReadFence));
    let gone = Found { place: Some("p".into()), owned: 1, is_recorded: true, fence: None };
    let Command::TakeFence { expected: 0, fence, lease: None, .. } = script.step(Input::Fence(gone)) else {
        panic!()
    };
    assert_eq!(fence.place, "p");
    // What was read of it stays valid.
    assert_eq!(script.machine.follows(), None);
}

#[tokio::test(start_paused = true)]
async fn a_place_whose_record_is_deleted_is_another_place() {
    let (mut script, _) = Script::holding(1);
    script.dest = cache_of(&[RBAC, RECORDS], [(FENCE.as_bytes(), &b"{}"[..], 7)]);
    assert!(matches!(script.step(Input::Written), Command::ReadFence));
    let fence = Some(FoundFence { revision: 7, value: fence("ours", 3, "me"), lease: 1 });
    let without = Found { fence, place: None, owned: 1, is_recorded: true };
    let Command::TakeFence { expected: 7, fence, .. } = script.step(Input::Fence(without)) else { panic!() };
    assert_ne!(fence.place, "p");
    assert_eq!(script.machine.follows(), Some(vec![]), "nothing of the old one is kept");
}

#[tokio::test(start_paused = true)]
async fn where_nothing_of_ours_is_nothing_is_written_to_say_so() {
    let theirs = FoundFence { revision: 7, value: fence("theirs", 1, "other"), lease: 1 };
    let place = Some("p".to_owned());
    for there in [Found::default(), Found { fence: Some(theirs), place, ..Found::default() }] {
        let mut script = Script::new(0);
        script.machine.assign(Arc::new(assignment(Vec::new())), script.now);
        script.lead(3);
        script.step(Input::Woke);
        assert!(matches!(script.step(Input::Fence(there)), Command::Wait { until: None }));
        assert_eq!(script.machine.state, State::Left);
        // Until something is wanted there.
        let scope = Scope { name: "r".into(), kind: Type::ClusterRole, namespace: None, held: false };
        script.machine.assign(Arc::new(assignment(vec![scope])), script.now);
        assert!(matches!(script.step(Input::Woke), Command::ReadFence));
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_thing_to_go_is_the_fence_with_its_lease() {
    let mut script = Script::new(0);
    script.machine.assign(Arc::new(assignment(Vec::new())), script.now);
    script.lead(3);
    script.step(Input::Woke);
    let owned = (format!("{RECORDS}owned/ours/rbac/clusterroles/a"), b"r".to_vec());
    script.read(7, &[owned, role("a")]);
    // It owns something, which goes first.
    assert_eq!(keys(&script.step(found(7, fence("ours", 3, "me")))), 1);
    script.read(7, &[]);
    let Command::Settle(last) = script.step(Input::Written) else { panic!() };
    assert_eq!(last.leaves, Some(1));
    let gone = last.effects().map(|it| match it {
        OwnWrite::Deleted(key) => String::from_utf8(key.to_vec()).unwrap(),
        OwnWrite::Put(key, _) => panic!("{key:?}"),
    });
    assert_eq!(
        gone.collect::<BTreeSet<_>>(),
        BTreeSet::from([FENCE.into(), PLACE.into(), federation_key("ours")])
    );
    assert!(matches!(script.step(Input::Settled), Command::Wait { until: None }));
    assert_eq!((&script.machine.state, script.machine.lease()), (&State::Left, None));
}

/// A record of another federation's ownership, and the key of ours for the same object.
fn record(store: &str, name: &str) -> (String, Vec<u8>) {
    (format!("{}rbac/clusterroles/{name}", owned_prefix(store)), b"theirs".to_vec())
}

fn federation(store: &str, source: Option<&str>) -> (String, Vec<u8>) {
    let record = Federation { gateway: "old".to_owned(), source: source.map(str::to_owned) };
    (federation_key(store), record.to_bytes())
}

/// What a settlement puts and deletes.
fn edits(command: &Command) -> (BTreeSet<String>, BTreeSet<String>) {
    let Command::Settle(settlement) = command else { panic!("{command:?}") };
    let (mut put, mut deleted) = (BTreeSet::new(), BTreeSet::new());
    for write in settlement.effects() {
        let (OwnWrite::Put(key, _) | OwnWrite::Deleted(key)) = &write;
        let key = String::from_utf8(key.to_vec()).unwrap();
        if matches!(write, OwnWrite::Put(..)) {
            put.insert(key)
        } else {
            deleted.insert(key)
        };
    }
    (put, deleted)
}

/// A destination with records of another federation, whose fence is ours.
fn after(others: &[(String, Vec<u8>)]) -> (Script, Command) {
    let mut script = Script::new(1);
    script.lead(3);
    script.step(Input::Woke);
    script.read(7, others);
    script.step(found(7, fence("ours", 3, "me")));
    let command = script.step(proof(None));
    (script, command)
}

fn set(keys: &[String]) -> BTreeSet<String> {
    keys.iter().cloned().collect()
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_federation_of_the_same_source_owned_is_taken_over_before_anything_else() {
    let others = [record("dead", "gone"), role("gone"), federation("dead", Some("source"))];
    let (mut script, command) = after(&others);
    let (put, deleted) = edits(&command);
    assert_eq!(put, set(&[record("ours", "gone").0]));
    assert_eq!(deleted, set(&[record("dead", "gone").0]));
    // The source does not hold it any more.
    script.read(7, &[record("ours", "gone"), role("gone"), federation("dead", Some("source"))]);
    assert_eq!(edits(&script.step(Input::Settled)), (set(&[]), set(&[federation_key("dead")])));
    script.read(7, &[record("ours", "gone"), role("gone")]);
    let Command::Write(batch) = script.step(Input::Settled) else { panic!() };
    assert!(batch.ops.iter().any(|(key, op)| key.ends_with(b"/gone") && *op == Op::Delete), "{batch:?}");
}

#[tokio::test(start_paused = true)]
async fn what_came_from_elsewhere_or_is_not_copied_stays_and_is_reported() {
    let binding = |store| format!("{}rbac/clusterrolebindings/b", owned_prefix(store));
    for (source, adoptable, uncovered) in [(Some("other"), 1, 1), (None, 1, 1), (Some("source"), 0, 1)] {
        let mut others = vec![federation("dead", source), (binding("dead"), b"x".to_vec())];
        if adoptable > 0 {
            others.push(record("dead", "gone"));
        }
        let (script, command) = after(&others);
        // Its own work goes on.
        assert_eq!(keys(&command), 1);
        let [orphans] = &script.machine.orphans[..] else { panic!() };
        assert_eq!((&*orphans.store, &*orphans.gateway), ("dead", "old"));
        assert_eq!(orphans.adoptable.values().sum::<u64>(), adoptable);
        assert_eq!(orphans.uncovered, uncovered);
    }
}

#[tokio::test(start_paused = true)]
async fn an_operator_can_have_it_adopted_by_name() {
    let others = [federation("dead", Some("other")), record("dead", "gone"), record("more", "gone")];
    let (mut script, _) = after(&others);
    let mut wanted = Assignment::clone(&script.machine.assignment);
    wanted.adopts.insert(("r".into(), "dead".into()));
    script.machine.assign(Arc::new(wanted), script.now);
    let (put, deleted) = edits(&script.step(Input::Written));
    assert_eq!((put, deleted), (set(&[record("ours", "gone").0]), set(&[record("dead", "gone").0])));
    // An earlier version's fence hangs on nothing: who adopts says that its writer is gone.
    let theirs = || unleased(9, fence("dead", 1, "old"));
    script.step(Input::Fenced);
    assert!(matches!(script.step(theirs()), Command::TakeFence { expected: 9, .. }));
    let (mut other, _) = after(&[]);
    other.step(Input::Fenced);
    waits(&other.step(theirs()));
    // One that hangs on a lease ends by itself or lives.
    script.step(Input::Taken(None));
    waits(&script.step(found(9, fence("dead", 1, "old"))));
}

#[tokio::test(start_paused = true)]
async fn many_are_taken_over_in_several_transactions() {
    let names: Vec<_> = (0..150).map(|n| format!("n{n:03}")).collect();
    let mut others = vec![federation("dead", Some("source"))];
    others.extend(names.iter().map(|name| record("dead", name)));
    let (mut script, mut command) = after(&others);
    let mut moved = BTreeSet::new();
    while let Command::Settle(settlement) = &command {
        assert!(settlement.request.success.len() <= 128);
        let (put, deleted) = edits(&command);
        moved.extend(put.iter().cloned());
        others.retain(|(key, _)| !deleted.contains(key));
        others.extend(put.into_iter().map(|key| (key, b"r".to_vec())));
        script.read(7, &others);
        command = script.step(Input::Settled);
    }
    assert_eq!(moved.len(), names.len());
}

#[tokio::test(start_paused = true)]
async fn a_settlement_of_unknown_outcome_is_followed_by_a_new_fence() {
    let (mut script, command) = after(&[federation("dead", Some("source")), record("dead", "gone")]);
    assert!(matches!(command, Command::Settle(_)));
    let endpoint = "http://a:1".parse().unwrap();
    script.now = waits(&script.step(Input::Failed(Error::Timeout { endpoint })));
    assert!(script.machine.unresolved);
    assert!(matches!(script.step(Input::Woke), Command::ReadFence));
    assert!(matches!(
        script.step(found(7, fence("ours", 3, "me"))),
        Command::TakeFence { lease: Some(1), .. }
    ));
}
