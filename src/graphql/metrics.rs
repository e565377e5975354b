use std::sync::Arc;

use super::plan::Planned;
use crate::telemetry::metrics::{Count, PerWorker};

/// What the engine has done, for Prometheus.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics(Arc<PerWorker<Counts>>);

/// A worker's share.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) queries: Count,
    pub(super) mutations: Count,
    pub(super) passed: Count,
    pub(super) refused: Count,
    pub(super) plans_found: Count,
    pub(super) plans_made: Count,
    pub(super) asked: Count,
}

// === impl Metrics ===

impl Metrics {
    pub(super) fn sum(&self, count: impl Fn(&Counts) -> &Count) -> u64 {
        self.0.sum(count)
    }

    pub(super) fn here(&self) -> &Counts {
        self.0.here()
    }

    /// Counts operations by what is done with them.
    pub(super) fn count(&self, operations: &[Planned]) {
        let counts = self.here();
        for planned in operations {
            match planned {
                Planned::Federated(plan) if plan.is_mutation() => &counts.mutations,
                Planned::Federated(_) => &counts.queries,
                Planned::Unchanged => &counts.passed,
                Planned::Limit(_) => &counts.refused,
            }
            .inc();
        }
    }
}
