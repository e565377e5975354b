//! The page of `/metrics`: what each module has to say.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::{certificates, shared::Shared, tracing::Tracing};
use crate::{
    listener, policy, registry, replication,
    telemetry::{
        Metrics,
        metrics::{Registry, collect},
    },
    types::ClusterHealth,
    upstream,
};

/// How the last reload of the configuration went. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Reloads(Arc<(AtomicBool, Mutex<SystemTime>)>);

// === impl Reloads ===

impl Reloads {
    /// What was read at the start is good.
    pub(super) fn new() -> Self {
        Self(Arc::new((AtomicBool::new(true), Mutex::new(SystemTime::now()))))
    }

    pub(super) fn record(&self, succeeded: bool) {
        self.0.0.store(succeeded, Relaxed);
        if succeeded {
            *self.0.1.lock() = SystemTime::now();
        }
    }

    fn register(&self, page: &mut Registry) {
        let reloads = self.clone();
        collect(page, move |families| {
            let succeeded = u64::from(reloads.0.0.load(Relaxed));
            families.gauge(
                "config_last_reload_successful",
                "Whether the configuration and its files could be read the last time.",
                succeeded,
            )?;
            let at = reloads.0.1.lock().duration_since(UNIX_EPOCH).unwrap_or_default();
            families.gauge(
                "config_last_reload_success_timestamp_seconds",
                "When they could, in seconds since 1970.",
                at.as_secs_f64(),
            )
        });
    }
}

/// What replicates, if anything does.
pub(super) struct Replicating<'a> {
    pub(super) by_etcd: Option<&'a replication::Handle>,
    pub(super) by_api: Option<&'a policy::Handle>,
}

pub(super) fn page(
    shared: &Shared,
    reloads: &Reloads,
    health: watch::Receiver<Arc<Vec<ClusterHealth>>>,
    replicating: &Replicating<'_>,
    tracing: Option<&Tracing>,
) -> Arc<Metrics> {
    let (listening, resources) = (&shared.listening, &shared.answering.resources);
    Arc::new(Metrics::new(|page| {
        reloads.register(page);
        resources.access.register(page);
        listening.metrics.register(page);
        listener::register_connections(Arc::clone(&listening.connections), listening.most, page);
        shared.authentication.authenticator.metrics().register(page);
        resources.logins.register(page);
        shared.reach.metrics.register(page);
        upstream::register_metrics(health, page);
        resources.fan_outs.register(page);
        resources.graphql.register(page);
        held_bytes(shared, page);
        registry::register_metrics(shared.reach.clusters.clone(), resources.registry.clone(), page);
        certificates::register_metrics(page);
        if let Some(sessions) = &resources.outage_sessions {
            sessions.register(page);
        }
        if let Some(tracing) = tracing {
            tracing.register(page);
        }
        if let Some(replication) = replicating.by_etcd {
            replication.metrics.register(page);
        }
        if let Some(policy) = replicating.by_api {
            policy.metrics.register(page);
        }
    }))
}

/// What is held of each budget, and how much may be.
fn held_bytes(shared: &Shared, page: &mut Registry) {
    let resources = Arc::clone(&shared.answering.resources);
    collect(page, move |families| {
        let budgets = [
            ([("kind", "request-bodies")], &resources.bodies),
            ([("kind", "lists")], resources.fan_outs.memory()),
            ([("kind", "graphql-answers")], resources.graphql.memory()),
            ([("kind", "compression")], resources.compressor.memory()),
        ];
        let held = budgets.map(|(kind, budget)| (kind, budget.held_bytes()));
        families.gauges("held_bytes", "Bytes of bodies that are held in memory.", held)?;
        let most = budgets.map(|(kind, budget)| (kind, budget.max_bytes()));
        families.gauges("held_bytes_limit", "Bytes of bodies that may be held in memory.", most)
    });
}
