use std::{fmt, sync::Arc};

use arc_swap::ArcSwapOption;

use super::{AdminGroups, Authorizer, AuthzError, Mode, Rules, Verb};
use crate::{error::Chain, types::Principal};

/// Decides as the local cluster would, by the rules that its [`Feeder`] read last.
///
/// Until rules have been read, and for good without a source, [`AdminGroups`] decides. Once they have been read they
/// stay in force when the source is lost: an unreachable cluster changes nobody's rights.
pub struct Rbac {
    rules: ArcSwapOption<Rules>,
    fallback: AdminGroups,
}

/// Keeps the rules of one [`Rbac`] up to date, by [`follow_etcd`](Self::follow_etcd) or
/// [`follow_api`](Self::follow_api). Prefer etcd where both are available: it
/// reports changes at once, and does not depend on the cluster's backends.
///
/// Without a source, drop it: the groups of the configuration decide then.
pub struct Feeder {
    rbac: Arc<Rbac>,
    /// Whether it was logged that the source is lost.
    is_lost: bool,
}

// === impl Rbac ===

impl Rbac {
    /// Decides by `admin_groups` (`auth.admin-groups`) at first.
    #[must_use = "without its feeder it never sees any rules"]
    pub fn new(admin_groups: Vec<String>) -> (Arc<Self>, Feeder) {
        tracing::info!(
            authorization = Mode::AdminGroups.as_str(),
            groups = admin_groups.join(","),
            "writes to federation/v1 are for these groups while no RBAC rules of the local cluster have been read"
        );
        let rbac = Arc::new(Self { rules: ArcSwapOption::empty(), fallback: AdminGroups(admin_groups) });
        let feeder = Feeder { rbac: Arc::clone(&rbac), is_lost: false };
        (rbac, feeder)
    }
}

impl Authorizer for Rbac {
    fn decide(&self, who: &Principal, verb: Verb, resource: &str, name: &str) -> Result<bool, AuthzError> {
        match &*self.rules.load() {
            Some(rules) => rules.decide(who, verb, resource, name),
            None => self.fallback.decide(who, verb, resource, name),
        }
    }

    fn names(&self, who: &Principal, verb: Verb, resource: &str) -> Result<Vec<String>, AuthzError> {
        match &*self.rules.load() {
            Some(rules) => rules.names(who, verb, resource),
            None => self.fallback.names(who, verb, resource),
        }
    }

    fn mode(&self) -> Mode {
        if self.rules.load().is_some() { Mode::Rbac } else { Mode::AdminGroups }
    }
}

impl fmt::Debug for Rbac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rbac").field("mode", &self.mode()).finish_non_exhaustive()
    }
}

// === impl Feeder ===

impl Feeder {
    /// Puts the rules into force.
    pub(super) fn publish(&mut self, rules: Rules) {
        let fault = rules.fault().cloned();
        let earlier = self.rbac.rules.swap(Some(Arc::new(rules)));
        if earlier.is_none() {
            tracing::info!(
                authorization = Mode::Rbac.as_str(),
                "writes to federation/v1 are decided by the local cluster's RBAC rules"
            );
        }
        let earlier_fault = earlier.as_ref().and_then(|rules| rules.fault());
        match fault {
            Some(fault) if earlier_fault != Some(&fault) => {
                tracing::error!(%fault, "nobody may write to federation/v1");
            }
            None if earlier_fault.is_some() => {
                tracing::info!("writes to federation/v1 are decided by the local cluster's RBAC rules again");
            }
            _ => {}
        }
    }

    /// The source cannot be read. Logged once until it can be again.
    pub(super) fn lost(&mut self, error: &(dyn std::error::Error + 'static)) {
        if !self.is_lost {
            self.is_lost = true;
            let error = Chain(error).to_string();
            let authorization = self.rbac.mode().as_str();
            tracing::warn!(
                error,
                authorization,
                "the local cluster's RBAC rules cannot be read; what was in force stays so, and the gateway keeps trying"
            );
        }
    }

    /// The source can be read.
    pub(super) fn found(&mut self) {
        if self.is_lost {
            self.is_lost = false;
            tracing::info!("the local cluster's RBAC rules are followed again");
        }
    }
}

impl fmt::Debug for Feeder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feeder").field("is_lost", &self.is_lost).finish_non_exhaustive()
    }
}
