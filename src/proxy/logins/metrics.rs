use super::Kind;
use crate::telemetry::metrics::{Counter, Family, Registry};

/// Counters since start.
pub(super) struct Metrics {
    failures: ByKind,
    refusals: ByKind,
}

/// One counter for each kind of credentials, and the family that they are written with.
struct ByKind {
    family: Family<[(&'static str, &'static str); 1], Counter>,
    password: Counter,
    api_key: Counter,
}

// === impl Metrics ===

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Passwords and API keys that a cluster has refused";
        registry.register("login_failures", help, self.failures.family.clone());
        let help = "Passwords and API keys that were not tried, after too many failures";
        registry.register("logins_refused", help, self.refusals.family.clone());
    }

    pub(super) fn failed(&self, kind: Kind) {
        self.failures.of(kind).inc();
    }

    pub(super) fn refused(&self, kind: Kind) {
        self.refusals.of(kind).inc();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self { failures: ByKind::new(), refusals: ByKind::new() }
    }
}

// === impl ByKind ===

impl ByKind {
    /// Both are there before anything happens, so that their rate begins with the first.
    fn new() -> Self {
        let family = Family::default();
        let counter = |kind: Kind| family.get_or_create_owned(&[("credentials", kind.name())]);
        Self { password: counter(Kind::Password), api_key: counter(Kind::ApiKey), family }
    }

    fn of(&self, kind: Kind) -> &Counter {
        match kind {
            Kind::Password => &self.password,
            Kind::ApiKey => &self.api_key,
        }
    }
}
