use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use super::{AuthzError, Verb};
use crate::{corev2, types::Principal};

/// All rules for cluster-wide resources at one moment. Never changed in place.
///
/// As in Sensu: `ClusterRoleBindings` in the order of their keys, each one that names the caller gives its role's
/// rules, and the first rule that allows ends it. No rule forbids. `RoleBindings` do not count, since these resources
/// have no namespace.
#[derive(Debug)]
pub struct Rules(Result<Vec<Binding>, AuthzError>);

/// A `ClusterRoleBinding` with the rules of its role.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    pub(super) subjects: Arc<[Subject]>,
    pub(super) grant: Result<Arc<[Rule]>, AuthzError>,
}

/// Whom a binding names. Case counts.
#[derive(Debug)]
pub(super) enum Subject {
    User(Box<str>),
    Group(Box<str>),
}

/// A rule that can allow something.
#[derive(Debug)]
pub(super) struct Rule {
    verbs: Box<[Box<str>]>,
    resources: Box<[Box<str>]>,
    /// Empty: all.
    names: Box<[Box<str>]>,
}

// === impl Rules ===

impl Rules {
    /// From bindings in the order of their keys, or from the fault that keeps all of them from being used.
    pub(super) fn new(bindings: Result<Vec<Binding>, AuthzError>) -> Self {
        Self(bindings)
    }

    /// Whether the caller may. Names are compared byte by byte.
    ///
    /// # Errors
    ///
    /// As Sensu's 500: a binding that cannot be read, or a binding of the caller whose role does not exist and that comes
    /// before one that allows.
    pub fn decide(
        &self,
        who: &Principal,
        verb: Verb,
        resource: &str,
        name: &str,
    ) -> Result<bool, AuthzError> {
        for grant in self.grants(who)? {
            if grant?.iter().any(|rule| rule.allows(verb.as_str(), resource, name)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The names that the caller may do it with by rules for some names only, each once, and not endlessly many.
    ///
    /// # Errors
    ///
    /// When no binding can be used. A fault of one of the caller's own ends the names, as it ends what
    /// [`decide`](Self::decide) allows.
    pub fn names(&self, who: &Principal, verb: Verb, resource: &str) -> Result<Vec<String>, AuthzError> {
        let rules = self.grants(who)?.map_while(Result::ok).flatten();
        let concerned = rules.filter(|rule| rule.concerns(verb.as_str(), resource));
        let names: BTreeSet<&str> = concerned.flat_map(|rule| &rule.names).map(|name| &**name).collect();
        Ok(names.into_iter().filter(|name| !name.is_empty()).take(MAX_NAMES).map(str::to_owned).collect())
    }

    /// The rules that each binding of the caller gives, in their order.
    fn grants<'a>(
        &'a self,
        who: &Principal,
    ) -> Result<impl Iterator<Item = Result<&'a [Rule], AuthzError>>, AuthzError> {
        let bindings = self.0.as_deref().map_err(Clone::clone)?;
        // A token may have thousands of groups, and bindings as many subjects.
        let groups: HashSet<&str> = who.groups.iter().map(String::as_str).collect();
        let named = bindings.iter().filter(move |binding| binding.names(&who.subject, &groups));
        Ok(named.map(|binding| binding.grant.as_deref().map_err(Clone::clone)))
    }

    /// The fault that concerns every caller, if there is one.
    pub(super) fn fault(&self) -> Option<&AuthzError> {
        self.0.as_ref().err()
    }
}

// === impl Binding ===

impl Binding {
    fn names(&self, user: &str, groups: &HashSet<&str>) -> bool {
        self.subjects.iter().any(|subject| match subject {
            Subject::User(name) => **name == *user,
            Subject::Group(name) => groups.contains(&**name),
        })
    }
}

// === impl Subject ===

impl Subject {
    /// `None` for a type that Sensu does not know: such a subject matches nobody.
    pub(super) fn of(stored: corev2::Subject) -> Option<Self> {
        match stored.kind.as_str() {
            "User" => Some(Self::User(stored.name.into())),
            "Group" => Some(Self::Group(stored.name.into())),
            _ => None,
        }
    }
}

// === impl Rule ===

impl Rule {
    /// `None` for a rule without verbs or resources: it allows nothing.
    pub(super) fn of(stored: corev2::Rule) -> Option<Self> {
        let texts = |texts: Vec<String>| texts.into_iter().map(Into::into).collect();
        let rule = Self {
            verbs: texts(stored.verbs),
            resources: texts(stored.resources),
            names: texts(stored.resource_names),
        };
        (!rule.verbs.is_empty() && !rule.resources.is_empty()).then_some(rule)
    }

    fn allows(&self, verb: &str, resource: &str, name: &str) -> bool {
        // `*` is a name like any other here.
        self.concerns(verb, resource)
            && (self.names.is_empty() || self.names.iter().any(|text| **text == *name))
    }

    /// Whether it is about them, for some names at least.
    fn concerns(&self, verb: &str, resource: &str) -> bool {
        let has = |texts: &[Box<str>], wanted: &str| {
            texts.iter().any(|text| matches!(&**text, "*") || **text == *wanted)
        };
        has(&self.verbs, verb) && has(&self.resources, resource)
    }
}

/// More than anybody reads.
const MAX_NAMES: usize = 1000;
