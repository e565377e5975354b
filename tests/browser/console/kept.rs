//! What the browser keeps for the console, and what somebody else has put in its place.

use serde_json::{Value, json};

use super::{Desk, is_of_network, world};

/// Everything that is kept, with what may not stand there although it is JSON.
const KEPT: [(&str, &str); 6] = [
    ("sessionStorage", "session"),
    ("localStorage", "theme"),
    ("localStorage", "notify"),
    ("localStorage", "columns-events"),
    ("localStorage", "views-events"),
    ("localStorage", "columns-silences"),
];

const FOREIGN: [&str; 20] = [
    "",
    "{",
    "undefined",
    "null",
    "true",
    "0",
    "1e999",
    "\"dark\"",
    "[]",
    "[null]",
    "[1, {}]",
    "[[\"status\"]]",
    "[\"no such column\"]",
    "[{\"name\": 1, \"search\": []}]",
    "[{\"name\": \"x\"}]",
    "{}",
    "{\"length\": 3}",
    "{\"access_token\": 1, \"refresh_token\": {}, \"expires_at\": \"soon\"}",
    "{\"access_token\": \"a\"}",
    "{\"__proto__\": {\"access_token\": \"a\"}}",
];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_stands_where_the_console_keeps_things_the_page_is_there() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "events");
    desk.read();
    let titles = desk.see("desk.titles().join()");
    let session = desk.see("sessionStorage.getItem('fedgate-console-session')");
    for foreign in FOREIGN {
        let keep = |place: &str, key: &str, value: &Value| {
            format!("{place}.setItem('fedgate-console-{key}', {value})")
        };
        for (place, key) in KEPT {
            desk.see(&keep(place, key, &json!(foreign)));
        }
        // Without a login that can be read, the page asks for one.
        let mut other = desk.beside("events");
        for (place, key) in KEPT {
            other.see(&keep(place, key, &json!(foreign)));
        }
        other.reload();
        other.until("desk.control('User name') || desk.rows().length > 0");
        drop(other);
        // With one, all is as if nothing had been kept.
        desk.see(&keep("sessionStorage", "session", &session));
        desk.reload();
        desk.read();
        assert_eq!(desk.see("desk.titles().join()"), titles, "{foreign}");
        desk.click("Views");
        desk.until("desk.button('Save this view…')");
        assert_eq!(desk.see("document.querySelectorAll('[role=menu] button').length"), 2, "{foreign}");
        desk.keys("Escape");
        desk.until("!document.querySelector('[role=menu]')");
        desk.open_user_menu();
        desk.click("Light");
        desk.until("document.documentElement.dataset.theme === 'light'");
        desk.go("silences");
        desk.read();
        desk.go("events");
    }
    desk.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_kept_and_worth_nothing_is_asked_for_again() {
    let world = world().await;
    let mut desk = Desk::new(&world);
    desk.open("events");
    desk.until("desk.control('User name')");
    let worthless = json!({"access_token": "a.b.c", "refresh_token": "d", "expires_at": 9_999_999_999_u64});
    let kept = json!(worthless.to_string());
    desk.see(&format!("sessionStorage.setItem('fedgate-console-session', {kept})"));
    desk.reload();
    desk.until("desk.title() === 'Your session has ended'");
    desk.fill("User name", "admin");
    desk.fill("Password", super::PASSWORD);
    desk.click("Log in");
    desk.closes();
    desk.read();
    desk.has_no_complaint_but(is_of_network);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_keeps_nothing_shows_the_console_and_says_so() {
    let world = world().await;
    let mut desk = Desk::new(&world);
    let source = "for (const name of ['localStorage', 'sessionStorage']) \
                  Object.defineProperty(window, name, {get() { throw new DOMException('no', 'SecurityError'); }})";
    desk.page.call("Page.addScriptToEvaluateOnNewDocument", json!({"source": source}));
    desk.open("events");
    desk.log_in("admin", super::PASSWORD);
    desk.read();
    desk.open_user_menu();
    desk.click("Dark");
    desk.until("document.documentElement.dataset.theme === 'dark'");
    desk.click("Columns");
    desk.click("Output");
    desk.keys("Escape");
    desk.hears("does not let the console keep settings");
    desk.is_well();
}
