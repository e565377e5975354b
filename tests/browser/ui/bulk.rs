//! What is done in lists: filters, order and pages by their menus, and actions on several rows at once.

use serde_json::{Value, json};

use super::user::{User, VISIBLE, namespace};

pub(super) fn bulk(user: &mut User, cluster: &'static str) {
    user.renew();
    user.seed();
    let home = namespace(cluster);
    second_event(user, cluster);
    menus(user, cluster, home);
    user.step(&format!("{cluster} events at once"), |user| {
        let both = ["silenced/entity:ui-web:ui-check", "silenced/entity:ui-web:ui-other"];
        user.open(&format!("/n/{home}/events?filters=entity%3Aui-web"));
        select(user, &["ui-web › ui-check", "ui-web › ui-other"]);
        user.press("Re-run");
        user.shows("xecuting");
        select(user, &["ui-web › ui-check", "ui-web › ui-other"]);
        user.press("Silence");
        user.press_in_dialog("Create");
        for path in both {
            user.exists(cluster, path);
        }
        user.open(&format!("/n/{home}/events?filters=entity%3Aui-web"));
        select(user, &["ui-web › ui-check", "ui-web › ui-other"]);
        user.press("Clear silence");
        user.shows("Clear Silencing Entries");
        user.press_in_dialog("Clear");
        for path in both {
            user.eventually(cluster, path, "", &Value::Null);
        }
        user.open(&format!("/n/{home}/events?filters=entity%3Aui-web"));
        select(user, &["ui-web › ui-check", "ui-web › ui-other"]);
        user.press("Resolve");
        let events = ["events/ui-web/ui-check", "events/ui-web/ui-other"];
        for path in events {
            user.eventually(cluster, path, "/check/status", &json!(0));
        }
        select(user, &["ui-web › ui-check", "ui-web › ui-other"]);
        user.press("Delete");
        user.press_in_dialog("Delete");
        for path in events {
            user.eventually(cluster, path, "", &Value::Null);
        }
    });
    user.step(&format!("{cluster} checks at once"), |user| {
        user.open(&format!("/n/{home}/checks"));
        select(user, &["ui-check"]);
        user.press("Execute");
        user.shows("xecuting");
        select(user, &["ui-check"]);
        user.press("Unpublish");
        user.eventually(cluster, "checks/ui-check", "/publish", &json!(false));
        select(user, &["ui-check"]);
        user.press("Publish");
        user.eventually(cluster, "checks/ui-check", "/publish", &json!(true));
    });
    user.step(&format!("{cluster} entities and silences at once"), |user| {
        user.open(&format!("/n/{home}/entities"));
        select(user, &["ui-web"]);
        user.press("Silence");
        user.press_in_dialog("Create");
        user.exists(cluster, "silenced/entity:ui-web:*");
        user.open(&format!("/n/{home}/silences"));
        select(user, &["entity:ui-web:*", "linux:ui-silenced"]);
        user.press("Clear silence");
        user.shows("Clear Silencing Entries");
        user.press_in_dialog("Clear");
        user.eventually(cluster, "silenced/entity:ui-web:*", "", &Value::Null);
        user.eventually(cluster, "silenced/linux:ui-silenced", "", &Value::Null);
    });
    user.step(&format!("{cluster} a silence of one's own"), |user| {
        user.open(&format!("/n/{home}/silences"));
        user.press("New");
        user.browser.until(
            "const field = document.querySelector('#silenced-check'); field.focus(); \
             if (document.activeElement === field) return true; \
             [...document.querySelectorAll('[role=dialog] [role=button]')].find(e => e.innerText.startsWith('Check')).click(); \
             return false",
        );
        user.browser.call("Input.insertText", json!({"text": "ui-own"}));
        user.press_in_dialog("Create");
        user.exists(cluster, "silenced/*:ui-own");
        user.shows("ui-own");
        user.open(&format!("/n/{home}/silences"));
        select(user, &["ui-own"]);
        user.press("Clear silence");
        user.press_in_dialog("Clear");
        user.eventually(cluster, "silenced/*:ui-own", "", &Value::Null);
    });
    user.seed();
}

fn second_event(user: &mut User, cluster: &str) {
    let home = namespace(cluster);
    let event = json!({
        "metadata": {"namespace": home},
        "entity": {"entity_class": "proxy", "metadata": {"name": "ui-web", "namespace": home}},
        "check": {"metadata": {"name": "ui-other", "namespace": home}, "interval": 60, "status": 1, "state": "failing"},
    });
    user.put(cluster, "events/ui-web/ui-other", &event);
}

fn menus(user: &mut User, cluster: &str, home: &str) {
    user.step(&format!("{cluster} filter by suggestion"), |user| {
        user.open(&format!("/n/{home}/events"));
        user.shows("ui-web › ui-other");
        user.press("Entity");
        user.browser.until("const field = document.querySelector('input[placeholder=\"filter entities\"]'); field.focus(); return document.activeElement === field");
        user.browser.call("Input.insertText", json!({"text": "ui-"}));
        user.browser.until(&format!("{VISIBLE}; const hit = all('[role=option]').find(e => e.innerText.trim() === 'ui-web'); hit.click(); return true"));
        user.browser.until("decodeURIComponent(location.search).includes('entity:ui-web')");
        user.shows("1-2 of 2");
    });
    user.step(&format!("{cluster} pages and order"), |user| {
        user.open(&format!("/n/{home}/events?limit=1&filters=entity%3Aui-web&order=NEWEST"));
        user.shows("1-1 of 2");
        user.press("Next page");
        user.shows("2-2 of 2");
        user.press("Previous page");
        user.shows("1-1 of 2");
        user.open(&format!("/n/{home}/silences"));
        user.shows("linux:ui-silenced");
        user.press("Sort");
        user.press("Start Date");
        user.browser.until("location.search.includes('order=BEGIN')");
        user.shows("linux:ui-silenced");
    });
}

/// Selects the rows with these texts, and no others.
#[track_caller]
fn select(user: &mut User, texts: &[&str]) {
    let texts = json!(texts);
    user.browser.until(&format!(
        "{VISIBLE}; const texts = {texts}; let right = true; \
         const found = texts.map(text => all('tr').find(row => row.innerText.includes(text))); \
         if (found.includes(undefined)) return false; \
         for (const row of all('tr')) {{ const box = row.querySelector('input[type=checkbox]'); \
         if (box && box.checked !== found.includes(row)) {{ box.click(); right = false; }} }} \
         return right && document.body.innerText.includes(texts.length + ' Selected')"
    ));
}
