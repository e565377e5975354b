//! The first page: clusters, totals, the worst, what changed.

use serde_json::json;

use super::{Desk, event, put_event, world};

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_has_a_card_for_each_cluster_and_totals_that_are_true() {
    let world = world().await;
    put_event(&world, 1, &event("default", "web-9", "pay", 2, "card terminal is gone"));
    let mut desk = Desk::enter(&world, "");
    desk.until(
        "[...document.querySelectorAll('li.card h3')].map(desk.text).join() === 'local-cluster,alpha,beta'",
    );
    desk.until("[...document.querySelectorAll('li.card svg[role=img]')].every(picture => picture.ariaLabel)");
    let events = desk.get("/api/core/v2/events");
    let events = events.as_array().unwrap();
    let count = |status: i64| events.iter().filter(|event| event["check"]["status"] == status).count();
    let entities = desk.get("/api/core/v2/entities").as_array().unwrap().len();
    for (number, what) in
        [(count(2), "critical"), (count(1), "warning"), (events.len(), "events"), (entities, "entities")]
    {
        desk.until(&format!(
            "[...document.querySelectorAll('a')].some(link => desk.text(link).replace(/\\s/g, '') === '{number}{what}')"
        ));
    }
    desk.until(
        "[...document.querySelectorAll('a')].some(link => /^3\\s*of 3 clusters up$/.test(desk.text(link)))",
    );
    // Each card's bar says in words what it shows.
    let bars = desk.see("[...document.querySelectorAll('li.card svg.bar')].map(bar => bar.ariaLabel)");
    let total: usize = bars
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|bar| bar.as_str().unwrap().split(", "))
        .map(|part| part.split(' ').next().unwrap().parse::<usize>().unwrap())
        .sum();
    assert_eq!(total, events.len(), "{bars}");
    desk.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_names_the_ten_worst_and_what_changed_and_leads_on() {
    let world = world().await;
    put_event(&world, 2, &event("default", "web-9", "pay", 0, "fine"));
    let mut worst = event("default", "web-9", "pay", 2, "card terminal is gone");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    // Later than all that the clusters began with, whatever second that was.
    worst["check"]["executed"] = json!(now + 5);
    put_event(&world, 2, &worst);
    let mut desk = Desk::enter(&world, "");
    let lines = |title: &str| {
        format!(
            "[...[...document.querySelectorAll('h2')].find(h => desk.text(h).startsWith('{title}')).parentElement.querySelectorAll('li')].map(desk.text)"
        )
    };
    let mine = "line => line.includes('web-9 / pay') && line.includes('beta')";
    desk.until(&format!(
        "const lines = {}; return lines.length === 10 && lines[0].startsWith('critical') && lines.some({mine})",
        lines("Worst now")
    ));
    desk.until(&format!("{}.some({mine})", lines("Changed in the last hour")));
    desk.click("web-9 / pay");
    desk.until("location.pathname.endsWith('/event')");
    desk.shows("card terminal is gone");
    desk.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_events_says_so_and_is_not_read_for_ever() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "");
    for event in desk.get("/c/beta/api/core/v2/events").as_array().unwrap() {
        let name = |of: &str| event[of]["metadata"]["name"].as_str().unwrap();
        let namespace = event["metadata"]["namespace"].as_str().unwrap();
        let key = format!("/sensu.io/events/{namespace}/{}/{}", name("entity"), name("check"));
        world.sensus[2].etcd_delete(&key);
    }
    desk.reload();
    let beta = "desk.text([...document.querySelectorAll('li.card')].find(card => desk.text(card.querySelector('h3')) === 'beta'))";
    desk.until(&format!("{beta}.includes('no events')"));
    desk.until("!/reading/i.test(document.querySelector('main').innerText)");
    desk.is_well();
}
