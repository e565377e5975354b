//! A gateway in a process of its own, to be killed and stopped.

use std::{
    env,
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use fedgate::{
    etcd::{Client, Config},
    leadership::Election,
    registry::EtcdStore,
    replication::Settings,
    types::TlsFiles,
};

use super::gateway::{CLEANUP_GRACE, Gateway};
use crate::etcd_server::Etcd;

/// How long a claim to a destination lasts without its gateway. Longer than most pauses, so that both happen: that it ends
/// meanwhile, and that it does not.
const FENCE_TTL: Duration = Duration::from_secs(3);

const VARIABLE: &str = "FEDGATE_REPLICATION_CHILD";

/// A gateway. Killed on drop.
pub(crate) struct Process {
    child: Child,
    setting: String,
    log: Option<PathBuf>,
    stopped: bool,
}

impl Process {
    /// A gateway that reads `source` and shares the store in `gateways` with others.
    pub(crate) fn start(name: &str, source: &Etcd, gateways: &Etcd, ttl: Duration) -> Self {
        let setting = format!("{name} {} {} {}", source.endpoint(), gateways.endpoint(), ttl.as_secs());
        let log =
            env::var_os("FEDGATE_REPLICATION_LOGS").map(|dir| PathBuf::from(dir).join(format!("{name}.log")));
        Self { child: spawn(&setting, log.as_ref()), setting, log, stopped: false }
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGKILL, and a new one.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.child = spawn(&self.setting, self.log.as_ref());
        self.stopped = false;
    }

    pub(crate) fn pause(&mut self) {
        self.signal("STOP");
        // Under load that takes its time.
        let stat = format!("/proc/{}/stat", self.child.id());
        while !fs::read_to_string(&stat).unwrap().rsplit(") ").next().unwrap().starts_with('T') {
            thread::yield_now();
        }
        self.stopped = true;
    }

    pub(crate) fn resume(&mut self) {
        if std::mem::take(&mut self.stopped) {
            self.signal("CONT");
        }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.child.id())).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(setting: &str, log: Option<&PathBuf>) -> Child {
    let output = || {
        log.map_or_else(Stdio::null, |log| {
            File::options().create(true).append(true).open(log).unwrap().into()
        })
    };
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "support::process::child", "--ignored", "--nocapture"])
        .env(VARIABLE, setting)
        .stdin(Stdio::null())
        .stdout(output())
        .stderr(output())
        .spawn()
        .unwrap()
}

/// Not a test: what [`Process`] starts.
#[tokio::test]
#[ignore = "started by other tests"]
async fn child() {
    let Ok(setting) = env::var(VARIABLE) else { return };
    let parts: Vec<&str> = setting.split(' ').collect();
    let config = |url: &str| Config::new(vec![url.parse().unwrap()], TlsFiles::default());
    let shared = Arc::new(Client::new(config(parts[2])).unwrap());
    let ttl = Duration::from_secs(parts[3].parse().unwrap());
    let election = Election::new(Arc::clone(&shared), "/fedgate/", parts[0], ttl);
    let store = Arc::new(EtcdStore::new(shared, "/fedgate/"));
    let settings =
        Settings { cleanup_grace: CLEANUP_GRACE, fence_ttl: FENCE_TTL, ..Settings::new(config(parts[1])) };
    let gateway = Gateway::with(settings, Arc::clone(&store) as _, store, election);
    let mut statuses = gateway.handle.statuses.clone();
    loop {
        eprintln!("{:?} {:?}", std::time::SystemTime::now(), *statuses.borrow_and_update());
        statuses.changed().await.unwrap();
    }
}
