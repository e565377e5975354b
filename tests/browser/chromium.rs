//! A headless Chromium, driven over its debugging protocol.
//!
//! Chromium reads commands from file descriptor 3 and answers on 4, each message a JSON text and a NUL. So it needs
//! neither a WebSocket nor a driver of its own, and ends when this process does.

use std::{
    collections::VecDeque,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};

/// A browser with one page.
pub(crate) struct Chromium {
    child: Child,
    commands: ChildStdin,
    messages: mpsc::Receiver<Value>,
    session: Value,
    last: u64,
    /// Events that were not looked at yet.
    events: VecDeque<Value>,
    profile: tempfile::TempDir,
    /// One at a time: several would starve each other on a small machine.
    _turn: MutexGuard<'static, ()>,
}

// === impl Chromium ===

impl Chromium {
    /// Starts it with an empty profile.
    pub(crate) fn start() -> Self {
        let turn = TURN.lock();
        let profile = tempfile::tempdir().unwrap();
        let log = fs::File::create(profile.path().join("stderr")).unwrap();
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >&2"])
            .arg(executable())
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().join("profile").display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let (sender, messages) = mpsc::channel();
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while answers.read_until(0, &mut message).is_ok_and(|length| length > 0) {
                message.pop();
                let Ok(value) = serde_json::from_slice(&message) else { return };
                if sender.send(value).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let mut browser = Self {
            child,
            commands,
            messages,
            session: Value::Null,
            last: 0,
            events: VecDeque::new(),
            profile,
            _turn: turn,
        };
        browser.attach();
        browser
    }

    fn attach(&mut self) {
        let target = self.call("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let attached = self.call("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        self.session = attached["sessionId"].clone();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
        let size = json!({"width": 1400, "height": 1000, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size);
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

    fn try_call(&mut self, method: &str, params: &Value) -> Result<Value, Value> {
        self.last += 1;
        let mut command = json!({"id": self.last, "method": method, "params": params});
        if !self.session.is_null() {
            command["sessionId"] = self.session.clone();
        }
        let mut text = command.to_string().into_bytes();
        text.push(0);
        if let Err(error) = self.commands.write_all(&text) {
            panic!("Chromium has ended ({error}): {}", self.log());
        }
        loop {
            let message =
                self.receive(PATIENCE).unwrap_or_else(|| panic!("{method}: no answer: {}", self.log()));
            if message["id"] == self.last {
                return if message["error"].is_null() {
                    Ok(message["result"].clone())
                } else {
                    Err(message["error"].clone())
                };
            }
            self.events.push_back(message);
        }
    }

    fn receive(&mut self, patience: Duration) -> Option<Value> {
        self.messages.recv_timeout(patience).ok()
    }

    /// What Chromium wrote on its standard error.
    fn log(&self) -> String {
        fs::read_to_string(self.profile.path().join("stderr")).unwrap_or_default()
    }

    /// Goes to an address and waits until the page and its scripts are loaded.
    #[track_caller]
    pub(crate) fn open(&mut self, url: &str) {
        self.events.retain(|event| event["method"] != "Page.loadEventFired");
        let error = self.call("Page.navigate", json!({"url": url}))["errorText"].clone();
        assert!(error.is_null(), "{url}: {error}");
        self.event("Page.loadEventFired");
    }

    /// As the button does.
    pub(crate) fn reload(&mut self) {
        self.events.retain(|event| event["method"] != "Page.loadEventFired");
        self.call("Page.reload", json!({}));
        self.event("Page.loadEventFired");
    }

    /// Waits for the first event of a kind, and removes it.
    #[track_caller]
    pub(crate) fn event(&mut self, method: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.events.iter().position(|event| event["method"] == method) {
                return self.events.remove(at).map(|event| event["params"].clone()).unwrap_or_default();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let message = self.receive(left).unwrap_or_else(|| panic!("{method} did not happen"));
            self.events.push_back(message);
        }
    }

    /// The value of a JavaScript expression; promises are awaited.
    #[track_caller]
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        self.try_eval(expression).unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    fn try_eval(&mut self, expression: &str) -> Result<Value, Value> {
        let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
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
            "new Promise(done => {{ const end = Date.now() + 1000; const look = () => {{ let v = false; \
             try {{ v = !!(() => {{ {body} }})(); }} catch (e) {{}} \
             if (v || Date.now() > end) done(v); else setTimeout(look, 20); }}; look(); }})"
        );
        let deadline = Instant::now() + patience;
        loop {
            let last = self.try_eval(&poll);
            if last == Ok(Value::Bool(true)) {
                return;
            }
            if Instant::now() > deadline {
                let expression = expression
                    .chars()
                    .rev()
                    .take(200)
                    .collect::<Vec<_>>()
                    .into_iter()
                    .rev()
                    .collect::<String>();
                let shown = self.try_eval("document.body.innerText").unwrap_or_default();
                panic!(
                    "{expression}: {last:?}; the page shows {shown}; it complains {:?}",
                    self.complaints()
                );
            }
        }
    }

    /// What the page's console has of errors, exceptions and refused policies, since the last call.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        self.call("Runtime.evaluate", json!({"expression": "0"}));
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

    /// The GraphQL requests since the last call, with their answers as far as they are still there.
    pub(crate) fn exchanges(&mut self) -> Vec<String> {
        self.call("Runtime.evaluate", json!({"expression": "0"}));
        let of_network = |event: &Value| event["method"].as_str().is_some_and(|m| m.starts_with("Network."));
        let seen: Vec<Value> = self.events.iter().filter(|event| of_network(event)).cloned().collect();
        self.events.retain(|event| !of_network(event));
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

    /// Writes what the page looks like to a PNG file.
    pub(crate) fn screenshot(&mut self, path: &Path) {
        let image = self.call("Page.captureScreenshot", json!({"format": "png"}));
        let image = BASE64_STANDARD.decode(image["data"].as_str().unwrap()).unwrap();
        fs::write(path, image).unwrap();
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Asked to close first, so that its helper processes end too.
        let _ = self.commands.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline && !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.receive(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn executable() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .flat_map(|directory| EXECUTABLES.map(|name| directory.join(name)))
        .find(|candidate| candidate.is_file());
    found.expect("these tests need Chromium: install it (Debian: apt-get install chromium), so that one of chromium, chromium-browser or google-chrome is in PATH")
}

static TURN: Mutex<()> = Mutex::new(());

const EXECUTABLES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Quiet, and without a sandbox, which root cannot have: it sees nothing but our own pages.
const FLAGS: [&str; 14] = [
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--mute-audio",
];

/// Long enough for a loaded machine; nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(60);
