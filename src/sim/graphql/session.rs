//! One request's view of the cluster: what it may see, and what it has seen.

use std::{collections::HashMap, rc::Rc};

use super::{
    inputs::Values,
    out::{Node, Out},
    records::{self, Record},
};
use crate::sim::{
    Context, generic, kinds,
    rbac::{self, User, Visible},
    reply::Failure,
    route::Attributes,
    store::{Store, Stored},
};

/// What the resolvers of a request share.
pub(super) struct Session<'a> {
    pub(super) context: Context<'a>,
    authenticated: bool,
    /// Lists that were read since the last change, by kind and namespace.
    lists: HashMap<(&'static str, String), Rc<[Node]>>,
}

/// Why something may not be done or seen.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Nobody is logged in.
    NoClaims,
    /// The rules do not allow it.
    Unauthorized,
    /// Something else went wrong, in Sensu's words.
    Other(String),
}

/// Gives the value of a field.
pub(super) type Resolver = fn(&mut Session<'_>, &Node, &Values) -> Result<Out, String>;

/// A field with a resolver of its own: type, field, resolver.
pub(super) type Row = (&'static str, &'static str, Resolver);

// === impl Refusal ===

impl Refusal {
    /// Reads are silent about missing rights.
    pub(super) fn or_nothing<T: Default>(self) -> Result<T, String> {
        match self {
            Self::NoClaims | Self::Unauthorized => Ok(T::default()),
            Self::Other(text) => Err(text),
        }
    }

    pub(super) fn text(self) -> String {
        match self {
            Self::NoClaims => "no claims found in the request context".into(),
            Self::Unauthorized => "request unauthorized".into(),
            Self::Other(text) => text,
        }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Other(match failure {
            Failure::Router(_, text) | Failure::Text(_, text) => text,
            other => format!("{other:?}"),
        })
    }
}

// === impl Session ===

impl<'a> Session<'a> {
    pub(super) fn new(mut context: Context<'a>, authenticated: bool) -> Self {
        context.expire_silences();
        Self { context, authenticated, lists: HashMap::new() }
    }

    pub(super) fn store(&self) -> &Store {
        &self.context.state.store
    }

    /// The store, to change it: lists are read again afterwards.
    pub(super) fn store_mut(&mut self) -> &mut Store {
        self.lists.clear();
        &mut self.context.state.store
    }

    pub(super) fn now(&self) -> i64 {
        self.context.now
    }

    /// Who is logged in.
    pub(super) fn user(&self) -> Option<&User> {
        self.authenticated.then_some(self.context.user)
    }

    /// The name of who is logged in; empty without a session.
    pub(super) fn user_name(&self) -> String {
        self.context.user.name.clone()
    }

    /// Whether the caller may do something.
    pub(super) fn authorize(
        &self,
        verb: &'static str,
        resource: &'static str,
        namespace: &str,
        name: &str,
    ) -> Result<(), Refusal> {
        let user = self.user().ok_or(Refusal::NoClaims)?;
        let asked = Attributes { verb, namespace: namespace.to_owned(), resource, name: name.to_owned() };
        match rbac::allows(self.store(), user, &asked) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refusal::Unauthorized),
            Err(text) => Err(Refusal::Other(text)),
        }
    }

    /// One object, or a refusal that is to be shown.
    pub(super) fn get(
        &self,
        record: &'static Record,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Node>, Refusal> {
        self.authorize("get", record.rbac, namespace, name)?;
        if name.is_empty() {
            // The kinds with a store of their own look; the others find nothing.
            return match record.ty {
                "CheckConfig" | "Entity" => {
                    Err(Refusal::Other("resource is invalid: must specify name".into()))
                }
                _ => Ok(None),
            };
        }
        let key = generic::key(record.store, Some(namespace), name);
        match self.store().get(&key) {
            Some(Stored::Object(object)) if is_shaped(&key, record) => {
                Ok(Some(Node::new(record.ty, object.clone())))
            }
            Some(_) => Err(Refusal::Other(format!("could not decode the key {key}: unexpected EOF"))),
            None => Ok(None),
        }
    }

    /// One object; nothing when there is none or the caller may not see it.
    pub(super) fn fetch(
        &self,
        record: &'static Record,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Node>, String> {
        self.get(record, namespace, name).or_else(Refusal::or_nothing)
    }

    /// An event; its check is looked up by prefix, as over REST.
    pub(super) fn event(&self, namespace: &str, entity: &str, check: &str) -> Result<Option<Node>, Refusal> {
        self.authorize("get", "events", namespace, &format!("{entity}:{check}"))?;
        if entity.is_empty() || check.is_empty() {
            return Err(Refusal::Other("resource is invalid: must specify entity and check name".into()));
        }
        match self.context.find_event(namespace, entity, check) {
            Ok(event) => Ok(Some(Node::new("Event", event.clone()))),
            Err(Failure::Router(2, _)) => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    /// All objects of a kind in a namespace, or in all of them when it is empty.
    pub(super) fn list(&mut self, record: &'static Record, namespace: &str) -> Result<Rc<[Node]>, Refusal> {
        self.authorize("list", record.rbac, namespace, "")?;
        let known = (record.ty, namespace.to_owned());
        if let Some(list) = self.lists.get(&known) {
            return Ok(list.clone());
        }
        let mut prefix = format!("/sensu.io/{}/", record.store);
        if !namespace.is_empty() {
            prefix.push_str(namespace);
            prefix.push('/');
        }
        let objects = self.store().objects(&prefix).map_err(Refusal::Other)?;
        let list: Rc<[Node]> = objects.into_iter().map(|o| Node::new(record.ty, o.clone())).collect();
        self.lists.insert(known, list.clone());
        Ok(list)
    }

    /// As [`list`](Self::list), but empty when the caller may not see them.
    pub(super) fn load(&mut self, record: &'static Record, namespace: &str) -> Result<Rc<[Node]>, String> {
        self.list(record, namespace).or_else(|refusal| refusal.or_nothing::<Vec<Node>>().map(Rc::from))
    }

    /// A namespace, if there is one and the caller has any right in it.
    pub(super) fn namespace(&self, name: &str) -> Result<Option<Node>, String> {
        let Some(object) = self.store().object(&format!("/sensu.io/namespaces/{name}")) else {
            return Ok(None);
        };
        let Some(user) = self.user() else { return Ok(None) };
        let seen = rbac::sees(self.store(), user, name)
            .map_err(|text| format!("error getting namespace: {text}"))?;
        Ok(seen.then(|| Node::new("Namespace", object.clone())))
    }

    /// The namespaces that the caller may see: all by name, or some in the order of the bindings that show them.
    pub(super) fn namespaces(&self) -> Result<Vec<Node>, String> {
        let Some(user) = self.user() else { return Ok(Vec::new()) };
        let all = self.store().objects("/sensu.io/namespaces/")?;
        let visible =
            rbac::visible(self.store(), user).map_err(|text| format!("error listing namespaces: {text}"))?;
        let node = |object: &crate::sim::json::Object| Node::new("Namespace", object.clone());
        Ok(match visible {
            Visible::All => all.into_iter().map(node).collect(),
            Visible::Named(names) => {
                let find = |name: &String| all.iter().find(|o| crate::sim::json::text(o, &["name"]) == name);
                names.iter().filter_map(find).map(|object| node(object)).collect()
            }
        })
    }

    /// The node that an id names.
    pub(super) fn node(&self, text: &str) -> Result<Option<Node>, String> {
        let id = super::ids::Id::parse(text)?;
        let Some(record) = records::by_id(&id.resource) else {
            return Err(format!("global ID decoder could not be found for '{}'", id.resource));
        };
        match record.ty {
            "Namespace" => self.namespace(&id.name),
            "Event" => {
                let (entity, check) = id.event_names()?;
                self.event(&id.namespace, &entity, &check).or_else(Refusal::or_nothing)
            }
            "CheckConfig" if id.name.is_empty() => Ok(None),
            _ => self.fetch(record, &id.namespace, &id.name),
        }
    }
}

/// Whether a key leads to an object of the kind, and not elsewhere by `..`.
fn is_shaped(key: &str, record: &Record) -> bool {
    kinds::schema_of_key(key).is_some_and(|shape| std::ptr::eq(shape, record.shape()))
}
