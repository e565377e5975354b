//! The same on three real Sensu clusters. They are not at hand everywhere, so this passes at once without them. To run it,
//! set the three `FEDGATE_TEST_SENSU` variables as `ui/mod.rs` says:
//!
//! ```sh
//! cargo test --test browser real -- --nocapture
//! ```

use std::{
    panic::{self, AssertUnwindSafe},
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Desk, PASSWORD, event, is_of_network};
use crate::{
    link::Line,
    world::{CLUSTERS, World},
};

const NAMESPACE: &str = "console-test";
const VIEWER: &str = "console-test-viewer";

#[tokio::test(flavor = "multi_thread")]
async fn a_shift_over_three_real_clusters() {
    let Some(world) = World::real(Path::new("")).await else {
        println!("skipped: FEDGATE_TEST_SENSU is not set");
        return;
    };
    let mut desk = Desk::enter(&world, "events?q=namespace:console-test&sort=cluster");
    clean(&mut desk);
    // Whatever becomes of it, nothing of it stays in the clusters.
    let shift = panic::catch_unwind(AssertUnwindSafe(|| {
        seed(&mut desk);
        desk.click("Read now");
        desk.until_rows("rows.length === 3 && rows.every(row => row.Status === 'critical')");
        acts(&mut desk);
        outage(&mut desk, &world);
        viewer(&world);
    }));
    world.links[1].set(Line::Up);
    clean(&mut desk);
    if let Err(failure) = shift {
        panic::resume_unwind(failure);
    }
    desk.has_no_complaint_but(is_of_network);
}

fn acts(desk: &mut Desk) {
    desk.keys("a s");
    desk.silence(3, "console-test", "15 minutes");
    // A cluster marks an event with its next result, once it has heard of the silence.
    let deadline = Instant::now() + Duration::from_secs(60);
    while !CLUSTERS.iter().all(|cluster| is_silenced(desk, cluster)) {
        assert!(Instant::now() < deadline, "the clusters do not apply the silences");
        send_events(desk);
    }
    desk.click("Read now");
    desk.until_rows("rows.length === 3 && rows.every(row => row.Status.includes('silenced'))");
    desk.go("silences?q=reason:console-test");
    desk.click("Read now");
    desk.until_rows("rows.length === 3 && rows.every(row => row['Holds back'] === '1 event')");
    desk.keys("a u");
    desk.until("desk.title() === 'Clear silences'");
    desk.click("Clear");
    desk.hears("Clear silences: 3 done");

    desk.go("events?q=namespace:console-test&sort=cluster");
    desk.until_rows("rows.length === 3");
    desk.keys("a e");
    desk.hears("Run again: 3 done");
    desk.click("Resolve");
    desk.hears("Resolve: 3 done");
    desk.until_rows("rows.length === 3 && rows.every(row => row.Status.startsWith('passing'))");
    desk.go("checks?q=namespace:console-test");
    desk.until_rows("rows.length === 3");
    desk.keys("a");
    desk.click("Unpublish");
    desk.hears("Unpublish: 3 done");
    desk.until_rows("rows.every(row => row.Published === 'no')");
    desk.go("events?q=namespace:console-test&sort=cluster");
    desk.until_rows("rows.length === 3");
    desk.keys("a");
    desk.confirm("Delete", "Delete events");
    desk.hears("Delete events: 3 done");
    desk.until("desk.rows().length === 0");
    send_events(desk);
    desk.click("Read now");
    desk.until_rows("rows.length === 3");
}

fn outage(desk: &mut Desk, world: &World) {
    world.links[1].set(Line::Cut);
    desk.click("Read now");
    desk.misses("alpha is missing from this page");
    desk.until_rows("rows.length === 3");
    world.links[1].set(Line::Up);
    desk.page.until_within("desk.missing() === ''", Duration::from_secs(60));
}

fn viewer(world: &World) {
    let mut desk = Desk::enter_as(world, "events", VIEWER);
    desk.until_rows("rows.length === 3 && rows.every(row => row.Namespace === 'console-test')");
    desk.misses_nothing();
    desk.keys("x r");
    desk.hears("1 of 1 failed");
    desk.hears("you may not do this");
    desk.until("desk.button('Resolve').disabled");
}

fn of(cluster: &str) -> String {
    if cluster == CLUSTERS[0] { NAMESPACE.to_owned() } else { format!("{NAMESPACE}@{cluster}") }
}

/// A path of what has no namespace.
fn whole(cluster: &str, path: &str) -> String {
    let cluster = if cluster == CLUSTERS[0] { "~" } else { cluster };
    format!("/c/{cluster}/api/core/v2/{path}")
}

#[track_caller]
fn put(desk: &mut Desk, path: &str, body: &Value) {
    let answer = desk.send("PUT", path, body);
    assert!(answer["status"].as_u64().unwrap() < 300, "{path}: {answer}");
}

fn seed(desk: &mut Desk) {
    for cluster in CLUSTERS {
        put(desk, &whole(cluster, &format!("namespaces/{NAMESPACE}")), &json!({"name": NAMESPACE}));
        put(
            desk,
            &whole(cluster, &format!("users/{VIEWER}")),
            &json!({"username": VIEWER, "password": PASSWORD, "groups": [VIEWER]}),
        );
        let binding = json!({
            "metadata": {"name": VIEWER, "namespace": NAMESPACE}, "role_ref": {"type": "ClusterRole", "name": "view"},
            "subjects": [{"type": "Group", "name": VIEWER}],
        });
        put(desk, &whole(cluster, &format!("namespaces/{NAMESPACE}/rolebindings/{VIEWER}")), &binding);
        let check = json!({
            "metadata": {"name": "till", "namespace": NAMESPACE}, "command": "true", "interval": 3600, "publish": true,
            "subscriptions": ["console-test"],
        });
        put(desk, &whole(cluster, &format!("namespaces/{NAMESPACE}/checks/till")), &check);
    }
    send_events(desk);
}

fn is_silenced(desk: &mut Desk, cluster: &str) -> bool {
    let event = desk.get(&format!("/api/core/v2/namespaces/{}/events/shop-1/till", of(cluster)));
    event["check"]["is_silenced"] == true
}

fn send_events(desk: &mut Desk) {
    for cluster in CLUSTERS {
        let path = format!("/api/core/v2/namespaces/{}/events/shop-1/till", of(cluster));
        let mut sent = event(&of(cluster), "shop-1", "till", 2, "card terminal is gone");
        sent["check"]["subscriptions"] = json!(["console-test"]);
        put(desk, &path, &sent);
    }
}

/// Leaves nothing of it but a disabled user without groups: Sensu deletes none. What is not there is fine.
fn clean(desk: &mut Desk) {
    for cluster in CLUSTERS {
        for path in ["events/shop-1/till", "entities/shop-1", "checks/till", "silenced/entity:shop-1:till"] {
            desk.send("DELETE", &whole(cluster, &format!("namespaces/{NAMESPACE}/{path}")), &Value::Null);
        }
        let binding = format!("namespaces/{NAMESPACE}/rolebindings/{VIEWER}");
        let groups = format!("users/{VIEWER}/groups");
        for path in [binding, groups, format!("users/{VIEWER}"), format!("namespaces/{NAMESPACE}")] {
            desk.send("DELETE", &whole(cluster, &path), &Value::Null);
        }
    }
}
