//! Several federations with one follower, of which some may be gone.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::world::{World, binding, cluster_role};
use crate::{
    policy::LABEL,
    types::{ForeignCopies, PolicyClusterStatus, ReplicatorState},
};

const OPS: &str = "rbac/clusterroles/ops";

/// In alpha: the roles `ops` and `gone` and a binding, copied by a federation that is gone; `gone` was revoked since.
async fn after_a_lost_store() -> (World, World) {
    let mut old = World::new(&["alpha"], 1).await;
    for role in ["ops", "gone"] {
        old.write("local-cluster", &format!("clusterroles/{role}"), &cluster_role(role, "get"));
    }
    old.write("local-cluster", "clusterrolebindings/ops", &binding("ops", "ops", "ops"));
    old.write("local-cluster", "namespaces/web", &json!({"name": "web"}));
    old.replicate("rbac", &json!({})).await;
    old.until_status("rbac", "alpha", |it| it.keys == 4).await;
    old.kill();
    old.delete("local-cluster", "clusterroles/gone");
    old.delete("local-cluster", "namespaces/web");
    let new = old.beside().await;
    new.register("alpha").await;
    (old, new)
}

fn label(object: &Value) -> &str {
    object["metadata"]["labels"][LABEL].as_str().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn copies_of_a_federation_that_is_gone_are_orphans_until_they_are_adopted() {
    let (old, new) = after_a_lost_store().await;
    old.net.writes.lock().clear();
    for conflicts in ["report", "overwrite"] {
        new.replicate("rbac", &json!({"conflicts": conflicts})).await;
        let is_said = |it: &PolicyClusterStatus| {
            let orphans = [ForeignCopies { federation: old.federation.as_str().into(), keys: 4 }];
            let error = it.error.as_deref().unwrap_or_default();
            let words = format!("4 copies of another federation ({}), such as Cluster", old.federation);
            it.orphans == orphans
                && (it.conflicts, it.keys, it.state) == (0, 0, ReplicatorState::Following)
                && error.starts_with(&words)
                && error.ends_with("(fedgate adopt replicator rbac)")
        };
        new.until_status("rbac", "alpha", is_said).await;
        sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(*new.net.writes.lock(), [], "another federation's copies are never overwritten");

    new.adopt("rbac", &json!({}), &format!("x, {}", old.federation)).await;
    let is_taken = |it: &PolicyClusterStatus| it.keys == 2 && it.orphans.is_empty() && it.error.is_none();
    new.until_status("rbac", "alpha", is_taken).await;
    assert_eq!(label(&new.object("alpha", OPS).unwrap()), new.federation);
    for revoked in ["rbac/clusterroles/gone", "namespaces/web"] {
        assert_eq!(new.object("alpha", revoked), None, "what was revoked meanwhile is revoked");
    }
    new.remove("rbac").await;
    new.until("removed like its own", |it| it.object("alpha", OPS).is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn orphans_are_removed_by_a_replicator_that_adopts_them_and_is_deleted() {
    let (old, new) = after_a_lost_store().await;
    new.adopt("rbac", &json!({"on_delete": "remove"}), &old.federation).await;
    new.until_status("rbac", "alpha", |it| it.keys > 0).await;
    new.remove("rbac").await;
    let all = [OPS, "rbac/clusterroles/gone", "rbac/clusterrolebindings/ops", "namespaces/web"];
    new.until("all are gone", |it| all.iter().all(|key| it.object("alpha", key).is_none())).await;
}

#[tokio::test(start_paused = true)]
async fn a_federation_that_lives_beside_this_one_is_no_orphan_and_stays_untouched() {
    let world = World::new(&["alpha"], 1).await;
    let mut role = cluster_role("theirs", "get");
    role["metadata"]["labels"] = json!({LABEL: "another"});
    world.write("alpha", "clusterroles/theirs", &role);
    world.write("local-cluster", "clusterroles/ops", &cluster_role("ops", "get"));
    world.replicate("rbac", &json!({"conflicts": "overwrite"})).await;
    let is_well = |it: &PolicyClusterStatus| it.keys == 1 && it.orphans.is_empty() && it.error.is_none();
    world.until_status("rbac", "alpha", is_well).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(label(&world.object("alpha", "rbac/clusterroles/theirs").unwrap()), "another");
}

/// No write within ten minutes.
async fn is_quiet(world: &World) {
    world.net.writes.lock().clear();
    sleep(Duration::from_secs(600)).await;
    assert_eq!(*world.net.writes.lock(), []);
}

#[tokio::test(start_paused = true)]
async fn two_federations_that_want_the_same_objects_do_not_fight() {
    let one = World::new(&["alpha"], 1).await;
    one.write("local-cluster", "clusterroles/ops", &cluster_role("ops", "get"));
    let overwrite = json!({"conflicts": "overwrite"});
    one.replicate("rbac", &overwrite).await;
    one.until_status("rbac", "alpha", |it| it.keys == 1).await;
    let two = one.beside().await;
    two.register("alpha").await;
    two.replicate("rbac", &overwrite).await;
    two.until_status("rbac", "alpha", |it| it.orphans.len() == 1).await;
    is_quiet(&one).await;
    assert_eq!(label(&one.object("alpha", OPS).unwrap()), one.federation);

    // Each is told that the other one is gone.
    two.adopt("rbac", &overwrite, &one.federation).await;
    two.until_status("rbac", "alpha", |it| it.keys == 1).await;
    one.until_status("rbac", "alpha", |it| it.keys == 0 && it.orphans.len() == 1).await;
    one.adopt("rbac", &overwrite, &two.federation).await;
    one.until_status("rbac", "alpha", |it| it.keys == 1).await;
    let is_said = |it: &PolicyClusterStatus| {
        it.error.as_deref().is_some_and(|it| it.ends_with("it is not gone, but has put them back"))
    };
    two.until_status("rbac", "alpha", is_said).await;
    is_quiet(&one).await;
    assert_eq!(label(&one.object("alpha", OPS).unwrap()), one.federation);
    let gone = one.call("local-cluster", &Method::DELETE, "clusterroles/ops", &Value::Null);
    assert!(gone);
    one.until("who has it removes it", |it| it.object("alpha", OPS).is_none()).await;
}
