//! The console, as a user sees it.

use std::path::Path;

use serde_json::{Value, json};

use crate::{chromium::Chromium, link::Line, world::World};

async fn world() -> World {
    World::start(Path::new("")).await
}

/// Opens a page of the console and logs in.
fn enter(browser: &mut Chromium, world: &World, page: &str) {
    browser.open(&format!("{}/console/{page}", world.url));
    log_in(browser, "P@ssw0rd!");
    browser.until("document.body.classList.contains('inside')");
}

fn log_in(browser: &mut Chromium, password: &str) {
    browser.until("document.querySelector('input[name=username]')");
    browser.eval(&format!(
        "document.querySelector('input[name=username]').value = 'admin'; \
         document.querySelector('input[name=password]').value = {password:?}; \
         document.querySelector('input[name=password]').form.requestSubmit()"
    ));
}

fn go(browser: &mut Chromium, page: &str) {
    browser.eval(&format!(
        "history.pushState(null, '', '/console/{page}'); dispatchEvent(new Event('navigated'))"
    ));
}

fn press(browser: &mut Chromium, keys: &str) {
    for key in keys.split(' ') {
        browser.eval(&format!(
            "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {{key: {key:?}, bubbles: true}}))"
        ));
    }
}

fn click(browser: &mut Chromium, text: &str) {
    let find = format!(
        "[...document.querySelectorAll('button, a')].findLast(e => e.textContent.trim() === {text:?} && !e.disabled)"
    );
    browser.until(&find);
    browser.eval(&format!("{find}.click()"));
}

/// The answer to a request of the logged-in user, made beside the page.
fn get(browser: &mut Chromium, path: &str) -> Value {
    browser.eval(&format!(
        "fetch({path:?}, {{headers: {{Authorization: 'Bearer ' + \
         JSON.parse(sessionStorage.getItem('fedgate-console-session')).access_token}}}}).then(r => r.json())"
    ))
}

const READ: &str = "return document.querySelector('.summary')?.textContent.includes(' event') && \
                    !document.querySelector('.summary').textContent.includes('reading') && \
                    document.querySelectorAll('.rows .badge').length > 0";

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_without_a_web_ui_leads_to_the_console_which_shows_every_cluster() {
    let world = world().await;
    let mut browser = Chromium::start();
    browser.open(&world.url);
    assert_eq!(browser.eval("location.pathname"), "/console/");
    log_in(&mut browser, "wrong");
    browser
        .until("document.querySelector('.form-error').textContent.includes('wrong user name or password')");
    log_in(&mut browser, "P@ssw0rd!");
    browser.until(
        "const names = [...document.querySelectorAll('.card h3')].map(e => e.textContent).join(); \
         return names === 'local-cluster,alpha,beta'",
    );
    browser.until("[...document.querySelectorAll('.card .bar')].every(bar => /[1-9]/.test(bar.ariaLabel))");
    browser.until("document.querySelectorAll('.panel ol li').length > 0");
    // A refused password is an answer, and the only one that the browser may complain of.
    let complaints = browser.complaints();
    assert!(complaints.iter().all(|text| text.contains("401") && text.ends_with("/auth")), "{complaints:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_is_in_its_address_and_survives_a_reload() {
    let world = world().await;
    let mut browser = Chromium::start();
    enter(&mut browser, &world, "events?q=cluster:alpha&group=entity&sort=check");
    browser.until(READ);
    let shown = "[...document.querySelectorAll('.rows .c-cluster')].every(e => e.textContent === 'alpha')";
    browser.until(shown);
    browser.until("document.querySelector('.row.group')");
    browser.reload();
    browser.until(READ);
    browser.until(shown);
    assert_eq!(browser.eval("document.querySelector('input.filter').value"), "cluster:alpha");
    browser.until("document.querySelector('[role=columnheader].c-check').ariaSort === 'ascending'");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_is_completed_from_what_the_clusters_have() {
    let world = world().await;
    let mut browser = Chromium::start();
    enter(&mut browser, &world, "events");
    browser.until(READ);
    press(&mut browser, "/");
    browser.call("Input.insertText", json!({"text": "clus"}));
    browser.until("document.querySelector('.complete li')?.textContent === 'cluster:'");
    press(&mut browser, "ArrowDown Enter");
    browser.until("document.querySelectorAll('.complete li').length === 3");
    browser.call("Input.insertText", json!({"text": "be"}));
    browser.until("document.querySelector('.complete li')?.textContent.startsWith('beta')");
    press(&mut browser, "ArrowDown Enter");
    browser.until("new URLSearchParams(location.search).get('q') === 'cluster:beta'");
    browser.until("[...document.querySelectorAll('.rows .c-cluster')].every(e => e.textContent === 'beta')");
    browser.call("Input.insertText", json!({"text": "nonsense:1"}));
    browser.until("document.querySelector('.field-error').textContent.includes('there is no nonsense:')");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_several_clusters_are_silenced_at_once_and_cleared_again() {
    let world = world().await;
    let mut browser = Chromium::start();
    // The same event in each cluster: they have the same data.
    enter(&mut browser, &world, "events?q=check:cpu+silenced:no&sort=entity");
    browser.until(READ);
    press(&mut browser, "x j x j x s");
    browser.until("document.querySelector('dialog[open] h2')?.textContent.startsWith('Silence 3 events')");
    browser.eval("document.querySelector('dialog input[type=text]').value = 'console test'");
    browser.eval("document.querySelector('dialog form').requestSubmit()");
    browser.until("document.querySelector('.toast.ok')?.textContent.includes('3 done')");
    let silences = get(&mut browser, "/api/core/v2/silenced");
    let ours: Vec<&Value> =
        silences.as_array().unwrap().iter().filter(|item| item["reason"] == "console test").collect();
    assert_eq!(ours.len(), 3, "{silences}");
    assert!(ours.iter().all(|item| item["check"] == "cpu" && item["expire"] == 3600), "{ours:?}");

    go(&mut browser, "silences?q=reason:\"console test\"");
    browser.until("document.querySelectorAll('.rows .row').length === 3");
    press(&mut browser, "a");
    click(&mut browser, "Clear");
    browser.until("document.querySelector('dialog[open]')");
    browser.eval("document.querySelector('dialog form').requestSubmit()");
    browser.until("document.querySelector('.empty')?.textContent.includes('None of the')");
    let silences = get(&mut browser, "/api/core/v2/silenced");
    assert!(silences.as_array().unwrap().iter().all(|item| item["reason"] != "console test"), "{silences}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_away_is_named_and_its_rows_stay() {
    let world = world().await;
    let mut browser = Chromium::start();
    enter(&mut browser, &world, "events?q=cluster:beta");
    browser.until(READ);
    world.links[2].set(Line::Cut);
    click(&mut browser, "Read now");
    browser.until(
        "return document.querySelector('.banner:not([hidden])')?.textContent.includes('beta is missing from this page') && \
         document.querySelector('.banner').textContent.includes('What is shown of it is from')",
    );
    assert!(browser.eval("document.querySelectorAll('.rows .badge').length").as_u64().unwrap() > 0);
    // Who comes now sees no rows of it, and reads why.
    browser.reload();
    browser.until("document.querySelector('.empty:not([hidden])')?.textContent.includes('Nothing could be read from beta')");
    go(&mut browser, "");
    browser.until("document.querySelector('.card.down .card-error, .card.degraded .card-error')");
    world.links[2].set(Line::Up);
    browser.until_within("document.querySelector('.banner').hidden", std::time::Duration::from_secs(60));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_keeps_the_page_and_asks_again() {
    let world = world().await;
    let mut browser = Chromium::start();
    enter(&mut browser, &world, "events?q=status:critical");
    browser.until(READ);
    // The cluster forgets the refresh token, and the console's access token is at its end.
    browser.eval(
        "const kept = JSON.parse(sessionStorage.getItem('fedgate-console-session')); \
         fetch('/auth/logout', {method: 'POST', headers: {'Content-Type': 'application/json', \
         Authorization: 'Bearer ' + kept.access_token}, body: JSON.stringify({refresh_token: kept.refresh_token})}) \
         .then(r => { kept.expires_at = 1; sessionStorage.setItem('fedgate-console-session', JSON.stringify(kept)); return r.status; })",
    );
    browser.reload();
    browser.until("document.querySelector('dialog[open] h2')?.textContent === 'Your session has ended'");
    assert_eq!(browser.eval("location.search"), "?q=status:critical");
    log_in(&mut browser, "P@ssw0rd!");
    browser.until("!document.querySelector('dialog[open]')");
    browser.until(READ);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clusters_send_is_text() {
    let world = world().await;
    let mut browser = Chromium::start();
    enter(&mut browser, &world, "events");
    browser.until(READ);
    let evil = "<img src=x onerror=\"window.ran=1\">\u{202e}\u{1b}[31mred\u{1b}[0m";
    let event = json!({
        "metadata": {"namespace": "default@alpha"},
        "entity": {"entity_class": "proxy", "metadata": {"name": "evil", "namespace": "default@alpha",
            "labels": {"evil": evil}, "annotations": {"bad": "javascript:window.ran=1", "good": "https://example.com/<b>"}}},
        "check": {"status": 2, "output": evil.repeat(3000), "interval": 60,
            "metadata": {"name": "evil", "namespace": "default@alpha", "labels": {"team": evil}}},
    });
    let status = browser.eval(&format!(
        "fetch('/api/core/v2/namespaces/default@alpha/events/evil/evil', {{method: 'PUT', headers: {{'Content-Type': 'application/json', \
         Authorization: 'Bearer ' + JSON.parse(sessionStorage.getItem('fedgate-console-session')).access_token}}, \
         body: {:?}}}).then(r => r.status)",
        event.to_string()
    ));
    assert_eq!(status, 201);
    click(&mut browser, "Read now");
    go(&mut browser, "events?q=check:evil&columns=status,entity,output,owner,labels");
    browser.until("document.querySelector('.rows .c-output')?.textContent.startsWith('<img src=x')");
    browser.until("document.querySelector('.rows .c-output').textContent.includes('⟨202E⟩red')");
    press(&mut browser, "Enter");
    browser.until("document.querySelector('pre.output')?.textContent.includes('<img src=x')");
    browser.until("[...document.querySelectorAll('button')].some(e => e.textContent.startsWith('Show all'))");
    assert_eq!(browser.eval("window.ran === undefined"), true);
    let links = browser.eval("[...document.querySelectorAll('main a[target]')].map(a => [a.href, a.rel])");
    assert_eq!(links, json!([["https://example.com/%3Cb%3E", "noopener noreferrer"]]));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_out_leaves_nothing_behind() {
    let world = world().await;
    let mut browser = Chromium::start();
    enter(&mut browser, &world, "events");
    browser.until(READ);
    browser.eval("document.querySelector('.who').click()");
    click(&mut browser, "Log out");
    browser.until("document.querySelector('input[name=username]')");
    assert_eq!(browser.eval("sessionStorage.length"), 0);
    assert_eq!(browser.eval("document.querySelectorAll('.rows .row').length"), 0);
    browser.reload();
    browser.until("document.querySelector('input[name=username]')");
}
