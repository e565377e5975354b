//! Decides what each destination has to do: pure, from the registry and the memory of past destinations.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use super::{
    decide::Scope,
    memory::{Address, KnownDestination},
    status::{Known, Report},
    work::Assignment,
};
use crate::{
    corev2::Type,
    registry::Registry,
    types::{Kind, ReplicatorSpec, Spec},
};

/// What the registry asks for.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// By the identity of the address.
    pub(super) destinations: BTreeMap<String, Destination>,
    /// Replicators whose definition cannot be read: what they own stays as it is.
    pub(super) unreadable: BTreeSet<Arc<str>>,
}

/// One destination and what is copied to it.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) address: Address,
    /// By name.
    pub(super) scopes: Vec<Scope>,
    /// The shortest interval of its replicators.
    pub(super) interval: Duration,
    /// See [`Assignment::adopts`].
    pub(super) adopts: BTreeSet<(Arc<str>, String)>,
}

/// Everything that the decisions depend on.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) wanted: &'a Wanted,
    pub(super) known: &'a BTreeMap<String, KnownDestination>,
    /// The destinations' own identities.
    pub(super) places: &'a BTreeMap<String, String>,
}

/// Whether a destination has been waited for too long to be cleaned up of a replicator.
pub(super) type Overdue<'a> = &'a dyn Fn(&str, &Arc<str>) -> bool;

// === impl Wanted ===

impl Wanted {
    pub(super) fn of(registry: &Registry) -> Self {
        let mut wanted = Self::default();
        for item in registry.list(Kind::EtcdReplicator) {
            let Spec::EtcdReplicator(spec) = &item.checked.spec else { continue };
            let name: Arc<str> = item.checked.resource.metadata.name.as_str().into();
            let Some(kind) = Type::of_name(&spec.resource) else {
                wanted.unreadable.insert(name);
                continue;
            };
            let address = Address::of(spec);
            let destination = wanted.destinations.entry(address.id()).or_insert_with(|| Destination {
                address,
                scopes: Vec::new(),
                interval: spec.interval,
                adopts: BTreeSet::new(),
            });
            let stores = item.checked.resource.metadata.adopted();
            destination.adopts.extend(stores.map(|store| (Arc::clone(&name), store.to_owned())));
            destination.interval = destination.interval.min(spec.interval);
            destination.scopes.push(Scope { name, kind, namespace: spec.namespace.clone(), held: false });
        }
        let unreadable = registry.unreadable_of(Kind::EtcdReplicator);
        wanted.unreadable.extend(unreadable.map(|(name, _)| Arc::from(name)));
        wanted
    }
}

/// Replicators that are remembered at a destination and registered nowhere.
pub(super) fn deleted<'a>(
    known: &'a BTreeMap<String, KnownDestination>,
    wanted: &'a Wanted,
) -> impl Iterator<Item = (String, Arc<str>)> {
    let all = known.iter().flat_map(|(id, known)| known.names.iter().map(move |name| (id, name)));
    let is_wanted = |name: &Arc<str>| {
        let mut scopes = wanted.destinations.values().flat_map(|it| &it.scopes);
        wanted.unreadable.contains(name) || scopes.any(|scope| scope.name == *name)
    };
    all.filter(move |(_, name)| !is_wanted(name)).map(|(id, name)| (id.clone(), Arc::clone(name)))
}

/// The names of all replicators that can be read.
pub(super) fn names(registry: &Registry) -> impl Iterator<Item = Arc<str>> {
    registry.list(Kind::EtcdReplicator).map(|item| item.checked.resource.metadata.name.as_str().into())
}

/// What is unsafe about the way to a replicator's destination.
pub(super) fn warning(registry: &Registry, name: &str) -> Option<&'static str> {
    let item = registry.get(Kind::EtcdReplicator, name)?;
    let Spec::EtcdReplicator(spec) = &item.checked.spec else { return None };
    unsafe_about(spec)
}

/// Nothing is on the gateway's own host, and certificates matter only for https.
fn unsafe_about(spec: &ReplicatorSpec) -> Option<&'static str> {
    let is_local =
        |host: &str| host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let mut remote = spec.endpoints.iter().filter(|endpoint| !is_local(&endpoint.host));
    if remote.clone().any(|endpoint| !endpoint.tls) {
        return Some(
            "warning: spec.url is http: what is copied can be read and changed in transit; use https",
        );
    }
    (spec.tls.insecure_skip_tls_verify && remote.next().is_some()).then_some(
        "warning: spec.insecure is set: any server is accepted as the destination; set spec.ca_cert instead",
    )
}

// === impl View ===

impl View<'_> {
    /// The replicators to remember at a registered destination: its own, and those that may own something there from
    /// before, under whatever address.
    pub(super) fn names(&self, id: &str) -> BTreeSet<Arc<str>> {
        let wanted = self.wanted.destinations.get(id).into_iter().flat_map(|it| &it.scopes);
        let mut names: BTreeSet<_> = wanted.map(|scope| Arc::clone(&scope.name)).collect();
        let same = self.known.iter().filter(|(other, _)| self.is_same(id, other) == Some(true));
        let before = same.flat_map(|(_, known)| &known.names);
        names.extend(before.filter(|name| self.home(name).is_none_or(|home| home == id)).cloned());
        names.extend(self.known.get(id).into_iter().flat_map(|known| known.names.clone()));
        names
    }

    /// Which of the replicators to remember may own something there, because that was recorded for this address, or for
    /// another one of the same place.
    pub(super) fn owners(&self, id: &str, names: &BTreeSet<Arc<str>>) -> BTreeMap<Arc<str>, u64> {
        let same = self.known.iter().filter(|(other, _)| self.is_same(id, other) == Some(true));
        let all = same.map(|(_, known)| known).chain(self.known.get(id)).flat_map(|known| &known.owners);
        all.filter(|(name, _)| names.contains(*name)).map(|(name, keys)| (Arc::clone(name), *keys)).collect()
    }

    /// What a destination's task has to do.
    pub(super) fn assignment(&self, id: &str, overdue: Overdue<'_>) -> Assignment {
        let wanted = self.wanted.destinations.get(id);
        let mut foreign_owners = self.wanted.unreadable.clone();
        for (other, destination) in self.wanted.destinations.iter().filter(|(other, _)| *other != id) {
            let names = destination.scopes.iter().map(|scope| &scope.name);
            match self.is_same(id, other) {
                Some(true) => foreign_owners.extend(names.cloned()),
                Some(false) => {}
                // It may turn out to be the same place, but that is not waited for forever.
                None => foreign_owners.extend(names.filter(|name| !overdue(id, name)).cloned()),
            }
        }
        let held = |name: &Arc<str>| {
            self.known.keys().any(|other| self.leaves(other, name) && !overdue(other, name))
        };
        let scopes = wanted.into_iter().flat_map(|it| &it.scopes);
        Assignment {
            generation: 0,
            scopes: scopes.map(|scope| Scope { held: held(&scope.name), ..scope.clone() }).collect(),
            foreign_owners,
            interval: wanted.map_or(IDLE_INTERVAL, |it| it.interval),
            recorded: self.recorded(id),
            leaves: self.is_to_be_left(id),
            adopts: wanted.map(|it| it.adopts.clone()).unwrap_or_default(),
        }
    }

    /// The destination's identity, if it is recorded that all of its replicators may own something there.
    fn recorded(&self, id: &str) -> Option<String> {
        let known = self.known.get(id)?;
        let mut scopes = self.wanted.destinations.get(id).into_iter().flat_map(|it| &it.scopes);
        scopes.all(|scope| known.owners.contains_key(&scope.name)).then(|| known.place.clone())?
    }

    /// Whether nothing is wanted there, under no address.
    fn is_to_be_left(&self, id: &str) -> bool {
        let others = self.wanted.destinations.keys().chain(self.known.keys()).filter(|other| *other != id);
        let mut same = others.filter(|other| self.is_same(id, other) == Some(true));
        let known = self.known.get(id);
        let keeps = known.is_some_and(|known| !known.names.is_disjoint(&self.wanted.unreadable));
        !keeps && !self.wanted.destinations.contains_key(id) && same.next().is_none()
    }

    /// Whether a replicator has moved from this destination to another one, so that what it owns here goes first.
    pub(super) fn leaves(&self, id: &str, name: &Arc<str>) -> bool {
        let was_here = self.known.get(id).is_some_and(|known| known.owners.contains_key(name));
        was_here && self.home(name).is_some_and(|home| !self.may_be_same(id, home))
    }

    pub(super) fn all_leaving(&self) -> Vec<(String, Arc<str>)> {
        let all = self.known.iter().flat_map(|(id, known)| known.names.iter().map(move |name| (id, name)));
        all.filter(|(id, name)| self.leaves(id, name))
            .map(|(id, name)| (id.clone(), Arc::clone(name)))
            .collect()
    }

    /// The replicators that may still own something at a destination, given a report of its task that can be relied on.
    pub(super) fn remaining(
        &self,
        id: &str,
        report: Option<&Report>,
        overdue: Overdue<'_>,
    ) -> BTreeSet<Arc<str>> {
        let Some(known) = self.known.get(id) else { return BTreeSet::new() };
        let remains = |name: &&Arc<str>| {
            let home = self.home(name);
            if home == Some(id) || self.wanted.unreadable.contains(*name) {
                return true;
            }
            // Nothing was ever written for it, or everything of ours is gone.
            if !known.owners.contains_key(*name) || report.is_some_and(|report| report.known == Known::Left) {
                return false;
            }
            // The same place has another task, under its other address, and that one remembers the replicator.
            let successor = home
                .into_iter()
                .chain(self.wanted.destinations.keys().map(String::as_str))
                .find(|other| *other != id && self.is_same(id, other) == Some(true));
            if let Some(successor) = successor {
                return !self
                    .known
                    .get(successor)
                    .is_some_and(|it| it.names.contains(*name) || home.is_some());
            }
            let undecided = home.is_some_and(|home| self.is_same(id, home).is_none()) && !overdue(id, name);
            undecided || report.is_none_or(|report| report.unassigned_owners.contains_key(&***name))
        };
        let remaining: BTreeSet<_> = known.names.iter().filter(remains).cloned().collect();
        let has_left = report.is_some_and(|report| report.known == Known::Left);
        if remaining.is_empty() && self.is_to_be_left(id) && !has_left {
            // The last ones go with the fence.
            return known.owners.keys().cloned().collect();
        }
        remaining
    }

    /// The destination that a replicator is registered for.
    fn home(&self, name: &Arc<str>) -> Option<&str> {
        let has = |it: &Destination| it.scopes.iter().any(|scope| scope.name == *name);
        self.wanted.destinations.iter().find(|(_, it)| has(it)).map(|(id, _)| id.as_str())
    }

    /// Whether two addresses lead to the same place, or have a member in common: other certificates, or another member in
    /// the list, do not move anything. While the new address does not work, what is there has to stay.
    fn may_be_same(&self, a: &str, b: &str) -> bool {
        self.is_same(a, b).unwrap_or_else(|| match (self.address(a), self.address(b)) {
            (Some(a), Some(b)) => a.shares_member(b),
            _ => false,
        })
    }

    fn address(&self, id: &str) -> Option<&Address> {
        let wanted = self.wanted.destinations.get(id).map(|it| &it.address);
        wanted.or_else(|| Some(&self.known.get(id)?.address))
    }

    /// Whether two addresses lead to the same place; `None` while that is unknown.
    fn is_same(&self, a: &str, b: &str) -> Option<bool> {
        if a == b {
            return Some(true);
        }
        Some(self.places.get(a)? == self.places.get(b)?)
    }
}

/// The interval of a destination that is only cleaned up.
const IDLE_INTERVAL: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
