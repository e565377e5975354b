//! Nobody is locked out of a follower: for each guard, a source that would lock people out without it.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::world::{World, binding, cluster_role};

const ADMINS: &str = "cluster-admins";
const USERS: &str = "system:users";
const AGENTS: &str = "system:agents";

/// Administrators, plain users and agents, and what a cluster in good order answers them.
const PEOPLE: [(&str, &[&str], u16); 3] =
    [("root", &[ADMINS, USERS], 200), ("eve", &[USERS], 403), ("agent", &[AGENTS, USERS], 403)];

/// A follower, with a replicator that overwrites whatever it may.
async fn world() -> World {
    let world = World::new(&["alpha"], 1).await;
    world.replicate("rbac", &json!({"conflicts": "overwrite"})).await;
    world.until_status("rbac", "alpha", |it| it.last_sync.is_some()).await;
    world
}

/// Waits until the source has been copied, looking all the while that nobody is locked out.
async fn stays_usable(world: &World, what: &str) {
    for _ in 0..200 {
        for (user, groups, answer) in PEOPLE {
            assert_eq!(world.answers("alpha", user, groups).await, answer, "{what}: {user} is locked out");
        }
        sleep(Duration::from_millis(150)).await;
    }
}

fn full(name: &str) -> Value {
    let rules = [json!({"verbs": ["*"], "resources": ["*"]})];
    json!({"metadata": {"name": name}, "rules": rules})
}

async fn problem(world: &World, said: &str) {
    let is_said =
        |it: &crate::types::PolicyClusterStatus| it.error.as_deref().is_some_and(|it| it.contains(said));
    world.until_status("rbac", "alpha", is_said).await;
}

#[tokio::test(start_paused = true)]
async fn the_double_locks_people_out_as_sensu_does() {
    for group in [ADMINS, USERS, AGENTS] {
        let world = World::new(&["alpha"], 1).await;
        stays_usable(&world, "in good order").await;
        world.write("alpha", "clusterrolebindings/b", &binding("b", "missing", group));
        let (user, groups, _) = PEOPLE.into_iter().find(|(_, groups, _)| groups[0] == group).unwrap();
        assert_eq!(world.answers("alpha", user, groups).await, 500, "{group}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_systems_and_administrators_build_on_is_never_written_nor_removed() {
    let world = world().await;
    // The source's administrators have rights of their own there, so that it stays readable.
    world.write("local-cluster", "clusterroles/root", &full("root"));
    world.write("local-cluster", "clusterrolebindings/roots", &binding("roots", "root", ADMINS));
    let keys = [
        "rbac/clusterroles/cluster-admin",
        "rbac/clusterroles/system:agent",
        "rbac/clusterroles/system:user",
        "rbac/clusterrolebindings/cluster-admin",
        "rbac/clusterrolebindings/system:agent",
        "rbac/clusterrolebindings/system:user",
    ];
    let before = keys.map(|key| world.object("alpha", key).unwrap());
    for role in ["system:user", "system:agent", "cluster-admin"] {
        world.write("local-cluster", &format!("clusterroles/{role}"), &cluster_role(role, "get"));
        let binding = binding(role, "view", "nobody");
        world.call("local-cluster", &Method::PUT, &format!("clusterrolebindings/{role}"), &binding);
    }
    stays_usable(&world, "changed").await;
    for role in ["system:user", "system:agent", "cluster-admin"] {
        world.delete("local-cluster", &format!("clusterrolebindings/{role}"));
        world.delete("local-cluster", &format!("clusterroles/{role}"));
    }
    stays_usable(&world, "deleted").await;
    assert_eq!(keys.map(|key| world.object("alpha", key).unwrap()), before);
    world.until_status("rbac", "alpha", |it| it.keys >= 2 && it.pending.total() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn seeded_roles_and_namespaces_stay_when_the_source_has_lost_them() {
    let world = world().await;
    // A change makes it a copy; then it is gone in the source.
    world.write("local-cluster", "clusterroles/view", &cluster_role("view", "list"));
    let is_copied = |it: &World| {
        it.object("alpha", "rbac/clusterroles/view").unwrap()["rules"][0]["verbs"] == json!(["list"])
    };
    world.until("it is copied", is_copied).await;
    world.write("alpha", "clusterrolebindings/own", &binding("own", "view", USERS));
    world.delete("local-cluster", "clusterroles/view");
    let deleted = world.call("local-cluster", &Method::DELETE, "namespaces/default", &Value::Null);
    for _ in 0..200 {
        assert_ne!(world.answers("alpha", "eve", &[USERS]).await, 500);
        sleep(Duration::from_millis(150)).await;
    }
    assert!(world.object("alpha", "rbac/clusterroles/view").is_some());
    assert!(!deleted || world.object("alpha", "namespaces/default").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_vital_binding_waits_for_a_role_that_the_cluster_does_not_have() {
    let role = json!({"metadata": {"name": "r"}, "rules": [{"verbs": ["get"], "resources": ["hooks"]}]});
    for group in [ADMINS, USERS, AGENTS] {
        let world = World::new(&["alpha"], 1).await;
        let bindings = json!({"resources": ["ClusterRoleBinding"], "conflicts": "overwrite"});
        world.replicate("rbac", &bindings).await;
        world.write("local-cluster", "clusterroles/r", &role);
        world.write("local-cluster", "clusterrolebindings/b", &binding("b", "r", group));
        problem(&world, "which would make it refuse them everything").await;
        stays_usable(&world, group).await;
        assert!(world.object("alpha", "rbac/clusterrolebindings/b").is_none());
        world.replicate("rbac", &json!({"conflicts": "overwrite"})).await;
        world
            .until("with its role it comes", |it| it.object("alpha", "rbac/clusterrolebindings/b").is_some())
            .await;
        stays_usable(&world, group).await;
        // Both are deleted at once: the binding has to go first.
        world.delete("local-cluster", "clusterrolebindings/b");
        world.delete("local-cluster", "clusterroles/r");
        stays_usable(&world, group).await;
        assert!(world.object("alpha", "rbac/clusterroles/r").is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_vital_binding_waits_for_a_role_that_the_cluster_refuses() {
    for group in [ADMINS, USERS] {
        let world = world().await;
        world.net.fault("alpha", |fault| fault.refused = ["clusterroles"].into());
        world.write("local-cluster", "clusterroles/r", &cluster_role("r", "get"));
        world.write("local-cluster", "clusterrolebindings/b", &binding("b", "r", group));
        world.until("the role is refused", |it| !it.net.refusals.lock().is_empty()).await;
        stays_usable(&world, group).await;
        assert!(world.object("alpha", "rbac/clusterrolebindings/b").is_none());
        world.net.heal();
        world.until("both come", |it| it.object("alpha", "rbac/clusterrolebindings/b").is_some()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_role_stays_without_rights_while_a_binding_of_the_clusters_own_names_it() {
    for group in [ADMINS, USERS, AGENTS] {
        let world = world().await;
        let role = json!({"metadata": {"name": "r"}, "rules": [{"verbs": ["get"], "resources": ["hooks"]}]});
        world.write("local-cluster", "clusterroles/r", &role);
        world.until("it is copied", |it| it.object("alpha", "rbac/clusterroles/r").is_some()).await;
        world.write("alpha", "clusterrolebindings/own", &binding("own", "r", group));
        world.delete("local-cluster", "clusterroles/r");
        problem(&world, "a binding that stays in the cluster names it").await;
        stays_usable(&world, group).await;
        assert_eq!(
            world.object("alpha", "rbac/clusterroles/r").unwrap()["rules"][0]["verbs"],
            json!(["get"])
        );
        world.delete("alpha", "clusterrolebindings/own");
        world.until("then it goes", |it| it.object("alpha", "rbac/clusterroles/r").is_none()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_role_stays_while_the_cluster_refuses_to_let_its_binding_go() {
    let world = world().await;
    world.write(
        "local-cluster",
        "clusterroles/r",
        &json!({"metadata": {"name": "r"}, "rules": [
        {"verbs": ["get"], "resources": ["hooks"]}]}),
    );
    world.write("local-cluster", "clusterrolebindings/b", &binding("b", "r", USERS));
    world.until("both are there", |it| it.object("alpha", "rbac/clusterrolebindings/b").is_some()).await;
    world.net.fault("alpha", |fault| fault.refused = ["clusterrolebindings"].into());
    world.delete("local-cluster", "clusterrolebindings/b");
    world.delete("local-cluster", "clusterroles/r");
    world.until("its removal is refused", |it| !it.net.refusals.lock().is_empty()).await;
    stays_usable(&world, "the binding stays").await;
    assert!(world.object("alpha", "rbac/clusterroles/r").is_some());
    world.net.heal();
    world.until("both go", |it| it.object("alpha", "rbac/clusterroles/r").is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn the_gateway_keeps_the_rights_that_it_needs_where_only_copies_give_them() {
    for revoke in [
        &["clusterrolebindings/roots"][..],
        &["clusterroles/root"],
        &["clusterroles/root", "clusterrolebindings/roots"],
    ] {
        let world = world().await;
        world.write("local-cluster", "clusterroles/root", &full("root"));
        world.write("local-cluster", "clusterrolebindings/roots", &binding("roots", "root", ADMINS));
        world
            .until("both are there", |it| it.object("alpha", "rbac/clusterrolebindings/roots").is_some())
            .await;
        // The follower's administrators rely on the copies.
        world.delete("alpha", "clusterrolebindings/cluster-admin");
        sleep(Duration::from_secs(30)).await;
        for path in revoke {
            world.delete("local-cluster", path);
        }
        problem(&world, "only through it the group cluster-admins").await;
        stays_usable(&world, &format!("{revoke:?}")).await;
        // An emptied role would be as bad.
        assert_eq!(
            world.object("alpha", "rbac/clusterroles/root").unwrap()["rules"][0]["verbs"],
            json!(["*"])
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_edit_in_the_follower_in_the_middle_of_a_round_does_not_lock_anybody_out() {
    let mut world = world().await;
    let role = json!({"metadata": {"name": "r"}, "rules": [{"verbs": ["get"], "resources": ["hooks"]}]});
    world.write("local-cluster", "clusterroles/r", &role);
    world.until("it is copied", |it| it.object("alpha", "rbac/clusterroles/r").is_some()).await;
    // A change of the role and a new binding to it; while the gateway is about to change the role, somebody deletes it.
    world.pause_at(0, &Method::GET, "/api/core/v2/clusterroles/r");
    let mut changed = role.clone();
    changed["rules"][0]["verbs"] = json!(["list"]);
    world.write("local-cluster", "clusterrolebindings/b", &binding("b", "r", USERS));
    world.write("local-cluster", "clusterroles/r", &changed);
    world.until("it looks", |it| it.is_paused(0)).await;
    world.delete("alpha", "clusterroles/r");
    world.resume(0, Duration::ZERO).await;
    stays_usable(&world, "the role is gone").await;
    world.until("both are there", |it| it.object("alpha", "rbac/clusterrolebindings/b").is_some()).await;
}
