//! Where each root field of an operation goes, once its variables are known.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value as Json;

use super::{
    ast::{OperationKind, Value},
    document,
    limits::{self, Limit},
    literal::{self, Names},
    plan::{Plan, Root, RootKind},
    request::Operation,
    schema::Carrier,
};
use crate::types::{ClusterName, Snapshot};

/// Where a root field goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A registered cluster answers it.
    Cluster(ClusterName),
    /// Every cluster does.
    Viewer,
    /// The local cluster does, and the gateway completes it.
    Introspection,
    /// Any cluster that is asked anyway.
    Anywhere,
    /// Left out by a directive.
    Skipped,
    /// No cluster has what it names: null, as Sensu answers for a namespace that does not exist.
    Nowhere(String),
    /// It names two clusters.
    Conflict(String),
}

/// Root fields that one request to one cluster carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) target: GroupTarget,
    /// Indices of roots.
    pub(super) roots: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GroupTarget {
    Cluster(ClusterName),
    Introspection,
    Viewer,
}

/// The targets of all root fields, and the changed variables.
#[derive(Debug)]
pub(super) struct Resolution {
    pub(super) targets: Vec<Target>,
    /// In the order of their first root fields; for a mutation, in the order of execution.
    pub(super) groups: Vec<Group>,
    /// Carrying variables whose value differs without the cluster, as JSON.
    edited: BTreeMap<Box<str>, String>,
}

/// Resolves an operation.
pub(super) fn resolve(plan: &Plan, operation: &Operation<'_>, clusters: &Snapshot) -> Resolution {
    let mut edited = BTreeMap::new();
    let mut of_variables = Vec::new();
    for (name, carrier) in &plan.variables {
        let mut names = Names::default();
        match operation.variables.get(&**name) {
            None => names = plan.defaults.get(&(name.clone(), *carrier)).cloned().unwrap_or_default(),
            Some(raw) => {
                // One that cannot be read was not inspected.
                let Ok(mut value) = serde_json::from_str::<Json>(raw.get()) else {
                    of_variables.push((&**name, *carrier, Names { malformed: true, ..Names::default() }));
                    continue;
                };
                if literal::variable(&mut value, *carrier, &plan.schema, &mut names) {
                    edited.insert(name.clone(), value.to_string());
                }
            }
        }
        of_variables.push((&**name, *carrier, names));
    }
    let target = |root: &Root| target(root, plan, operation, &of_variables, clusters);
    let targets: Vec<Target> = plan.roots.iter().map(target).collect();
    let groups = groups(plan, &targets);
    Resolution { targets, groups, edited }
}

fn target(
    root: &Root,
    plan: &Plan,
    operation: &Operation<'_>,
    of_variables: &[(&str, Carrier, Names)],
    clusters: &Snapshot,
) -> Target {
    if root.skipped_if.iter().any(|(name, value)| boolean(plan, operation, name) == Some(*value)) {
        return Target::Skipped;
    }
    match root.kind {
        RootKind::Anywhere => return Target::Anywhere,
        RootKind::Introspection => return Target::Introspection,
        RootKind::Viewer(_) => return Target::Viewer,
        RootKind::Plain | RootKind::Named(_) | RootKind::Route(_) => {}
    }
    let mut names = root.names.clone();
    for (name, carrier) in &root.variables {
        let known = of_variables.iter().find(|(known, of, _)| *known == &**name && of == carrier);
        if let Some((_, _, found)) = known {
            names.merge(found);
        }
    }
    if names.malformed {
        return Target::Nowhere(
            "a namespace, name or id in the arguments is one that nothing can have".to_owned(),
        );
    }
    if names.several {
        return Target::Conflict(format!("\"{}\" names more than one cluster", root.key));
    }
    match names.cluster {
        None => Target::Cluster(ClusterName::local()),
        // While the registry is not loaded, an unknown cluster counts as unreachable.
        Some(cluster) if clusters.get(cluster.as_str()).is_some() || !clusters.is_loaded() => {
            Target::Cluster(cluster)
        }
        Some(cluster) => Target::Nowhere(format!("cluster \"{cluster}\" is not registered")),
    }
}

/// The value of a Boolean variable, if it is certain.
fn boolean(plan: &Plan, operation: &Operation<'_>, name: &str) -> Option<bool> {
    match operation.variables.get(name).map(|raw| raw.get()) {
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) => None,
        None => {
            let variable =
                plan.document.operation.variables.iter().find(|variable| &*variable.name == name)?;
            if let Some(Value::Boolean(value)) = variable.default { Some(value) } else { None }
        }
    }
}

fn groups(plan: &Plan, targets: &[Target]) -> Vec<Group> {
    let mutation = plan.document.operation.kind == OperationKind::Mutation;
    let mut groups: Vec<Group> = Vec::new();
    for (index, target) in targets.iter().enumerate() {
        let target = match target {
            Target::Cluster(cluster) => GroupTarget::Cluster(cluster.clone()),
            Target::Viewer => GroupTarget::Viewer,
            Target::Introspection => GroupTarget::Introspection,
            Target::Anywhere | Target::Skipped | Target::Nowhere(_) | Target::Conflict(_) => continue,
        };
        // Mutations run one after the other, so only neighbours may travel together.
        let known = if mutation {
            groups.last_mut().filter(|group| group.target == target)
        } else {
            groups.iter_mut().find(|group| group.target == target)
        };
        match known {
            Some(group) => group.roots.push(index),
            None => groups.push(Group { target, roots: vec![index] }),
        }
    }
    let anywhere = targets.iter().enumerate().filter(|(_, target)| **target == Target::Anywhere);
    let anywhere: Vec<usize> = anywhere.map(|(index, _)| index).collect();
    let only_skipped = targets.iter().all(|target| *target == Target::Skipped);
    if !anywhere.is_empty() || only_skipped {
        match groups.iter_mut().find(|group| matches!(group.target, GroupTarget::Cluster(_))) {
            Some(group) => group.roots.extend(anywhere),
            None => {
                groups.push(Group { target: GroupTarget::Cluster(ClusterName::local()), roots: anywhere });
            }
        }
    }
    groups
}

// === impl GroupTarget ===

impl GroupTarget {
    /// A single cluster as such: introspection is the local cluster's.
    pub(super) fn or_local(&self) -> Self {
        if *self == Self::Introspection { Self::Cluster(ClusterName::local()) } else { self.clone() }
    }
}

// === impl Resolution ===

impl Resolution {
    /// Whether one cluster gets the whole document.
    pub(super) fn whole(&self) -> Option<&ClusterName> {
        let all = |target: &Target| matches!(target, Target::Cluster(_) | Target::Anywhere | Target::Skipped);
        match self.groups.as_slice() {
            [Group { target: GroupTarget::Cluster(cluster), .. }] if self.targets.iter().all(all) => {
                Some(cluster)
            }
            _ => None,
        }
    }

    /// The request body of a group.
    pub(super) fn body(&self, plan: &Plan, operation: &Operation<'_>, group: &Group) -> String {
        let kept: HashSet<usize> =
            group.roots.iter().flat_map(|root| plan.roots[*root].fields.iter().copied()).collect();
        let text = document::part(plan, &kept);
        let carried: HashSet<&str> = group
            .roots
            .iter()
            .flat_map(|root| plan.roots[*root].variables.iter().map(|(name, _)| &**name))
            .collect();
        self.write(&Json::from(text).to_string(), operation, &|name| carried.contains(name))
    }

    /// The request body of the whole document.
    pub(super) fn whole_body(&self, plan: &Plan, operation: &Operation<'_>) -> String {
        if plan.edits.is_empty() && self.edited.is_empty() {
            return self.write(operation.query_raw, operation, &|_| false);
        }
        let text = if plan.edits.is_empty() {
            operation.query_raw.to_owned()
        } else {
            Json::from(document::whole(plan)).to_string()
        };
        self.write(&text, operation, &|_| true)
    }

    fn write(&self, query: &str, operation: &Operation<'_>, edits: &dyn Fn(&str) -> bool) -> String {
        let mut body = String::with_capacity(query.len() + operation.variables_raw.len() + 64);
        body.push_str("{\"query\":");
        body.push_str(query);
        body.push_str(",\"variables\":{");
        for (index, (name, raw)) in operation.variables.iter().enumerate() {
            if index > 0 {
                body.push(',');
            }
            body.push_str(&Json::from(name.as_str()).to_string());
            body.push(':');
            let edited = self.edited.get(name.as_str()).filter(|_| edits(name));
            body.push_str(edited.map_or(raw.get(), String::as_str));
        }
        body.push('}');
        if operation.skip_validation {
            body.push_str(",\"skip_validation\":true");
        }
        body.push('}');
        body
    }

    /// Checks that the documents for all groups together stay within bounds.
    pub(super) fn check(&self, plan: &Plan, operation: &Operation<'_>, members: usize) -> Result<(), Limit> {
        let documents: usize = self
            .groups
            .iter()
            .map(|group| if group.target == GroupTarget::Viewer { members } else { 1 })
            .sum();
        let fits = documents <= 1
            || documents.saturating_mul(plan.text.len() + operation.variables_raw.len())
                <= limits::DOCUMENT_BYTES;
        if fits { Ok(()) } else { Err(Limit::Fanout) }
    }
}
