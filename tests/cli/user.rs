//! A user at a shell, with a home directory of their own.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::server::Server;

pub(crate) struct User {
    home: tempfile::TempDir,
    environment: BTreeMap<String, String>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

// === impl User ===

impl User {
    /// Logged in to the server with sensuctl.
    pub(crate) fn of(server: &Server) -> Self {
        let user = Self::without_login();
        user.save(&server.url, &server.log_in());
        user
    }

    /// Never used sensuctl.
    pub(crate) fn without_login() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("tmp")).unwrap();
        Self { home, environment: BTreeMap::new() }
    }

    /// Writes sensuctl's files.
    pub(crate) fn save(&self, url: &str, tokens: &Value) {
        let cluster = json!({
            "api-url": url, "trusted-ca-file": "", "insecure-skip-tls-verify": false,
            "access_token": tokens["access_token"], "expires_at": tokens["expires_at"],
            "refresh_token": tokens["refresh_token"], "APIKey": "", "timeout": 15_000_000_000_u64,
            "of-another-version": [1, 2],
        });
        fs::create_dir_all(self.saved_file().parent().unwrap()).unwrap();
        fs::write(self.saved_file(), cluster.to_string()).unwrap();
        let profile = json!({"format": "tabular", "namespace": "default"});
        fs::write(self.saved_file().with_file_name("profile"), profile.to_string()).unwrap();
    }

    pub(crate) fn saved_file(&self) -> PathBuf {
        self.home.path().join(".config/sensu/sensuctl/cluster")
    }

    pub(crate) fn saved(&self) -> Value {
        serde_json::from_slice(&fs::read(self.saved_file()).unwrap()).unwrap()
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// Writes a file into the home directory, which is also the current one.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.home.path().join(name), text).unwrap();
        name.to_owned()
    }

    /// Makes a shell script the editor; the file to edit is `$1`.
    pub(crate) fn edit_with(&mut self, script: &str) {
        let path = self.home.path().join("editor.sh");
        fs::write(&path, format!("#!/bin/sh\nset -eu\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self.set("EDITOR", &path.display().to_string());
    }

    pub(crate) fn run(&self, args: &[&str]) -> Done {
        self.run_with(args, "")
    }

    pub(crate) fn run_with(&self, args: &[&str], stdin: &str) -> Done {
        let mut child = self.spawn(args);
        // A command that fails early reads nothing.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        wait(child)
    }

    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).spawn().unwrap()
    }

    /// A command before it is started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fedgate"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.home.path())
            .env("TMPDIR", self.home.path().join("tmp"))
            .env("PATH", "/usr/bin:/bin")
            .envs(&self.environment)
            .current_dir(self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command that must succeed with nothing on the standard error; returns what it printed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let done = self.run(args);
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{args:?}: {}", done.stdout);
        done.stdout
    }

    /// Runs a command that must fail with this code; returns its one line.
    pub(crate) fn fails(&self, args: &[&str], code: i32) -> String {
        let done = self.run(args);
        assert_eq!(done.code, Some(code), "{args:?}: {} {}", done.stdout, done.stderr);
        done.line()
    }
}

// === impl Done ===

impl Done {
    /// The one line on the standard error, without the name of the program.
    pub(crate) fn line(&self) -> String {
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        self.stderr.trim_end().strip_prefix("fedgate: ").unwrap().to_owned()
    }
}

pub(crate) fn wait(child: Child) -> Done {
    let output = child.wait_with_output().unwrap();
    Done {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
