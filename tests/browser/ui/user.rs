//! A user at the screen.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::sync::MutexGuard;

use crate::page::Page;

/// A user, and what went wrong so far.
pub(super) struct User {
    pub(super) browser: Page,
    pub(super) url: String,
    pub(super) name: &'static str,
    token: String,
    shots: Option<PathBuf>,
    steps: usize,
    failures: Vec<String>,
    _turn: MutexGuard<'static, ()>,
}

// === impl User ===

impl User {
    pub(super) fn new(turn: MutexGuard<'static, ()>, browser: Page, url: String) -> Self {
        let shots = std::env::var_os("FEDGATE_TEST_WEB_UI_SHOTS").map(PathBuf::from);
        let (token, failures) = (String::new(), Vec::new());
        Self { browser, url, name: "admin", token, shots, steps: 0, failures, _turn: turn }
    }

    /// Continues after a failure, so that one run reports all of them.
    pub(super) fn step(&mut self, name: &str, what: impl FnOnce(&mut Self)) {
        self.steps += 1;
        self.browser.complaints();
        self.browser.exchanges();
        let done = catch_unwind(AssertUnwindSafe(|| {
            what(self);
            self.is_well(name);
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

    /// Fails when the page has given up.
    #[track_caller]
    pub(super) fn is_well(&mut self, when: &str) {
        for text in ["An error was encountered", "could not be loaded", "Session Expired"] {
            let shown = self.browser.eval(&format!("document.body.innerText.includes({})", json!(text)));
            assert_eq!(shown, false, "{when}: {text}");
        }
    }

    /// The end of a test: fails when any step has.
    #[track_caller]
    pub(super) fn done(self) {
        println!("{} steps, {} failed", self.steps, self.failures.len());
        assert!(self.failures.is_empty(), "{:#?}", self.failures);
    }

    pub(super) fn sign_in(&mut self) {
        let url = self.url.clone();
        self.browser.open(&url);
        for (name, text) in [("username", self.name), ("password", "P@ssw0rd!")] {
            self.browser.until(&format!("document.querySelector('input[name={name}]')"));
            self.browser.eval(&format!("document.querySelector('input[name={name}]').focus()"));
            self.browser.call("Input.insertText", json!({"text": text}));
        }
        self.press("Sign in");
        self.browser.until("location.pathname.startsWith('/n/default')");
        self.renew();
    }

    /// A token for the test's own requests; it is valid for five minutes.
    pub(super) fn renew(&mut self) {
        let tokens = self.browser.eval(&format!(
            "fetch('{}/auth', {{headers: {{Authorization: 'Basic ' + btoa('admin:P@ssw0rd!')}}}}).then(r => r.json())",
            self.url
        ));
        self.token = tokens["access_token"].as_str().map(ToOwned::to_owned).unwrap();
    }

    pub(super) fn open(&mut self, path: &str) {
        let url = format!("{}{path}", self.url);
        self.browser.open(&url);
    }

    #[track_caller]
    pub(super) fn shows(&mut self, text: &str) {
        self.browser.until(&format!("document.body.innerText.includes({})", json!(text)));
    }

    /// As `shows`, for what only a hanging cluster's timeout brings about.
    #[track_caller]
    pub(super) fn shows_eventually(&mut self, text: &str) {
        self.browser.until_within(&format!("document.body.innerText.includes({})", json!(text)), PATIENCE);
    }

    /// Presses the button of the offline banner until it goes. A cluster that was down is not tried again at once.
    #[track_caller]
    pub(super) fn reconnect(&mut self) {
        let offline = "document.body.innerText.includes('You are offline')";
        let deadline = Instant::now() + PATIENCE;
        while self.browser.eval(offline) == true {
            assert!(Instant::now() < deadline, "the banner does not go");
            self.press("reconnect");
            self.browser.eval("new Promise(done => setTimeout(done, 2000))");
        }
    }

    /// Clicks the element with this text, as soon as it is there.
    #[track_caller]
    pub(super) fn press(&mut self, name: &str) {
        self.press_within("body", name);
    }

    #[track_caller]
    pub(super) fn press_in_dialog(&mut self, name: &str) {
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

    /// Seeds each cluster with objects that differ by the cluster's name only.
    pub(super) fn seed(&mut self) {
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
    pub(super) fn put(&mut self, cluster: &str, path: &str, object: &Value) {
        let answer = self.api("PUT", namespace(cluster), path, &format!("JSON.stringify({object})"));
        assert!(answer["status"].as_u64().unwrap() < 300, "{cluster} {path}: {answer}");
    }

    /// Null when it is not there.
    pub(super) fn get(&mut self, cluster: &str, path: &str) -> Value {
        let answer = self.api("GET", namespace(cluster), path, "undefined");
        if answer["status"] == 404 { Value::Null } else { answer["body"].clone() }
    }

    /// Puts what has no namespace.
    #[track_caller]
    pub(super) fn put_raw(&mut self, cluster: &str, path: &str, object: &Value) {
        let cluster = if cluster == "local-cluster" { "~" } else { cluster };
        let path = format!("/c/{cluster}/api/core/v2/{path}");
        let answer = self.fetch("PUT", &path, &format!("JSON.stringify({object})"));
        assert!(answer["status"].as_u64().unwrap() < 300, "{path}: {answer}");
    }

    fn api(&mut self, method: &str, namespace: &str, path: &str, body: &str) -> Value {
        self.fetch(method, &format!("/api/core/v2/namespaces/{namespace}/{path}"), body)
    }

    fn fetch(&mut self, method: &str, path: &str, body: &str) -> Value {
        let (url, token) = (&self.url, &self.token);
        self.browser.eval(&format!(
            "fetch('{url}{path}', {{method: '{method}', body: {body}, \
             headers: {{Authorization: 'Bearer {token}', 'Content-Type': 'application/json'}}}}).then(async r => \
             ({{status: r.status, body: await r.json().catch(() => null)}}))"
        ))
    }

    /// Waits until a cluster has an object.
    #[track_caller]
    pub(super) fn exists(&mut self, cluster: &str, path: &str) {
        for _ in 0..TRIES {
            if !self.get(cluster, path).is_null() {
                return;
            }
            self.browser.eval("new Promise(done => setTimeout(done, 100))");
        }
        panic!("{cluster} has no {path}");
    }

    /// Waits until an object of a cluster has this value.
    #[track_caller]
    pub(super) fn eventually(&mut self, cluster: &str, path: &str, pointer: &str, value: &Value) {
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

pub(super) fn check(cluster: &str) -> Value {
    json!({
        "metadata": {"name": "ui-check", "namespace": namespace(cluster)}, "interval": 60, "publish": true,
        "command": format!("ui-command of {cluster}"), "subscriptions": ["linux"],
    })
}

pub(super) fn namespace(cluster: &str) -> &'static str {
    match cluster {
        "alpha" => "default@alpha",
        "beta" => "default@beta",
        _ => "default",
    }
}

pub(super) const CLUSTERS: [&str; 3] = ["local-cluster", "alpha", "beta"];

const TRIES: usize = 100;

/// Longer than the gateway waits for a hanging cluster, and longer than it takes to find it healthy again.
const PATIENCE: Duration = Duration::from_secs(60);

/// Declares `all`, which finds what a user sees.
pub(super) const VISIBLE: &str =
    "const all = s => [...document.querySelectorAll(s)].filter(e => e.getClientRects().length)";
