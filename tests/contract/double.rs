//! The simulated Sensu, in memory: every group starts from clusters of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};

use aws_lc_rs::signature::EcdsaKeyPair;
use fedgate::sim::{Options, Sensu, SharedKeys};
use serde_json::Value;

use crate::{
    fixture::Group,
    http::Io,
    known::KNOWN,
    replay::Replay,
    target::{ADMIN, MAIN, Step, Target},
    token,
};

/// Fails when the simulated Sensu differs on `group`, but for what is on the list of known differences.
pub(crate) fn check(group: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let group = Group::load(group);
    let double = Double::new(&group.name);
    let report = runtime.block_on(async {
        let mut replay = Replay::new(&double);
        if !matches!(group.name.as_str(), "seed" | "startup" | "federation") {
            // What goes wrong here is the seed group's to report.
            replay.run(&Group::load("seed")).await;
        }
        replay.run(&group).await
    });
    let names: BTreeSet<_> = group.exchanges.iter().map(|e| e.name.as_str()).collect();
    let known = KNOWN.iter().map(|(name, _)| *name).filter(|name| names.contains(name)).collect();
    report.check(&known);
}

struct Double {
    clusters: BTreeMap<&'static str, Sensu>,
    key: EcdsaKeyPair,
}

// === impl Double ===

impl Double {
    /// Freshly initialised clusters as `group` expects them.
    fn new(group: &str) -> Self {
        let keys = Arc::new(SharedKeys::generate().expect("the system has randomness"));
        let cluster = |name: &str| {
            Sensu::new(Options {
                name: name.to_owned(),
                keys: keys.clone(),
                admin_user: ADMIN.0.to_owned(),
                admin_password: ADMIN.1.to_owned(),
                startup_wait: (group == "startup").then_some(STARTUP_WAIT),
                ..Options::default()
            })
        };
        let names = if group == "federation" { &[MAIN, "alpha", "beta"][..] } else { &[MAIN] };
        Self {
            clusters: names.iter().map(|name| (*name, cluster(name))).collect(),
            key: token::read_key(keys.private_pem().as_bytes()),
        }
    }

    fn cluster(&self, name: &str) -> io::Result<&Sensu> {
        self.clusters.get(name).ok_or_else(|| io::Error::other(format!("there is no cluster {name}")))
    }
}

impl Target for Double {
    async fn connect(&self, cluster: &str) -> io::Result<Box<dyn Io>> {
        let sensu = self.cluster(cluster)?.clone();
        let (client, server) = tokio::io::duplex(BUFFER_BYTES);
        tokio::spawn(async move { sensu.serve_connection(server).await });
        Ok(Box::new(client))
    }

    fn key(&self) -> &EcdsaKeyPair {
        &self.key
    }

    fn has_etcd(&self) -> bool {
        true
    }

    async fn mint_hs256(&self, cluster: &str, header: &Value, claims: &Value) -> io::Result<String> {
        Ok(self.cluster(cluster)?.mint_hs256(header, claims))
    }

    async fn etcd(&self, cluster: &str, step: Step<'_>) -> io::Result<Option<Vec<u8>>> {
        let sensu = self.cluster(cluster)?;
        match step {
            Step::Get(key) => return Ok(sensu.etcd_get(key)),
            Step::Put(key, value) => sensu.etcd_put(key, &value),
            Step::Delete(key) => drop(sensu.etcd_delete(key)),
        }
        Ok(None)
    }
}

const BUFFER_BYTES: usize = 64 * 1024;

/// What the recorded backend was configured with, in seconds.
const STARTUP_WAIT: u32 = 25;
