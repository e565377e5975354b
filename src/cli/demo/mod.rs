//! `demo`: three simulated clusters and the gateway in front of them, in one process.

mod clusters;
mod instructions;
mod keyboard;

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use clap::Args;

use self::{clusters::Clusters, instructions::instructions, keyboard::Keyboard};
use super::{
    Failure, UNAVAILABLE,
    output::{note, report},
    runtime::{control_runtime, stop_signals_or_hangup},
    simulate::CLUSTERS,
};
use crate::{
    app::{BuildError, Server, Sockets, worker_count},
    config::{self, Root},
    error::{Access, Advice},
    listener,
    sim::SharedKeys,
    telemetry,
};

/// `fedgate demo`.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Address of the gateway, with or without a port [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<Listen>,
    /// Port of the gateway; when it is taken, a free one
    #[arg(long, default_value_t = PORT)]
    port: u16,
    /// Start with this cluster down: local-cluster, alpha or beta; may be given several times
    #[arg(long, value_name = "CLUSTER", value_delimiter = ',', value_parser = CLUSTERS)]
    fail: Vec<String>,
}

/// An address, perhaps with a port.
#[derive(Clone, Copy, Debug)]
struct Listen {
    ip: IpAddr,
    port: Option<u16>,
}

/// A directory that is deleted when the demo ends.
struct Scratch(PathBuf);

// === impl Demo ===

impl Demo {
    /// Runs until Ctrl-C.
    pub(super) fn run(self) -> Result<(), Failure> {
        control_runtime()?.block_on(self.serve())
    }

    /// Where to listen; the port is only what is tried first.
    fn address(&self) -> SocketAddr {
        let Listen { ip, port } =
            self.listen.unwrap_or(Listen { ip: Ipv4Addr::LOCALHOST.into(), port: None });
        SocketAddr::new(ip, port.unwrap_or(self.port))
    }

    async fn serve(self) -> Result<(), Failure> {
        // Errors only: the terminal belongs to the instructions.
        let logs = telemetry::init_quiet();
        let keys =
            SharedKeys::generate().map_err(|error| Failure::new(1, format!("cannot make a key: {error}")))?;
        let keys = Arc::new(keys);
        let scratch = Scratch::new()?;
        scratch.write(PUBLIC_KEY, &keys.public_pem())?;
        scratch.write(PRIVATE_KEY, &keys.private_pem())?;

        let clusters = Clusters::start(&keys, &self.fail)?;
        let workers = bind_or_free(self.address(), worker_count(0), "the gateway")?;
        let admin = bind_or_free((Ipv4Addr::LOCALHOST, ADMIN_PORT).into(), 1, "the admin listener")?;
        let sockets = Sockets::new(workers, first(admin)?);
        let (main, admin) = sockets.addresses().map_err(BuildError::from)?;
        let root = configuration(&scratch.0, (main, admin), &clusters)?;
        let server = Server::build_on(Some(sockets), &root, None, logs).await?;
        let keyboard = Keyboard::open();
        let checked = server.checked();
        let told = async {
            // The first command that is printed asks for the clusters' state.
            let _ = tokio::time::timeout(FIRST_CHECK, checked).await;
            report(&instructions(main, admin, &clusters, &scratch.0, keyboard.is_some()));
            for name in &self.fail {
                report(&format!("{name} is down\n"));
            }
            match &keyboard {
                Some(keyboard) => keyboard.presses(|key| clusters.press(key)).await,
                None => std::future::pending().await,
            }
        };
        let done = tokio::select! {
            done = server.run(stop_signals_or_hangup()?) => done,
            never = told => match never {},
        };
        drop(keyboard);
        clusters.stop();
        report("stopped\n");
        Ok(done?)
    }
}

/// Binds the usual port, or a free one with a note about it.
fn bind_or_free(address: SocketAddr, count: usize, what: &str) -> Result<Vec<TcpListener>, Failure> {
    let refused = |error| Failure::new(UNAVAILABLE, format!("{what}: {error}"));
    match listener::bind(address, count) {
        Err(taken) if taken.error.kind() == std::io::ErrorKind::AddrInUse && address.port() != 0 => {
            note(format!("port {} for {what} is taken; using a free one", address.port()));
            listener::bind(SocketAddr::new(address.ip(), 0), count).map_err(refused)
        }
        bound => bound.map_err(refused),
    }
}

fn first(sockets: Vec<TcpListener>) -> Result<TcpListener, Failure> {
    sockets.into_iter().next().ok_or_else(|| Failure::new(1, "no socket was bound"))
}

/// The configuration, through the same parser as a file.
fn configuration(
    directory: &Path,
    (main, admin): (SocketAddr, SocketAddr),
    clusters: &Clusters,
) -> Result<Root, Failure> {
    let mut urls = clusters.addresses().map(|(name, address)| (name, format!("http://{address}")));
    let local = urls.next().map(|(_, url)| url);
    let yaml = serde_json::json!({
        "listen": { "address": main.to_string(), "allow-plaintext": true },
        "admin": { "address": admin.to_string() },
        "auth": {
            "jwt-public-key-files": [directory.join(PUBLIC_KEY)],
            "jwt-private-key-file": directory.join(PRIVATE_KEY),
        },
        "store": { "embedded": { "path": directory.join("registry.redb") } },
        "local-cluster": { "api-urls": [local] },
        "clusters": urls
            .map(|(name, url)| serde_json::json!({ "name": name, "api-urls": [url] }))
            .collect::<Vec<_>>(),
        // A cluster that is taken down is seen to be down before one looks.
        "upstream": { "health": { "interval": "1s", "timeout": "1s", "unhealthy-after": 1, "healthy-after": 1 } },
        "shutdown": { "drain": "2s" },
    });
    // JSON is YAML, and escapes whatever a path may hold.
    Ok(config::parse(&yaml.to_string(), "demo", &std::collections::BTreeMap::new())?)
}

// === impl Listen ===

impl FromStr for Listen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self { ip: address.ip(), port: Some(address.port()) });
        }
        let ip = text.trim_start_matches('[').trim_end_matches(']').parse();
        ip.map(|ip| Self { ip, port: None }).map_err(|_| "write an IP address, such as 0.0.0.0 or [::]:8080")
    }
}

// === impl Scratch ===

impl Scratch {
    /// Under a name that nobody could have made before, and closed to others: it holds a private key.
    fn new() -> Result<Self, Failure> {
        let name = format!("fedgate-demo-{}-{:08x}", std::process::id(), fastrand::u32(..));
        let path = std::env::temp_dir().join(name);
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| cannot_write(&path, &error))?;
        Ok(Self(path))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.0.join(name);
        fs::write(&path, text).map_err(|error| cannot_write(&path, &error))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    let advice = Advice(error, Access::Write);
    Failure::new(1, format!("cannot write {}: {error}{advice}; TMPDIR names another place", path.display()))
}

/// The gateway's usual port.
const PORT: u16 = 8080;

const PUBLIC_KEY: &str = "jwt_public.pem";
const PRIVATE_KEY: &str = "jwt_private.pem";
const ADMIN_PORT: u16 = 9180;

/// How long the instructions wait for the first health checks at most.
const FIRST_CHECK: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port_or_takes_the_usual_one() {
        let address = |listen: Option<&str>, port| {
            let listen = listen.map(|text| text.parse().unwrap());
            Demo { listen, port, fail: Vec::new() }.address().to_string()
        };
        assert_eq!(address(None, 8080), "127.0.0.1:8080");
        assert_eq!(address(Some("0.0.0.0"), 9000), "0.0.0.0:9000");
        assert_eq!(address(Some("0.0.0.0:81"), 8080), "0.0.0.0:81");
        assert_eq!(address(Some("[::]:81"), 8080), "[::]:81");
        assert_eq!(address(Some("::"), 8080), "[::]:8080");
        assert_eq!(address(Some("[::1]"), 8080), "[::1]:8080");
        assert!("localhost:81".parse::<Listen>().is_err());
    }
}
