//! `simulate`: one of the demo's clusters alone, for a demo of several processes or containers.

use std::{
    convert::Infallible,
    fs, io,
    io::Write,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use tokio::net::TcpListener;

use super::{
    CONFIG, Failure, UNAVAILABLE,
    output::report,
    runtime::{control_runtime, stop_signals},
};
use crate::{
    error::{Access, Advice},
    listener,
    sim::{Options, Sensu, SharedKeys},
};

/// `fedgate simulate`.
#[derive(Debug, Args)]
pub(super) struct Simulate {
    /// Name of the cluster, which decides what is in it
    #[arg(value_name = "CLUSTER", default_value = CLUSTERS[0])]
    name: String,
    /// Address to listen on, over plain HTTP
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:18080")]
    listen: SocketAddr,
    /// Directory of the key pair that the clusters share, `jwt_private.pem` and `jwt_public.pem`; made when it is not there
    #[arg(long, value_name = "DIRECTORY")]
    keys: PathBuf,
}

// === impl Simulate ===

impl Simulate {
    /// Runs until SIGTERM or Ctrl-C.
    pub(super) fn run(self) -> Result<(), Failure> {
        control_runtime()?.block_on(async {
            let keys = shared_keys(&self.keys)?;
            let socket = listener::bind(self.listen, 1).map(|mut sockets| sockets.remove(0));
            let socket = socket.map_err(|error| Failure::new(UNAVAILABLE, error))?;
            let address = socket.local_addr().map_err(|error| Failure::new(1, error))?;
            let socket = TcpListener::from_std(socket).map_err(|error| Failure::new(1, error))?;
            let sensu = simulated(&self.name, Arc::new(keys));
            let mut stop = stop_signals()?;
            report(&format!("{} listens on http://{address}\n", self.name));
            tokio::select! {
                () = sensu.clone().serve(socket, stop.recv()) => {}
                never = live(sensu) => match never {},
            }
            report("stopped\n");
            Ok(())
        })
    }
}

/// A cluster with the data that its name stands for.
pub(super) fn simulated(name: &str, keys: Arc<SharedKeys>) -> Sensu {
    let sensu = Sensu::new(Options { name: name.to_owned(), keys, tls: false, ..Options::default() });
    let known = CLUSTERS.iter().position(|known| *known == name).and_then(|index| u64::try_from(index).ok());
    let other = || name.bytes().fold(CLUSTERS.len() as u64, |seed, byte| seed * 31 % SEEDS + u64::from(byte));
    sensu.seed_demo(1 + known.unwrap_or_else(other));
    sensu
}

/// Lets its events change.
pub(super) async fn live(sensu: Sensu) -> Infallible {
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        sensu.tick();
    }
}

/// The pair in the directory. Of several that start at once, one makes it.
fn shared_keys(directory: &Path) -> Result<SharedKeys, Failure> {
    let private = directory.join("jwt_private.pem");
    let cannot = |path: &Path, error: &io::Error| {
        let advice = Advice(error, Access::Write);
        Failure::new(CONFIG, format!("cannot write {}: {error}{advice}", path.display()))
    };
    fs::create_dir_all(directory).map_err(|error| cannot(directory, &error))?;
    if !private.exists() {
        let new =
            SharedKeys::generate().map_err(|error| Failure::new(1, format!("cannot make a key: {error}")))?;
        let draft = directory.join(format!(".jwt_private.pem.{:x}", fastrand::u64(..)));
        write(&draft, &new.private_pem(), 0o600).map_err(|error| cannot(&draft, &error))?;
        // A link never replaces what another one has made meanwhile.
        let linked = fs::hard_link(&draft, &private);
        let _ = fs::remove_file(&draft);
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(cannot(&private, &error));
            }
            _ => {}
        }
    }
    let unusable = |error: &dyn std::fmt::Display| {
        Failure::new(CONFIG, format!("cannot use the key {}: {error}", private.display()))
    };
    let text = fs::read_to_string(&private).map_err(|error| unusable(&error))?;
    let keys = SharedKeys::from_private_pem(&text).map_err(|error| unusable(&error))?;
    // Complete or not there, and the same whoever writes it.
    let (public, draft) = (
        directory.join("jwt_public.pem"),
        directory.join(format!(".jwt_public.pem.{:x}", fastrand::u64(..))),
    );
    let written = write(&draft, &keys.public_pem(), 0o644).and_then(|()| fs::rename(&draft, &public));
    written.map_err(|error| cannot(&public, &error))?;
    Ok(keys)
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())
}

/// The clusters of the demo.
pub(super) const CLUSTERS: [&str; 3] = ["local-cluster", "alpha", "beta"];

/// How often the simulated events change.
const TICK: Duration = Duration::from_secs(2);

/// A prime far from overflow.
const SEEDS: u64 = 1_000_003;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn clusters_that_start_at_once_share_one_pair() {
        let directory = tempfile::tempdir().unwrap();
        let keys = directory.path().join("keys");
        let started: Vec<_> = (0..8)
            .map(|_| {
                let keys = keys.clone();
                std::thread::spawn(move || shared_keys(&keys).map_err(|failure| failure.line).unwrap())
            })
            .collect();
        let public = |keys: &SharedKeys| keys.public_pem();
        let found: Vec<String> = started.into_iter().map(|thread| public(&thread.join().unwrap())).collect();
        assert!(found.iter().all(|pem| *pem == found[0]));
        assert_eq!(fs::read_to_string(keys.join("jwt_public.pem")).unwrap(), found[0]);
        let mode = fs::metadata(keys.join("jwt_private.pem")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&keys).unwrap().count(), 2, "no draft is left");
    }

    #[test]
    fn a_file_that_holds_no_key_is_named() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("jwt_private.pem"), "notes").unwrap();
        let failure = shared_keys(directory.path()).unwrap_err();
        assert!(failure.code == CONFIG && failure.line.contains("jwt_private.pem: not a P-256 key"));
    }
}
