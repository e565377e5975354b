//! Clusters that are down, hung, slow or back, and a gateway that was away: always said, never an empty table instead.

use std::{path::Path, time::Duration};

use super::{Desk, impatient, is_of_network, world};
use crate::{
    link::Line,
    world::{CLUSTERS, World},
};

/// Pages that a cluster makes incomplete.
const PAGES: [&str; 6] = ["", "events", "entities", "checks", "silences", "clusters"];

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_down_is_named_on_every_page_and_its_rows_stay() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "events?q=cluster:beta");
    desk.read();
    for page in ["entities", "checks", "silences", "events?q=cluster:beta"] {
        desk.go(page);
        desk.read();
    }
    world.links[2].set(Line::Cut);
    desk.click("Read now");
    desk.misses("beta is missing from this page");
    desk.misses("What is shown of it is from");
    desk.until_rows("rows.every(row => row.Cluster === 'beta')");
    for page in PAGES {
        desk.go(page);
        desk.misses("beta is missing from this page");
        desk.until("[...document.querySelectorAll('[role=alert] a')].some(link => link.pathname === '/console/clusters')");
    }
    // Who comes now sees no rows of it, and reads why.
    desk.reload();
    for page in [
        "events?q=cluster:beta",
        "entities?q=cluster:beta",
        "checks?q=cluster:beta",
        "silences?q=cluster:beta",
    ] {
        desk.go(page);
        desk.shows("Nothing could be read from beta");
        desk.misses("Nothing of it is shown");
    }
    desk.go("clusters");
    desk.until("[...document.querySelectorAll('li.card')].some(card => card.textContent.includes('beta') && /down|degraded/.test(card.textContent))");
    world.links[2].set(Line::Up);
    desk.go("events?q=cluster:beta");
    desk.page.until_within("desk.missing() === '' && desk.rows().length > 0", Duration::from_secs(40));
    desk.has_no_complaint_but(is_of_network);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_hangs_holds_up_nobody_and_is_named() {
    let world = World::with(&CLUSTERS, Path::new(""), &impatient()).await;
    world.links[1].set(Line::Silent);
    let mut desk = Desk::enter(&world, "events");
    // The others are there long before it has timed out.
    desk.until_rows("new Set(rows.map(row => row.Cluster)).size === 2");
    desk.misses("alpha is missing from this page");
    desk.misses("Nothing of it is shown");
    desk.until("!document.querySelector('.busy, [aria-busy=true]')");
    desk.go("entities?q=cluster:alpha");
    desk.shows("Nothing could be read from alpha");
    desk.go("");
    desk.until("desk.text(document.querySelector('main')).includes('local-cluster')");
    world.links[1].set(Line::Up);
    desk.go("events?q=cluster:alpha");
    desk.page.until_within("desk.missing() === '' && desk.rows().length > 0", Duration::from_secs(40));
    desk.has_no_complaint_but(is_of_network);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_cluster_comes_later_and_is_not_called_missing() {
    let world = world().await;
    world.links[1].set(Line::Slow(Duration::from_millis(300)));
    let mut desk = Desk::enter(&world, "events");
    desk.until_rows("rows.some(row => row.Cluster === 'beta')");
    desk.until_rows("rows.some(row => row.Cluster === 'alpha')");
    desk.read();
    desk.misses_nothing();
    desk.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_answers_with_errors_is_named_with_its_cause() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "events");
    desk.read();
    world.sensus[1].faults().set_status(Some(500));
    desk.click("Read now");
    desk.misses("alpha is missing from this page");
    desk.misses("an error of its own");
    world.sensus[1].faults().set_status(None);
    desk.click("Read now");
    desk.misses_nothing();
    world.sensus[1].faults().set_body(Some("[{\"not\": ".into()));
    desk.click("Read now");
    desk.misses("alpha is missing from this page");
    world.sensus[1].faults().set_body(None);
    desk.click("Read now");
    desk.misses_nothing();
    desk.has_no_complaint_but(is_of_network);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_away_leaves_the_page_which_goes_on_when_it_is_back() {
    let mut world = world().await;
    let mut desk = Desk::enter(&world, "events?q=status:incident");
    desk.read();
    desk.keys("j x");
    world.stop_gateway().await;
    desk.click("Read now");
    desk.misses("The gateway does not answer");
    desk.misses("What is shown is from before");
    desk.until_rows("rows.length > 1 && rows.some(row => row.selected)");
    // What cannot be done is said, and nothing is lost.
    desk.keys("r");
    desk.hears("1 of 1 failed");
    desk.go("clusters");
    desk.misses("The gateway does not answer");
    desk.go("events?q=status:incident");
    world.start_gateway().await;
    desk.click("Read now");
    desk.misses_nothing();
    desk.read();
    desk.until("document.body.classList.contains('inside') && !document.querySelector('dialog[open]')");
    desk.has_no_complaint_but(is_of_network);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_one_object_says_when_it_cannot_be_read() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "events?q=check:cpu+cluster:alpha");
    desk.read();
    desk.keys("Enter");
    desk.until("document.querySelector('pre')");
    world.links[1].set(Line::Cut);
    desk.click("Read now");
    desk.shows("What is shown may be old");
    desk.misses("alpha is missing");
    desk.reload();
    desk.shows("It cannot be read");
    desk.until("desk.button('Try again')");
    world.links[1].set(Line::Up);
    desk.page.until_within(
        "desk.click('Try again'); return document.querySelector('pre')",
        Duration::from_secs(40),
    );
    desk.go("event?ns=default@alpha&entity=nobody&check=none&cluster=alpha");
    desk.shows("There is no such event");
    desk.go("nowhere");
    desk.shows("There is no such page");
    desk.has_no_complaint_but(is_of_network);
}
