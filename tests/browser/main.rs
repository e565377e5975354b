//! The gateway in a real browser: headless Chromium, driven by the tests.
//!
//! The pages are served by a complete gateway over TCP, in front of three simulated clusters, as its web UI. They are ones
//! of ours (`tests/data/web-ui`) that send what Sensu's web UI sends, and are loaded and held to the same policies. The
//! console is the gateway's own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod chromium;
mod console;
mod link;
mod page;
mod ui;
mod world;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use self::{page::Page, world::World};

fn pages() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/web-ui")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_url_of_a_page_can_be_opened_and_reloaded() {
    let world = World::start(&pages()).await;
    let mut browser = Page::new();
    for path in [
        "/",
        "/signin?redirect-to=%2Fn%2Fdefault",
        "/n/default@alpha/events",
        "/n/default%40alpha/entities/web.example.com",
    ] {
        browser.open(&format!("{}{path}", world.url));
        let shown = browser.eval("document.getElementById('root').textContent");
        let wanted = path.split('?').next().unwrap().replace("%40", "@");
        assert_eq!(shown, format!("page {wanted}"));
        browser.reload();
        assert_eq!(browser.eval("document.getElementById('root').textContent"), shown);
    }
    // As the UI does: the URL changes without a request, and is requested later.
    browser.eval("history.pushState({}, '', '/n/default@beta/checks/cpu')");
    browser.reload();
    assert_eq!(
        browser.eval("document.getElementById('root').textContent"),
        "page /n/default@beta/checks/cpu"
    );
    // Another program's request for the same URL is no page.
    let status = browser.eval("fetch(location.pathname).then(response => response.status)");
    assert_eq!(status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_a_hash_in_its_name_is_asked_for_once() {
    let world = World::start(&pages()).await;
    let mut browser = Page::new();
    let mut sent = |path: &str| {
        browser.open(&format!("{}{path}", world.url));
        browser
            .eval("performance.getEntriesByName(document.scripts[1].src)[0].transferSize")
            .as_u64()
            .unwrap()
    };
    assert!(sent("/") > 0);
    assert_eq!(sent("/n/default/events"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_can_do_what_the_ui_does_and_no_more() {
    let world = World::start(&pages()).await;
    let mut browser = Page::new();
    browser.open(&format!("{}/n/default/events", world.url));
    let try_fetch = |url: &str| format!("fetch({url:?}).then(response => response.status, () => 'refused')");
    // The UI writes its styles into the page.
    assert_eq!(browser.eval("getComputedStyle(document.getElementById('root')).color"), "rgb(1, 2, 3)");
    assert_eq!(browser.eval(&try_fetch("/readyz")), 200);
    assert_eq!(browser.eval("window.inlineScriptRan === undefined"), true);
    let elsewhere = world.url.replace("localhost", "127.0.0.1");
    assert_eq!(browser.eval(&try_fetch(&format!("{elsewhere}/readyz"))), "refused");
    let script = "new Promise(done => { const script = document.createElement('script'); \
                  script.src = SRC; script.onload = () => done('ran'); script.onerror = () => done('refused'); \
                  document.body.append(script); })";
    for source in [
        "'data:text/javascript,1'",
        "URL.createObjectURL(new Blob(['1']))",
        &format!("'{elsewhere}/static/js/client_0a1b.js'"),
    ] {
        assert_eq!(browser.eval(&script.replace("SRC", source)), "refused", "{source}");
    }
    let framed = browser.eval(
        "new Promise(done => { const frame = document.createElement('iframe'); frame.src = '/'; \
         frame.onload = () => done(frame.contentDocument ? 'shown' : 'refused'); document.body.append(frame); })",
    );
    assert_eq!(framed, "refused");
    let complaints = browser.complaints();
    assert!(complaints.iter().any(|text| text.contains("Content Security Policy")), "{complaints:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_signs_in_stays_signed_in_and_signs_out() {
    let world = World::start(&pages()).await;
    let mut browser = Page::new();
    browser.open(&format!("{}/signin", world.url));
    let wrong = browser.eval("client.signIn('admin', 'wrong').then(() => 'in', error => error.message)");
    assert!(wrong.as_str().unwrap().ends_with("/auth: 401"), "{wrong}");
    // A 401 without a challenge: else the browser would ask for a password by itself, before any script.
    let first = browser.eval("client.signIn('admin', 'P@ssw0rd!')");
    assert_eq!(browser.eval("client.claims().sub"), "admin");
    assert!(browser.eval("client.claims().groups").as_array().unwrap().contains(&json!("cluster-admins")));
    // Where the UI will refresh: the same origin.
    assert_eq!(browser.eval("new URL(client.claims().iss).host === location.host"), true);

    let second = browser.eval("client.refresh()");
    assert_ne!(second["access_token"], first["access_token"]);
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    // Two at once are one.
    let twice = browser.eval("Promise.all([client.refresh(), client.refresh()])");
    assert_eq!(twice[0], twice[1]);
    browser.reload();
    assert_eq!(browser.eval("client.stored().access_token"), twice[0]["access_token"]);

    let last: Value = twice[0].clone();
    assert_eq!(browser.eval("client.signOut()"), 200);
    let refused =
        browser.eval(&format!("client.store({last}), client.refresh().catch(error => error.message)"));
    assert!(refused.as_str().unwrap().ends_with("/auth/token: 401"), "{refused}");
}
