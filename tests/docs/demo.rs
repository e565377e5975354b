//! A demo, for commands to be run against.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use parking_lot::{Mutex, MutexGuard};

/// The binary.
pub(crate) const FEDGATE: &str = env!("CARGO_BIN_EXE_fedgate");

/// A running demo; it ends with this.
pub(crate) struct Demo {
    child: Child,
    printed: String,
    _alone: MutexGuard<'static, ()>,
}

/// Two that start at once may want the same ports.
static ALONE: Mutex<()> = Mutex::new(());

// === impl Demo ===

impl Demo {
    pub(crate) fn start() -> Self {
        let alone = ALONE.lock();
        let mut child = Command::new(FEDGATE)
            .args(["demo", "--port", "0"])
            .env_clear()
            .env("TMPDIR", std::env::temp_dir())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut printed = String::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            printed.push_str(&line);
            printed.push('\n');
            if line.contains("Ctrl-C ends it") {
                return Self { child, printed, _alone: alone };
            }
        }
        let _ = child.wait();
        panic!("the demo ended: {printed}");
    }

    /// What it printed under this word: `URL`, `User`, `Password` or `Admin`.
    pub(crate) fn printed(&self, word: &str) -> &str {
        let mut lines = self.printed.lines().map(str::trim);
        lines.find_map(|line| line.strip_prefix(word)).expect("the demo prints it").trim()
    }

    /// The URL of its admin listener.
    pub(crate) fn admin(&self) -> &str {
        self.printed("Admin").trim_end_matches("/metrics")
    }

    /// An access and a refresh token, and when the first one expires.
    pub(crate) fn log_in(&self) -> serde_json::Value {
        let user = format!("{}:{}", self.printed("User"), self.printed("Password"));
        serde_json::from_str(&curl(&["-u", &user, &format!("{}/auth", self.printed("URL"))])).unwrap()
    }

    /// The families that its admin listener reports.
    pub(crate) fn metrics(&self) -> String {
        curl(&[&format!("{}/metrics", self.admin())])
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

fn curl(args: &[&str]) -> String {
    let output = Command::new("curl").arg("-fsS").args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
