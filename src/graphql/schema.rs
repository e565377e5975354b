//! A cluster's schema, and where namespaces and ids occur in it.
//!
//! Nothing of Sensu's schema is built in. It is read from the answer to an introspection query, and the positions follow
//! from names and types:
//!
//! | position | rule |
//! |---|---|
//! | namespace in an answer | a `String` field `namespace`; the field `name` of the type `Namespace` |
//! | id in an answer | any field of type `ID` |
//! | whole resource in an answer | a `JSON` field `toJSON` or `wrappedNode` |
//! | namespace in a request | a `String` argument or input field `namespace`; the argument `name` of a field that returns a `Namespace` |
//! | id in a request | an argument or input field of type `ID` |
//! | whole resource in a request | a `String` argument `raw` |
//! | plain name in a request | a `String` argument or input field `name`, `entity`, `check` or `subscription` |

use std::collections::{HashMap, HashSet};

use super::{
    introspection::{Answer, RawField, RawInput, RawName, RawSchema, RawType},
    validate::Validator,
};

/// Index of a type.
pub(super) type TypeId = usize;

/// One schema, never changed in place.
#[derive(Debug)]
pub(super) struct Schema {
    /// Different for different schemas.
    pub(super) generation: u64,
    pub(super) query: TypeId,
    pub(super) mutation: Option<TypeId>,
    pub(super) validator: Validator,
    types: Vec<Type>,
    by_name: HashMap<Box<str>, TypeId>,
}

#[derive(Debug)]
pub(super) struct Type {
    pub(super) name: Box<str>,
    fields: HashMap<Box<str>, FieldDef>,
    inputs: HashMap<Box<str>, InputDef>,
    /// The object types that a value can have, sorted; an object type's own.
    pub(super) possible: Box<[TypeId]>,
}

#[derive(Debug)]
pub(super) struct FieldDef {
    /// Without lists and non-null marks.
    pub(super) base: TypeId,
    pub(super) non_null: bool,
    pub(super) list: bool,
    pub(super) role: Role,
    arguments: HashMap<Box<str>, InputDef>,
}

#[derive(Debug)]
pub(super) struct InputDef {
    pub(super) carrier: Option<Carrier>,
}

/// What a value in an answer means to the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Role {
    #[default]
    Plain,
    Namespace,
    Id,
    /// A resource as the REST API writes it.
    Wrapped,
    /// The gateway's own field: the name of the cluster.
    Cluster,
}

/// How an input value names a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Carrier {
    Namespace,
    Id,
    /// A resource as JSON in a string.
    Wrapped,
    /// A plain name: it names no cluster, but must not lead out of its namespace.
    Name,
    /// An input object with such fields.
    Input(TypeId),
}

/// An answer that does not describe a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer to the introspection query is not a usable schema")]
pub(super) struct SchemaError;

// === impl Schema ===

impl Schema {
    /// Reads the answer to [`INTROSPECTION`](super::introspection::INTROSPECTION).
    pub(super) fn read(answer: &[u8], generation: u64) -> Result<Self, SchemaError> {
        let answer: Answer = serde_json::from_slice(answer).map_err(|_| SchemaError)?;
        Self::build(&answer.data.ok_or(SchemaError)?.schema, generation).ok_or(SchemaError)
    }

    fn build(raw: &RawSchema, generation: u64) -> Option<Self> {
        if raw.types.len() > MAX_TYPES {
            return None;
        }
        let by_name: HashMap<Box<str>, TypeId> =
            raw.types.iter().enumerate().map(|(id, ty)| (ty.name.as_str().into(), id)).collect();
        let carrying = carrying_inputs(&raw.types);
        let names = Names { by_name: &by_name, carrying: &carrying };
        let mut types = raw.types.iter().map(|ty| names.ty(ty)).collect::<Option<Vec<_>>>()?;
        if let (Some(namespace), Some(string)) = (by_name.get("Namespace"), by_name.get("String")) {
            let cluster = FieldDef {
                base: *string,
                non_null: true,
                list: false,
                role: Role::Cluster,
                arguments: HashMap::new(),
            };
            types[*namespace].fields.entry("cluster".into()).or_insert(cluster);
        }
        let root = |name: &RawName| by_name.get(name.name.as_str()).copied();
        Some(Self {
            generation,
            query: root(&raw.query_type)?,
            mutation: raw.mutation_type.as_ref().and_then(root),
            validator: Validator::new(raw)?,
            types,
            by_name,
        })
    }

    pub(super) fn ty(&self, id: TypeId) -> &Type {
        &self.types[id]
    }

    pub(super) fn id(&self, name: &str) -> Option<TypeId> {
        self.by_name.get(name).copied()
    }
}

// === impl Type ===

impl Type {
    pub(super) fn field(&self, name: &str) -> Option<&FieldDef> {
        self.fields.get(name)
    }

    pub(super) fn input(&self, name: &str) -> Option<&InputDef> {
        self.inputs.get(name)
    }
}

// === impl FieldDef ===

impl FieldDef {
    pub(super) fn argument(&self, name: &str) -> Option<&InputDef> {
        self.arguments.get(name)
    }
}

/// The names needed to turn raw types into [`Type`]s.
struct Names<'a> {
    by_name: &'a HashMap<Box<str>, TypeId>,
    carrying: &'a HashSet<&'a str>,
}

// === impl Names ===

impl Names<'_> {
    fn ty(&self, raw: &RawType) -> Option<Type> {
        let id = *self.by_name.get(raw.name.as_str())?;
        let mut possible: Vec<TypeId> = if raw.kind == "OBJECT" {
            vec![id]
        } else {
            let all = raw.possible_types.iter().flatten();
            all.filter_map(|name| self.by_name.get(name.name.as_str()).copied()).collect()
        };
        possible.sort_unstable();
        possible.dedup();
        let fields = raw.fields.iter().flatten().map(|field| self.field(&raw.name, field));
        let inputs = raw.input_fields.iter().flatten();
        Some(Type {
            name: raw.name.as_str().into(),
            fields: fields.collect::<Option<_>>()?,
            inputs: inputs.map(|input| self.input(input, "")).collect::<Option<_>>()?,
            possible: possible.into(),
        })
    }

    fn field(&self, parent: &str, raw: &RawField) -> Option<(Box<str>, FieldDef)> {
        let base = raw.ty.base()?;
        let role = match (base, raw.name.as_str()) {
            ("ID", _) => Role::Id,
            ("String", "namespace") => Role::Namespace,
            ("String", "name") if parent == "Namespace" => Role::Namespace,
            ("JSON", "toJSON" | "wrappedNode") => Role::Wrapped,
            _ => Role::Plain,
        };
        let field = FieldDef {
            base: *self.by_name.get(base)?,
            non_null: raw.ty.kind == "NON_NULL",
            list: raw.ty.is_list(),
            role,
            arguments: raw.args.iter().map(|argument| self.input(argument, base)).collect::<Option<_>>()?,
        };
        Some((raw.name.as_str().into(), field))
    }

    /// An argument of a field that returns `returns`, or an input field.
    fn input(&self, raw: &RawInput, returns: &str) -> Option<(Box<str>, InputDef)> {
        let base = raw.ty.base()?;
        let carrier = match (base, raw.name.as_str()) {
            ("ID", _) => Some(Carrier::Id),
            ("String", "namespace") => Some(Carrier::Namespace),
            ("String", "name") if returns == "Namespace" => Some(Carrier::Namespace),
            ("String", "raw") if !returns.is_empty() => Some(Carrier::Wrapped),
            ("String", name) if NAMES.contains(&name) => Some(Carrier::Name),
            _ if self.carrying.contains(base) => self.by_name.get(base).copied().map(Carrier::Input),
            _ => None,
        };
        Some((raw.name.as_str().into(), InputDef { carrier }))
    }
}

/// The input types that hold a namespace or an id at any depth.
fn carrying_inputs(types: &[RawType]) -> HashSet<&str> {
    let mut carrying: HashSet<&str> = HashSet::new();
    loop {
        let before = carrying.len();
        for ty in types {
            let carries = ty.input_fields.iter().flatten().any(|input| match input.ty.base() {
                Some("ID") => true,
                Some("String") => input.name == "namespace" || NAMES.contains(&input.name.as_str()),
                Some(base) => carrying.contains(base),
                None => false,
            });
            if carries {
                carrying.insert(&ty.name);
            }
        }
        if carrying.len() == before {
            return carrying;
        }
    }
}

/// Arguments and input fields that become part of Sensu's store keys.
const NAMES: &[&str] = &["name", "entity", "check", "subscription"];

/// Sensu has about 120.
const MAX_TYPES: usize = 10_000;
