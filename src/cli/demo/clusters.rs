use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener as StdTcpListener},
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::{net::TcpListener, sync::watch};

use super::bind_or_free;
use crate::{
    cli::{
        Failure,
        output::{note, report},
        runtime::control_runtime,
        simulate::{CLUSTERS, live, simulated},
    },
    sim::{Sensu, SharedKeys},
};

/// The simulated clusters, on a thread of their own as the separate machines that they stand for.
pub(super) struct Clusters {
    clusters: Vec<Cluster>,
    thread: thread::JoinHandle<()>,
}

struct Cluster {
    name: &'static str,
    address: SocketAddr,
    is_up: watch::Sender<bool>,
}

// === impl Clusters ===

impl Clusters {
    /// Binds a port for each and starts them, those that are to fail without opening it.
    pub(super) fn start(keys: &Arc<SharedKeys>, fail: &[String]) -> Result<Self, Failure> {
        let mut clusters = Vec::new();
        let mut tasks = Vec::new();
        for (name, port) in CLUSTERS.into_iter().zip(PORTS) {
            let socket = super::first(bind_or_free((Ipv4Addr::LOCALHOST, port).into(), 1, name)?)?;
            let address = socket.local_addr().map_err(|error| Failure::new(1, error))?;
            let (is_up, seen) = watch::channel(!fail.iter().any(|failing| failing == name));
            tasks.push((simulated(name, Arc::clone(keys)), socket, address, seen));
            clusters.push(Cluster { name, address, is_up });
        }
        let runtime = control_runtime()?;
        let serving = async move {
            let serving = tasks.into_iter().map(|(sensu, socket, address, is_up)| async move {
                // Its events go on while nobody can reach it.
                tokio::select! {
                    () = serve(sensu.clone(), socket, address, is_up) => {}
                    never = live(sensu) => match never {},
                }
            });
            futures::future::join_all(serving).await;
        };
        let thread = thread::Builder::new()
            .name("clusters".into())
            .spawn(move || runtime.block_on(serving))
            .map_err(|error| Failure::new(1, error))?;
        Ok(Self { clusters, thread })
    }

    /// Names and addresses, the local cluster's first.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        self.clusters.iter().map(|cluster| (cluster.name, cluster.address))
    }

    /// The key that takes a cluster down or brings it back: the first letter of its name.
    pub(super) fn press(&self, key: u8) {
        let cluster = self.clusters.iter().find(|cluster| cluster.name.as_bytes().first() == Some(&key));
        let Some(Cluster { name, is_up, .. }) = cluster else { return };
        is_up.send_modify(|is_up| *is_up = !*is_up);
        let line = if *is_up.borrow() {
            format!("{name} is up again\n")
        } else {
            format!("{name} is down: lists have the rest, and say so; {} brings it back\n", char::from(key))
        };
        report(&line);
    }

    /// Ends all of them.
    pub(super) fn stop(self) {
        drop(self.clusters);
        let _ = self.thread.join();
    }
}

/// Serves while the cluster is up. While it is down, its port is closed. Ends when nobody can bring it back.
async fn serve(sensu: Sensu, socket: StdTcpListener, address: SocketAddr, mut is_up: watch::Receiver<bool>) {
    let mut socket = Some(socket);
    loop {
        if !*is_up.borrow() {
            drop(socket.take());
            if !becomes(&mut is_up, true).await {
                return;
            }
        }
        let bound = match socket.take() {
            Some(socket) => TcpListener::from_std(socket),
            None => TcpListener::bind(address).await,
        };
        match bound {
            Ok(listener) => {
                let mut down = is_up.clone();
                sensu.clone().serve(listener, becomes(&mut down, false)).await;
            }
            Err(error) => {
                note(format!("{}: cannot listen on {address} again yet: {error}", sensu.name()));
                tokio::time::sleep(RETRY).await;
            }
        }
        if is_up.has_changed().is_err() {
            return;
        }
    }
}

/// Waits; `false` when it never will.
async fn becomes(is_up: &mut watch::Receiver<bool>, wanted: bool) -> bool {
    is_up.wait_for(|is_up| *is_up == wanted).await.is_ok()
}

/// The usual ports, in the order of [`CLUSTERS`].
const PORTS: [u16; 3] = [18080, 18180, 18280];

const RETRY: Duration = Duration::from_secs(1);
