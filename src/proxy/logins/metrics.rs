use std::fmt;

use super::Kind;
use crate::telemetry::metrics::{Count, Families};

/// Counts since start. Shared by all workers: failures are rare, or they are refused.
#[derive(Default)]
pub(super) struct Metrics {
    failures: ByKind,
    refusals: ByKind,
}

/// One count for each kind of credentials.
#[derive(Default)]
struct ByKind {
    password: Count,
    api_key: Count,
}

// === impl Metrics ===

impl Metrics {
    pub(super) fn write(&self, families: &mut Families<'_>) -> fmt::Result {
        let help = "Passwords and API keys that a cluster has refused.";
        families.counters("login_failures", help, self.failures.samples())?;
        let help = "Passwords and API keys that were not tried, after too many failures.";
        families.counters("logins_refused", help, self.refusals.samples())
    }

    pub(super) fn failed(&self, kind: Kind) {
        self.failures.of(kind).inc();
    }

    pub(super) fn refused(&self, kind: Kind) {
        self.refusals.of(kind).inc();
    }
}

// === impl ByKind ===

impl ByKind {
    fn of(&self, kind: Kind) -> &Count {
        match kind {
            Kind::Password => &self.password,
            Kind::ApiKey => &self.api_key,
        }
    }

    fn samples(&self) -> [([(&'static str, &'static str); 1], u64); 2] {
        [Kind::Password, Kind::ApiKey].map(|kind| ([("credentials", kind.name())], self.of(kind).get()))
    }
}
