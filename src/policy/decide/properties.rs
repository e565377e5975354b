//! Any two sides: what is decided is carried out on a model of the cluster until nothing is left to do.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::policy::plan::Plan;

/// Few names, so that objects meet.
const ROLES: [&str; 5] = ["a", "b", "admin", "system:user", "cluster-admin"];
const GROUPS: [&str; 3] = ["ops", "cluster-admins", "system:users"];
const KINDS: [Type; 4] = [Type::Namespace, Type::ClusterRole, Type::ClusterRoleBinding, Type::CheckConfig];

/// An object of either side: kind, name, what it says, whose it is.
type Drawn = (Type, usize, u8, u8);

fn drawn() -> impl Strategy<Value = Drawn> {
    (proptest::sample::select(&KINDS[..]), 0..ROLES.len(), 0..6_u8, 0..3_u8)
}

fn object((kind, name, says, whose): Drawn) -> Object {
    let name = ROLES[name];
    let mut item = match kind {
        Type::Namespace => serde_json::json!({"name": name}),
        Type::ClusterRole => serde_json::json!({
            "metadata": {"name": name}, "rules": [{"verbs": [format!("v{}", says % 2)], "resources": ["x"]}],
        }),
        Type::ClusterRoleBinding => serde_json::json!({
            "metadata": {"name": name},
            "role_ref": {"type": "ClusterRole", "name": ROLES[usize::from(says) % ROLES.len()]},
            "subjects": [{"type": "Group", "name": GROUPS[usize::from(says) % 3]}],
        }),
        _ => serde_json::json!({
            "metadata": {"name": format!("c{says}"), "namespace": name}, "command": format!("{}", says % 2)
        }),
    };
    if whose > 0 && kind != Type::Namespace {
        item["metadata"]["labels"][crate::policy::object::LABEL] =
            ["", "home", "other"][usize::from(whose)].into();
    }
    Object::read(kind, &item.to_string()).unwrap()
}

fn owner(whose: u8) -> Owner {
    [Owner::Nobody, Owner::Ours, Owner::Other("other".into())][usize::from(whose)].clone()
}

fn sides(source: &[Drawn], copies: &[Drawn]) -> (Originals, Copies) {
    let (mut originals, mut there) = (Originals::default(), Copies::default());
    for kind in KINDS.into_iter().chain([Type::Role, Type::RoleBinding]) {
        let of_kind = source.iter().filter(|it| it.0 == kind).map(|it| object(*it));
        let objects = of_kind.map(|it| (it.key.clone(), Arc::new(it))).collect();
        originals.kinds.insert(kind, Arc::new(objects));
        there.kinds.insert(kind, BTreeMap::new());
    }
    for it in copies {
        let read = object(*it);
        if it.0 == Type::Namespace {
            there.makers.insert(read.key.name.clone(), owner(it.3));
        }
        put(&mut there, &read, owner(it.3));
    }
    (originals, there)
}

fn put(copies: &mut Copies, object: &Object, owner: Owner) {
    let copy = Copy { digest: object.digest, owner, binding: object.binding.clone() };
    copies.kinds.get_mut(&object.key.kind).unwrap().insert(object.key.clone(), copy);
}

/// As a cluster carries it out.
fn carry_out(copies: &mut Copies, key: &Key, op: &Op) {
    match op {
        Op::Create(original) | Op::Update(original) => {
            put(copies, original, Owner::Ours);
            if key.kind == Type::Namespace {
                copies.makers.insert(key.name.clone(), Owner::Ours);
            }
        }
        Op::Empty => {
            copies.kinds.get_mut(&key.kind).unwrap().get_mut(key).unwrap().digest = key.emptied_digest();
        }
        Op::Delete => drop(copies.kinds.get_mut(&key.kind).unwrap().remove(key)),
    }
}

fn is_untouchable(key: &Key) -> bool {
    let grants = key.kind.is_role() || key.kind.is_binding();
    grants && (key.name == "cluster-admin" || key.name.starts_with("system:"))
}

/// Bindings of those without whom nobody can repair the cluster, whose role is not there.
fn broken(copies: &Copies) -> BTreeSet<Key> {
    let is_broken = |binding: &Binding| {
        binding.is_vital && binding.role.as_ref().is_none_or(|role| copies.get(role).is_none())
    };
    copies.bindings().filter(|(_, _, binding)| is_broken(binding)).map(|(key, ..)| key.clone()).collect()
}

fn admits_us(copies: &Copies) -> bool {
    copies.bindings().any(|(key, _, binding)| {
        key.kind == Type::ClusterRoleBinding
            && binding.admits_us
            && binding.role.as_ref().is_some_and(|role| copies.get(role).is_some())
    })
}

fn scope(overwrite: bool, keep: bool, adopts: bool) -> Scope {
    Scope {
        name: "all".into(),
        kinds: KINDS.into(),
        namespace: None,
        conflicts: if overwrite { OnConflict::Overwrite } else { OnConflict::Report },
        on_delete: if keep { OnDelete::Keep } else { OnDelete::Remove },
        dry_run: false,
        adopts: adopts.then(|| "other".into()).into_iter().collect(),
    }
}

proptest! {
    #[test]
    fn any_cluster_comes_to_equal_any_source_and_nobody_is_locked_out_on_the_way(
        source in vec(drawn(), 0..12), copies in vec(drawn(), 0..12), overwrite: bool, keep: bool,
        adopts: bool,
    ) {
        let (source, mut copies) = sides(&source, &copies);
        let before = copies.clone();
        let scopes = [scope(overwrite, keep, adopts)];
        let mut rounds = 0;
        loop {
            let now = copies.clone();
            let world = World::new(&source, &now, &scopes, &[], &|_| None);
            let plan = Plan::of(&world, &|_, _, _| false);
            prop_assert!(plan.actions.is_sorted_by_key(|action| action.rank));
            if plan.actions.is_empty() {
                break;
            }
            rounds += 1;
            prop_assert!(rounds < 5, "it never ends: {:?}", plan.actions);
            for action in &plan.actions {
                prop_assert!(!is_untouchable(&action.key), "{:?}", action);
                let (was_broken, was_admitted) = (broken(&copies), admits_us(&copies));
                let owner = copies.owner(&action.key);
                let is_ours = owner == Owner::Ours || (adopts && matches!(owner, Owner::Other(_)));
                let is_new = copies.get(&action.key).is_none();
                match &action.op {
                    Op::Create(_) => prop_assert!(is_new),
                    Op::Update(_) => prop_assert!(is_ours || (overwrite && owner == Owner::Nobody)),
                    Op::Empty | Op::Delete => prop_assert!(is_ours && !keep),
                }
                carry_out(&mut copies, &action.key, &action.op);
                let is_broken = broken(&copies);
                prop_assert!(is_broken.is_subset(&was_broken), "{:?} breaks {:?}", action, is_broken);
                prop_assert!(admits_us(&copies) || !was_admitted, "{:?} locks the gateway out", action);
            }
        }
        check(&source, &before, &copies, &scopes)?;
    }

    #[test]
    fn with_dry_run_nothing_is_done_and_everything_is_said(
        source in vec(drawn(), 0..12), copies in vec(drawn(), 0..12), overwrite: bool,
    ) {
        let (source, copies) = sides(&source, &copies);
        let reports = [Scope { dry_run: true, ..scope(overwrite, false, false) }];
        let plan = Plan::of(&World::new(&source, &copies, &reports, &[], &|_| None), &|_, _, _| false);
        prop_assert!(plan.actions.is_empty());
        let differs = |key: &&Key| {
            let copy = copies.get(key).map(|copy| copy.digest);
            !is_untouchable(key) && source.original(key).is_some_and(|it| Some(it.digest) != copy)
        };
        let differing = source.kinds.values().flat_map(|kind| kind.keys()).filter(differs).count() as u64;
        let said = &plan.scopes["all"];
        let foreign: u64 = said.orphans().map(|(copies, _)| copies.keys).sum();
        prop_assert!(said.pending.total() + said.conflicts + said.problems.0 + foreign >= differing);
        prop_assert_eq!(said.changes().len() as u64, said.pending.total().min(10));
    }
}

/// What has to hold once nothing is left to do.
fn check(source: &Originals, before: &Copies, after: &Copies, scopes: &[Scope]) -> Result<(), TestCaseError> {
    let world = World::new(source, after, scopes, &[], &|_| None);
    for (kind, objects) in &source.kinds {
        for key in objects.keys().filter(|key| !is_untouchable(key)) {
            let Some(original) = source.original(key) else { continue };
            let is_equal = after.get(key).is_some_and(|copy| copy.digest == original.digest);
            prop_assert!(is_equal || world.decide(key).remark.is_some(), "{:?} {} is silent", kind, key);
        }
    }
    let keys = before.kinds.values().flat_map(|kind| kind.iter());
    for (key, copy) in keys.filter(|(key, _)| is_untouchable(key)) {
        prop_assert_eq!(after.get(key), Some(copy));
    }
    for (kind, there) in &before.kinds {
        for (key, copy) in there.iter().filter(|(key, _)| before.owner(key) != Owner::Ours) {
            let is_others = matches!(before.owner(key), Owner::Other(_));
            if is_others && !scopes[0].adopts.is_empty() {
                continue;
            }
            let is_overwritten = !is_others && scopes[0].conflicts == OnConflict::Overwrite;
            let is_wanted = source.original(key).is_some() && is_overwritten;
            prop_assert!(
                is_wanted || after.get(key) == Some(copy),
                "{:?} {} is the cluster's own",
                kind,
                key
            );
        }
    }
    Ok(())
}
