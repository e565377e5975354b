//! Clusters and replicators: their state, and how they are changed.

use std::path::Path;

use serde_json::json;

use super::{Desk, is_of_network, quick, world};
use crate::{link::Line, world::World};

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
async fn a_replicator_is_made_changed_and_removed_with_errors_beside_their_fields() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "replicators");
    desk.shows("There are no replicators");
    desk.click("New replicator");
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
    desk.until("desk.text(document.querySelector('main')).includes('roles-to-alpha')");
    let stored = desk.get("/api/enterprise/federation/v1/etcd-replicators/roles-to-alpha");
    assert_eq!(stored["spec"]["replication_interval_seconds"], 60, "{stored}");
    desk.click("Edit");
    desk.until("desk.title() === 'Edit roles-to-alpha'");
    desk.fill("Compare everything every (seconds)", "90");
    desk.click("Save");
    desk.closes();
    let stored = desk.get("/api/enterprise/federation/v1/etcd-replicators/roles-to-alpha");
    assert_eq!(stored["spec"]["replication_interval_seconds"], 90, "{stored}");
    desk.confirm("Remove", "Remove roles-to-alpha");
    desk.shows("There are no replicators");
    desk.has_no_complaint_but(is_of_network);
}
