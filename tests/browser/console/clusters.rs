//! Clusters and replicators: their state, and how they are changed.

use std::path::Path;

use serde_json::json;

use super::{Desk, PASSWORD, is_of_network, quick, world};
use crate::{
    link::Line,
    world::{CLUSTERS, World},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_clusters_has_the_state_of_each_and_of_its_backends() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "clusters");
    let card = |name: &str| {
        format!(
            "[...document.querySelectorAll('li.card')].map(desk.text).find(text => text.includes('{name}'))"
        )
    };
    for (at, name) in ["local-cluster", "alpha", "beta"].into_iter().enumerate() {
        desk.until(&format!("/Sensu 6[.]/.test({})", card(name)));
        desk.until(&format!("/up since/.test({0}) && /\\d ms/.test({0})", card(name)));
        desk.until(&format!("{}.includes('http://{}')", card(name), world.links[at].address));
    }
    world.links[1].set(Line::Cut);
    desk.page.until_within(
        &format!(
            "/down/.test({0}) && /(no backend can be reached|refused|reset|connect|closed)/.test({0})",
            card("alpha")
        ),
        std::time::Duration::from_secs(30),
    );
    desk.has_no_complaint_but(is_of_network);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_registered_edited_and_removed_with_errors_beside_their_fields() {
    // One more cluster, which the gateway does not know yet.
    let world = World::with(&["local-cluster", "alpha"], Path::new(""), &quick()).await;
    let other = World::with(&["gamma"], Path::new(""), &quick()).await;
    let mut desk = Desk::enter(&world, "clusters");
    desk.shows("alpha");
    desk.click("Register a cluster");
    desk.until("desk.title() === 'Register a cluster'");
    desk.click("Register");
    desk.until("desk.fieldError('Name') !== ''");
    desk.fill("Name", "gamma");
    desk.fill("API URLs", "gopher://gamma");
    desk.click("Register");
    desk.until("/gopher|api_urls|http/.test(desk.fieldError('API URLs'))");
    let url = format!("http://{}", other.links[0].address);
    // Tested before it is saved: one that works, one that does not.
    desk.fill("API URLs", format!("{url}\nhttp://127.0.0.1:1"));
    desk.click("Test");
    desk.until("desk.dialog().includes('1 of 2 backends does not work. Nothing was saved yet.')");
    desk.fill("API URLs", url.clone());
    desk.click("Test");
    desk.until("/It works[.].*version 6[.]/.test(desk.dialog())");
    assert_eq!(desk.send("GET", "/api/enterprise/federation/v1/clusters/gamma", &json!(null))["status"], 404);
    desk.click("Register");
    desk.closes();
    desk.click("Read now");
    let card = "[...document.querySelectorAll('li.card')].find(card => card.textContent.includes('gamma'))";
    desk.until(&format!("{card} && /registered/.test({card}.textContent)"));
    // A name that is there is not overwritten.
    desk.click("Register a cluster");
    desk.fill("Name", "gamma");
    desk.fill("API URLs", url.clone());
    desk.click("Register");
    desk.until("desk.dialog().includes('there is one of this name already')");
    desk.click("Cancel");

    desk.until(&format!("{card}.querySelector('.actions')"));
    desk.click("Edit");
    desk.until("desk.title() === 'Edit gamma' && desk.control('API URLs').value !== ''");
    assert_eq!(desk.see("desk.control('API URLs').value"), url.as_str());
    desk.fill("API URLs", "http://127.0.0.1:1");
    desk.click("Save");
    desk.closes();
    let stored = desk.get("/api/enterprise/federation/v1/clusters/gamma");
    assert_eq!(stored["spec"]["api_urls"], json!(["http://127.0.0.1:1"]), "{stored}");
    desk.confirm("Remove", "Remove gamma");
    desk.hears("Remove: 1 done");
    desk.click("Read now");
    desk.until(&format!("!{card}"));
    desk.has_no_complaint_but(is_of_network);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_replicator_is_made_changed_and_removed_with_errors_beside_their_fields() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "replicators");
    desk.shows("There are no replicators");
    desk.click("New etcd replicator");
    desk.fill("Name", "roles-to-alpha");
    desk.fill("etcd of the other cluster", "alpha");
    desk.click("Save");
    desk.until("desk.fieldError('etcd of the other cluster') !== ''");
    desk.fill("etcd of the other cluster", "http://127.0.0.1:1");
    desk.fill("Compare everything every (seconds)", "0");
    desk.click("Save");
    desk.until("desk.fieldError('Compare everything every (seconds)') !== '' || !document.querySelector('dialog[open]')");
    desk.fill("Compare everything every (seconds)", "60");
    desk.fill("Accept any certificate", true);
    desk.click("Save");
    desk.closes();
    desk.until(&format!("{}.length === 1", cards("roles-to-alpha")));
    // This gateway replicates nothing, and does not say that another one does.
    desk.shows("nobody: replication is off here");
    let stored = desk.get("/api/enterprise/federation/v1/etcd-replicators/roles-to-alpha");
    assert_eq!(stored["spec"]["replication_interval_seconds"], 60, "{stored}");
    desk.click("Edit");
    desk.until("desk.title() === 'Edit roles-to-alpha'");
    desk.fill("Compare everything every (seconds)", "90");
    desk.click("Save");
    desk.closes();
    let stored = desk.get("/api/enterprise/federation/v1/etcd-replicators/roles-to-alpha");
    assert_eq!(stored["spec"]["replication_interval_seconds"], 90, "{stored}");
    // One by API needs what this gateway does not have: said, beside no field.
    desk.click("New replicator");
    desk.fill("Name", "rbac");
    desk.fill("Role", true);
    desk.click("Save");
    desk.until("desk.dialog().includes('auth.jwt-private-key-file')");
    assert_eq!(desk.see("['Name', 'Copies', 'To'].map(desk.fieldError)"), json!(["", "", ""]));
    desk.click("Cancel");
    desk.confirm("Remove", "Remove roles-to-alpha");
    desk.shows("There are no replicators");
    desk.has_no_complaint_but(is_of_network);
}

/// The cards whose heading begins with this.
fn cards(name: &str) -> String {
    format!(
        "[...document.querySelectorAll('li.card')].filter(card => desk.text(card.querySelector('h2')).startsWith('{name}'))"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replicator_by_api_is_tested_made_changed_and_removed_beside_one_of_its_name() {
    let world = World::that_signs(&CLUSTERS, &quick()).await;
    let mut desk = Desk::enter(&world, "replicators");
    desk.shows("There are no replicators");
    desk.click("New replicator");
    desk.until("desk.title() === 'New replicator'");
    desk.click("Save");
    desk.until("desk.fieldError('Name') !== ''");
    desk.fill("Name", "rbac");
    desk.click("Save");
    desk.until("desk.fieldError('Copies').includes('spec.resources')");
    desk.fill("Role", true);
    desk.fill("RoleBinding", true);
    desk.fill("To", "alpha *");
    desk.click("Test");
    desk.until("desk.fieldError('To').includes('spec.clusters') && desk.fieldError('Copies') === ''");
    desk.fill("To", "alpha nowhere");
    desk.fill("Only count what would be done", true);
    desk.click("Test");
    desk.until("/Nothing is wrong with it[.] Nothing was saved yet[.].*no cluster nowhere is registered yet/.test(desk.dialog())");
    desk.click("Save");
    desk.closes();
    let path = "/api/enterprise/federation/v1/replicators/rbac";
    let stored = desk.get(path)["spec"].clone();
    assert_eq!((&stored["clusters"], &stored["dry_run"]), (&json!(["alpha", "nowhere"]), &json!(true)));
    let card = cards("rbac");
    desk.until(&format!("const [card] = {card}; return /alpha *following/.test(desk.text(card)) && /nowhere *stopped/.test(desk.text(card))"));
    desk.until(&format!(
        "/by API.*dry run.*Role, RoleBinding → alpha, nowhere.*Conflicts/.test(desk.text({card}[0]))"
    ));

    // The other kind has names of its own.
    desk.click("New etcd replicator");
    desk.fill("Name", "rbac");
    desk.fill("etcd of the other cluster", "http://127.0.0.1:1");
    desk.click("Save");
    desk.closes();
    desk.until(&format!("{card}.length === 2 && {card}.some(it => /from etcd to etcd/.test(desk.text(it)))"));

    desk.until(&format!(
        "const it = {card}.find(it => /by API/.test(desk.text(it))); return [...it.querySelectorAll('button')].find(button => desk.name(button) === 'Edit').click() === undefined"
    ));
    desk.until(
        "desk.title() === 'Edit rbac' && desk.control('Role').checked && !desk.control('Asset').checked",
    );
    desk.fill("To", "*");
    desk.fill("Conflicts", "overwrite");
    desk.fill("When the original is gone", "keep");
    desk.fill("Only count what would be done", false);
    desk.click("Save");
    desk.closes();
    let stored = desk.get(path)["spec"].clone();
    let said = ["clusters", "conflicts", "on_delete", "dry_run"].map(|key| stored[key].clone());
    assert_eq!(said, [json!(["*"]), json!("overwrite"), json!("keep"), json!(false)], "{stored}");
    desk.until(&format!("{card}.some(it => desk.text(it).includes('→ all remote clusters') && /beta *following/.test(desk.text(it)))"));
    desk.until(&format!(
        "const it = {card}.find(it => /by API/.test(desk.text(it))); return [...it.querySelectorAll('button')].find(button => desk.name(button) === 'Remove').click() === undefined"
    ));
    desk.until("desk.title() === 'Remove rbac' && desk.dialog().includes('stays where it is')");
    desk.click("Remove");
    desk.until(&format!("{card}.length === 1 && /from etcd to etcd/.test(desk.text({card}[0]))"));
    let left = desk.send("GET", "/api/enterprise/federation/v1/etcd-replicators/rbac", &json!(null));
    assert_eq!(left["status"], 200);
    assert_eq!(desk.send("GET", path, &json!(null))["status"], 404);
    desk.has_no_complaint_but(is_of_network);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_removed_replicator_left_behind_is_named_and_can_be_given_up() {
    let world = World::that_signs(&CLUSTERS, &quick()).await;
    let mut desk = Desk::enter(&world, "replicators");
    let body = json!({"type": "Replicator", "api_version": "federation/v1", "metadata": {"name": "rbac"},
        "spec": {"resources": ["Handler"], "clusters": ["beta"], "conflicts": "overwrite"}});
    assert_eq!(desk.send("PUT", "/api/enterprise/federation/v1/replicators/rbac", &body)["status"], 201);
    desk.reload();
    let card = cards("rbac");
    let read_again = |condition: &str| {
        format!(
            "desk.button('Read now').click(); const text = {card}.map(desk.text).join(); return {condition}"
        )
    };
    desk.until(&read_again("/beta *following *[1-9]/.test(text)"));
    world.links[2].set(Line::Cut);
    desk.confirm("Remove", "Remove rbac");
    desk.until(&read_again(
        "/not registered any more/.test(text) && /copied to beta.* is still there/.test(text)",
    ));
    desk.confirm("Give up", "Give up rbac");
    desk.until("desk.button('Read now').click(); return desk.text(document.body).includes('There are no replicators')");
    desk.has_no_complaint_but(is_of_network);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_change_clusters_of_some_names_is_offered_these() {
    let world = World::that_signs(&CLUSTERS, &quick()).await;
    let role = json!({"metadata": {"name": "keeper"}, "rules": [
        {"verbs": ["update"], "resources": ["clusters"], "resource_names": ["gamma", "delta"]},
        {"verbs": ["delete"], "resources": ["clusters"], "resource_names": ["gamma"]},
        {"verbs": ["get", "list"], "resources": ["*"]},
    ]});
    world.put(0, "clusterroles/keeper", &role);
    let binding = json!({"metadata": {"name": "keeper"}, "subjects": [{"type": "Group", "name": "keepers"}],
        "role_ref": {"type": "ClusterRole", "name": "keeper"}});
    world.put(0, "clusterrolebindings/keeper", &binding);
    let user = json!({"username": "kim", "password": PASSWORD, "groups": ["keepers"]});
    world.put(0, "users/kim", &user);
    let mut admin = Desk::enter(&world, "clusters");
    for (name, port) in [("gamma", 1), ("delta", 2), ("omega", 3)] {
        let body = json!({"type": "Cluster", "api_version": "federation/v1", "metadata": {"name": name},
            "spec": {"api_urls": [format!("http://127.0.0.1:{port}")]}});
        let path = format!("/api/enterprise/federation/v1/clusters/{name}");
        assert_eq!(admin.send("PUT", &path, &body)["status"], 201);
    }
    let mut desk = Desk::enter_as(&world, "clusters", "kim");
    let offered = |name: &str| {
        format!("{}.flatMap(card => [...card.querySelectorAll('button')].map(desk.name)).join()", cards(name))
    };
    for (name, buttons) in [("gamma", "Edit,Remove"), ("delta", "Edit"), ("omega", "")] {
        // The rules are read every few seconds.
        desk.page.until_within(
            &format!(
                "desk.button('Read now').click(); return {}.length === 1 && {} === '{buttons}'",
                cards(name),
                offered(name)
            ),
            std::time::Duration::from_secs(90),
        );
    }
    desk.click("Register a cluster");
    desk.until("desk.dialog().includes('You may use delta, gamma.')");
    desk.fill("Name", "epsilon");
    desk.fill("API URLs", "http://127.0.0.1:4");
    desk.click("Register");
    desk.until("desk.dialog().includes('you may not do this')");
    desk.click("Cancel");
    desk.go("replicators");
    desk.shows("You may look, but not change this.");
    desk.has_no_complaint_but(is_of_network);
}
