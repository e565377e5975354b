//! How often the console asks, and when it does not.

use serde_json::Value;

use super::{Desk, event, is_of_network, put_event, world};
use crate::{link::Line, world::World};

/// How often a cluster was asked for its events.
fn asked(world: &World, cluster: usize) -> usize {
    let of_events = |path: &str| path.starts_with("/api/core/v2/events?");
    world.sensus[cluster].requests().iter().filter(|request| of_events(&request.path_and_query)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tabs_poll_as_one_and_hidden_ones_not_at_all() {
    let world = world().await;
    let mut first = Desk::enter(&world, "events");
    first.read();
    let mut second = first.beside("events");
    second.read();
    first.stop_clock();
    // Whatever was due when the clock was stopped.
    first.settle();
    first.pass(12);
    first.settle();
    let before = asked(&world, 1);
    for round in 1..=2 {
        first.pass(12);
        first.settle();
        assert_eq!(asked(&world, 1), before + round);
    }
    // One that is looked at is enough; when none is, nobody asks.
    hide(&mut first, true);
    first.pass(12);
    first.settle();
    assert_eq!(asked(&world, 1), before + 3);
    hide(&mut second, true);
    first.pass(120);
    first.settle();
    assert_eq!(asked(&world, 1), before + 3);
    hide(&mut second, false);
    first.settle();
    assert_eq!(asked(&world, 1), before + 4);
    first.is_well();
}

/// As a tab behind another one is.
fn hide(desk: &mut Desk, hidden: bool) {
    desk.see(&format!(
        "Object.defineProperty(document, 'hidden', {{value: {hidden}, configurable: true}}); \
         Object.defineProperty(document, 'visibilityState', {{value: {hidden} ? 'hidden' : 'visible', configurable: true}}); \
         document.dispatchEvent(new Event('visibilitychange'))"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_fails_is_asked_less_and_less_often() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "events");
    desk.read();
    desk.stop_clock();
    desk.settle();
    world.links[1].set(Line::Cut);
    // Until the gateway knows, it calls the cluster up, and what is up is asked again soon.
    let is_alpha = |cluster: &&Value| cluster["name"] == "alpha";
    while desk.get("/api/enterprise/federation/v1/status")["clusters"]
        .as_array()
        .unwrap()
        .iter()
        .find(is_alpha)
        .unwrap()["state"]
        != "down"
    {
        desk.settle();
    }
    desk.click("Read now");
    desk.misses("alpha");
    let of_alpha = |desk: &mut Desk| {
        desk.settle();
        let of = |url: &String| url.contains("/events?") && url.contains("clusters=alpha");
        desk.worker().requested().iter().filter(|url| of(url)).count()
    };
    of_alpha(&mut desk);
    for (seconds, attempts) in [(25, 1), (25, 0), (25, 1), (60, 0), (40, 1)] {
        desk.pass(seconds);
        assert_eq!(of_alpha(&mut desk), attempts, "after {seconds} s");
    }
    // A click asks at once.
    desk.click("Read now");
    assert_eq!(of_alpha(&mut desk), 1);
    desk.has_no_complaint_but(is_of_network);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_in_a_cluster_is_on_the_page_without_a_reload() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "events?q=entity:web-9");
    desk.shows("None of the");
    put_event(&world, 2, &event("default", "web-9", "pay", 2, "gone"));
    desk.pass(15);
    desk.until_rows("rows[0].Cluster === 'beta' && rows[0].Status === 'critical'");
    put_event(&world, 2, &event("default", "web-9", "pay", 0, "back"));
    desk.pass(15);
    desk.until_rows("rows[0].Status === 'passing' && rows[0].Output === 'back'");
    desk.is_well();
}
