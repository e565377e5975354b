//! What it costs when there is nothing to do, and when a cluster takes nothing.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::world::{World, check, cluster_role};
use crate::{
    corev2::Type,
    policy::{
        client::{Failure, Page},
        decide::{Originals, Scope},
        machine::{Assignment, Machine, Step, Written},
        object::Object,
    },
    types::{OnConflict, OnDelete},
};

#[tokio::test(start_paused = true)]
async fn a_gateway_without_replicators_leaves_its_store_and_every_cluster_alone() {
    let mut world = World::new(&["alpha"], 1).await;
    let quiet = async |world: &World, what: &str| {
        sleep(Duration::from_secs(10)).await;
        let (calls, requests) = (world.store.calls(), world.net.cluster("alpha").requests().len());
        sleep(Duration::from_secs(600)).await;
        assert_eq!(world.store.calls(), calls, "{what}: the store was asked");
        assert_eq!(world.net.cluster("alpha").requests().len(), requests, "{what}: a cluster was asked");
    };
    quiet(&world, "from the start").await;
    world.write("local-cluster", "clusterroles/ops", &cluster_role("ops", "get"));
    world.replicate("rbac", &json!({})).await;
    world.until_status("rbac", "alpha", |it| it.keys == 1).await;
    world.remove("rbac").await;
    world.until("nothing is left", |it| it.object("alpha", "rbac/clusterroles/ops").is_none()).await;
    sleep(Duration::from_secs(180)).await;
    quiet(&world, "when everything is removed").await;
    world.lead_none();
    quiet(&world, "when it does not lead").await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_takes_nothing_is_not_asked_again_and_again() {
    let world = World::new(&["alpha"], 1).await;
    for n in 0..50 {
        let name = format!("c{n}");
        world.write(
            "local-cluster",
            &format!("namespaces/default/checks/{name}"),
            &check("default", &name, "true"),
        );
    }
    world.net.fault("alpha", |fault| fault.refused = ["checks"].into());
    world.replicate("rbac", &json!({})).await;
    let is_said = |it: &crate::types::PolicyClusterStatus| {
        it.error
            .as_deref()
            .is_some_and(|it| it.starts_with("50 objects are not copied, such as CheckConfig default/c0: "))
    };
    world.until_status("rbac", "alpha", is_said).await;
    sleep(Duration::from_secs(900)).await;
    let tries = world.net.refusals.lock().len();
    assert!((100..500).contains(&tries), "{tries} tries of 50 objects in a quarter of an hour");
    world.net.heal();
    world.until_status("rbac", "alpha", |it| it.keys == 50).await;
}

fn scope(kinds: &[Type]) -> Scope {
    Scope {
        name: "r".into(),
        kinds: kinds.iter().copied().collect(),
        namespace: None,
        conflicts: OnConflict::Report,
        on_delete: OnDelete::Remove,
        dry_run: false,
        adopts: [].into(),
    }
}

/// A source of so many objects.
fn originals(kind: Type, count: usize, item: impl Fn(String) -> Value) -> Originals {
    let read = |n| Arc::new(Object::read(kind, &item(format!("o{n}")).to_string()).unwrap());
    let objects: BTreeMap<_, _> = (0..count).map(read).map(|it| (it.key.clone(), it)).collect();
    let mut originals = Originals::default();
    originals.kinds.insert(kind, Arc::new(objects));
    for known in [Type::Namespace, Type::Role] {
        originals.kinds.entry(known).or_default();
    }
    originals
}

/// Answers each list with nothing and refuses each write, until the machine waits. Returns how many writes there were.
fn refuse_all(machine: &mut Machine, source: &Originals, page: &dyn Fn(Type) -> Page, now: Instant) -> usize {
    let mut writes = 0;
    loop {
        match machine.next(source, now) {
            Step::List { kind, .. } => machine.listed(Ok(page(kind)), now),
            Step::Write(_) => {
                writes += 1;
                assert!(writes < 100_000, "it never ends");
                machine.wrote(Written::Failed(Failure::Refused("no".into())), now);
            }
            Step::Wait(_) => return writes,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_refused_writes_do_not_cost_a_thousand_comparisons() {
    let interval = Duration::from_secs(3600);
    for (kind, item) in [
        (
            Type::CheckConfig,
            (|name| json!({"metadata": {"name": name, "namespace": "default"}})) as fn(String) -> Value,
        ),
        (Type::ClusterRole, |name| json!({"metadata": {"name": name}, "rules": []})),
    ] {
        let source = originals(kind, 1000, item);
        let assignment = Assignment { scopes: vec![scope(&[kind])], past: vec![], interval };
        let now = Instant::now();
        let mut machine = Machine::new("home".into(), Arc::new(assignment), now, 1);
        let page = |kind| Page { objects: namespace_of(kind), next: None };
        assert_eq!(refuse_all(&mut machine, &source, &page, now), 1000);
        assert!(machine.comparisons < 10, "{kind:?}: {}", machine.comparisons);
        let before = machine.comparisons;
        for second in 1..600 {
            refuse_all(&mut machine, &source, &page, now + Duration::from_secs(second));
        }
        let again = machine.comparisons - before;
        assert!(again < 150, "{kind:?}: {again} comparisons in ten minutes");
        assert_eq!(machine.plan.scopes["r"].problems.0, 1000);
    }
}

fn namespace_of(kind: Type) -> Vec<Object> {
    let default = || Object::read(Type::Namespace, r#"{"name": "default"}"#).unwrap();
    if kind == Type::Namespace { vec![default()] } else { vec![] }
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_is_refused_is_tried_seldom_although_its_original_is_there() {
    let check = |name: String| json!({"metadata": {"name": name, "namespace": "default"}});
    let source = originals(Type::CheckConfig, 3, check);
    let past = Scope { namespace: Some("default".into()), ..scope(&[Type::CheckConfig]) };
    let other = Scope { name: "other".into(), namespace: Some("web".into()), ..scope(&[Type::CheckConfig]) };
    let assignment =
        Assignment { scopes: vec![other], past: vec![past], interval: Duration::from_secs(3600) };
    let now = Instant::now();
    let mut machine = Machine::new("home".into(), Arc::new(assignment), now, 1);
    let copies = |kind| {
        let labelled = |n| {
            let mut item = check(format!("o{n}"));
            item["metadata"]["labels"] = json!({crate::policy::LABEL: "home"});
            Object::read(Type::CheckConfig, &item.to_string()).unwrap()
        };
        let objects =
            if kind == Type::CheckConfig { (0..3).map(labelled).collect() } else { namespace_of(kind) };
        Page { objects, next: None }
    };
    assert_eq!(refuse_all(&mut machine, &source, &copies, now), 3);
    assert_eq!(machine.plan.past["r"].owned, 3);
}
