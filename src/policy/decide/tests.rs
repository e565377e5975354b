use serde_json::{Value, json};

use super::*;
use crate::policy::object::LABEL;

/// The federation of these tests.
const HOME: &str = "home";

fn object(kind: Type, item: &Value) -> Object {
    Object::read(kind, &item.to_string()).unwrap_or_else(|| panic!("{item}"))
}

fn role(name: &str, verb: &str) -> Value {
    json!({"metadata": {"name": name}, "rules": [{"verbs": [verb], "resources": ["checks"]}]})
}

fn binding(name: &str, role: &str, group: &str) -> Value {
    json!({
        "metadata": {"name": name}, "role_ref": {"type": "ClusterRole", "name": role},
        "subjects": [{"type": "Group", "name": group}],
    })
}

fn labelled(mut item: Value, federation: &str) -> Value {
    item["metadata"]["labels"][LABEL] = federation.into();
    item
}

/// Both sides.
struct Sides {
    source: Originals,
    copies: Copies,
    scopes: Vec<Scope>,
    past: Vec<Scope>,
    refused: Option<Key>,
}

impl Sides {
    /// Everything of RBAC has been read on both sides, and nothing is there.
    fn new() -> Self {
        let mut sides = Self {
            source: Originals::default(),
            copies: Copies::default(),
            scopes: vec![scope()],
            past: vec![],
            refused: None,
        };
        for kind in scope().kinds {
            sides.source.kinds.insert(kind, Arc::default());
            sides.copies.kinds.insert(kind, BTreeMap::new());
        }
        sides
    }

    fn with_source(mut self, kind: Type, item: &Value) -> Self {
        let object = object(kind, item);
        let objects = Arc::make_mut(self.source.kinds.get_mut(&kind).unwrap());
        objects.insert(object.key.clone(), Arc::new(object));
        self
    }

    fn with_copy(mut self, kind: Type, item: &Value) -> Self {
        let object = object(kind, item);
        let owner = match object.origin.as_deref() {
            None => Owner::Nobody,
            Some(HOME) => Owner::Ours,
            Some(other) => Owner::Other(other.into()),
        };
        let copy = Copy { digest: object.digest, owner, binding: object.binding };
        self.copies.kinds.get_mut(&kind).unwrap().insert(object.key, copy);
        self
    }

    fn change(mut self, change: impl FnOnce(&mut Scope)) -> Self {
        change(&mut self.scopes[0]);
        self
    }

    #[track_caller]
    fn decide(&self, kind: Type, name: &str) -> Verdict {
        self.decide_key(&Key::new(kind, "", name))
    }

    fn decide_key(&self, key: &Key) -> Verdict {
        let refused = |key: &Key| self.refused.as_ref().filter(|it| *it == key).map(|_| "no".into());
        World::new(&self.source, &self.copies, &self.scopes, &self.past, &refused).decide(key)
    }

    /// What is done, and what is said.
    #[track_caller]
    fn says(&self, kind: Type, name: &str) -> (&'static str, String) {
        let verdict = self.decide(kind, name);
        let done = match verdict.op {
            None => "nothing",
            Some((_, Op::Create(_))) => "create",
            Some((_, Op::Update(_))) => "update",
            Some((_, Op::Empty)) => "empty",
            Some((_, Op::Delete)) => "delete",
        };
        let said = match verdict.remark {
            None => String::new(),
            Some(Remark::Conflict(why)) => format!("conflict: {why}"),
            Some(Remark::Problem(why)) => format!("problem: {why}"),
            Some(Remark::Warning(why)) => format!("warning: {why}"),
        };
        (done, said)
    }
}

fn scope() -> Scope {
    Scope {
        name: "rbac".into(),
        kinds: [
            Type::Namespace,
            Type::ClusterRole,
            Type::Role,
            Type::ClusterRoleBinding,
            Type::RoleBinding,
            Type::CheckConfig,
        ]
        .into(),
        namespace: None,
        conflicts: OnConflict::Report,
        on_delete: OnDelete::Remove,
        dry_run: false,
        adopts: BTreeSet::new(),
    }
}

const ROLE: Type = Type::ClusterRole;
const BINDING: Type = Type::ClusterRoleBinding;

#[test]
fn the_table_of_the_module_holds() {
    let nothing = ("nothing", String::new());
    let new = || Sides::new().with_source(ROLE, &role("r", "get"));
    assert_eq!(new().says(ROLE, "r").0, "create");
    assert_eq!(new().with_copy(ROLE, &labelled(role("r", "get"), HOME)).says(ROLE, "r"), nothing);
    assert_eq!(new().with_copy(ROLE, &labelled(role("r", "list"), HOME)).says(ROLE, "r").0, "update");
    for (copy, why) in [
        (role("r", "list"), DIFFERS),
        (role("r", "get"), EQUAL),
        (labelled(role("r", "get"), "other"), OTHERS),
        (labelled(role("r", "list"), "other"), OTHERS),
    ] {
        let sides = new().with_copy(ROLE, &copy);
        assert_eq!(sides.says(ROLE, "r"), ("nothing", format!("conflict: {why}")));
        let sides = sides.change(|scope| scope.conflicts = OnConflict::Overwrite);
        let overwritten = ("update", String::new());
        let left = ("nothing", format!("conflict: {OTHERS}"));
        assert_eq!(sides.says(ROLE, "r"), if why == OTHERS { left } else { overwritten }, "{copy}");
    }
    let gone = || Sides::new().with_copy(ROLE, &labelled(role("r", "get"), HOME));
    assert_eq!(gone().says(ROLE, "r").0, "delete");
    assert_eq!(gone().change(|scope| scope.on_delete = OnDelete::Keep).says(ROLE, "r"), nothing);
    for local in [role("r", "get"), labelled(role("r", "get"), "other")] {
        let sides = Sides::new().with_copy(ROLE, &local);
        let sides = sides.change(|scope| scope.conflicts = OnConflict::Overwrite);
        assert_eq!(sides.says(ROLE, "r"), nothing, "the cluster's own is left alone");
    }
}

#[test]
fn what_a_named_federation_has_copied_is_taken_over_and_removed_like_ones_own() {
    let adopt = |scope: &mut Scope| scope.adopts = ["old".into()].into();
    let theirs = |verb| labelled(role("r", verb), "old");
    for verb in ["get", "list"] {
        let sides = Sides::new().with_source(ROLE, &role("r", "get")).with_copy(ROLE, &theirs(verb));
        assert_eq!(sides.says(ROLE, "r").0, "nothing");
        let sides = sides.change(adopt);
        assert_eq!(
            sides.says(ROLE, "r"),
            ("update", String::new()),
            "an equal one bears the other label: {verb}"
        );
    }
    let seed = Sides::new().with_source(ROLE, &role("view", "get"));
    let seed = seed.with_copy(ROLE, &labelled(role("view", "get"), "old"));
    assert_eq!(seed.says(ROLE, "view"), ("nothing", String::new()));
    assert_eq!(seed.change(adopt).says(ROLE, "view").0, "update");
    let gone = || Sides::new().with_copy(ROLE, &theirs("get"));
    assert_eq!(gone().says(ROLE, "r").0, "nothing");
    assert_eq!(gone().change(adopt).says(ROLE, "r").0, "delete", "what was revoked meanwhile is revoked");
    let mut past = gone().change(adopt);
    past.past = std::mem::take(&mut past.scopes);
    assert_eq!(past.says(ROLE, "r").0, "delete", "it leaves with its replicator");
    let mut alive = gone().change(adopt);
    alive.copies.alive.insert("old".into());
    assert_eq!(alive.says(ROLE, "r").0, "nothing", "it has put it back");
    let third = Sides::new().with_copy(ROLE, &labelled(role("r", "get"), "third")).change(adopt);
    assert_eq!(third.says(ROLE, "r").0, "nothing");
    let mut namespace = Sides::new().with_copy(Type::Namespace, &json!({"name": "web"})).change(adopt);
    namespace.copies.makers.insert("web".into(), Owner::Other("old".into()));
    assert_eq!(namespace.says(Type::Namespace, "web").0, "delete");
    let namespace = namespace.with_source(Type::Namespace, &json!({"name": "web"}));
    assert_eq!(namespace.says(Type::Namespace, "web"), ("nothing", String::new()), "it cannot be relabelled");
}

#[test]
fn a_label_that_no_federation_has_is_a_conflict_and_not_offered_to_be_adopted() {
    for (label, offered) in [("0a1b", true), ("", false), ("a,b", false), ("\u{1b}[2J", false)] {
        let sides = Sides::new().with_source(ROLE, &role("r", "get"));
        let sides = sides.with_copy(ROLE, &labelled(role("r", "get"), label));
        let world = World::new(&sides.source, &sides.copies, &sides.scopes, &[], &|_| None);
        assert_eq!(world.foreign(&Key::new(ROLE, "", "r")).is_some(), offered, "{label:?}");
        assert_eq!(sides.says(ROLE, "r"), ("nothing", format!("conflict: {OTHERS}")));
    }
}

#[test]
fn a_copy_is_not_copied_onward_and_leaves_with_its_original() {
    for federation in [HOME, "other"] {
        let sides = Sides::new().with_source(ROLE, &labelled(role("r", "get"), federation));
        assert_eq!(sides.says(ROLE, "r"), ("nothing", String::new()), "{federation}");
        let sides = sides.with_copy(ROLE, &labelled(role("r", "get"), HOME));
        assert_eq!(sides.says(ROLE, "r").0, "delete", "it was an original when it was copied");
    }
}

#[test]
fn what_was_kept_before_is_removed_unless_something_else_keeps_it() {
    let mut sides = Sides::new().with_copy(ROLE, &labelled(role("r", "get"), HOME));
    sides.past = std::mem::take(&mut sides.scopes);
    assert_eq!(sides.says(ROLE, "r").0, "delete");
    sides.past.clear();
    assert_eq!(sides.says(ROLE, "r").0, "nothing", "nothing ever kept it");
    sides.past = vec![scope()];
    sides.scopes = vec![Scope { on_delete: OnDelete::Keep, ..scope() }];
    assert_eq!(sides.says(ROLE, "r").0, "nothing");
}

#[test]
fn a_kind_that_has_not_been_read_on_either_side_is_left_alone() {
    for forget in [
        |sides: &mut Sides| drop(sides.source.kinds.remove(&ROLE)),
        |sides: &mut Sides| {
            drop(sides.copies.kinds.remove(&ROLE));
        },
    ] {
        let mut sides = Sides::new()
            .with_source(ROLE, &role("new", "get"))
            .with_copy(ROLE, &labelled(role("old", "get"), HOME));
        forget(&mut sides);
        assert_eq!((sides.says(ROLE, "new").0, sides.says(ROLE, "old").0), ("nothing", "nothing"));
        let source_is_known = sides.source.kinds.contains_key(&ROLE);
        sides.past = std::mem::take(&mut sides.scopes);
        let leaves = if source_is_known { "nothing" } else { "delete" };
        assert_eq!(sides.says(ROLE, "old").0, leaves, "what nothing keeps needs no look at the source");
    }
}

#[test]
fn namespaces_are_told_by_the_role_that_comes_with_them() {
    let namespace = json!({"name": "web"});
    let new = || Sides::new().with_source(Type::Namespace, &namespace);
    assert_eq!(new().says(Type::Namespace, "web").0, "create");
    assert_eq!(new().with_copy(Type::Namespace, &namespace).says(Type::Namespace, "web").0, "nothing");
    let pipeline = json!({
        "metadata": {"name": MAKERS_ROLE, "namespace": "web", "created_by": "fedgate:other"}, "rules": []
    });
    assert_eq!(new().with_source(Type::Role, &pipeline).says(Type::Namespace, "web").0, "nothing");
    for (owner, done) in
        [(Owner::Ours, "delete"), (Owner::Other("x".into()), "nothing"), (Owner::Nobody, "nothing")]
    {
        let mut sides = Sides::new().with_copy(Type::Namespace, &namespace);
        sides.copies.makers.insert("web".into(), owner.clone());
        assert_eq!(sides.says(Type::Namespace, "web").0, done, "{owner:?}");
    }
}

#[test]
fn an_object_waits_for_its_namespace() {
    let check = json!({"metadata": {"name": "c", "namespace": "web"}, "command": "x"});
    let sides = Sides::new().with_source(Type::CheckConfig, &check);
    let key = Key::new(Type::CheckConfig, "web", "c");
    let decide = |sides: &Sides| sides.decide_key(&key);
    assert_eq!(decide(&sides).remark, Some(Remark::Problem(NO_NAMESPACE.to_owned())));
    let mut coming = sides.with_source(Type::Namespace, &json!({"name": "web"}));
    let decide_coming = |sides: &Sides| sides.decide_key(&Key::new(Type::CheckConfig, "web", "c"));
    assert!(decide_coming(&coming).op.is_some(), "its namespace comes first");
    coming.refused = Some(Key::new(Type::Namespace, "", "web"));
    assert_eq!(decide_coming(&coming).op, None, "the cluster does not take its namespace");
    let there = coming.with_copy(Type::Namespace, &json!({"name": "web"}));
    assert!(matches!(decide(&there).op, Some((Rank::Put(Type::CheckConfig), Op::Create(_)))));
    let narrowed = there.change(|scope| scope.namespace = Some("other".into()));
    assert_eq!(decide(&narrowed), Verdict::default());
}

// === nobody is locked out ===

#[test]
fn system_objects_and_cluster_admin_are_never_touched() {
    for name in ["cluster-admin", "system:user", "system:agent", "system:anything"] {
        for kind in [ROLE, BINDING] {
            let item = if kind == ROLE { role(name, "get") } else { binding(name, "x", "y") };
            let change = |scope: &mut Scope| scope.conflicts = OnConflict::Overwrite;
            let new = Sides::new().change(change).with_source(kind, &item);
            assert_eq!(new.decide(kind, name), Verdict::default());
            let gone = Sides::new().change(change).with_copy(kind, &labelled(item, HOME));
            assert_eq!(gone.decide(kind, name), Verdict::default());
        }
    }
}

#[test]
fn seeds_are_changed_but_never_deleted() {
    for name in ["admin", "edit", "view"] {
        let seed = role(name, "get");
        let equal = Sides::new().with_source(ROLE, &seed).with_copy(ROLE, &seed);
        assert_eq!(equal.says(ROLE, name), ("nothing", String::new()), "every cluster has it: no conflict");
        let ours = labelled(role(name, "list"), HOME);
        assert_eq!(Sides::new().with_source(ROLE, &seed).with_copy(ROLE, &ours).says(ROLE, name).0, "update");
        assert_eq!(Sides::new().with_copy(ROLE, &ours).says(ROLE, name).0, "nothing");
    }
    for name in ["default", "sensu-system"] {
        let mut sides = Sides::new().with_copy(Type::Namespace, &json!({"name": name}));
        sides.copies.makers.insert(name.into(), Owner::Ours);
        assert_eq!(sides.says(Type::Namespace, name).0, "nothing");
    }
}

#[test]
fn a_binding_that_would_break_administrators_agents_or_all_users_is_not_written() {
    for group in ["cluster-admins", "system:users", "system:agents"] {
        let sides = Sides::new().with_source(BINDING, &binding("b", "gone", group));
        assert_eq!(sides.says(BINDING, "b"), ("nothing", format!("problem: {WOULD_LOCK_OUT}")));
        let with_role = sides.with_source(ROLE, &role("gone", "get"));
        assert_eq!(with_role.says(BINDING, "b").0, "create");
        let reported = with_role.change(|scope| scope.dry_run = true);
        assert_eq!(reported.says(BINDING, "b").0, "nothing", "the role is not going to be there");
    }
    for untouched in ["system:mine", "cluster-admin"] {
        let sides = Sides::new().with_source(BINDING, &binding("b", untouched, "system:users"));
        let sides = sides.with_source(ROLE, &role(untouched, "get"));
        assert_eq!(sides.says(BINDING, "b"), ("nothing", format!("problem: {WOULD_LOCK_OUT}")));
    }
    let harmless = Sides::new().with_source(BINDING, &binding("b", "gone", "ops"));
    let (done, said) = harmless.says(BINDING, "b");
    assert_eq!(done, "create");
    assert!(said.starts_with("warning: it names ClusterRole gone"), "{said}");
}

#[test]
fn a_role_that_a_binding_still_names_is_emptied_in_place_of_being_deleted() {
    let ours = || Sides::new().with_copy(ROLE, &labelled(role("r", "get"), HOME));
    let named = ours().with_copy(BINDING, &binding("local", "r", "ops"));
    assert_eq!(named.says(ROLE, "r"), ("empty", format!("warning: {STILL_NAMED}")));
    let empty = String::from_utf8(Key::new(ROLE, "", "r").emptied(HOME).to_vec()).unwrap();
    let emptied = Sides::new()
        .with_copy(ROLE, &serde_json::from_str(&empty).unwrap())
        .with_copy(BINDING, &binding("local", "r", "ops"));
    assert_eq!(emptied.says(ROLE, "r"), ("nothing", format!("warning: {STILL_NAMED}")));
    let leaving = ours().with_copy(BINDING, &labelled(binding("ours", "r", "ops"), HOME));
    assert_eq!(leaving.says(ROLE, "r").0, "delete", "the binding leaves first");
    let (revoke, _) = leaving.decide(BINDING, "ours").op.unwrap();
    let (delete, _) = leaving.decide(ROLE, "r").op.unwrap();
    assert!(revoke < delete);
    let mut unread = ours();
    unread.copies.kinds.remove(&Type::RoleBinding);
    assert_eq!(unread.says(ROLE, "r").0, "nothing", "it is not known what names it");
}

#[test]
fn what_the_cluster_refuses_is_not_counted_on() {
    let mut sides = Sides::new().with_source(BINDING, &binding("b", "r", "system:users"));
    sides = sides.with_source(ROLE, &role("r", "get"));
    sides.refused = Some(Key::new(ROLE, "", "r"));
    assert_eq!(sides.says(BINDING, "b"), ("nothing", format!("problem: {WOULD_LOCK_OUT}")));
    let mut leaving = Sides::new().with_copy(ROLE, &labelled(role("r", "get"), HOME));
    leaving = leaving.with_copy(BINDING, &labelled(binding("b", "r", "ops"), HOME));
    leaving.refused = Some(Key::new(BINDING, "", "b"));
    assert_eq!(leaving.says(ROLE, "r"), ("empty", format!("warning: {STILL_NAMED}")));
}

#[test]
fn the_gateways_own_rights_are_left_where_nothing_else_gives_them() {
    let ours = || {
        Sides::new()
            .with_copy(ROLE, &labelled(role("root", "*"), HOME))
            .with_copy(BINDING, &labelled(binding("roots", "root", "cluster-admins"), HOME))
    };
    for (kind, name) in [(BINDING, "roots"), (ROLE, "root")] {
        let (done, said) = ours().says(kind, name);
        assert_eq!((done, &*said), ("nothing", &*format!("problem: {LIFELINE}")), "{name}");
    }
    let changed = ours().with_source(BINDING, &binding("roots", "root", "ops"));
    let changed = changed.with_source(ROLE, &role("root", "get"));
    assert_eq!((changed.says(BINDING, "roots").0, changed.says(ROLE, "root").0), ("nothing", "nothing"));
    let seeded = ours()
        .with_copy(ROLE, &role("cluster-admin", "*"))
        .with_copy(BINDING, &binding("cluster-admin", "cluster-admin", "cluster-admins"));
    assert_eq!((seeded.says(BINDING, "roots").0, seeded.says(ROLE, "root").0), ("delete", "delete"));
}

#[test]
fn revocations_come_first_and_deletions_in_the_reverse_order_last() {
    let kinds = [Type::Namespace, Type::ClusterRole, Type::RoleBinding, Type::CheckConfig];
    let mut order =
        vec![Rank::Revoke(Reverse(Type::RoleBinding)), Rank::Revoke(Reverse(Type::ClusterRoleBinding))];
    order.extend([Rank::Change(Type::ClusterRole), Rank::Change(Type::RoleBinding)]);
    order.extend(kinds.map(Rank::Put));
    order.extend(kinds.iter().rev().map(|kind| Rank::Delete(Reverse(*kind))));
    assert!(order.is_sorted(), "{order:?}");
}
