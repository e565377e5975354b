//! The tasks of the destinations.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle};

use crate::{
    etcd::{Client, Config},
    leadership::Term,
    replication::{
        cache::ReplicaCache,
        destination::Destination,
        memory::Address,
        status::{Known, Metrics, Report},
        work::Assignment,
    },
    telemetry::trace::Tracer,
};

/// A running task.
pub(super) struct Task {
    pub(super) assignments: watch::Sender<Arc<Assignment>>,
    pub(super) reports: watch::Receiver<Report>,
    pub(super) handle: JoinHandle<()>,
}

/// What every new task gets.
pub(super) struct Start<'a> {
    pub(super) source: &'a Arc<ReplicaCache>,
    pub(super) source_client: &'a Arc<Client>,
    pub(super) terms: &'a watch::Receiver<Option<Term>>,
    pub(super) reported: &'a watch::Sender<()>,
    pub(super) metrics: &'a Arc<Metrics>,
    pub(super) store_id: &'a str,
    pub(super) fence_ttl: Duration,
    pub(super) tracer: Option<&'a Tracer>,
}

// === impl Task ===

impl Task {
    /// Whether a replicator is assigned to the task.
    pub(super) fn serves(&self, name: &str) -> bool {
        self.assignments.borrow().scopes.iter().any(|scope| &*scope.name == name)
    }

    /// The last report, if it is about the last assignment and can be relied on.
    pub(super) fn current_report(&self) -> Option<Report> {
        let generation = self.assignments.borrow().generation;
        let report = self.reports.borrow();
        (report.known >= Known::Currently && report.generation == generation).then(|| report.clone())
    }
}

// === impl Start ===

impl Start<'_> {
    pub(super) fn task(&self, address: &Address) -> Task {
        let (assignments, receiver) = watch::channel(Arc::default());
        let (reports, report) = watch::channel(Report::default());
        let config = Config::new(address.endpoints.clone(), address.tls.clone());
        let client = Client::new(config.clone()).expect("an address has at least one endpoint");
        let destination = Destination {
            config,
            client: Arc::new(client),
            source: Arc::clone(self.source),
            source_client: Arc::clone(self.source_client),
            assignments: receiver,
            terms: self.terms.clone(),
            reports,
            reported: self.reported.clone(),
            metrics: Arc::clone(self.metrics),
            fence_ttl: self.fence_ttl,
            tracer: self.tracer.cloned(),
        };
        let store_id = self.store_id.to_owned();
        let handle = tokio::spawn(async move { destination.run(&store_id).await });
        Task { assignments, reports: report, handle }
    }
}
