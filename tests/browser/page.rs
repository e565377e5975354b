//! A page in the browser, and what its scripts run in besides it.

use std::{
    collections::{HashSet, VecDeque},
    fs,
    path::Path,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::chromium::{Chromium, PATIENCE};

/// Something that runs scripts: a page or a worker.
pub(crate) struct Realm {
    browser: Arc<Chromium>,
    target: String,
    session: String,
    messages: mpsc::Receiver<Value>,
    /// Events that were not looked at yet.
    events: VecDeque<Value>,
    /// Requests that have not ended.
    open: HashSet<String>,
}

/// A page; all of one context share what a profile holds.
pub(crate) struct Page {
    realm: Realm,
    context: Arc<Context>,
}

struct Context {
    browser: Arc<Chromium>,
    id: String,
}

// === impl Realm ===

impl Realm {
    fn attach(browser: &Arc<Chromium>, target: &str) -> Self {
        let (session, messages) = browser.attach(target);
        let (browser, target) = (Arc::clone(browser), target.to_owned());
        Self { browser, target, session, messages, events: VecDeque::new(), open: HashSet::new() }
    }

    /// One command of the protocol; fails when it does.
    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "callers make it in place")]
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        match self.try_call(method, &params) {
            Ok(result) => result,
            Err(error) => panic!("{method} {params}: {error}"),
        }
    }

    pub(crate) fn try_call(&mut self, method: &str, params: &Value) -> Result<Value, Value> {
        self.browser.call(&self.session, method, params)
    }

    /// Events from before the last answer are there afterwards.
    fn look(&mut self) {
        while let Ok(message) = self.messages.try_recv() {
            self.note(message);
        }
    }

    fn note(&mut self, event: Value) {
        let request = event["params"]["requestId"].as_str();
        match (event["method"].as_str(), request) {
            (Some("Network.requestWillBeSent"), Some(id)) => {
                self.open.insert(id.to_owned());
            }
            (Some("Network.loadingFinished" | "Network.loadingFailed"), Some(id)) => {
                self.open.remove(id);
            }
            _ => {}
        }
        self.events.push_back(event);
    }

    /// Whether it waits for no answer.
    pub(crate) fn is_idle(&mut self) -> bool {
        self.call("Runtime.evaluate", json!({"expression": "0"}));
        self.look();
        self.open.is_empty()
    }

    /// Waits for the first event of a kind, and removes it.
    #[track_caller]
    pub(crate) fn event(&mut self, method: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.look();
            if let Some(at) = self.events.iter().position(|event| event["method"] == method) {
                return self.events.remove(at).map(|event| event["params"].clone()).unwrap_or_default();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let message = self.messages.recv_timeout(left);
            self.note(message.unwrap_or_else(|_| panic!("{method} did not happen")));
        }
    }

    /// The value of a JavaScript expression; promises are awaited.
    #[track_caller]
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        self.try_eval(expression).unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    fn try_eval(&mut self, expression: &str) -> Result<Value, Value> {
        let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true});
        let result = self.try_call("Runtime.evaluate", &params)?;
        if result["exceptionDetails"].is_null() {
            Ok(result["result"]["value"].clone())
        } else {
            Err(result["exceptionDetails"]["exception"]["description"].clone())
        }
    }

    /// Waits until an expression, or the body of a function, is true as JavaScript has it. A page that is left
    /// in the meantime is not a failure.
    #[track_caller]
    pub(crate) fn until(&mut self, expression: &str) {
        self.until_within(expression, PATIENCE / 3);
    }

    #[track_caller]
    pub(crate) fn until_within(&mut self, expression: &str, patience: Duration) {
        let body = if expression.contains("return ") {
            expression.to_owned()
        } else {
            format!("return {expression}")
        };
        let poll = format!(
            "new Promise(done => {{ const end = performance.now() + 1000; const look = () => {{ let v = false; \
             try {{ v = !!(() => {{ {body} }})(); }} catch (e) {{}} \
             if (v || performance.now() > end) done(v); else setTimeout(look, 20); }}; look(); }})"
        );
        let deadline = Instant::now() + patience;
        loop {
            let last = self.try_eval(&poll);
            if last == Ok(Value::Bool(true)) {
                return;
            }
            if Instant::now() > deadline {
                let tail: usize = expression.chars().count().saturating_sub(300);
                let expression: String = expression.chars().skip(tail).collect();
                let shown = self.try_eval("document.body.innerText").unwrap_or_default();
                panic!(
                    "{expression}: {last:?}; the page shows {shown}; it complains {:?}",
                    self.complaints()
                );
            }
        }
    }

    /// What the console has of errors, exceptions and refused policies, since the last call.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        self.call("Runtime.evaluate", json!({"expression": "0"}));
        self.look();
        let mut found = Vec::new();
        self.events.retain(|event| {
            let params = &event["params"];
            let text = match event["method"].as_str() {
                Some("Runtime.exceptionThrown") => {
                    params["exceptionDetails"]["exception"]["description"].as_str()
                }
                Some("Log.entryAdded") if params["entry"]["level"] == "error" => {
                    params["entry"]["text"].as_str()
                }
                Some("Runtime.consoleAPICalled") if params["type"] == "error" => {
                    params["args"][0]["value"].as_str().or(params["args"][0]["description"].as_str())
                }
                _ => return true,
            };
            let url = params["entry"]["url"].as_str().unwrap_or_default();
            found.push(format!("{} {url}", text.unwrap_or("?")));
            false
        });
        found
    }

    /// The URLs that were requested since the last call.
    pub(crate) fn requested(&mut self) -> Vec<String> {
        self.call("Runtime.evaluate", json!({"expression": "0"}));
        self.look();
        let of = |event: &Value| event["method"] == "Network.requestWillBeSent";
        let url = |event: &Value| event["params"]["request"]["url"].as_str().unwrap_or_default().to_owned();
        let found = self.events.iter().filter(|event| of(event)).map(url).collect();
        self.events.retain(|event| !of(event));
        found
    }
}

impl Drop for Realm {
    fn drop(&mut self) {
        self.browser.forget(&self.session);
        let _ = self.browser.call("", "Target.detachFromTarget", &json!({"sessionId": self.session}));
    }
}

// === impl Page ===

impl Page {
    /// A page in a context of its own.
    pub(crate) fn new() -> Self {
        let browser = Chromium::shared();
        let made = browser.call("", "Target.createBrowserContext", &json!({})).unwrap();
        let id = made["browserContextId"].as_str().unwrap().to_owned();
        Self::of(Arc::new(Context { browser, id }))
    }

    /// Another tab beside it.
    pub(crate) fn beside(&self) -> Self {
        Self::of(Arc::clone(&self.context))
    }

    fn of(context: Arc<Context>) -> Self {
        let params = json!({"url": "about:blank", "browserContextId": context.id, "newWindow": true});
        let made = context.browser.call("", "Target.createTarget", &params).unwrap();
        let mut realm = Realm::attach(&context.browser, made["targetId"].as_str().unwrap());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            realm.call(&format!("{domain}.enable"), json!({}));
        }
        let mut page = Self { realm, context };
        page.resize(1400, 1000);
        page
    }

    /// The size of what is seen of it.
    pub(crate) fn resize(&mut self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// The shared worker of its context, as soon as there is one.
    #[track_caller]
    pub(crate) fn worker(&self) -> Realm {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let Some(target) = self.worker_target() else { continue };
            let mut worker = Realm::attach(&self.realm.browser, &target);
            for domain in ["Runtime", "Log", "Network"] {
                worker.call(&format!("{domain}.enable"), json!({}));
            }
            return worker;
        }
        panic!("the page has no shared worker");
    }

    /// Whether the worker is still the one of this context.
    pub(crate) fn is_there(&self, worker: &Realm) -> bool {
        self.worker_target().as_ref() == Some(&worker.target)
    }

    fn worker_target(&self) -> Option<String> {
        let targets = self.realm.browser.call("", "Target.getTargets", &json!({})).unwrap();
        let ours = targets["targetInfos"].as_array()?.iter().find(|target| {
            target["type"] == "shared_worker" && target["browserContextId"] == self.context.id.as_str()
        });
        ours?["targetId"].as_str().map(ToOwned::to_owned)
    }

    /// A command to the browser itself, about this page's context.
    pub(crate) fn call_browser(&self, method: &str, mut params: Value) -> Value {
        params["browserContextId"] = json!(self.context.id);
        self.realm.browser.call("", method, &params).unwrap()
    }

    /// Goes to an address and waits until the page and its scripts are loaded.
    #[track_caller]
    pub(crate) fn open(&mut self, url: &str) {
        self.forget_loads();
        let error = self.call("Page.navigate", json!({"url": url}))["errorText"].clone();
        assert!(error.is_null(), "{url}: {error}");
        self.event("Page.loadEventFired");
    }

    /// As the button does.
    pub(crate) fn reload(&mut self) {
        self.forget_loads();
        self.call("Page.reload", json!({}));
        self.event("Page.loadEventFired");
    }

    fn forget_loads(&mut self) {
        self.realm.look();
        self.realm.events.retain(|event| event["method"] != "Page.loadEventFired");
    }

    /// The GraphQL requests since the last call, with their answers as far as they are still there.
    pub(crate) fn exchanges(&mut self) -> Vec<String> {
        self.call("Runtime.evaluate", json!({"expression": "0"}));
        self.realm.look();
        let of_network = |event: &Value| event["method"].as_str().is_some_and(|m| m.starts_with("Network."));
        let seen: Vec<Value> = self.realm.events.iter().filter(|event| of_network(event)).cloned().collect();
        self.realm.events.retain(|event| !of_network(event));
        let mut exchanges = Vec::new();
        for event in seen.iter().filter(|event| event["method"] == "Network.requestWillBeSent") {
            let (id, request) = (&event["params"]["requestId"], &event["params"]["request"]);
            if !request["url"].as_str().is_some_and(|url| url.ends_with("/graphql")) {
                continue;
            }
            let of_this = |event: &&Value| {
                event["method"] == "Network.responseReceived" && event["params"]["requestId"] == *id
            };
            let status = seen.iter().find(of_this).map(|event| event["params"]["response"]["status"].clone());
            let body = self.try_call("Network.getResponseBody", &json!({"requestId": id}));
            let body = body.map_or_else(|error| error.to_string(), |body| body["body"].to_string());
            exchanges.push(format!("{}\n=> {} {body}", request["postData"], status.unwrap_or_default()));
        }
        exchanges
    }

    /// Writes what the page looks like to a PNG or WebP file.
    pub(crate) fn screenshot(&mut self, path: &Path) {
        let options = match path.extension() {
            Some(webp) if webp == "webp" => json!({"format": "webp", "quality": 90}),
            _ => json!({"format": "png"}),
        };
        let image = self.call("Page.captureScreenshot", options);
        let image = BASE64_STANDARD.decode(image["data"].as_str().unwrap()).unwrap();
        fs::write(path, image).unwrap();
    }
}

impl std::ops::Deref for Page {
    type Target = Realm;

    fn deref(&self) -> &Realm {
        &self.realm
    }
}

impl std::ops::DerefMut for Page {
    fn deref_mut(&mut self) -> &mut Realm {
        &mut self.realm
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let params = json!({"targetId": self.realm.target});
        let _ = self.realm.browser.call("", "Target.closeTarget", &params);
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        let _ = self.browser.call("", "Target.disposeBrowserContext", &json!({"browserContextId": self.id}));
    }
}
