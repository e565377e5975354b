use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener as StdTcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use clap::Args;
use tokio::{net::TcpListener, sync::watch};

use super::{
    Failure, UNAVAILABLE,
    output::{note, report},
    runtime::{control_runtime, stop_signals},
};
use crate::{
    app::{BuildError, Server},
    config::{self, Root},
    sim::{Options, Sensu, SharedKeys},
    telemetry::{self, Format, Level},
};

/// `fedgate demo`.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Port of the gateway; when it is taken, a free one
    #[arg(long, default_value_t = PORT)]
    port: u16,
}

/// The clusters' names and where they listen.
type Addresses = Vec<(&'static str, SocketAddr)>;

/// A directory that is deleted when the demo ends.
struct Scratch(PathBuf);

// === impl Demo ===

impl Demo {
    /// Runs until Ctrl-C.
    pub(super) fn run(self) -> Result<(), Failure> {
        control_runtime()?.block_on(run(self.port))
    }
}

async fn run(port: u16) -> Result<(), Failure> {
    // Errors only: the terminal belongs to the instructions.
    let logs = telemetry::init(&telemetry::Config { format: Format::Text, level: Level::Error });
    let keys =
        SharedKeys::generate().map_err(|error| Failure::new(1, format!("cannot make a key: {error}")))?;
    let keys = Arc::new(keys);
    let scratch = Scratch::new().map_err(|error| Failure::new(1, format!("cannot write to {error}")))?;
    let key_file = scratch.0.join(KEY_FILE);
    std::fs::write(&key_file, keys.public_pem())
        .map_err(|error| Failure::new(1, format!("cannot write {}: {error}", key_file.display())))?;

    let (stop_clusters, stopped) = watch::channel(());
    let (clusters, addresses) = start_clusters(&keys, stopped)?;
    let root = configuration(&scratch.0, &addresses, port)?;
    let server = Server::build(&root, None, logs).await?;
    let (main, admin) = server.addresses().map_err(BuildError::from)?;
    report(&instructions(main, admin, &addresses));

    let done = server.run(stop_signals()?).await;
    drop(stop_clusters);
    let _ = clusters.join();
    report("stopped\n");
    Ok(done?)
}

/// Binds a port for each cluster and serves all of them on a thread of their own, as the separate machines that they
/// stand for.
fn start_clusters(
    keys: &Arc<SharedKeys>,
    mut stopped: watch::Receiver<()>,
) -> Result<(thread::JoinHandle<()>, Addresses), Failure> {
    let mut clusters = Vec::new();
    let mut addresses = Vec::new();
    for (seed, (name, port)) in (1..).zip(CLUSTERS) {
        let socket = bind_or_free(port, name)?;
        let address = socket.local_addr().map_err(|error| Failure::new(1, error))?;
        let sensu = Sensu::new(Options {
            name: name.to_owned(),
            keys: Arc::clone(keys),
            tls: false,
            ..Options::default()
        });
        sensu.seed_demo(seed);
        addresses.push((name, address));
        clusters.push((sensu, socket));
    }
    let runtime = control_runtime()?;
    let thread = thread::Builder::new()
        .name("clusters".into())
        .spawn(move || {
            runtime.block_on(async move {
                for (sensu, socket) in clusters {
                    let Ok(socket) = TcpListener::from_std(socket) else { return };
                    tokio::spawn(sensu.clone().serve(socket, std::future::pending::<()>()));
                    tokio::spawn(async move {
                        let mut ticks = tokio::time::interval(TICK);
                        loop {
                            ticks.tick().await;
                            sensu.tick();
                        }
                    });
                }
                // Closed when the demo ends.
                while stopped.changed().await.is_ok() {}
            });
        })
        .map_err(|error| Failure::new(1, error))?;
    Ok((thread, addresses))
}

/// Binds the usual port, or a free one with a note about it.
fn bind_or_free(port: u16, what: &str) -> Result<StdTcpListener, Failure> {
    let bind = |port| {
        let socket = StdTcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        socket.set_nonblocking(true)?;
        Ok::<_, std::io::Error>(socket)
    };
    match bind(port) {
        Ok(socket) => Ok(socket),
        Err(error) => {
            note(format!("port {port} for {what} is not available ({error}); using a free one"));
            bind(0).map_err(|error| Failure::new(UNAVAILABLE, format!("no free port for {what}: {error}")))
        }
    }
}

/// The configuration, through the same parser as a file.
fn configuration(directory: &Path, clusters: &[(&str, SocketAddr)], port: u16) -> Result<Root, Failure> {
    let main = free_unless(port, "the gateway")?;
    let admin = free_unless(ADMIN_PORT, "the admin listener")?;
    let yaml = serde_json::json!({
        "listen": { "address": format!("127.0.0.1:{main}") },
        "admin": { "address": format!("127.0.0.1:{admin}") },
        "auth": { "jwt-public-key-files": [directory.join(KEY_FILE)] },
        "store": { "embedded": { "path": directory.join("registry.redb") } },
        "local-cluster": { "api-urls": [format!("http://{}", clusters[0].1)] },
        "clusters": clusters[1..].iter()
            .map(|(name, address)| serde_json::json!({ "name": name, "api-urls": [format!("http://{address}")] }))
            .collect::<Vec<_>>(),
        "shutdown": { "drain": "2s" },
    });
    // JSON is YAML, and escapes whatever a path may hold.
    Ok(config::parse(&yaml.to_string(), "demo", &std::collections::BTreeMap::new())?)
}

/// The port, or 0 for any when it is taken.
fn free_unless(port: u16, what: &str) -> Result<u16, Failure> {
    bind_or_free(port, what).and_then(|socket| {
        let address = socket.local_addr().map_err(|error| Failure::new(1, error))?;
        Ok(if address.port() == port { port } else { 0 })
    })
}

fn instructions(main: SocketAddr, admin: SocketAddr, clusters: &[(&str, SocketAddr)]) -> String {
    let user = Options::default().admin_user;
    let password = Options::default().admin_password;
    let names = clusters.iter().map(|(name, address)| format!("{name} (http://{address})"));
    let names = names.collect::<Vec<_>>().join(", ");
    format!(
        r#"
fedgate demo: three simulated Sensu clusters, one gateway in front

  URL       http://{main}
  User      {user}
  Password  {password}
  Clusters  {names}
  Admin     http://{admin}/metrics

Log in and keep the token:

  TOKEN=$(curl -s -u '{user}:{password}' http://{main}/auth | sed 's/.*"access_token":"\([^"]*\)".*/\1/')

Every event of every cluster, each with its cluster; then only alpha's; then who answered:

  curl -s -H "Authorization: Bearer $TOKEN" http://{main}/api/core/v2/events
  curl -s -H "Authorization: Bearer $TOKEN" http://{main}/api/core/v2/namespaces/default@alpha/events
  curl -si -H "Authorization: Bearer $TOKEN" http://{main}/api/core/v2/namespaces | grep -i fedgate

With sensuctl:

  sensuctl configure -n --url http://{main} --username {user} --password '{password}'
  sensuctl event list --all-namespaces
  sensuctl check list --namespace default@alpha
  sensuctl --api-url http://{main}/c/beta entity list

Ctrl-C ends it.
"#
    )
}

// === impl Scratch ===

impl Scratch {
    fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("fedgate-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The gateway's usual port.
const PORT: u16 = 8080;

/// The clusters of the demo and their usual ports.
const CLUSTERS: [(&str, u16); 3] = [("local-cluster", 18080), ("alpha", 18180), ("beta", 18280)];

const KEY_FILE: &str = "jwt_public.pem";
const ADMIN_PORT: u16 = 9180;

/// How often the simulated events change.
const TICK: Duration = Duration::from_secs(2);
