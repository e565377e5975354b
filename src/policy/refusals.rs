//! Writes that a cluster did not take, and what they, and edits by others, put in doubt of a plan: pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    decide::Op,
    object::{Digest, Key},
    plan::Action,
};
use crate::{corev2::Type, net::Backoff};

/// The writes that the cluster did not take, each until it is tried again.
#[derive(Default)]
pub(super) struct Refusals {
    found: BTreeMap<Key, Refusal>,
}

struct Refusal {
    why: Arc<str>,
    /// What was to be written: something else is tried at once.
    wanted: Option<Digest>,
    again: Instant,
    times: u32,
}

/// What has turned out otherwise since a plan was made. What does not depend on it is carried out all the same, so that a
/// thousand refused writes do not cost a thousand comparisons.
#[derive(Default)]
pub(super) struct Doubts {
    refused_roles: BTreeSet<Key>,
    refused_binding: bool,
    changed_grants: bool,
    namespaces: BTreeSet<String>,
}

// === impl Refusals ===

impl Refusals {
    pub(super) fn add(&mut self, action: &Action, why: Arc<str>, now: Instant, random: &mut fastrand::Rng) {
        let wanted = action.op.wanted();
        let times = self.found.get(&action.key).map_or(0, |refusal| refusal.times.saturating_add(1));
        let again = now + AGAIN.delay(times, random);
        self.found.insert(action.key.clone(), Refusal { why, wanted, again, times });
    }

    /// It was taken after all.
    pub(super) fn forget(&mut self, key: &Key) {
        self.found.remove(key);
    }

    /// Forgets what is not to be written any more, or otherwise.
    pub(super) fn keep_wanted(&mut self, wanted: impl Fn(&Key) -> Option<Digest>) {
        self.found.retain(|key, refusal| wanted(key) == refusal.wanted);
    }

    /// Forgets what is tried again, unless it is `planned`.
    pub(super) fn keep_planned(&mut self, until: Instant, planned: &BTreeSet<&Key>) {
        self.found.retain(|key, refusal| refusal.again > until || planned.contains(key));
    }

    /// Why a write is not tried before `until`.
    pub(super) fn why(&self, key: &Key, until: Instant) -> Option<Arc<str>> {
        let refusal = self.found.get(key).filter(|refusal| refusal.again > until);
        refusal.map(|refusal| Arc::clone(&refusal.why))
    }

    /// When the first one is tried again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.found.values().map(|refusal| refusal.again).min()
    }

    /// Whether there is one to try again.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.found.values().any(|refusal| refusal.again <= now)
    }

    /// Once one is due, those that are soon due are tried with it, so that one comparison is enough for all.
    pub(super) fn horizon(&self, now: Instant) -> Instant {
        if self.is_due(now) { now + TOGETHER } else { now }
    }
}

// === impl Doubts ===

impl Doubts {
    /// The cluster did not take this.
    pub(super) fn refused(&mut self, action: &Action) {
        let kind = action.key.kind;
        if kind.is_role() {
            self.refused_roles.insert(action.key.clone());
        }
        self.refused_binding |= kind.is_binding();
        self.namespace(&action.key);
    }

    /// Somebody else has changed this.
    pub(super) fn changed(&mut self, key: &Key) {
        self.changed_grants |= key.kind.is_role() || key.kind.is_binding();
        self.namespace(key);
    }

    fn namespace(&mut self, key: &Key) {
        if key.kind == Type::Namespace {
            self.namespaces.insert(key.name.clone());
        }
    }

    /// Whether a write has to be decided again: nobody is to be locked out by what was decided before.
    pub(super) fn concern(&self, action: &Action) -> bool {
        let kind = action.key.kind;
        let is_role_refused = |op: &Op| {
            let (Op::Create(original) | Op::Update(original)) = op else { return false };
            let role = original.binding.as_ref().and_then(|binding| binding.role.as_ref());
            role.is_some_and(|role| self.refused_roles.contains(role))
        };
        let takes_role_away = kind.is_role() && matches!(action.op, Op::Empty | Op::Delete);
        (self.changed_grants && (kind.is_role() || kind.is_binding()))
            || (self.refused_binding && takes_role_away)
            || is_role_refused(&action.op)
            || (kind.is_namespaced() && self.namespaces.contains(&action.key.namespace))
    }
}

/// Before a write that was refused is tried again.
const AGAIN: Backoff =
    Backoff { first: Duration::from_secs(10), longest: Duration::from_secs(600), jitter: 0.25 };

const TOGETHER: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::{decide::Rank, object::Object};

    fn action(kind: Type, item: &serde_json::Value) -> Action {
        let object = Object::read(kind, &item.to_string()).unwrap();
        let key = object.key.clone();
        Action { rank: Rank::Put(kind), key, op: Op::Create(Arc::new(object)), expected: None }
    }

    fn role(name: &str) -> Action {
        action(Type::ClusterRole, &json!({"metadata": {"name": name}, "rules": []}))
    }

    fn binding(role: &str) -> Action {
        action(
            Type::ClusterRoleBinding,
            &json!({"metadata": {"name": "b"}, "subjects": [], "role_ref": {"type": "ClusterRole", "name": role}}),
        )
    }

    fn check(namespace: &str) -> Action {
        action(Type::CheckConfig, &json!({"metadata": {"name": "c", "namespace": namespace}}))
    }

    #[test]
    fn only_what_depends_on_a_refused_write_is_decided_again() {
        let mut doubts = Doubts::default();
        doubts.refused(&role("r"));
        assert!(doubts.concern(&binding("r")) && !doubts.concern(&binding("other")));
        assert!(!doubts.concern(&role("other")) && !doubts.concern(&check("n")));
        let delete = Action { op: Op::Delete, ..role("other") };
        assert!(!doubts.concern(&delete));
        doubts.refused(&binding("x"));
        assert!(doubts.concern(&delete), "the binding may still name it");
        doubts.refused(&action(Type::Namespace, &json!({"name": "n"})));
        assert!(doubts.concern(&check("n")) && !doubts.concern(&check("m")));
    }

    #[test]
    fn an_edit_by_another_puts_all_grants_in_doubt_and_nothing_else() {
        let mut doubts = Doubts::default();
        doubts.changed(&check("n").key);
        assert!(!doubts.concern(&check("n")) && !doubts.concern(&role("r")));
        doubts.changed(&role("r").key);
        assert!(doubts.concern(&binding("other")) && doubts.concern(&role("other")));
        assert!(!doubts.concern(&check("n")));
    }

    #[tokio::test(start_paused = true)]
    async fn refused_writes_are_tried_again_together_and_ever_more_seldom() {
        let (mut refusals, mut random) = (Refusals::default(), fastrand::Rng::with_seed(1));
        let begun = Instant::now();
        let actions: Vec<Action> = (0..100).map(|n| role(&n.to_string())).collect();
        for action in &actions {
            refusals.add(action, "no".into(), begun, &mut random);
        }
        let due = refusals.next().unwrap();
        assert!(due >= begun + Duration::from_secs(7) && !refusals.is_due(begun));
        let horizon = refusals.horizon(due);
        let left = actions.iter().filter(|action| refusals.why(&action.key, horizon).is_some()).count();
        assert!(left < 50, "{left} of 100 are not tried with the first");
        let one = &actions[0];
        for _ in 0..8 {
            refusals.add(one, "no".into(), begun, &mut random);
        }
        let last = refusals.found[&one.key].again - begun;
        assert!(last > (due - begun) * 4, "{last:?}");
        refusals.keep_wanted(|_| None);
        assert_eq!(refusals.next(), None, "something else is tried at once");
    }
}
