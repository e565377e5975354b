//! Every page of every cluster, and everything that can be done there.

use serde_json::{Value, json};

use super::user::{CLUSTERS, User, VISIBLE, check, namespace};

pub(super) fn tour(user: &mut User, cluster: &'static str) {
    let home = namespace(cluster);
    user.step(&format!("switch to {cluster}"), |user| {
        user.browser.eval("document.querySelector('ul > li > button').click()");
        user.browser.until("document.querySelector('input[aria-label=\"Search Namespaces\"]')");
        for cluster in CLUSTERS {
            user.shows(namespace(cluster));
        }
        user.press(home);
        user.browser.until(&format!("location.pathname.startsWith('/n/{home}')"));
        user.shows("ui-web › ui-check");
    });
    pages(user, cluster);
    actions(user, cluster);
}

pub(super) fn pages(user: &mut User, cluster: &'static str) {
    let home = namespace(cluster);
    for (path, text) in every_page(cluster) {
        user.step(&format!("{cluster} {path}"), |user| {
            user.open(&format!("/n/{home}/{path}"));
            user.shows(&text);
            only_of(user, cluster);
        });
    }
    user.step(&format!("{cluster} is confirmed after its page"), |user| {
        user.browser.call("Fetch.enable", json!({"patterns": [{"urlPattern": "*/graphql"}]}));
        user.open(&format!("/n/{home}/checks"));
        let mut late = Value::Null;
        for _ in 0..2 {
            let paused = user.browser.event("Fetch.requestPaused");
            if paused["request"]["postData"].as_str().unwrap().contains("NamespaceRouteQuery") {
                late = paused["requestId"].clone();
            } else {
                user.browser.call("Fetch.continueRequest", json!({"requestId": paused["requestId"]}));
            }
        }
        user.browser.eval("new Promise(done => setTimeout(done, 1000))");
        user.browser.call("Fetch.continueRequest", json!({"requestId": late}));
        user.browser.call("Fetch.disable", json!({}));
        user.shows(&format!("ui-command of {cluster}"));
        user.browser.eval("new Promise(done => setTimeout(done, 500))");
    });
    user.step(&format!("{cluster} by links"), |user| {
        user.open(&format!("/n/{home}/events"));
        user.press("Entities");
        user.press("ui-web");
        user.shows(&format!("ui-site-{cluster}"));
        user.browser.until(&format!("location.pathname === '/n/{home}/entities/ui-web'"));
    });
    user.step(&format!("{cluster} refreshes by itself"), |user| {
        user.open(&format!("/n/{home}/checks/ui-check"));
        user.shows(&format!("ui-command of {cluster}"));
        let mut check = check(cluster);
        check["command"] = json!(format!("ui-command of {cluster} again"));
        user.put(cluster, "checks/ui-check", &check);
        user.shows(&format!("ui-command of {cluster} again"));
        user.put(cluster, "checks/ui-check", &self::check(cluster));
    });
}

/// Fails when the page shows anything of another cluster.
pub(super) fn only_of(user: &mut User, cluster: &str) {
    for other in CLUSTERS.into_iter().filter(|other| *other != cluster) {
        for mark in ["ui-command of", "ui-notify", "ui-mutate", "ui-output of"] {
            let shown = user.browser.eval(&format!("document.body.innerText.includes('{mark} {other}')"));
            assert_eq!(shown, false, "{mark} {other} in {cluster}");
        }
    }
}

/// Every page, and what it shows of a cluster.
pub(super) fn every_page(cluster: &str) -> [(&'static str, String); 17] {
    [
        ("events", "ui-web › ui-check".to_owned()),
        ("events?filters=entity%3Aui-web&filters=check%3Aui-check", "1-1 of 1".to_owned()),
        ("events?order=SEVERITY&limit=5&offset=0", "ui-web › ui-check".to_owned()),
        ("events?filters=status%3Apassing&order=NEWEST", "›".to_owned()),
        ("entities", "ui-web".to_owned()),
        ("entities?order=ID_DESC", "ui-web".to_owned()),
        ("checks", format!("ui-command of {cluster}")),
        ("silences", "linux:ui-silenced".to_owned()),
        ("handlers", format!("ui-notify {cluster}")),
        ("filters", "ui-filter".to_owned()),
        ("mutators", format!("ui-mutate {cluster}")),
        ("events/ui-web/ui-check", format!("ui-output of {cluster}")),
        ("entities/ui-web", format!("ui-site-{cluster}")),
        ("checks/ui-check", format!("ui-command of {cluster}")),
        ("handlers/ui-handler", format!("ui-notify {cluster}")),
        ("filters/ui-filter", format!("ui-hours-{cluster}")),
        ("mutators/ui-mutator", format!("ui-mutate {cluster}")),
    ]
}

fn actions(user: &mut User, cluster: &'static str) {
    user.renew();
    let home = namespace(cluster);
    let event = format!("/n/{home}/events/ui-web/ui-check");
    user.step(&format!("{cluster} execute, unpublish and publish"), |user| {
        user.open(&format!("/n/{home}/checks/ui-check"));
        // A button that is pressed before its record is loaded has no effect.
        user.shows(&format!("ui-command of {cluster}"));
        user.press("Execute");
        user.shows("executing");
        user.press("Unpublish");
        user.eventually(cluster, "checks/ui-check", "/publish", &json!(false));
        user.press("Publish");
        user.eventually(cluster, "checks/ui-check", "/publish", &json!(true));
    });
    user.step(&format!("{cluster} silence and clear"), |user| {
        user.open(&event);
        user.shows(&format!("ui-output of {cluster}"));
        user.press("Silence");
        user.press("Create");
        user.eventually(cluster, "silenced/entity:ui-web:ui-check", "/check", &json!("ui-check"));
        user.press("Clear silence");
        user.shows("Clear Silencing Entries");
        user.browser.until(&format!("{VISIBLE}; const box = all('[role=dialog] input[type=checkbox]')[0]; if (!box.checked) box.click(); return box.checked"));
        user.press("Clear");
        user.eventually(cluster, "silenced/entity:ui-web:ui-check", "", &Value::Null);
    });
    user.step(&format!("{cluster} resolve"), |user| {
        user.open(&event);
        user.shows(&format!("ui-output of {cluster}"));
        user.press("Resolve");
        user.eventually(cluster, "events/ui-web/ui-check", "/check/status", &json!(0));
    });
    user.step(&format!("{cluster} delete"), |user| {
        user.open(&event);
        user.shows("Resolved manually");
        user.press("Delete");
        user.press_in_dialog("Delete");
        user.eventually(cluster, "events/ui-web/ui-check", "", &Value::Null);
        user.open(&format!("/n/{home}/entities/ui-web"));
        user.shows(&format!("ui-site-{cluster}"));
        user.press("Delete");
        user.press_in_dialog("Delete");
        user.eventually(cluster, "entities/ui-web", "", &Value::Null);
    });
    user.step(&format!("{cluster} alone was changed"), |user| {
        // Each cluster is seeded again at the end, so all others are intact.
        for other in CLUSTERS.into_iter().filter(|other| *other != cluster) {
            assert_eq!(user.get(other, "events/ui-web/ui-check")["check"]["status"], 2, "{other}");
            assert_eq!(user.get(other, "checks/ui-check")["publish"], true, "{other}");
            assert_eq!(
                user.get(other, "entities/ui-web")["metadata"]["labels"]["site"],
                format!("ui-site-{other}")
            );
        }
        user.seed();
    });
}
