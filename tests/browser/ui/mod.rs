//! Sensu's own web UI, unmodified, on three clusters. A build of it is not at hand everywhere, so this passes at once
//! when there is none. To run it:
//!
//! ```sh
//! export FEDGATE_TEST_WEB_UI=/path/to/web/build/app         # its index.html lies there
//! export FEDGATE_TEST_WEB_UI_SHOTS=/tmp/shots               # optional: a picture of each step, and why it failed
//! export FEDGATE_TEST_WEB_UI_URL=http://localhost:8080      # optional: a gateway that serves it, with remote clusters
//!                                                           # alpha and beta and the administrator admin / P@ssw0rd!
//! cargo test --test browser sensus_own -- --nocapture
//! ```

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use fedgate::sim::Sensu;
use serde_json::{Value, json};

use crate::{chromium::Chromium, world::World};

/// A user at the screen, and what went wrong so far.
struct User {
    browser: Chromium,
    url: String,
    token: String,
    shots: Option<PathBuf>,
    steps: usize,
    failures: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn sensus_own_web_ui_works_on_every_cluster() {
    let Some(build) = std::env::var_os("FEDGATE_TEST_WEB_UI") else {
        println!("skipped: FEDGATE_TEST_WEB_UI is not set");
        return;
    };
    let url = std::env::var("FEDGATE_TEST_WEB_UI_URL").ok();
    let world = if url.is_none() { Some(World::start(Path::new(&build)).await) } else { None };
    let url = url.or_else(|| world.as_ref().map(|world| world.url.clone())).unwrap();
    let mut user = User::new(url);
    user.step("sign in", User::sign_in);
    user.seed();
    for cluster in ["alpha", "local-cluster", "beta"] {
        tour(&mut user, cluster);
    }
    if let Some(world) = &world {
        ill_cluster(&mut user, &world.sensus[1]);
    }
    user.step("sign out", |user| {
        user.open("/n/default/events");
        user.shows("ui-web › ui-check");
        let key = |kind: &str| json!({"type": kind, "key": ",", "code": "Comma", "windowsVirtualKeyCode": 188, "modifiers": 2});
        user.browser.call("Input.dispatchKeyEvent", key("rawKeyDown"));
        user.browser.call("Input.dispatchKeyEvent", key("keyUp"));
        user.press("Sign-out");
        user.shows("with your Sensu Account");
    });
    println!("{} steps, {} failed", user.steps, user.failures.len());
    assert!(user.failures.is_empty(), "{:#?}", user.failures);
}

fn tour(user: &mut User, cluster: &'static str) {
    let namespace = namespace(cluster);
    user.step(&format!("switch to {cluster}"), |user| {
        user.browser.eval("document.querySelector('ul > li > button').click()");
        user.browser.until("document.querySelector('input[aria-label=\"Search Namespaces\"]')");
        for cluster in CLUSTERS {
            user.shows(self::namespace(cluster));
        }
        user.press(namespace);
        user.browser.until(&format!("location.pathname.startsWith('/n/{namespace}')"));
        user.shows("ui-web › ui-check");
    });
    pages(user, cluster);
    actions(user, cluster);
}

fn pages(user: &mut User, cluster: &'static str) {
    let namespace = namespace(cluster);
    for (path, text) in [
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
    ] {
        user.step(&format!("{cluster} {path}"), |user| {
            user.open(&format!("/n/{namespace}/{path}"));
            user.shows(&text);
            for other in CLUSTERS.into_iter().filter(|other| *other != cluster) {
                for mark in ["ui-command of", "ui-notify", "ui-mutate", "ui-output of"] {
                    let shown =
                        user.browser.eval(&format!("document.body.innerText.includes('{mark} {other}')"));
                    assert_eq!(shown, false, "{mark} {other} in {cluster}");
                }
            }
        });
    }
    user.step(&format!("{cluster} is confirmed after its page"), |user| {
        user.browser.call("Fetch.enable", json!({"patterns": [{"urlPattern": "*/graphql"}]}));
        user.open(&format!("/n/{namespace}/checks"));
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
        user.open(&format!("/n/{namespace}/events"));
        user.press("Entities");
        user.press("ui-web");
        user.shows(&format!("ui-site-{cluster}"));
        user.browser.until(&format!("location.pathname === '/n/{namespace}/entities/ui-web'"));
    });
    user.step(&format!("{cluster} refreshes by itself"), |user| {
        user.open(&format!("/n/{namespace}/checks/ui-check"));
        user.shows(&format!("ui-command of {cluster}"));
        let mut check = check(cluster);
        check["command"] = json!(format!("ui-command of {cluster} again"));
        user.put(cluster, "checks/ui-check", &check);
        user.shows(&format!("ui-command of {cluster} again"));
        user.put(cluster, "checks/ui-check", &self::check(cluster));
    });
}

fn actions(user: &mut User, cluster: &'static str) {
    user.renew();
    let namespace = namespace(cluster);
    let event = format!("/n/{namespace}/events/ui-web/ui-check");
    user.step(&format!("{cluster} execute, unpublish and publish"), |user| {
        user.open(&format!("/n/{namespace}/checks/ui-check"));
        // A button pressed before its record has come works on nothing.
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
        user.open(&format!("/n/{namespace}/entities/ui-web"));
        user.shows(&format!("ui-site-{cluster}"));
        user.press("Delete");
        user.press_in_dialog("Delete");
        user.eventually(cluster, "entities/ui-web", "", &Value::Null);
    });
    user.step(&format!("{cluster} alone was changed"), |user| {
        // Seeded again for those that come later, so all but this one are whole.
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

/// What a user sees of a cluster that is down, and of the others meanwhile.
fn ill_cluster(user: &mut User, alpha: &Sensu) {
    user.step("a cluster that fails keeps its page", |user| {
        user.open("/n/default@alpha/checks");
        user.shows("ui-command of alpha");
        alpha.faults().set_status(Some(503));
        user.shows("You are offline");
        user.shows("ui-command of alpha");
    });
    user.step("and goes on by the button", |user| {
        alpha.faults().set_status(None);
        user.press("reconnect");
        user.browser.until("!document.body.innerText.includes('You are offline')");
        user.shows("ui-command of alpha");
    });
    user.step("the others are not concerned", |user| {
        alpha.faults().set_status(Some(503));
        user.shows("You are offline");
        user.browser.eval("document.querySelector('ul > li > button').click()");
        user.press("default@beta");
        user.shows("ui-web › ui-check");
        user.open("/n/default@beta/checks");
        user.shows("ui-command of beta");
    });
    user.step("a page opened meanwhile comes by the button", |user| {
        user.open("/n/default@alpha/checks");
        user.shows("You are offline");
        user.browser.eval("new Promise(done => setTimeout(done, 1000))");
        alpha.faults().set_status(None);
        user.press("reconnect");
        user.shows("ui-command of alpha");
    });
}

// === impl User ===

impl User {
    fn new(url: String) -> Self {
        let shots = std::env::var_os("FEDGATE_TEST_WEB_UI_SHOTS").map(PathBuf::from);
        Self { browser: Chromium::start(), url, token: String::new(), shots, steps: 0, failures: Vec::new() }
    }

    /// Goes on after a failure, so that one run tells everything.
    fn step(&mut self, name: &str, what: impl FnOnce(&mut Self)) {
        self.steps += 1;
        self.browser.complaints();
        self.browser.exchanges();
        let done = catch_unwind(AssertUnwindSafe(|| {
            what(self);
            for text in ["An error was encountered", "could not be loaded", "Session Expired"] {
                let shown = self.browser.eval(&format!("document.body.innerText.includes({})", json!(text)));
                assert_eq!(shown, false, "{text}");
            }
        }));
        let complaints = self.browser.complaints();
        let exchanges = self.browser.exchanges();
        let number = self.steps;
        println!("{number:3} {} {name}", if done.is_ok() { "ok    " } else { "FAILED" });
        if let Some(directory) = &self.shots {
            let slug: String =
                name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
            self.browser.screenshot(&directory.join(format!("{number:03}-{slug}.png")));
            if done.is_err() || !complaints.is_empty() {
                let text = format!("{complaints:#?}\n\n{}", exchanges.join("\n\n"));
                std::fs::write(directory.join(format!("{number:03}-{slug}.txt")), text).unwrap();
            }
        }
        // A refused policy is a fault even if nothing looks wrong.
        let refused = complaints.iter().find(|text| text.contains("Content Security Policy"));
        if let Some(text) = refused {
            self.failures.push(format!("{name}: {text}"));
        }
        if done.is_err() {
            self.failures.push(name.to_owned());
        }
    }

    fn sign_in(&mut self) {
        let url = self.url.clone();
        self.browser.open(&url);
        for (name, text) in [("username", "admin"), ("password", "P@ssw0rd!")] {
            self.browser.until(&format!("document.querySelector('input[name={name}]')"));
            self.browser.eval(&format!("document.querySelector('input[name={name}]').focus()"));
            self.browser.call("Input.insertText", json!({"text": text}));
        }
        self.press("Sign in");
        self.browser.until("location.pathname.startsWith('/n/default')");
        self.renew();
    }

    /// A token for what happens beside the UI; it lives for five minutes.
    fn renew(&mut self) {
        let tokens = self.browser.eval(&format!(
            "fetch('{}/auth', {{headers: {{Authorization: 'Basic ' + btoa('admin:P@ssw0rd!')}}}}).then(r => r.json())",
            self.url
        ));
        self.token = tokens["access_token"].as_str().map(ToOwned::to_owned).unwrap();
    }

    fn open(&mut self, path: &str) {
        let url = format!("{}{path}", self.url);
        self.browser.open(&url);
    }

    #[track_caller]
    fn shows(&mut self, text: &str) {
        self.browser.until(&format!("document.body.innerText.includes({})", json!(text)));
    }

    /// Clicks what is called so, as soon as it is there.
    #[track_caller]
    fn press(&mut self, name: &str) {
        self.press_within("body", name);
    }

    #[track_caller]
    fn press_in_dialog(&mut self, name: &str) {
        self.press_within("[role=dialog]", name);
    }

    #[track_caller]
    fn press_within(&mut self, place: &str, name: &str) {
        let name = json!(name.to_lowercase());
        self.browser.until(&format!(
            "{VISIBLE}; const hits = all('button, a, [role=button], [role=menuitem]').filter(e => \
             e.closest('{place}') && !e.disabled && e.getAttribute('aria-disabled') !== 'true' && \
             [e.innerText.trim(), e.title, e.getAttribute('aria-label') || ''].some(t => \
             t.toLowerCase().replace('…', '') === {name})); \
             if (hits.length) hits[hits.length - 1].click(); return hits.length"
        ));
    }

    /// What each cluster has, told apart by its name alone.
    fn seed(&mut self) {
        for cluster in CLUSTERS {
            let named = |name: &str| json!({"name": name, "namespace": namespace(cluster)});
            let mut entity = json!({"entity_class": "proxy", "metadata": named("ui-web")});
            entity["metadata"]["labels"] = json!({"site": format!("ui-site-{cluster}")});
            self.put(cluster, "entities/ui-web", &entity);
            self.put(cluster, "checks/ui-check", &check(cluster));
            let event = json!({
                "metadata": {"namespace": namespace(cluster)},
                "entity": entity,
                "check": {
                    "metadata": named("ui-check"), "interval": 60, "status": 2, "state": "failing", "subscriptions": ["linux"],
                    "command": format!("ui-command of {cluster}"), "output": format!("ui-output of {cluster}"),
                },
            });
            self.put(cluster, "events/ui-web/ui-check", &event);
            let handler = json!({"metadata": named("ui-handler"), "type": "pipe", "command": format!("ui-notify {cluster}")});
            self.put(cluster, "handlers/ui-handler", &handler);
            let expression = format!("'ui-hours-{cluster}' != ''");
            self.put(
                cluster,
                "filters/ui-filter",
                &json!({"metadata": named("ui-filter"), "action": "allow", "expressions": [expression]}),
            );
            self.put(
                cluster,
                "mutators/ui-mutator",
                &json!({"metadata": named("ui-mutator"), "command": format!("ui-mutate {cluster}")}),
            );
            let silenced = json!({"metadata": named("linux:ui-silenced"), "subscription": "linux", "check": "ui-silenced", "reason": format!("ui-reason {cluster}")});
            self.put(cluster, "silenced/linux:ui-silenced", &silenced);
        }
    }

    #[track_caller]
    fn put(&mut self, cluster: &str, path: &str, object: &Value) {
        let answer = self.api("PUT", namespace(cluster), path, &format!("JSON.stringify({object})"));
        assert!(answer["status"].as_u64().unwrap() < 300, "{cluster} {path}: {answer}");
    }

    /// Null when it is not there.
    fn get(&mut self, cluster: &str, path: &str) -> Value {
        let answer = self.api("GET", namespace(cluster), path, "undefined");
        if answer["status"] == 404 { Value::Null } else { answer["body"].clone() }
    }

    fn api(&mut self, method: &str, namespace: &str, path: &str, body: &str) -> Value {
        let (url, token) = (&self.url, &self.token);
        self.browser.eval(&format!(
            "fetch('{url}/api/core/v2/namespaces/{namespace}/{path}', {{method: '{method}', body: {body}, \
             headers: {{Authorization: 'Bearer {token}', 'Content-Type': 'application/json'}}}}).then(async r => \
             ({{status: r.status, body: await r.json().catch(() => null)}}))"
        ))
    }

    /// Waits until an object of a cluster has this value.
    #[track_caller]
    fn eventually(&mut self, cluster: &str, path: &str, pointer: &str, value: &Value) {
        let mut last = Value::Null;
        for _ in 0..TRIES {
            last = self.get(cluster, path).pointer(pointer).cloned().unwrap_or_default();
            if last == *value {
                return;
            }
            self.browser.eval("new Promise(done => setTimeout(done, 100))");
        }
        panic!("{cluster} {path}{pointer} is {last}, not {value}");
    }
}

fn check(cluster: &str) -> Value {
    json!({
        "metadata": {"name": "ui-check", "namespace": namespace(cluster)}, "interval": 60, "publish": true,
        "command": format!("ui-command of {cluster}"), "subscriptions": ["linux"],
    })
}

fn namespace(cluster: &str) -> &'static str {
    match cluster {
        "alpha" => "default@alpha",
        "beta" => "default@beta",
        _ => "default",
    }
}

const CLUSTERS: [&str; 3] = ["local-cluster", "alpha", "beta"];

const TRIES: usize = 100;

/// Declares `all`, which finds what a user sees.
const VISIBLE: &str =
    "const all = s => [...document.querySelectorAll(s)].filter(e => e.getClientRects().length)";
