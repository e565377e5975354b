//! A screen on a wall, a tab in the background, dark and light.

use serde_json::json;

use super::{Desk, event, put_event, world};

#[tokio::test(flavor = "multi_thread")]
async fn kiosk_mode_shows_the_content_alone_until_escape() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "events?q=status:incident&kiosk=1");
    desk.read();
    desk.until("desk.all('nav, header.top, footer').length === 0");
    assert_eq!(desk.see("document.documentElement.scrollWidth <= innerWidth"), true);
    desk.keys("Escape");
    desk.until("desk.all('nav').length === 1 && !new URLSearchParams(location.search).has('kiosk')");
    assert_eq!(desk.see("new URLSearchParams(location.search).get('q')"), "status:incident");
    desk.open_user_menu();
    desk.click("Kiosk mode");
    desk.until("desk.all('nav').length === 0");
    desk.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tab_has_the_count_and_new_criticals_are_told_and_heard() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "checks");
    desk.read();
    let events = desk.get("/api/core/v2/events");
    let counts = |event: &&serde_json::Value| {
        event["check"]["status"] == 2 && event["check"]["silenced"].as_array().is_none_or(Vec::is_empty)
    };
    let critical = events.as_array().unwrap().iter().filter(counts).count();
    let icon = "decodeURIComponent(document.querySelector('link[rel=icon]').href)";
    desk.until(&format!(
        "document.title.startsWith('({critical}) Checks') && {icon}.includes('>{critical}<')"
    ));

    desk.page.call_browser("Browser.grantPermissions", json!({"permissions": ["notifications"]}));
    desk.see(
        "window.told = []; window.heard = 0; \
         window.Notification = class extends Notification { constructor(title, options) { super(title, options); told.push(`${title}: ${options.body}`); } }; \
         window.AudioContext = class extends AudioContext { constructor() { super(); heard += 1; } }; 1",
    );
    desk.open_user_menu();
    desk.click("Notifications and sound");
    desk.until("localStorage.getItem('fedgate-console-notify') === 'true'");
    put_event(&world, 1, &event("default", "web-9", "pay", 2, "card terminal is gone"));
    desk.click("Read now");
    desk.until("told.length === 1 && heard === 1");
    assert_eq!(desk.see("told[0]"), "web-9 / pay is critical: alpha: card terminal is gone");
    desk.until(&format!("document.title.startsWith('({})')", critical + 1));
    // The same is not told twice, and what is silenced not at all.
    let mut quiet = event("default", "web-8", "pay", 2, "gone, too");
    quiet["check"]["silenced"] = json!(["entity:web-8:*"]);
    put_event(&world, 1, &quiet);
    put_event(&world, 1, &event("default", "web-7", "pay", 1, "worse"));
    desk.click("Read now");
    desk.go("events?q=entity:web-7");
    desk.until_rows("rows[0].Entity === 'web-7'");
    assert_eq!(desk.see("told.length"), 1);
    desk.is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_follow_the_system_or_the_choice_which_is_kept() {
    let world = world().await;
    let mut desk = Desk::enter(&world, "events");
    desk.read();
    let brightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((a, b) => +a + +b)";
    for (scheme, is_dark) in [("dark", true), ("light", false)] {
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        desk.page.call("Emulation.setEmulatedMedia", media);
        desk.until(&format!("({brightness} < 200) === {is_dark}"));
    }
    desk.open_user_menu();
    desk.click("Dark");
    desk.until(&format!("{brightness} < 200"));
    desk.reload();
    desk.read();
    desk.until(&format!("{brightness} < 200"));
    desk.open_user_menu();
    desk.click("Colours of the system");
    desk.until(&format!("{brightness} > 600"));
    desk.is_well();
}
