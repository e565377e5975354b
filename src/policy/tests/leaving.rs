//! What is left behind, whose it is, and who shows it.

use std::time::Duration;

use http::Method;
use serde_json::json;
use tokio::time::sleep;

use super::world::{World, cluster_role};
use crate::types::{GivenUp, PolicyStatus, ReplicatorState};

const OPS: &str = "rbac/clusterroles/ops";

async fn a_while() {
    sleep(Duration::from_secs(60)).await;
}

/// What a gateway shows about a replicator.
fn shown(world: &World, gateway: usize, name: &str) -> Option<PolicyStatus> {
    world.statuses_of(gateway).iter().find(|status| *status.name == *name).cloned()
}

fn error(status: &PolicyStatus) -> &str {
    status.error.as_deref().unwrap_or_default()
}

/// The role `ops` is in these clusters.
async fn synced(followers: &[&str]) -> World {
    let world = World::new(followers, 1).await;
    world.write("local-cluster", "clusterroles/ops", &cluster_role("ops", "get"));
    world.replicate("rbac", &json!({})).await;
    for cluster in followers {
        world
            .until_status("rbac", cluster, |it| it.state == ReplicatorState::Following && it.keys == 1)
            .await;
    }
    world
}

#[tokio::test(start_paused = true)]
async fn every_gateway_shows_what_the_leading_one_does_and_goes_on_from_there() {
    let mut world = synced(&["alpha", "beta"]).await;
    world.add_gateway();
    world.net.fault("beta", |fault| fault.is_cut = true);
    world.write("alpha", "clusterroles/own", &cluster_role("own", "get"));
    world.write("local-cluster", "clusterroles/own", &cluster_role("own", "list"));
    let away = |world: &World, gateway| {
        let status = shown(world, gateway, "rbac")?;
        let is_said = error(&status).contains("beta: the network is cut");
        let [alpha, beta] = &status.clusters[..] else { return None };
        let is_known = (alpha.keys, alpha.conflicts, beta.state) == (1, 1, ReplicatorState::Retrying)
            && alpha.examples[0].contains("ClusterRole own: there is another one")
            && alpha.last_sync.is_some();
        (is_said && is_known).then_some(status)
    };
    world.until("both show it", |it| away(it, 0).is_some() && away(it, 1).is_some()).await;
    let [leader, other] = [0, 1].map(|gateway| away(&world, gateway).unwrap());
    assert!(leader.leader && !other.leader);
    assert_eq!((leader.state, &leader.error), (other.state, &other.error));
    let apart = leader.since.duration_since(other.since).unwrap();
    assert!(apart < Duration::from_millis(1), "{apart:?}");
    world.net.heal();
    world.lead(1);
    world.until("the other one leads", |it| shown(it, 1, "rbac").is_some_and(|it| it.leader)).await;
    let well = |world: &World, gateway| {
        shown(world, gateway, "rbac").is_some_and(|it| it.clusters.iter().all(|it| it.keys > 0))
    };
    world.until("both show that", |it| well(it, 0) && well(it, 1)).await;
    assert!(!shown(&world, 0, "rbac").unwrap().leader);
    world.lead_none();
    let nobody = |it: &PolicyStatus| {
        it.state == ReplicatorState::Stopped && error(it).contains("does not know which one does")
    };
    world.until("nobody leads", |it| shown(it, 0, "rbac").as_ref().is_some_and(nobody)).await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_replicator_stays_in_the_status_until_its_copies_are_gone() {
    let mut world = synced(&["alpha", "beta"]).await;
    world.add_gateway();
    world.net.fault("alpha", |fault| fault.is_cut = true);
    world.remove("rbac").await;
    let waits = |world: &World, gateway| {
        let status = shown(world, gateway, "rbac")?;
        let is_said = error(&status).starts_with("removing copies: waits for alpha (the network is cut)");
        (status.is_deleted && is_said && status.left_behind.len() == 1).then_some(status)
    };
    world.until("it waits for alpha", |it| waits(it, 0).is_some() && waits(it, 1).is_some()).await;
    assert!(world.object("beta", OPS).is_none());
    let status = waits(&world, 0).unwrap();
    assert_eq!((&*status.left_behind[0].cluster, status.left_behind[0].keys), ("alpha", Some(1)));
    assert_eq!(status.state, ReplicatorState::Retrying);
    assert!(error(&status).contains("(fedgate delete replicator rbac --give-up)"));
    a_while().await;
    world.restart(0, Duration::from_secs(1)).await;
    world.lead(0);
    let after = |it: &World| waits(it, 0).is_some_and(|it| it.left_behind[0].keys.is_none());
    world.until("it is known after a restart, but not how many", after).await;
    world.net.heal();
    world.until("gone", |it| it.object("alpha", OPS).is_none()).await;
    world
        .until("not shown any more", |it| shown(it, 0, "rbac").is_none() && shown(it, 1, "rbac").is_none())
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_left_can_be_given_up_through_any_gateway_and_stays_where_it_is() {
    let mut world = synced(&["alpha"]).await;
    world.add_gateway();
    assert_eq!(world.give_up(1, "rbac"), GivenUp::Unknown, "it is registered");
    world.net.fault("alpha", |fault| fault.is_cut = true);
    world.remove("rbac").await;
    let is_deleted = |world: &World, gateway| shown(world, gateway, "rbac").is_some_and(|it| it.is_deleted);
    world.until("left", |it| is_deleted(it, 0) && is_deleted(it, 1)).await;
    assert_eq!([world.give_up(1, "rbac"), world.give_up(1, "other")], [GivenUp::Begun, GivenUp::Unknown]);
    world.until("forgotten", |it| shown(it, 0, "rbac").is_none() && shown(it, 1, "rbac").is_none()).await;
    world.net.heal();
    a_while().await;
    assert!(world.object("alpha", OPS).is_some());
    world.replicate("again", &json!({})).await;
    world.until_status("again", "alpha", |it| it.keys == 1).await;
    world.remove("again").await;
    world.until("it was still this federation's", |it| it.object("alpha", OPS).is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_being_removed_is_not_given_up() {
    let world = synced(&["alpha"]).await;
    // It takes a while.
    for n in 0..500 {
        let name = format!("r{n}");
        world.write("local-cluster", &format!("clusterroles/{name}"), &cluster_role(&name, "get"));
    }
    world.until_status("rbac", "alpha", |it| it.keys == 501 && it.pending.total() == 0).await;
    world.remove("rbac").await;
    world.until("it is being removed", |it| shown(it, 0, "rbac").is_some_and(|it| it.is_deleted)).await;
    assert!(world.object("alpha", "rbac/clusterroles/r99").is_some());
    assert_eq!(world.give_up(0, "rbac"), GivenUp::NotStuck);
    world.until("all of it is gone", |it| it.object("alpha", "rbac/clusterroles/r99").is_none()).await;
    assert!(world.object("alpha", OPS).is_none());
}

#[tokio::test(start_paused = true)]
async fn copies_in_a_cluster_that_was_unregistered_are_not_forgotten_when_the_replicator_is_deleted() {
    let world = synced(&["alpha", "beta"]).await;
    world.unregister("alpha").await;
    a_while().await;
    assert_eq!(shown(&world, 0, "rbac").unwrap().left_behind, [], "it is left as it is");
    world.remove("rbac").await;
    let said = "removing copies: waits for alpha (no cluster of that name is registered)";
    world.until("said", |it| shown(it, 0, "rbac").is_some_and(|it| error(&it).starts_with(said))).await;
    world.register("alpha").await;
    world.until("gone", |it| it.object("alpha", OPS).is_none()).await;
    world.until("not shown any more", |it| shown(it, 0, "rbac").is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_was_narrowed_and_then_deleted_has_left_something_once_in_each_cluster() {
    let world = synced(&["alpha", "beta"]).await;
    for cluster in ["alpha", "beta"] {
        world.net.fault(cluster, |fault| fault.is_cut = true);
    }
    for resources in [json!(["ClusterRole", "Role"]), json!(["ClusterRole"])] {
        world.replicate("rbac", &json!({"resources": resources})).await;
        a_while().await;
    }
    world.unregister("beta").await;
    world.remove("rbac").await;
    let is_deleted = |it: &World| shown(it, 0, "rbac").is_some_and(|it| it.is_deleted);
    world.until("left", is_deleted).await;
    a_while().await;
    let left = shown(&world, 0, "rbac").unwrap().left_behind;
    assert_eq!(left.iter().map(|it| &*it.cluster).collect::<Vec<_>>(), ["alpha", "beta"], "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_narrowed_replicator_cannot_remove_is_said() {
    let world = synced(&["alpha", "beta"]).await;
    world.net.fault("alpha", |fault| fault.is_cut = true);
    world.replicate("rbac", &json!({"clusters": ["beta"]})).await;
    let waits = |it: &World| {
        shown(it, 0, "rbac").is_some_and(|it| {
            !it.is_deleted
                && it.left_behind.len() == 1
                && error(&it).starts_with("removing copies: waits for alpha")
        })
    };
    world.until("said", waits).await;
    world.write("beta", "clusterroles/own", &cluster_role("own", "get"));
    world.write("local-cluster", "clusterroles/own", &cluster_role("own", "list"));
    world.until_status("rbac", "beta", |it| it.conflicts == 1).await;
    assert!(waits(&world), "a conflict does not hide it: {:#?}", world.statuses());
    world.delete("beta", "clusterroles/own");
    world.net.heal();
    world.until("gone", |it| it.object("alpha", OPS).is_none()).await;
    world.until("well", |it| shown(it, 0, "rbac").is_some_and(|it| it.error.is_none())).await;
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_not_empty_is_said_and_removed_when_it_is() {
    let world = World::new(&["alpha"], 1).await;
    world.write("local-cluster", "namespaces/web", &json!({"name": "web"}));
    world.replicate("rbac", &json!({"resources": ["Namespace"]})).await;
    world.until_status("rbac", "alpha", |it| it.keys == 1).await;
    let check = super::world::check("web", "own", "true");
    world.write("alpha", "namespaces/web/checks/own", &check);
    world.remove("rbac").await;
    let said = |it: &PolicyStatus| {
        error(it).contains("alpha (Namespace web: ") && it.left_behind[0].keys == Some(1)
            // The cluster is there.
            && !error(it).contains("give-up")
    };
    world.until("said", |it| shown(it, 0, "rbac").as_ref().is_some_and(said)).await;
    world.net.writes.lock().clear();
    sleep(Duration::from_secs(300)).await;
    let tries = world.net.writes.lock().len();
    assert!((1..30).contains(&tries), "{tries} tries in five minutes");
    world.delete("alpha", "namespaces/web/checks/own");
    world.until("gone", |it| it.object("alpha", "namespaces/web").is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_stopped_gateway_creates_long_after_another_has_removed_everything_is_removed_too() {
    let mut world = World::new(&["alpha"], 1).await;
    world.add_gateway();
    world.replicate("rbac", &json!({})).await;
    world.until_status("rbac", "alpha", |it| it.state == ReplicatorState::Following).await;
    world.pause_at(0, &Method::POST, "/api/core/v2/clusterroles");
    world.write("local-cluster", "clusterroles/ops", &cluster_role("ops", "get"));
    world.until("it is about to create it", |it| it.is_paused(0)).await;
    world.pause(0);
    world.lead(1);
    world.remove("rbac").await;
    world.until("nothing is left", |it| shown(it, 1, "rbac").is_none()).await;
    sleep(Duration::from_secs(20)).await;
    assert!(world.object("alpha", OPS).is_none());
    world.resume(0, Duration::ZERO).await;
    world.until("it is created", |it| it.object("alpha", OPS).is_some()).await;
    world.until("it is removed", |it| it.object("alpha", OPS).is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_was_stopped_between_a_look_and_a_write_does_not_write() {
    let mut world = synced(&["alpha"]).await;
    world.add_gateway();
    let path = "/api/core/v2/clusterroles/ops";
    world.pause_at(0, &Method::GET, path);
    world.write("local-cluster", "clusterroles/ops", &cluster_role("ops", "list"));
    world.until("it looks", |it| it.is_paused(0)).await;
    world.pause(0);
    world.net.writes.lock().clear();
    // It does not know yet that it does not lead any more.
    world.resume(0, Duration::from_secs(30)).await;
    assert_eq!(*world.net.writes.lock(), []);
    world.lead(1);
    world
        .until("who leads writes", |it| {
            it.object("alpha", OPS).unwrap()["rules"][0]["verbs"] == json!(["list"])
        })
        .await;
}
