//! What a user sees of a cluster that is down or hung, and of the others meanwhile.

use std::time::{Duration, Instant};

use super::user::{CLUSTERS, User, namespace};
use crate::{link::Line, world::World};

pub(super) fn outages(user: &mut User, world: &World) {
    if let [_, alpha, _] = world.sensus.as_slice() {
        one_outage(user, "an answer of 503", &|is_on| alpha.faults().set_status(is_on.then_some(503)));
    }
    for (name, line) in [("down", Line::Cut), ("hung", Line::Silent)] {
        one_outage(user, name, &|is_on| world.links[1].set(if is_on { line } else { Line::Up }));
    }
}

fn one_outage(user: &mut User, name: &str, set: &dyn Fn(bool)) {
    user.renew();
    user.step(&format!("{name}: the page keeps what it shows"), |user| {
        user.open("/n/default@alpha/checks");
        user.shows("ui-command of alpha");
        set(true);
        user.shows_eventually("You are offline");
        user.shows("ui-command of alpha");
    });
    user.step(&format!("{name}: the switcher opens and has all names"), |user| {
        user.browser.eval("document.querySelector('ul > li > button').click()");
        for cluster in CLUSTERS {
            user.shows(namespace(cluster));
        }
        user.press("default@beta");
        user.shows("ui-web › ui-check");
    });
    user.step(&format!("{name}: the others stay quick"), |user| {
        for cluster in ["beta", "local-cluster"] {
            for (path, text) in
                [("checks", format!("ui-command of {cluster}")), ("events", "ui-web ›".to_owned())]
            {
                let begun = Instant::now();
                user.open(&format!("/n/{}/{path}", namespace(cluster)));
                user.shows(&text);
                let took = begun.elapsed();
                assert!(took < QUICK, "{cluster} {path}: {took:?}");
            }
        }
    });
    user.step(&format!("{name}: a page opened meanwhile is loaded by the button"), |user| {
        user.open("/n/default@alpha/checks");
        user.shows_eventually("You are offline");
        user.is_well("a page opened meanwhile");
        set(false);
        user.reconnect();
        user.shows("ui-command of alpha");
    });
    user.step(&format!("{name}: a page that was open continues after the button"), |user| {
        set(true);
        user.shows_eventually("You are offline");
        set(false);
        user.reconnect();
        user.shows("ui-command of alpha");
    });
    user.step(&format!("{name}: a page continues once another cluster has answered"), |user| {
        // Each press of the button without success leaves a query that the UI repeats until it is reloaded.
        user.open("/n/default@alpha/checks");
        user.shows("ui-command of alpha");
        set(true);
        user.shows_eventually("You are offline");
        user.browser.eval("document.querySelector('ul > li > button').click()");
        user.press("default@beta");
        user.shows("ui-web › ui-check");
        user.browser.until("!document.body.innerText.includes('You are offline')");
        set(false);
    });
}

/// About ten times what a page takes on an idle machine.
const QUICK: Duration = Duration::from_secs(5);
