//! A user who may see everything and change nothing, in every cluster alike.

use serde_json::{Value, json};

use super::{
    tour::{every_page, only_of},
    user::{CLUSTERS, User, VISIBLE, namespace},
};

pub(super) fn viewer(user: &mut User) {
    user.open("/signin");
    user.renew();
    user.seed();
    for cluster in CLUSTERS {
        let account = json!({"username": "ui-viewer", "password": "P@ssw0rd!", "groups": ["ui-viewers"]});
        let binding = json!({
            "metadata": {"name": "ui-viewers"}, "role_ref": {"type": "ClusterRole", "name": "view"},
            "subjects": [{"type": "Group", "name": "ui-viewers"}],
        });
        user.put_raw(cluster, "users/ui-viewer", &account);
        user.put_raw(cluster, "clusterrolebindings/ui-viewers", &binding);
    }
    user.name = "ui-viewer";
    user.step("sign in as a viewer", User::sign_in);
    for cluster in CLUSTERS {
        for (path, text) in every_page(cluster) {
            user.step(&format!("viewer: {cluster} {path}"), |user| {
                user.open(&format!("/n/{}/{path}", namespace(cluster)));
                user.shows(&text);
                only_of(user, cluster);
            });
        }
    }
    user.step("viewer: the switcher has all namespaces", |user| {
        user.browser.eval("document.querySelector('ul > li > button').click()");
        for cluster in CLUSTERS {
            user.shows(namespace(cluster));
        }
    });
    for (page, shown, press) in [
        ("checks/ui-check", "ui-command", &["Execute"][..]),
        ("checks/ui-check", "ui-command", &["Unpublish"]),
        ("events/ui-web/ui-check", "ui-output", &["Silence", "Create"]),
        ("events/ui-web/ui-check", "ui-output", &["Resolve"]),
        ("events/ui-web/ui-check", "ui-output", &["Delete", "Delete"]),
        ("entities/ui-web", "ui-site", &["Delete", "Delete"]),
    ] {
        user.step(&format!("viewer: {} of {page} is refused", press[0]), |user| {
            let messages = CLUSTERS.map(|cluster| refused(user, cluster, page, shown, press));
            println!("      {:?}", messages[0]);
            assert!(!messages[0].is_empty());
            assert!(messages.iter().all(|other| *other == messages[0]), "{messages:#?}");
        });
    }
    user.renew();
    user.step("viewer: nothing was changed", |user| {
        for cluster in CLUSTERS {
            assert_eq!(user.get(cluster, "checks/ui-check")["publish"], true);
            assert_eq!(user.get(cluster, "events/ui-web/ui-check")["check"]["status"], 2);
            assert_ne!(user.get(cluster, "entities/ui-web"), Value::Null);
            assert_eq!(user.get(cluster, "silenced/entity:ui-web:ui-check"), Value::Null);
        }
    });
}

/// What the page says when something is not allowed, without the cluster's name.
fn refused(user: &mut User, cluster: &str, page: &str, shown: &str, press: &[&str]) -> Vec<String> {
    user.open(&format!("/n/{}/{page}", namespace(cluster)));
    user.shows(shown);
    let line = "line => /unauthorized|fail|error|done|executing|resolving|denied|not allowed/i.test(line)";
    let lines = format!("document.body.innerText.split('\\n').map(l => l.trim()).filter({line})");
    let before = user.browser.eval(&lines);
    match press {
        [first, second] => {
            user.press(first);
            user.press_in_dialog(second);
        }
        _ => user.press(press[0]),
    }
    let same = format!("{VISIBLE}; return JSON.stringify({lines}) !== {}", json!(before.to_string()));
    user.browser.until(&same);
    user.browser.eval("new Promise(done => setTimeout(done, 1500))");
    let after = user.browser.eval(&lines);
    let messages: Vec<String> = serde_json::from_value(after).unwrap();
    user.open("/n/default/handlers");
    user.shows("ui-notify");
    let mut messages: Vec<String> =
        messages.iter().map(|line| line.replace(&format!("@{cluster}"), "")).collect();
    messages.dedup();
    messages
}
