//! Acting on what is shown, in several clusters at once.

use serde_json::{Value, json};

use super::{Desk, event, is_of_network, put_event, world};
use crate::link::Line;

#[tokio::test(flavor = "multi_thread")]
async fn events_of_several_clusters_are_silenced_from_their_rows_and_cleared_again() {
    let world = world().await;
    // The same event in each cluster: they have the same data.
    let mut desk = Desk::enter(&world, "events?q=check:cpu+silenced:no&sort=entity");
    desk.read();
    desk.until_rows("rows.length === 27");
    // As fast as somebody can type who knows the keys.
    desk.see("for (const key of ['a', 's']) document.body.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}))");
    desk.until("desk.title().startsWith('Silence 27 events')");
    desk.keys("Escape");
    desk.closes();
    desk.keys("a");
    desk.until_rows("rows.every(row => !row.selected)");
    desk.keys("x j x j x s");
    desk.silence(3, "console test", "4 hours");
    let silences = desk.get("/api/core/v2/silenced");
    let ours: Vec<&Value> =
        silences.as_array().unwrap().iter().filter(|item| item["reason"] == "console test").collect();
    assert_eq!(ours.len(), 3, "{silences}");
    let as_asked = |item: &&Value| {
        item["check"] == "cpu"
            && item["expire"] == 4 * 3600
            && item["expire_on_resolve"] == true
            && item["subscription"].as_str().unwrap().starts_with("entity:")
    };
    assert!(ours.iter().all(as_asked), "{ours:?}");

    desk.go("silences?q=reason:\"console test\"");
    desk.until_rows("rows.length === 3 && rows.every(row => row.Ends.includes('when resolved'))");
    desk.keys("a");
    desk.confirm("Clear", "Clear silences");
    desk.shows("None of the");
    let silences = desk.get("/api/core/v2/silenced");
    assert!(silences.as_array().unwrap().iter().all(|item| item["reason"] != "console test"), "{silences}");
    desk.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_silenced_in_chosen_namespaces_of_several_clusters() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "silences");
    desk.read();
    desk.click("New silence");
    desk.click("Silence");
    desk.until("desk.dialog().includes('Name a subscription, a check, or both.')");
    desk.fill("Subscription", "web");
    desk.fill("Check", "http");
    desk.fill("default in alpha", true);
    desk.fill("default in beta", true);
    desk.fill("Reason", "new balancer");
    desk.fill("For", "other…");
    desk.fill("Other duration", "soon");
    desk.click("Silence");
    desk.until("desk.dialog().includes('like 90m')");
    desk.fill("Other duration", "90m");
    desk.click("Silence");
    desk.hears("2 done in");
    desk.until_rows("rows.filter(row => row.Reason === 'new balancer').map(row => row.Cluster).sort().join() === 'alpha,beta'");
    let made = desk.get("/api/core/v2/namespaces/default@alpha/silenced/web:http");
    assert_eq!((&made["expire"], &made["creator"]), (&json!(5400), &json!("admin")), "{made}");
    // The same again is refused by each cluster, and said for each.
    desk.click("New silence");
    desk.fill("Subscription", "web");
    desk.fill("Check", "http");
    desk.fill("default in alpha", true);
    desk.fill("default in local-cluster", true);
    desk.click("Silence");
    desk.hears("1 of 2 failed");
    desk.hears("web:http in default@alpha: web:http is silenced already");
    desk.has_no_complaint_but(is_of_network);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_resolved_run_again_and_deleted() {
    let world = world().await;
    for cluster in 0..3 {
        put_event(&world, cluster, &event("default", "web-9", "cpu", 2, "hot"));
    }
    let mut desk = Desk::enter(&world, "events?q=entity:web-9&sort=cluster");
    desk.read();
    desk.until_rows("rows.length === 3 && rows.every(row => row.Status === 'critical')");
    desk.keys("x r");
    desk.hears("Resolve: 1 done in alpha");
    desk.until_rows("rows.find(row => row.Cluster === 'alpha').Status === 'passing'");
    let resolved = desk.get("/api/core/v2/namespaces/default@alpha/events/web-9/cpu");
    assert_eq!(resolved["check"]["status"], 0);
    assert!(resolved["check"]["output"].as_str().unwrap().contains("admin"), "{resolved}");
    assert_eq!(desk.get("/api/core/v2/namespaces/default@beta/events/web-9/cpu")["check"]["status"], 2);

    desk.go("events?q=entity:web-9+cluster:beta");
    desk.until_rows("rows.length === 1 && rows[0].Cluster === 'beta'");
    desk.keys("x e");
    desk.hears("Run again: 1 done in beta");
    let asked = |cluster: usize| {
        world.sensus[cluster]
            .requests()
            .iter()
            .filter(|request| request.path_and_query.ends_with("/checks/cpu/execute"))
            .map(|request| String::from_utf8_lossy(&request.body).into_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(asked(0), Vec::<String>::new());
    assert!(asked(2)[0].contains("entity:web-9"), "{:?}", asked(2));
    desk.click("Delete");
    desk.until("desk.dialog().includes('web-9/cpu (default@beta)')");
    desk.click("Delete");
    desk.hears("Delete events: 1 done in beta");
    desk.shows("None of the");
    assert_eq!(desk.get("/api/core/v2/namespaces/default@beta/events/web-9/cpu")["code"], 2);
    assert_eq!(desk.get("/api/core/v2/namespaces/default/events/web-9/cpu")["check"]["status"], 2);
    desk.has_no_complaint_but(is_of_network);
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_are_run_published_and_unpublished() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "checks?q=name:http+namespace:default&sort=cluster");
    desk.read();
    desk.until_rows("rows.length === 3");
    desk.keys("a");
    desk.until_rows("rows.every(row => row.selected)");
    desk.click("Unpublish");
    desk.hears("Unpublish: 3 done in");
    desk.until_rows("rows.every(row => row.Published === 'no')");
    for namespace in ["default", "default@alpha", "default@beta"] {
        let check = desk.get(&format!("/api/core/v2/namespaces/{namespace}/checks/http"));
        assert_eq!(check["publish"], false, "{check}");
    }
    desk.keys("a");
    desk.click("Publish");
    desk.hears("Publish: 3 done in");
    desk.until_rows("rows.every(row => row.Published === 'yes')");
    desk.keys("a");
    desk.click("Run now");
    desk.hears("Run: 3 done in");
    desk.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_in_one_cluster_is_named_and_the_rest_is_done() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "entities?q=name:*-web-01&sort=cluster");
    desk.read();
    desk.until_rows("rows.length === 3");
    desk.keys("a");
    desk.until_rows("rows.every(row => row.selected)");
    world.links[1].set(Line::Cut);
    desk.confirm("Delete", "Delete entities");
    desk.hears("Delete entities: 1 of 3 failed");
    desk.until("/in default@alpha: .{5}/.test(desk.said())");
    for cluster in [0, 2] {
        let gone = world.sensus[cluster].etcd_get("/sensu.io/entity_configs/default/iad-web-01");
        assert_eq!(gone, None, "{cluster}");
    }
    desk.misses("alpha");
    desk.until_rows("rows.length === 1 && rows[0].Cluster === 'alpha'");
    desk.has_no_complaint_but(is_of_network);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_an_entity_has_its_facts_events_and_silences() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "entities?q=name:*-web-01+cluster:beta");
    desk.read();
    let name = desk.column("Entity")[0].clone();
    let path = format!("/api/core/v2/namespaces/default@beta/silenced/entity:{name}:cpu");
    let silence = json!({"metadata": {"name": format!("entity:{name}:cpu"), "namespace": "default"},
        "subscription": format!("entity:{name}"), "check": "cpu", "reason": "being moved", "expire": 600});
    world.put(2, &format!("namespaces/default/silenced/entity:{name}:cpu"), &silence);
    desk.keys("Enter");
    desk.until("location.pathname.endsWith('/entity')");
    for text in ["debian 12.5", "192.0.2.17/24", "being moved", "role", "web", "http", "keepalive", "6.12.0"]
    {
        desk.shows(text);
    }
    let events = desk.get(&format!("/api/core/v2/namespaces/default@beta/events/{name}"));
    desk.shows(&format!("Events ({})", events.as_array().unwrap().len()));
    desk.click("Clear");
    desk.click("Clear");
    desk.hears("Clear silences: 1 done in beta");
    desk.until("!desk.text(document.querySelector('main')).includes('being moved')");
    assert_eq!(desk.get(&path)["code"], 2);
    desk.has_no_complaint_but(is_of_network);
}
