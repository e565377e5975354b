//! What a comparison on request says, and that it is what the replication does.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    behaviour::synced,
    checker::Checker,
    world::{Fault, World, binding, check, cluster_role},
};
use crate::types::{Comparison, DifferenceAction, DifferenceCounts, PlaceComparison};

const OPS: &str = "clusterroles/ops";

/// Compares without writing anything.
async fn compare(world: &World, name: &str, only: Option<&str>) -> Comparison {
    let before = world.net.writes.lock().len();
    let found = world.comparer().compare(name, only).await.unwrap();
    assert_eq!(world.net.writes.lock().len(), before, "it only reads");
    found
}

async fn in_cluster(world: &World, cluster: &str) -> PlaceComparison {
    let found = compare(world, "rbac", Some(cluster)).await;
    assert_eq!(found.places.len(), 1, "{found:?}");
    found.places.into_iter().next().unwrap()
}

/// Each difference in a few words.
fn brief(place: &PlaceComparison) -> Vec<String> {
    let of = |it: &crate::types::Difference| {
        format!("{} {} {}/{}", it.action.as_str(), it.kind, it.namespace, it.name)
    };
    place.differences.iter().map(of).collect()
}

#[tokio::test(start_paused = true)]
async fn before_it_is_replicated_everything_is_to_be_created_and_after_it_nothing_differs() {
    let mut world = World::new(&["alpha", "beta"], 1).await;
    world.lead_none();
    world.write("local-cluster", OPS, &cluster_role("ops", "get"));
    world.write("local-cluster", "clusterrolebindings/ops", &binding("ops", "ops", "ops"));
    world.write("local-cluster", "namespaces/default/checks/cpu", &check("default", "cpu", "true"));
    world.replicate("rbac", &json!({})).await;
    sleep(Duration::from_secs(1)).await;
    let found = compare(&world, "rbac", None).await;
    assert!(found.is_complete() && !found.is_equal() && !found.dry_run);
    for (place, name) in found.places.iter().zip(["alpha", "beta"]) {
        let expected =
            ["create ClusterRole /ops", "create ClusterRoleBinding /ops", "create CheckConfig default/cpu"];
        assert_eq!((&*place.name, brief(place)), (name, expected.map(str::to_owned).to_vec()));
    }
    world.lead(0);
    world.until_status("rbac", "beta", |it| it.keys == 3 && it.pending.total() == 0).await;
    world.until_status("rbac", "alpha", |it| it.keys == 3 && it.pending.total() == 0).await;
    let found = compare(&world, "rbac", None).await;
    assert!(found.is_complete() && found.is_equal(), "{found:?}");
    // The seeds, too.
    assert!(found.places.iter().all(|place| place.compared > 3), "{found:?}");
    // Whoever leads.
    world.lead_none();
    sleep(Duration::from_secs(5)).await;
    assert!(compare(&world, "rbac", None).await.is_equal());
}

#[tokio::test(start_paused = true)]
async fn each_difference_is_named_with_its_reason_and_its_fields() {
    let mut world = synced(&["alpha"]).await;
    world.lead_none();
    sleep(Duration::from_secs(5)).await;
    let mut edited = world.object("alpha", "rbac/clusterroles/ops").unwrap();
    edited["rules"][0]["verbs"] = json!(["*"]);
    world.write("alpha", OPS, &edited);
    let mut edited = world.object("alpha", "checks/web/cpu").unwrap();
    edited["command"] = "curl -u admin:hunter2".into();
    world.write("alpha", "namespaces/web/checks/cpu", &edited);
    world.delete("local-cluster", "namespaces/web/rolebindings/dev");
    world.write("local-cluster", "clusterroles/new", &cluster_role("new", "get"));
    world.write("local-cluster", "clusterroles/both", &cluster_role("both", "get"));
    world.write("alpha", "clusterroles/both", &cluster_role("both", "list"));
    world.write("alpha", "clusterroles/own", &cluster_role("own", "list"));
    let place = in_cluster(&world, "alpha").await;
    let expected = [
        "delete RoleBinding web/dev",
        "update ClusterRole /ops",
        "create ClusterRole /new",
        "update CheckConfig web/cpu",
        "conflict ClusterRole /both",
    ];
    assert_eq!(brief(&place), expected);
    let why: Vec<&str> = place.differences.iter().map(|it| &*it.why).collect();
    assert_eq!(why[0], "the local cluster has none any more");
    assert!(why[4].starts_with("there is another one of that name"), "{why:?}");
    let fields = |index: usize| {
        let it: &crate::types::Difference = &place.differences[index];
        it.fields.iter().map(|field| (&*field.path, field.values.clone())).collect::<Vec<_>>()
    };
    assert_eq!(fields(1), [("rules[0].verbs", Some((json!(["get"]), json!(["*"]))))]);
    assert_eq!(fields(3), [("command", None)], "a command may hold a password");
    assert_eq!(fields(4), [("rules[0].verbs", Some((json!(["get"]), json!(["list"]))))]);
    assert!(!format!("{place:?}").contains("hunter2"));
    let mut counts = BTreeMap::new();
    for (text, action) in DifferenceAction::ALL {
        counts.insert(text, place.counts.of(action));
    }
    assert_eq!(
        counts,
        BTreeMap::from([("create", 1), ("update", 2), ("delete", 1), ("conflict", 1), ("blocked", 0)])
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_only_reports_is_compared_as_if_it_did_not() {
    let world = World::new(&["alpha"], 3).await;
    world.write("local-cluster", OPS, &cluster_role("ops", "get"));
    world.write("local-cluster", "clusterrolebindings/ops", &binding("ops", "ops", "ops"));
    world.replicate("rbac", &json!({"dry_run": true})).await;
    sleep(Duration::from_secs(5)).await;
    let found = compare(&world, "rbac", None).await;
    assert!(found.dry_run);
    assert_eq!(brief(&found.places[0]), ["create ClusterRole /ops", "create ClusterRoleBinding /ops"]);
    assert_eq!(found.places[0].differences[1].why, "the cluster has none", "its role comes with it");
}

#[tokio::test(start_paused = true)]
async fn what_is_overwritten_or_no_longer_copied_is_said() {
    let mut world = synced(&["alpha"]).await;
    world.lead_none();
    sleep(Duration::from_secs(5)).await;
    world.write("local-cluster", "clusterroles/both", &cluster_role("both", "get"));
    world.write("alpha", "clusterroles/both", &cluster_role("both", "list"));
    world.write("local-cluster", "clusterroles/same", &cluster_role("same", "get"));
    world.write("alpha", "clusterroles/same", &cluster_role("same", "get"));
    world.replicate("rbac", &json!({"conflicts": "overwrite", "resources": ["ClusterRole"]})).await;
    sleep(Duration::from_secs(1)).await;
    let place = in_cluster(&world, "alpha").await;
    let all: Vec<_> = brief(&place).into_iter().zip(place.differences.iter().map(|it| &*it.why)).collect();
    let gone = "the replicator does not copy it any more";
    let expected = [
        ("delete RoleBinding web/dev", gone),
        ("delete ClusterRoleBinding /ops", gone),
        ("update ClusterRole /both", "the cluster's own is overwritten"),
        ("update ClusterRole /same", "the cluster's own is equal and becomes a copy"),
        ("delete CheckConfig web/cpu", gone),
        ("delete Role web/dev", gone),
        ("delete Namespace /web", gone),
    ];
    assert_eq!(all, expected.map(|(what, why)| (what.to_owned(), why)));
    // Narrowed to no cluster that is left.
    world.replicate("rbac", &json!({"clusters": ["beta"]})).await;
    sleep(Duration::from_secs(1)).await;
    let found = compare(&world, "rbac", None).await;
    assert_eq!(found.places.iter().map(|place| &*place.name).collect::<Vec<_>>(), ["alpha", "beta"]);
    assert!(found.places[0].counts.of(DifferenceAction::Delete) >= 6);
    assert_eq!(found.places[1].error.as_deref(), Some("no cluster of that name is registered"));
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_away_or_lacks_a_type_is_named_and_the_others_are_compared() {
    let world = synced(&["alpha", "beta", "gamma"]).await;
    world.net.fault("alpha", |fault| fault.is_cut = true);
    world.net.fault("beta", |fault| fault.unknown = ["checks"].into());
    let found = compare(&world, "rbac", None).await;
    let errors: Vec<_> = found.places.iter().map(|place| place.error.as_deref().unwrap_or("none")).collect();
    assert_eq!(errors[0], "the network is cut");
    assert!(errors[1].starts_with("CheckConfig: the cluster does not know"), "{errors:?}");
    assert_eq!(errors[2], "none");
    assert!(!found.is_complete() && found.is_equal());
    world.net.heal();
    world.net.fault("local-cluster", |fault| fault.is_cut = true);
    let found = compare(&world, "rbac", None).await;
    for place in &found.places {
        let error = place.error.as_deref().unwrap();
        assert!(error.contains("the local cluster: Role: the network is cut"), "{error}");
        assert_eq!(place.counts, DifferenceCounts::default(), "nothing is concluded from what is not known");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_does_not_answer_delays_the_others_no_longer_than_the_limit() {
    let world = synced(&["alpha", "beta"]).await;
    world.net.fault("alpha", |fault| fault.is_stopped = true);
    let start = tokio::time::Instant::now();
    let found = compare(&world, "rbac", None).await;
    assert!(start.elapsed() < Duration::from_secs(26), "{:?}", start.elapsed());
    assert!(found.places[0].error.is_some());
    assert!(found.places[1].error.is_none() && found.places[1].took < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_registered_is_not_compared() {
    let world = synced(&["alpha"]).await;
    assert_eq!(world.comparer().compare("other", None).await, None);
    assert_eq!(compare(&world, "rbac", Some("gamma")).await.places, []);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_copied_meanwhile_is_never_shown_the_wrong_way_round() {
    let mut world = synced(&["alpha"]).await;
    world.lead_none();
    sleep(Duration::from_secs(5)).await;
    for n in 0..200_u64 {
        let verb = if n % 2 == 0 { "list" } else { "get" };
        let change = async {
            sleep(Duration::from_millis(n / 2 % 20)).await;
            world.write("local-cluster", OPS, &cluster_role("ops", verb));
            sleep(Duration::from_millis(1)).await;
            let mut copy = world.object("alpha", "rbac/clusterroles/ops").unwrap();
            copy["rules"][0]["verbs"] = json!([verb]);
            world.write("alpha", OPS, &copy);
        };
        let (place, ()) = tokio::join!(in_cluster(&world, "alpha"), change);
        assert_eq!(place.differences, [], "both sides had the old one, or both have the new one");
    }
}

/// Compares with a cluster that differs, while the local cluster is lost between its two readings.
async fn source_lost(fault: impl FnOnce(&mut Fault), alpha_answers_after: Duration) -> Comparison {
    let mut world = synced(&["alpha"]).await;
    world.lead_none();
    sleep(Duration::from_secs(5)).await;
    world.write("alpha", OPS, &cluster_role("ops", "list"));
    let trouble = async {
        // No answer of the local cluster takes longer, and all its lists are asked for at once.
        sleep(Duration::from_millis(5)).await;
        world.net.fault("alpha", |fault| fault.is_stopped = true);
        world.net.fault("local-cluster", fault);
        sleep(alpha_answers_after).await;
        world.net.fault("alpha", |fault| fault.is_stopped = false);
    };
    let start = tokio::time::Instant::now();
    let (found, ()) = tokio::join!(compare(&world, "rbac", None), trouble);
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
    found
}

#[tokio::test(start_paused = true)]
async fn what_is_known_is_told_although_the_local_cluster_cannot_be_read_again() {
    let cut = source_lost(|fault| fault.is_cut = true, Duration::ZERO).await;
    let stopped = source_lost(|fault| fault.is_stopped = true, Duration::ZERO).await;
    let late = source_lost(|fault| fault.is_stopped = true, Duration::from_secs(12)).await;
    for found in [cut, stopped, late] {
        let place = &found.places[0];
        assert_eq!((brief(place), &place.error), (vec!["conflict ClusterRole /ops".to_owned()], &None));
        assert!(place.warnings[0].starts_with("the local cluster was not read again"), "{place:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn more_than_memory_may_hold_is_not_compared_and_the_way_out_is_said() {
    let mut world = synced(&["alpha", "beta"]).await;
    world.lead_none();
    sleep(Duration::from_secs(5)).await;
    for n in 0..6 {
        let name = format!("large-{n}");
        let mut large = check("web", &name, "true");
        large["metadata"]["annotations"] = json!({"notes": "x".repeat(400 << 10)});
        world.write("local-cluster", &format!("namespaces/web/checks/{name}"), &large);
    }
    let room = |mib: usize| world.comparer().with_room(mib << 20);
    let found = room(2).compare("rbac", None).await.unwrap();
    assert!(!found.is_complete());
    for place in &found.places {
        let error = place.error.as_deref().unwrap();
        assert!(error.starts_with("the local cluster: CheckConfig: there is more than"), "{error}");
        assert!(
            error.contains("(2 MiB): divide the replicator into several with fewer resources"),
            "{error}"
        );
        assert_eq!(place.counts, DifferenceCounts::default(), "nothing is concluded from what is not known");
    }
    let found = room(4).compare("rbac", None).await.unwrap();
    assert!(found.is_complete());
    assert_eq!(
        brief(&found.places[0]),
        [0, 1, 2, 3, 4, 5].map(|n| format!("create CheckConfig web/large-{n}"))
    );
}

/// The writes of a comparison, as requests.
fn writes_of(place: &PlaceComparison) -> Vec<String> {
    let mut writes = Vec::new();
    for it in &place.differences {
        let kind = crate::corev2::Type::of_name(it.kind).unwrap();
        let list = if it.namespace.is_empty() {
            format!("/api/core/v2/{}", kind.collection())
        } else {
            format!("/api/core/v2/namespaces/{}/{}", it.namespace, kind.collection())
        };
        writes.extend(match it.action {
            DifferenceAction::Create => Some(format!("POST {list}")),
            DifferenceAction::Update => Some(format!("PUT {list}/{}", it.name)),
            DifferenceAction::Delete => Some(format!("DELETE {list}/{}", it.name)),
            DifferenceAction::Conflict | DifferenceAction::Blocked => None,
        });
    }
    writes
}

/// How the paths end of roles that stay without rights while bindings name them.
fn emptied(place: &PlaceComparison) -> Vec<String> {
    let now = place.differences.iter().filter(|it| it.why.contains(EMPTIED)).map(|it| &*it.name);
    let before = place.warnings.iter().filter(|it| it.contains(EMPTIED));
    let before = before.filter_map(|it| it.split([':', ' ']).nth(1)?.rsplit('/').next());
    now.chain(before).map(|name| format!("/{name}")).collect()
}

const EMPTIED: &str = "it is kept there without rights";

/// Whatever the world looks like, a comparison names the writes that follow, in their order, and none after them.
#[tokio::test(start_paused = true)]
async fn what_it_says_is_what_is_done() {
    let given = std::env::var("FEDGATE_POLICY_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("FEDGATE_POLICY_SEED={seed}");
    let mut seeds = fastrand::Rng::with_seed(seed);
    let mut said = 0;
    for _ in 0..WORLDS {
        let mut checker = Checker::new(seeds.u64(..)).await;
        for round in 0..ROUNDS {
            if round % 2 == 1 {
                let conflicts = if seeds.bool() { "overwrite" } else { "report" };
                checker.world.replicate("rbac", &json!({"conflicts": conflicts})).await;
            }
            checker.world.lead_none();
            sleep(Duration::from_secs(20)).await;
            for _ in 0..seeds.usize(1..20) {
                checker.change_something();
            }
            let found = compare(&checker.world, "rbac", None).await;
            assert!(found.is_complete(), "{found:?}");
            checker.world.net.writes.lock().clear();
            checker.world.lead(0);
            sleep(Duration::from_secs(9)).await;
            let writes = checker.world.net.writes.lock().clone();
            for place in &found.places {
                let mut done: Vec<_> = writes
                    .iter()
                    .filter(|(cluster, _)| *cluster == *place.name)
                    .map(|(_, write)| write.clone())
                    .collect();
                let mut expected = writes_of(place);
                // The source is read type by type there, so one may be written before another is known.
                // What the cluster refuses is tried again.
                for writes in [&mut done, &mut expected] {
                    writes.sort();
                    writes.dedup();
                }
                // A role that is emptied, or was before, leaves once no binding names it any more.
                let emptied = emptied(place);
                let may_leave = |write: &String| emptied.iter().any(|name| write.ends_with(name));
                let has_left = |write: &String| done.contains(&write.replacen("PUT", "DELETE", 1));
                expected.retain(|write| {
                    !write.starts_with("PUT") || done.contains(write) || !may_leave(write) || !has_left(write)
                });
                // While its bindings' source is not known yet, one that leaves is emptied first.
                let leaves = |write: &String| expected.contains(&write.replacen("PUT", "DELETE", 1));
                done.retain(|write| !write.starts_with("PUT") || expected.contains(write) || !leaves(write));
                done.retain(|write| {
                    !write.starts_with("DELETE") || expected.contains(write) || !may_leave(write)
                });
                assert_eq!(done, expected, "{}: {place:#?}\n{}", place.name, checker.trail.join("\n"));
                said += done.len();
            }
            sleep(Duration::from_secs(30)).await;
            for place in compare(&checker.world, "rbac", None).await.places {
                let mut left = writes_of(&place);
                // The cluster refuses to delete a namespace that has something of its own in it.
                left.retain(|write| {
                    !write.starts_with("DELETE /api/core/v2/namespaces/") || write.matches('/').count() > 5
                });
                assert_eq!(left, [""; 0], "nothing is left: {place:#?}");
            }
        }
    }
    assert!(said > WORLDS * ROUNDS, "{said}");
}

const WORLDS: usize = 4;
const ROUNDS: usize = 10;

/// As the API shows it, for what is compared.
#[test]
fn fields_differ_if_and_only_if_digests_do() {
    use crate::{
        corev2::{Type, difference},
        policy::object::Object,
    };
    let base =
        json!({"metadata": {"name": "c", "namespace": "n"}, "command": "x", "a": {"b": [1, {"c": ""}]}});
    let mut random = fastrand::Rng::with_seed(7);
    let values = [
        Value::Null,
        json!(0),
        json!(1),
        json!(""),
        json!("y"),
        json!([]),
        json!({}),
        json!([{"c": "z"}]),
        json!(false),
    ];
    for _ in 0..3000 {
        let mut change = |object: &mut Value| {
            for pointer in ["/command", "/a", "/a/b", "/a/b/0", "/a/b/1/c", "/metadata/labels"] {
                let value = values[random.usize(..values.len())].clone();
                if random.u8(..3) == 0 {
                    match object.pointer_mut(pointer) {
                        Some(place) => *place = value,
                        None if pointer == "/metadata/labels" => object["metadata"]["labels"] = value,
                        None => {}
                    }
                }
            }
        };
        let (mut a, mut b) = (base.clone(), base.clone());
        change(&mut a);
        change(&mut b);
        let read = |it: &Value| Object::read(Type::CheckConfig, &it.to_string()).unwrap();
        let (one, other) = (read(&a), read(&b));
        let json = |it: &Object| serde_json::from_slice::<Value>(&it.json).unwrap();
        let fields = difference::fields(Type::CheckConfig, &json(&one), &json(&other));
        assert_eq!(fields.is_empty(), one.digest == other.digest, "{a}\n{b}\n{fields:?}");
    }
}
