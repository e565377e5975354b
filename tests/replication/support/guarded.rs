//! An etcd whose access control is on, and a user of it for the gateway.

use std::{path::Path, process::Command, sync::Arc, time::Instant};

use fedgate::{
    etcd::{Client, Config},
    types::TlsFiles,
};
use tempfile::TempDir;

use super::objects::seed;
use crate::{
    etcd_server::Etcd,
    secure_etcd::{Ca, ca, issue, secure_etcd},
    wait::PATIENCE,
};

/// Users are known by the names in their certificates. The gateway's has only the rights that are granted to it.
pub(crate) struct Guarded {
    pub(crate) etcd: Etcd,
    /// With all rights.
    pub(crate) root: Arc<Client>,
    dir: TempDir,
    ca: Ca,
}

impl Guarded {
    /// With what every Sensu cluster has.
    pub(crate) async fn cluster(name: &str) -> Self {
        let (dir, ca) = (TempDir::new().unwrap(), ca());
        let etcd = secure_etcd(&ca, dir.path()).await;
        issue(&ca, dir.path(), "root");
        let file = |name: &str| Some(dir.path().join(name));
        let tls =
            TlsFiles { cert_file: file("root.pem"), key_file: file("root-key.pem"), ..etcd.config().tls };
        let root = Arc::new(Client::new(Config::new(vec![etcd.endpoint()], tls)).unwrap());
        seed(&root, name).await;
        let it = Self { etcd, root, dir, ca };
        for user in ["root", "client"] {
            it.ctl(&["user", "add", user, "--no-password"]);
            it.ctl(&["role", "add", user]);
            it.ctl(&["user", "grant-role", user, user]);
        }
        it.ctl(&["auth", "enable"]);
        it
    }

    /// Grants the gateway's user a right on everything under a prefix.
    pub(crate) fn grant(&self, right: &str, prefix: &str) {
        self.ctl(&["role", "grant-permission", "client", right, prefix, "--prefix"]);
    }

    /// Takes it away.
    pub(crate) fn revoke(&self, prefix: &str) {
        self.ctl(&["role", "revoke-permission", "client", prefix, "--prefix"]);
    }

    /// Gives the gateway a certificate of another CA, or a good one again.
    pub(crate) fn certify(&self, is_good: bool) {
        let other;
        let ca = if is_good {
            &self.ca
        } else {
            other = ca();
            &other
        };
        issue(ca, self.dir.path(), "client");
    }

    /// Runs `etcdctl` until it succeeds: etcd may be just starting.
    fn ctl(&self, args: &[&str]) {
        let path = |name: &str| Path::join(self.dir.path(), name);
        let run = || {
            Command::new("etcdctl")
                .env("ETCDCTL_API", "3")
                .args(["--endpoints", &self.etcd.endpoint().to_string(), "--command-timeout", "2s"])
                .arg("--cacert")
                .arg(path("ca.pem"))
                .arg("--cert")
                .arg(path("root.pem"))
                .arg("--key")
                .arg(path("root-key.pem"))
                .args(args)
                .output()
                .unwrap()
        };
        let begun = Instant::now();
        loop {
            let done = run();
            // One that came through without its answer is not done a second time.
            let is_done = String::from_utf8_lossy(&done.stderr).contains("already");
            if done.status.success() || is_done {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{done:?}");
        }
    }
}
