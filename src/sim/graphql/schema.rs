//! The schema, read from its compact notation in `schema.txt`.

use std::{collections::BTreeMap, fmt, sync::LazyLock};

/// A type as a field, an argument or a variable refers to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ref {
    Named(String),
    List(Box<Ref>),
    NonNull(Box<Ref>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Scalar,
    Object,
    Interface,
    Enum,
    Input,
}

#[derive(Debug)]
pub(super) struct Type {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) interfaces: Vec<&'static str>,
    /// Fields in alphabetical order; those of an input type have no arguments.
    pub(super) fields: BTreeMap<&'static str, Field>,
    /// The values of an enumeration, and whether each is deprecated.
    pub(super) values: Vec<(&'static str, bool)>,
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) input: Input,
    pub(super) arguments: Vec<Input>,
    pub(super) deprecated: bool,
}

/// An argument or an input field; of an output field, its name and type.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) name: &'static str,
    pub(super) ty: Ref,
    /// A literal.
    pub(super) default: Option<&'static str>,
}

pub(super) struct Schema {
    types: BTreeMap<&'static str, Type>,
}

/// A directive that queries may carry.
pub(super) struct Directive {
    pub(super) name: &'static str,
    pub(super) locations: &'static [&'static str],
    pub(super) argument: &'static Input,
}

/// The schema of Sensu 6.12.
pub(super) static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::read(include_str!("schema.txt")));

static IF: LazyLock<Input> = LazyLock::new(|| Input { name: "if", ty: Ref::read("Boolean!"), default: None });
static REASON: LazyLock<Input> = LazyLock::new(|| Input {
    name: "reason",
    ty: Ref::read("String"),
    default: Some("\"No longer supported\""),
});

const SELECTIONS: &[&str] = &["FIELD", "FRAGMENT_SPREAD", "INLINE_FRAGMENT"];

/// The directives there are.
pub(super) fn directives() -> [Directive; 3] {
    [
        Directive { name: "include", locations: SELECTIONS, argument: &IF },
        Directive { name: "skip", locations: SELECTIONS, argument: &IF },
        Directive { name: "deprecated", locations: &["FIELD_DEFINITION", "ENUM_VALUE"], argument: &REASON },
    ]
}

// === impl Ref ===

impl Ref {
    pub(super) fn read(text: &str) -> Self {
        if let Some(inner) = text.strip_suffix('!') {
            return Self::NonNull(Box::new(Self::read(inner)));
        }
        match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inner) => Self::List(Box::new(Self::read(inner))),
            None => Self::Named(text.to_owned()),
        }
    }

    /// The name at the core of it.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::List(inner) | Self::NonNull(inner) => inner.name(),
        }
    }

    /// What is left without a `!`.
    pub(super) fn nullable(&self) -> &Self {
        match self {
            Self::NonNull(inner) => inner,
            other => other,
        }
    }

    pub(super) fn is_non_null(&self) -> bool {
        matches!(self, Self::NonNull(_))
    }
}

impl fmt::Display for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::List(inner) => write!(f, "[{inner}]"),
            Self::NonNull(inner) => write!(f, "{inner}!"),
        }
    }
}

// === impl Type ===

impl Type {
    pub(super) fn is_composite(&self) -> bool {
        matches!(self.kind, Kind::Object | Kind::Interface)
    }

    pub(super) fn is_input(&self) -> bool {
        matches!(self.kind, Kind::Scalar | Kind::Enum | Kind::Input)
    }

    /// Its field of that name, also one that is in no list.
    pub(super) fn field(&self, name: &str) -> Option<&Field> {
        match name {
            "__typename" if self.is_composite() => Some(&META.typename),
            "__schema" if self.name == "Query" => Some(&META.schema),
            "__type" if self.name == "Query" => Some(&META.ty),
            _ => self.fields.get(name),
        }
    }

    fn empty(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, interfaces: Vec::new(), fields: BTreeMap::new(), values: Vec::new() }
    }
}

// === impl Schema ===

impl Schema {
    pub(super) fn types(&self) -> impl Iterator<Item = &Type> {
        self.types.values()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Type> {
        self.types.get(name)
    }

    /// Whether an object type is the named type or implements it.
    pub(super) fn is_a(&self, object: &str, name: &str) -> bool {
        object == name || self.get(object).is_some_and(|ty| ty.interfaces.contains(&name))
    }

    /// The object types that a composite type stands for.
    pub(super) fn possible(&self, name: &str) -> impl Iterator<Item = &Type> {
        self.types().filter(move |ty| ty.kind == Kind::Object && self.is_a(ty.name, name))
    }

    fn read(text: &'static str) -> Self {
        let mut types = BTreeMap::new();
        let mut current: Option<Type> = None;
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(fields) = line.strip_prefix("  ") {
                if let Some(ty) = &mut current {
                    read_fields(&mut ty.fields, fields);
                }
                continue;
            }
            types.extend(current.take().map(|ty| (ty.name, ty)));
            let mut words = line.split(' ');
            match words.next() {
                Some("scalar") => types.extend(words.map(|name| (name, Type::empty(name, Kind::Scalar)))),
                Some(kind) => current = read_head(kind, words),
                None => {}
            }
        }
        types.extend(current.map(|ty| (ty.name, ty)));
        Self { types }
    }
}

fn read_head(kind: &str, mut words: std::str::Split<'static, char>) -> Option<Type> {
    let kind = match kind {
        "enum" => Kind::Enum,
        "input" => Kind::Input,
        "interface" => Kind::Interface,
        _ => Kind::Object,
    };
    let mut ty = Type::empty(words.next()?, kind);
    if kind == Kind::Enum {
        ty.values = words.map(|value| (value.trim_start_matches('-'), value.starts_with('-'))).collect();
    } else {
        ty.interfaces = words.filter(|word| *word != ":").collect();
    }
    Some(ty)
}

fn read_fields(fields: &mut BTreeMap<&'static str, Field>, line: &'static str) {
    let mut words = line.split(' ');
    let ty = Ref::read(words.next().unwrap_or_default());
    for word in words {
        let (head, arguments) = word.strip_suffix(')').and_then(|w| w.split_once('(')).unwrap_or((word, ""));
        let (name, default) =
            head.split_once('=').map_or((head, None), |(name, default)| (name, Some(default)));
        let input = Input { name: name.trim_start_matches('-'), ty: ty.clone(), default };
        let arguments = arguments.split(',').filter(|a| !a.is_empty()).map(read_argument).collect();
        fields.insert(input.name, Field { input, arguments, deprecated: name.starts_with('-') });
    }
}

fn read_argument(text: &'static str) -> Input {
    let (name, rest) = text.split_once(':').unwrap_or((text, ""));
    let (ty, default) = rest.split_once('=').map_or((rest, None), |(ty, default)| (ty, Some(default)));
    Input { name, ty: Ref::read(ty), default }
}

/// The fields that are not in any type's list.
struct Meta {
    typename: Field,
    schema: Field,
    ty: Field,
}

static META: LazyLock<Meta> = LazyLock::new(|| {
    let field = |name, ty: &str, arguments| Field {
        input: Input { name, ty: Ref::read(ty), default: None },
        arguments,
        deprecated: false,
    };
    Meta {
        typename: field("__typename", "String!", Vec::new()),
        schema: field("__schema", "__Schema!", Vec::new()),
        ty: field("__type", "__Type", vec![read_argument("name:String!")]),
    }
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_named_in_the_schema_is_defined() {
        for ty in SCHEMA.types() {
            for interface in &ty.interfaces {
                let interface = SCHEMA.get(interface).unwrap_or_else(|| panic!("{interface}"));
                for (name, field) in &interface.fields {
                    // An implementation may be stricter about null.
                    let own = &ty.fields.get(name).unwrap_or_else(|| panic!("{}.{name}", ty.name)).input.ty;
                    assert_eq!(own.nullable(), field.input.ty.nullable(), "{}.{name}", ty.name);
                }
            }
            for field in ty.fields.values() {
                for input in field.arguments.iter().chain([&field.input]) {
                    assert!(
                        SCHEMA.get(input.ty.name()).is_some(),
                        "{}.{}: {}",
                        ty.name,
                        input.name,
                        input.ty
                    );
                }
            }
        }
        assert_eq!(SCHEMA.get("Event").unwrap().interfaces.len(), 4);
    }

    #[test]
    fn references_read_and_write() {
        for text in ["Int", "[String!]!", "[[ID]!]"] {
            assert_eq!(Ref::read(text).to_string(), text);
        }
    }
}
