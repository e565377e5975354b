use serde_json::{Value, json};

use super::world::{Fault, World, binding, check, cluster_role, role};
use crate::{policy::LABEL, types::ReplicatorState};

const OPS: &str = "rbac/clusterroles/ops";

/// A local cluster with a namespace, a role and a binding of each kind, and a check; followers that have caught up.
pub(super) async fn synced(followers: &[&str]) -> World {
    let world = World::new(followers, 1).await;
    let local = "local-cluster";
    world.write(local, "namespaces/web", &json!({"name": "web"}));
    world.write(local, "clusterroles/ops", &cluster_role("ops", "get"));
    world.write(local, "clusterrolebindings/ops", &binding("ops", "ops", "ops"));
    world.write(
        local,
        "namespaces/web/roles/dev",
        &role("list", &json!({"name": "dev", "namespace": "web"})),
    );
    let mut dev = binding("dev", "dev", "devs");
    dev["metadata"]["namespace"] = "web".into();
    dev["role_ref"]["type"] = "Role".into();
    world.write(local, "namespaces/web/rolebindings/dev", &dev);
    world.write(local, "namespaces/web/checks/cpu", &check("web", "cpu", "true"));
    world.replicate("rbac", &json!({})).await;
    for cluster in followers {
        world
            .until_status("rbac", cluster, |it| it.state == ReplicatorState::Following && it.keys == 6)
            .await;
    }
    world
}

#[tokio::test(start_paused = true)]
async fn everything_arrives_in_order_with_its_label_and_equal_objects_are_not_written() {
    let world = synced(&["alpha", "beta"]).await;
    for key in [
        OPS,
        "rbac/clusterrolebindings/ops",
        "rbac/roles/web/dev",
        "rbac/rolebindings/web/dev",
        "checks/web/cpu",
    ] {
        for cluster in ["alpha", "beta"] {
            let copy = world.object(cluster, key).unwrap_or_else(|| panic!("{cluster} {key}"));
            assert!(world.is_copy(&copy), "{copy}");
            assert_eq!(copy["metadata"]["created_by"], format!("fedgate:{}", world.federation));
        }
    }
    let collections: Vec<String> = {
        let writes = world.net.writes.lock();
        let alpha = writes.iter().filter(|(cluster, _)| cluster == "alpha");
        alpha.map(|(_, write)| write.rsplit('/').next().unwrap().to_owned()).collect()
    };
    let order = ["namespaces", "clusterroles", "roles", "clusterrolebindings", "rolebindings", "checks"];
    assert_eq!(collections, order);
    world.net.writes.lock().clear();
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(*world.net.writes.lock(), [], "nothing differs");
}

#[tokio::test(start_paused = true)]
async fn a_revocation_arrives_and_what_a_follower_changed_is_put_back() {
    let world = synced(&["alpha"]).await;
    world.delete("local-cluster", "clusterrolebindings/ops");
    world.until("revoked", |it| it.object("alpha", "rbac/clusterrolebindings/ops").is_none()).await;
    let mut edited = world.object("alpha", OPS).unwrap();
    edited["rules"][0]["verbs"] = json!(["*"]);
    world.write("alpha", "clusterroles/ops", &edited);
    world
        .until("put back", |it| it.object("alpha", OPS).unwrap()["rules"][0]["verbs"] == json!(["get"]))
        .await;
    world.delete("alpha", "clusterroles/ops");
    world.until("created again", |it| it.object("alpha", OPS).is_some()).await;
    world.delete("local-cluster", "clusterroles/ops");
    world.until("deleted", |it| it.object("alpha", OPS).is_none()).await;
    world.delete("local-cluster", "namespaces/web/checks/cpu");
    world.delete("local-cluster", "namespaces/web/rolebindings/dev");
    world.delete("local-cluster", "namespaces/web/roles/dev");
    world.delete("local-cluster", "namespaces/web");
    world.until("the namespace is gone", |it| it.object("alpha", "namespaces/web").is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_the_followers_own_is_reported_or_overwritten_as_configured() {
    let world = World::new(&["alpha"], 2).await;
    world.write("local-cluster", "clusterroles/ops", &cluster_role("ops", "get"));
    world.write("alpha", "clusterroles/ops", &cluster_role("ops", "list"));
    world.write("alpha", "clusterroles/own", &cluster_role("own", "list"));
    world.replicate("rbac", &json!({})).await;
    let says = |it: &crate::types::PolicyClusterStatus| {
        let example =
            it.examples.first().is_some_and(|text| text.starts_with("ClusterRole ops: there is another"));
        it.conflicts == 1 && example && it.state == ReplicatorState::Following
    };
    world.until_status("rbac", "alpha", says).await;
    assert_eq!(world.object("alpha", OPS).unwrap()["rules"][0]["verbs"], json!(["list"]));
    world.replicate("rbac", &json!({"conflicts": "overwrite"})).await;
    world.until_status("rbac", "alpha", |it| it.conflicts == 0 && it.keys == 1).await;
    assert!(world.is_copy(&world.object("alpha", OPS).unwrap()));
    world.remove("rbac").await;
    world.until("removed with its replicator", |it| it.object("alpha", OPS).is_none()).await;
    assert!(world.object("alpha", "rbac/clusterroles/own").is_some(), "it was never ours");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_on_either_side_or_is_refused_is_behind_and_not_in_sync() {
    let world = synced(&["alpha", "beta"]).await;
    let forbidden = |kind| Fault { forbidden: [kind].into(), ..Fault::default() };
    let refused = Fault { refused: ["clusterroles"].into(), ..Fault::default() };
    let faults =
        [("alpha", forbidden("rolebindings")), ("alpha", refused), ("local-cluster", forbidden("checks"))];
    for (n, (cluster, new)) in faults.into_iter().enumerate() {
        let of = |world: &World, name: &str| {
            let all = world.statuses()[0].clusters.clone();
            let found = all.into_iter().find(|it| *it.cluster == *name).unwrap();
            (found.lag.unwrap(), found.last_sync.unwrap())
        };
        world.net.fault(cluster, |fault| *fault = new);
        world.write("local-cluster", "clusterroles/ops", &cluster_role("ops", &format!("verb{n}")));
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        let (_, before) = of(&world, "alpha");
        tokio::time::sleep(std::time::Duration::from_secs(300)).await;
        let (lag, last) = of(&world, "alpha");
        assert!(lag.as_secs() > 300 && last == before, "{n}: {lag:?}");
        assert_eq!(of(&world, "beta").0.is_zero(), cluster == "alpha", "{n}: beta is on its own");
        world.net.heal();
        // What was refused often is tried seldom.
        world.until_status("rbac", "alpha", |it| it.lag.is_some_and(|lag| lag.is_zero())).await;
        assert!(of(&world, "alpha").1 > last);
    }
}

#[tokio::test(start_paused = true)]
async fn one_refused_object_does_not_hide_that_many_are_still_to_be_written() {
    let world = World::new(&["alpha"], 1).await;
    world.write("local-cluster", "clusterroles/ops", &cluster_role("ops", "get"));
    for n in 0..2000 {
        let name = format!("c{n}");
        world.write(
            "local-cluster",
            &format!("namespaces/default/checks/{name}"),
            &check("default", &name, "true"),
        );
    }
    world.net.fault("alpha", |fault| fault.refused = ["clusterroles"].into());
    world.replicate("rbac", &json!({})).await;
    let is_refused = |it: &crate::types::PolicyClusterStatus| {
        it.error.as_ref().is_some_and(|error| error.contains("not copied: ClusterRole ops"))
    };
    world.until_status("rbac", "alpha", is_refused).await;
    let status = world.statuses()[0].clusters[0].clone();
    assert!(status.pending.total() > 1000 && status.state == ReplicatorState::Syncing, "{status:?}");
    world.until_status("rbac", "alpha", |it| is_refused(it) && it.state == ReplicatorState::Following).await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_was_never_reached_is_behind() {
    let world = World::new(&["alpha"], 1).await;
    world.net.fault("alpha", |fault| fault.is_cut = true);
    world.replicate("rbac", &json!({})).await;
    let is_behind = |it: &crate::types::PolicyClusterStatus| {
        it.last_sync.is_none() && it.lag.is_some_and(|lag| lag.as_secs() > 300)
    };
    world.until_status("rbac", "alpha", is_behind).await;
}

#[tokio::test(start_paused = true)]
async fn copies_stay_where_they_are_to_be_kept() {
    let world = synced(&["alpha"]).await;
    world.replicate("rbac", &json!({"on_delete": "keep"})).await;
    world.until("recorded", |it| it.statuses()[0].state == ReplicatorState::Following).await;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    world.delete("local-cluster", "clusterrolebindings/ops");
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    world.remove("rbac").await;
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert!(world.object("alpha", "rbac/clusterrolebindings/ops").is_some());
    assert!(world.object("alpha", OPS).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_says_what_it_would_do_and_only_reads() {
    let world = World::new(&["alpha"], 3).await;
    world.write("local-cluster", "clusterroles/ops", &cluster_role("ops", "get"));
    world.replicate("rbac", &json!({"dry_run": true})).await;
    world.until_status("rbac", "alpha", |it| it.pending.create == 1).await;
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(*world.net.writes.lock(), []);
    assert!(world.statuses()[0].dry_run);
    assert_eq!(world.statuses()[0].clusters[0].changes, ["create ClusterRole ops".into()]);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_joins_gets_everything_and_one_that_leaves_stays_as_it_is() {
    let world = World::new(&["alpha", "beta"], 4).await;
    world.unregister("beta").await;
    world.write("local-cluster", "clusterroles/ops", &cluster_role("ops", "get"));
    world.replicate("rbac", &json!({})).await;
    world.until("alpha has it", |it| it.object("alpha", OPS).is_some()).await;
    assert!(world.object("beta", OPS).is_none());
    world.register("beta").await;
    world.until("beta has it", |it| it.object("beta", OPS).is_some()).await;
    world.unregister("alpha").await;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    world.delete("local-cluster", "clusterroles/ops");
    world.until("beta follows", |it| it.object("beta", OPS).is_none()).await;
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert!(world.object("alpha", OPS).is_some(), "left as it is");
    world.register("alpha").await;
    world.until("alpha is caught up", |it| it.object("alpha", OPS).is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_named_cluster_that_is_not_registered_is_said_and_others_are_left_alone() {
    let world = World::new(&["alpha", "beta"], 5).await;
    world.write("local-cluster", "clusterroles/ops", &cluster_role("ops", "get"));
    world.replicate("rbac", &json!({"clusters": ["alpha", "gamma"]})).await;
    world.until("alpha has it", |it| it.object("alpha", OPS).is_some()).await;
    let says = |it: &crate::types::PolicyClusterStatus| {
        it.state == ReplicatorState::Stopped
            && it.error.as_deref().is_some_and(|it| it.contains("no cluster"))
    };
    world.until_status("rbac", "gamma", says).await;
    assert!(world.object("beta", OPS).is_none());
    world.replicate("rbac", &json!({"clusters": ["beta"]})).await;
    world.until("beta has it", |it| it.object("beta", OPS).is_some()).await;
    world.until("alpha lost it", |it| it.object("alpha", OPS).is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_a_cluster_does_not_know_or_refuses_is_said_and_the_others_go_on() {
    let world = World::new(&["alpha", "beta"], 6).await;
    world.net.fault("alpha", |fault| fault.unknown = ["checks"].into());
    world.net.fault("beta", |fault| fault.forbidden = ["checks"].into());
    world.write("local-cluster", "clusterroles/ops", &cluster_role("ops", "get"));
    world.replicate("rbac", &json!({})).await;
    for (cluster, said) in [
        ("alpha", "CheckConfig: the cluster does not know"),
        ("beta", "CheckConfig: the cluster does not let"),
    ] {
        world
            .until_status("rbac", cluster, |it| {
                it.state == ReplicatorState::Retrying
                    && it.error.as_deref().is_some_and(|it| it.starts_with(said))
            })
            .await;
        world.until("the role is there", |it| it.object(cluster, OPS).is_some()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_away_is_said_and_caught_up_when_it_returns() {
    let world = synced(&["alpha", "beta"]).await;
    world.net.fault("alpha", |fault| fault.is_cut = true);
    let away = |it: &crate::types::PolicyClusterStatus| {
        it.state == ReplicatorState::Retrying && it.error.as_deref() == Some("the network is cut")
    };
    world.until_status("rbac", "alpha", away).await;
    world.delete("local-cluster", "clusterrolebindings/ops");
    world.until("beta goes on", |it| it.object("beta", "rbac/clusterrolebindings/ops").is_none()).await;
    world.net.heal();
    world.until("caught up", |it| it.object("alpha", "rbac/clusterrolebindings/ops").is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_cannot_be_read_changes_nothing_and_is_said() {
    let world = synced(&["alpha"]).await;
    world.net.fault("local-cluster", |fault| fault.is_cut = true);
    let says = |it: &World| {
        let statuses = it.statuses();
        statuses[0]
            .error
            .as_deref()
            .is_some_and(|it| it.starts_with("the local cluster: CheckConfig cannot be read"))
    };
    world.until("said", says).await;
    tokio::time::sleep(std::time::Duration::from_secs(120)).await;
    assert!(world.object("alpha", OPS).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_does_not_lead_writes_nothing() {
    let mut world = World::new(&["alpha"], 7).await;
    world.lead_none();
    world.write("local-cluster", "clusterroles/ops", &cluster_role("ops", "get"));
    world.replicate("rbac", &json!({})).await;
    world
        .until("stopped", |it| it.statuses().first().is_some_and(|it| it.state == ReplicatorState::Stopped))
        .await;
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert!(world.object("alpha", OPS).is_none());
    world.lead(0);
    world.until("it leads", |it| it.object("alpha", OPS).is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_lost_everything_removes_nothing() {
    use crate::registry::{Precondition, Store as _};
    let world = synced(&["alpha"]).await;
    for entry in world.store.list("").await.unwrap() {
        if !entry.key.starts_with("clusters/") {
            world.store.delete(&entry.key, Precondition::Any).await.unwrap();
        }
    }
    tokio::time::sleep(std::time::Duration::from_secs(120)).await;
    assert!(world.object("alpha", OPS).is_some());
}

#[tokio::test(start_paused = true)]
async fn chains_end_and_a_copy_is_left_by_another_federation() {
    let world = synced(&["alpha"]).await;
    let mut foreign = cluster_role("foreign", "get");
    foreign["metadata"]["labels"] = json!({LABEL: "another"});
    world.write("local-cluster", "clusterroles/foreign", &foreign);
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert!(world.object("alpha", "rbac/clusterroles/foreign").is_none());
}

#[tokio::test(start_paused = true)]
async fn administrators_keep_their_rights_whatever_the_source_says() {
    let world = synced(&["alpha"]).await;
    let before: Vec<Option<Value>> = SEEDS.iter().map(|key| world.object("alpha", key)).collect();
    assert!(before.iter().all(Option::is_some));
    // A binding of all administrators to a role that is not there would lock them out of the local cluster too.
    let none = json!({"metadata": {"name": "system:agent"}, "rules": [{"verbs": ["get"], "resources": []}]});
    world.write("local-cluster", "clusterroles/system:agent", &none);
    world.delete("local-cluster", "clusterroles/view");
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    let after: Vec<Option<Value>> = SEEDS.iter().map(|key| world.object("alpha", key)).collect();
    assert_eq!(before, after);
}

const SEEDS: [&str; 7] = [
    "rbac/clusterroles/cluster-admin",
    "rbac/clusterroles/system:agent",
    "rbac/clusterroles/system:user",
    "rbac/clusterroles/view",
    "rbac/clusterrolebindings/cluster-admin",
    "rbac/clusterrolebindings/system:agent",
    "rbac/clusterrolebindings/system:user",
];

#[tokio::test(start_paused = true)]
async fn a_replicator_that_cannot_be_read_leaves_its_copies_and_is_still_known_afterwards() {
    use crate::registry::{Precondition, Store as _};
    let world = synced(&["alpha"]).await;
    world.store.put("replicators/rbac", "{".into(), Precondition::Any).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert!(world.object("alpha", OPS).is_some());
    world.remove("rbac").await;
    world.until("its copies leave when it does", |it| it.object("alpha", OPS).is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_shorter_interval_counts_at_once() {
    let world = World::new(&["alpha"], 8).await;
    world.write("local-cluster", "clusterroles/ops", &cluster_role("ops", "get"));
    world.replicate("rbac", &json!({"replication_interval_seconds": 30_000_000})).await;
    world.until_status("rbac", "alpha", |it| it.keys == 1).await;
    world.delete("alpha", "clusterroles/ops");
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert!(world.object("alpha", OPS).is_none());
    world.replicate("rbac", &json!({"replication_interval_seconds": 10})).await;
    world.until("put back", |it| it.object("alpha", OPS).is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_cluster_makes_otherwise_of_an_original_is_written_twice_and_then_left() {
    let world = World::new(&["alpha"], 9).await;
    world.net.fault("alpha", |fault| fault.drops = Some("scheduler"));
    let mut check = check("default", "cpu", "true");
    check["scheduler"] = "memory".into();
    world.write("local-cluster", "namespaces/default/checks/cpu", &check);
    world.replicate("rbac", &json!({})).await;
    let says = |it: &crate::types::PolicyClusterStatus| {
        it.error.as_deref().is_some_and(|it| it.contains("its version leaves something out"))
    };
    world.until_status("rbac", "alpha", says).await;
    world.net.writes.lock().clear();
    tokio::time::sleep(std::time::Duration::from_secs(120)).await;
    assert_eq!(*world.net.writes.lock(), []);
    let mut edited = world.object("alpha", "checks/default/cpu").unwrap();
    edited["command"] = "false".into();
    world.write("alpha", "namespaces/default/checks/cpu", &edited);
    world
        .until("put back", |it| it.object("alpha", "checks/default/cpu").unwrap()["command"] == "true")
        .await;
}
