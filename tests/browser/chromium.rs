//! A headless Chromium, driven over its debugging protocol.
//!
//! Chromium reads commands from file descriptor 3 and answers on 4, each message a JSON text and a NUL. So it needs
//! neither a WebSocket nor a driver of its own, and ends when this process does. One process serves all tests that run at
//! a time, each in a browser context of its own: what a profile would hold, no two of them share.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Weak, mpsc},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::{Value, json};

/// The process.
pub(crate) struct Chromium {
    child: Mutex<Child>,
    commands: Mutex<Commands>,
    routes: Arc<Mutex<Routes>>,
    profile: tempfile::TempDir,
}

struct Commands {
    pipe: ChildStdin,
    last: u64,
}

/// Where messages belong.
#[derive(Default)]
struct Routes {
    answers: HashMap<u64, mpsc::Sender<Value>>,
    sessions: HashMap<String, mpsc::Sender<Value>>,
}

// === impl Chromium ===

impl Chromium {
    /// The one that runs, or a new one with an empty profile.
    pub(crate) fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock();
        shared.upgrade().unwrap_or_else(|| {
            let started = Arc::new(Self::start());
            *shared = Arc::downgrade(&started);
            started
        })
    }

    fn start() -> Self {
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
        let commands = Mutex::new(Commands { pipe: child.stdin.take().unwrap(), last: 0 });
        let routes = Arc::new(Mutex::new(Routes::default()));
        let (output, shared) = (child.stdout.take().unwrap(), Arc::clone(&routes));
        std::thread::spawn(move || read(output, &shared));
        Self { child: Mutex::new(child), commands, routes, profile }
    }

    /// One command of the protocol, to a session or to the browser itself.
    pub(crate) fn call(&self, session: &str, method: &str, params: &Value) -> Result<Value, Value> {
        let (sender, answer) = mpsc::channel();
        {
            let mut commands = self.commands.lock();
            commands.last += 1;
            let mut command = json!({"id": commands.last, "method": method, "params": params});
            if !session.is_empty() {
                command["sessionId"] = json!(session);
            }
            self.routes.lock().answers.insert(commands.last, sender);
            let mut text = command.to_string().into_bytes();
            text.push(0);
            if let Err(error) = commands.pipe.write_all(&text) {
                panic!("Chromium has ended ({error}): {}", self.log());
            }
        }
        let message = answer
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("{method}: no answer from Chromium: {}", self.log()));
        if message["error"].is_null() { Ok(message["result"].clone()) } else { Err(message["error"].clone()) }
    }

    /// Attaches to a page or a worker: the session's name and its messages.
    pub(crate) fn attach(&self, target: &str) -> (String, mpsc::Receiver<Value>) {
        let params = json!({"targetId": target, "flatten": true});
        let attached = self.call("", "Target.attachToTarget", &params).unwrap();
        let session = attached["sessionId"].as_str().unwrap().to_owned();
        let (sender, messages) = mpsc::channel();
        self.routes.lock().sessions.insert(session.clone(), sender);
        (session, messages)
    }

    pub(crate) fn forget(&self, session: &str) {
        self.routes.lock().sessions.remove(session);
    }

    /// What Chromium wrote on its standard error.
    fn log(&self) -> String {
        fs::read_to_string(self.profile.path().join("stderr")).unwrap_or_default()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Asked to close first, so that its helper processes end too.
        let _ = self.commands.get_mut().pipe.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let child = self.child.get_mut();
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline && !matches!(child.try_wait(), Ok(Some(_))) {
            std::thread::yield_now();
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Gives each message to who waits for it, until Chromium ends.
fn read(answers: ChildStdout, routes: &Mutex<Routes>) {
    let mut answers = BufReader::new(answers);
    let mut message = Vec::new();
    while answers.read_until(0, &mut message).is_ok_and(|length| length > 0) {
        message.pop();
        let Ok(value) = serde_json::from_slice::<Value>(&message) else { break };
        message.clear();
        let mut routes = routes.lock();
        if let Some(waiting) = value["id"].as_u64().and_then(|id| routes.answers.remove(&id)) {
            let _ = waiting.send(value);
        } else if let Some(session) = value["sessionId"].as_str().and_then(|id| routes.sessions.get(id)) {
            let _ = session.send(value);
        }
    }
    // Who still waits is told by this.
    *routes.lock() = Routes::default();
}

fn executable() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .flat_map(|directory| EXECUTABLES.map(|name| directory.join(name)))
        .find(|candidate| candidate.is_file());
    found.expect("these tests need Chromium: install it (Debian: apt-get install chromium), so that one of chromium, chromium-browser or google-chrome is in PATH")
}

/// Ends with the last test that uses it.
static SHARED: Mutex<Weak<Chromium>> = Mutex::new(Weak::new());

const EXECUTABLES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Quiet, and without a sandbox, which root cannot have: it sees nothing but our own pages.
const FLAGS: [&str; 16] = [
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
    "--hide-scrollbars",
    "--lang=en-GB",
];

/// Long enough for a loaded machine; nothing waits for it when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
