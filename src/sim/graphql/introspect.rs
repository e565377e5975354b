//! `__schema` and `__type`. A type is a node that holds how it is referred to, such as `[Check!]`.

use serde_json::{Value, json};

use super::{
    inputs::Values,
    out::{Data, Node, Out},
    resolve::Row,
    schema::{self, Field, Input, Kind, Ref, SCHEMA, Type},
};
use crate::sim::json::text;

pub(super) const FIELDS: &[Row] = &[
    ("Query", "__schema", |_, _, _| Ok(Out::Node(whole()))),
    ("Query", "__type", |_, _, args| Ok(SCHEMA.get(text(args, &["name"])).map(|ty| named(ty.name)).into())),
    ("__Type", "kind", |_, node, _| Ok(Out::text(kind(&referred(node))))),
    ("__Type", "name", |_, node, _| {
        Ok(match referred(node) {
            Ref::Named(name) => Out::text(&name),
            _ => Out::NULL,
        })
    }),
    ("__Type", "description", |_, _, _| Ok(Out::NULL)),
    ("__Type", "ofType", |_, node, _| {
        Ok(match referred(node) {
            Ref::Named(_) => Out::NULL,
            Ref::List(inner) | Ref::NonNull(inner) => Out::Node(reference(&inner)),
        })
    }),
    ("__Type", "fields", |_, node, args| {
        Ok(of(node, &[Kind::Object, Kind::Interface], |ty| {
            let shown = ty.fields.values().filter(|field| !field.deprecated || with_deprecated(args));
            Out::nodes(shown.map(field))
        }))
    }),
    ("__Type", "inputFields", |_, node, _| {
        Ok(of(node, &[Kind::Input], |ty| Out::nodes(ty.fields.values().map(|field| input(&field.input)))))
    }),
    ("__Type", "interfaces", |_, node, _| {
        Ok(of(node, &[Kind::Object], |ty| Out::nodes(ty.interfaces.iter().map(|name| named(name)))))
    }),
    ("__Type", "possibleTypes", |_, node, _| {
        Ok(of(node, &[Kind::Interface], |ty| Out::nodes(SCHEMA.possible(ty.name).map(|ty| named(ty.name)))))
    }),
    ("__Type", "enumValues", |_, node, args| {
        Ok(of(node, &[Kind::Enum], |ty| {
            let shown = ty.values.iter().filter(|(_, deprecated)| !deprecated || with_deprecated(args));
            Out::nodes(shown.map(|(name, deprecated)| value(name, *deprecated)))
        }))
    }),
];

fn whole() -> Node {
    let types = Out::nodes(SCHEMA.types().map(|ty| named(ty.name)));
    let directives = Out::nodes(schema::directives().into_iter().map(|directive| {
        Node::made(
            "__Directive",
            vec![
                ("name", Out::text(directive.name)),
                ("locations", Out::Value(directive.locations.into())),
                ("args", Out::nodes([input(directive.argument)])),
                ("onOperation", Out::Value(false.into())),
                ("onFragment", Out::Value(directive.locations.contains(&"FRAGMENT_SPREAD").into())),
                ("onField", Out::Value(directive.locations.contains(&"FIELD").into())),
            ],
        )
    }));
    let root = |name| Out::Node(named(name));
    let fields = vec![
        ("types", types),
        ("queryType", root("Query")),
        ("mutationType", root("Mutation")),
        ("subscriptionType", Out::NULL),
        ("directives", directives),
    ];
    Node::made("__Schema", fields)
}

fn named(name: &str) -> Node {
    reference(&Ref::Named(name.to_owned()))
}

fn reference(ty: &Ref) -> Node {
    Node::made("__Type", vec![("", Out::text(&ty.to_string()))])
}

/// What a `__Type` node stands for.
fn referred(node: &Node) -> Ref {
    match &node.data {
        Data::Fields(fields) => match fields.first() {
            Some((_, Out::Value(Value::String(text)))) => Ref::read(text),
            _ => Ref::read(""),
        },
        Data::Object(_) => Ref::read(""),
    }
}

fn kind(ty: &Ref) -> &'static str {
    let name = match ty {
        Ref::List(_) => return "LIST",
        Ref::NonNull(_) => return "NON_NULL",
        Ref::Named(name) => name,
    };
    match SCHEMA.get(name).map(|ty| ty.kind) {
        Some(Kind::Object) => "OBJECT",
        Some(Kind::Interface) => "INTERFACE",
        Some(Kind::Enum) => "ENUM",
        Some(Kind::Input) => "INPUT_OBJECT",
        Some(Kind::Scalar) | None => "SCALAR",
    }
}

/// Applies `show` to a type of one of the kinds; null for others.
fn of(node: &Node, kinds: &[Kind], show: impl Fn(&'static Type) -> Out) -> Out {
    match referred(node) {
        Ref::Named(name) => SCHEMA.get(&name).filter(|ty| kinds.contains(&ty.kind)).map_or(Out::NULL, show),
        _ => Out::NULL,
    }
}

fn with_deprecated(args: &Values) -> bool {
    args.get("includeDeprecated") == Some(&Value::Bool(true))
}

fn field(field: &Field) -> Node {
    let name = field.input.name;
    Node::made(
        "__Field",
        vec![
            ("name", Out::text(name)),
            ("args", Out::nodes(field.arguments.iter().map(input))),
            ("type", Out::Node(reference(&field.input.ty))),
            ("isDeprecated", Out::Value(field.deprecated.into())),
            ("deprecationReason", reason(name, field.deprecated)),
        ],
    )
}

fn value(name: &str, deprecated: bool) -> Node {
    let fields = vec![
        ("name", Out::text(name)),
        ("isDeprecated", Out::Value(deprecated.into())),
        ("deprecationReason", reason(name, deprecated)),
    ];
    Node::made("__EnumValue", fields)
}

fn reason(name: &str, deprecated: bool) -> Out {
    match name {
        _ if !deprecated => Out::NULL,
        "name" | "namespace" => Out::text("use metadata"),
        _ => Out::text("no longer supported"),
    }
}

fn input(input: &Input) -> Node {
    // Sensu writes the defaults of lists and enumerations as if they were strings.
    let default = input.default.map_or(Value::Null, |literal| match literal.as_bytes() {
        [b'[' | b'A'..=b'Z', ..] => format!("\"{literal}\"").into(),
        _ => json!(literal),
    });
    let fields = vec![
        ("name", Out::text(input.name)),
        ("type", Out::Node(reference(&input.ty))),
        ("defaultValue", Out::Value(default)),
    ];
    Node::made("__InputValue", fields)
}
