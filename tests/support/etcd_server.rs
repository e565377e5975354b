//! An etcd with one member, on free loopback ports and in a directory of its own.

use std::{
    fs::{self, File},
    io::ErrorKind,
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use fedgate::{
    etcd::{Client, Config},
    types::{Backend, TlsFiles},
};
use tempfile::TempDir;

use crate::wait::PATIENCE;

/// A running etcd. Killed on drop.
pub(crate) struct Etcd {
    child: Child,
    dir: TempDir,
    client_port: u16,
    peer_port: u16,
    flags: Vec<String>,
    tls: TlsFiles,
}

impl Etcd {
    /// Starts one, and waits until it answers.
    pub(crate) async fn start() -> Self {
        Self::with(&[], TlsFiles::default()).await
    }

    /// With more flags; its clients use `tls`, over HTTPS when a CA is given.
    pub(crate) async fn with(flags: &[&str], tls: TlsFiles) -> Self {
        let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
        for _ in 0..5 {
            let [client_port, peer_port] = free_ports();
            let dir = TempDir::new().unwrap();
            let child = spawn(&dir, client_port, peer_port, &flags, tls.trusted_ca_file.is_some());
            let mut etcd =
                Self { child, dir, client_port, peer_port, flags: flags.clone(), tls: tls.clone() };
            if etcd.answers().await {
                return etcd;
            }
        }
        panic!("five times another process took the ports of etcd");
    }

    pub(crate) fn endpoint(&self) -> Backend {
        let scheme = if self.tls.trusted_ca_file.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.client_port).parse().unwrap()
    }

    pub(crate) fn config(&self) -> Config {
        Config::new(vec![self.endpoint()], self.tls.clone())
    }

    /// A client with the default times.
    pub(crate) fn client(&self) -> Arc<Client> {
        Arc::new(Client::new(self.config()).unwrap())
    }

    /// SIGKILL, without a good-bye.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Deletes its data, after [`Etcd::kill`].
    pub(crate) fn wipe(&self) {
        fs::remove_dir_all(self.dir.path().join("data")).unwrap();
    }

    /// Starts it again on the same data and ports, after [`Etcd::kill`].
    pub(crate) async fn restart(&mut self) {
        self.start_again();
        assert!(self.answers().await, "etcd ended at once:\n{}", self.log());
    }

    /// Starts it again as [`Etcd::restart`] does, without waiting for it.
    pub(crate) fn start_again(&mut self) {
        let secure = self.tls.trusted_ca_file.is_some();
        self.child = spawn(&self.dir, self.client_port, self.peer_port, &self.flags, secure);
    }

    /// Sends a signal, by name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.child.id())).status();
        assert!(sent.unwrap().success());
        while name == "STOP" && !self.is_stopped() {
            thread::yield_now();
        }
    }

    /// Whether all its threads have stopped: the signal is sent before they have.
    fn is_stopped(&self) -> bool {
        let mut threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        threads.all(|task| {
            let stat = task.and_then(|task| fs::read_to_string(task.path().join("stat")));
            // The state is behind the name, which is in parentheses and may hold anything.
            stat.is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')))
        })
    }

    /// Runs `etcdctl`, which must succeed.
    pub(crate) fn ctl(&self, args: &[&str]) {
        let endpoint = self.endpoint().to_string();
        let done = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &endpoint])
            .args(args)
            .output()
            .unwrap_or_else(|error| panic!("etcdctl (package etcd-client, older Debian: etcd): {error}"));
        assert!(done.status.success(), "{done:?}");
    }

    /// Whether it answers; false when it ended before.
    async fn answers(&mut self) -> bool {
        let client = self.client();
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if client.status().await.is_ok_and(|status| status.leader != 0) {
                return true;
            }
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("etcd does not answer:\n{}", self.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(dir: &TempDir, client_port: u16, peer_port: u16, flags: &[String], secure: bool) -> Child {
    let scheme = if secure { "https" } else { "http" };
    let (client, peer) =
        (format!("{scheme}://127.0.0.1:{client_port}"), format!("http://127.0.0.1:{peer_port}"));
    let log = File::options().create(true).append(true).open(dir.path().join("log")).unwrap();
    let child = Command::new("etcd")
        .args(["--name", "test", "--data-dir"])
        .arg(dir.path().join("data"))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("test={peer}")])
        // A member alone elects itself: with short terms it is ready, and leases may end, sooner.
        .args(["--heartbeat-interval", "50", "--election-timeout", "500"])
        .args(["--logger", "zap", "--log-outputs", "stderr", "--log-level", "warn"])
        .args(flags)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    match child {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            panic!("etcd is not installed: apt-get install etcd-server (older Debian: etcd)")
        }
        Err(error) => panic!("etcd cannot be started: {error}"),
    }
}

fn free_ports() -> [u16; 2] {
    let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}
