//! Validation of whole documents against the cluster's own schema.
//!
//! Parts of a document can be answered from what the gateway knows, and those never reach a cluster. A document that Sensu
//! would refuse must not be answered in part, so it is validated as a whole before it is used.

use std::collections::HashMap;

use apollo_compiler::{
    Name, Node, Schema,
    ast::{DirectiveList, Document, EnumValueDefinition, FieldDefinition, InputValueDefinition, Type},
    collections::{IndexMap, IndexSet},
    name,
    schema::{
        self, Component, ComponentName, EnumType, ExtendedType, InputObjectType, InterfaceType, ObjectType,
        ScalarType, UnionType,
    },
    ty,
    validation::Valid,
};

use super::introspection::{RawField, RawInput, RawRef, RawSchema, RawType};

/// A schema that documents are validated against.
#[derive(Debug)]
pub(super) struct Validator(Valid<Schema>);

/// The interfaces of object types, by name.
type Interfaces<'a> = HashMap<&'a str, IndexSet<ComponentName>>;

// === impl Validator ===

impl Validator {
    /// `None` when the answer does not describe a schema, for example when a name is not a GraphQL name.
    pub(super) fn new(raw: &RawSchema) -> Option<Self> {
        let mut schema = Schema::new();
        let definition = schema.schema_definition.make_mut();
        definition.query = Some(Name::new(&raw.query_type.name).ok()?.into());
        if let Some(mutation) = &raw.mutation_type {
            definition.mutation = Some(Name::new(&mutation.name).ok()?.into());
        }
        let mut interfaces = Interfaces::new();
        for interface in raw.types.iter().filter(|ty| ty.kind == "INTERFACE") {
            for object in interface.possible_types.iter().flatten() {
                let name = ComponentName::from(Name::new(&interface.name).ok()?);
                interfaces.entry(&object.name).or_default().insert(name);
            }
        }
        for raw in raw.types.iter().filter(|ty| !BUILT_IN.contains(&ty.name.as_str())) {
            let name = Name::new(&raw.name).ok()?;
            let implemented = interfaces.remove(raw.name.as_str()).unwrap_or_default();
            schema.types.insert(name.clone(), extended(raw, name, implemented)?);
        }
        // The cluster works with this schema, so it is not validated itself.
        Some(Self(Valid::assume_valid(schema)))
    }

    /// Whether Sensu would find a document valid.
    pub(super) fn accepts(&self, document: &Document) -> bool {
        let Err(failed) = document.to_executable_validate(&self.0) else { return true };
        let kinds = failed.errors.iter().map(|diagnostic| diagnostic.error.unstable_error_name());
        kinds.into_iter().all(|kind| kind.is_some_and(|kind| TOLERATED.contains(&kind)))
    }
}

fn extended(
    raw: &RawType,
    name: Name,
    implements_interfaces: IndexSet<ComponentName>,
) -> Option<ExtendedType> {
    let (description, directives) = (None, schema::DirectiveList::default());
    Some(match raw.kind.as_str() {
        "OBJECT" => {
            let mut fields = fields(raw)?;
            if raw.name == "Namespace" {
                let cluster = cluster_field();
                fields.entry(cluster.name.clone()).or_insert_with(|| cluster.into());
            }
            ObjectType { description, name, implements_interfaces, directives, fields }.into()
        }
        "INTERFACE" => {
            let fields = fields(raw)?;
            InterfaceType { description, name, implements_interfaces, directives, fields }.into()
        }
        "UNION" => {
            let names = raw.possible_types.iter().flatten();
            let members = names.map(|member| Some(Name::new(&member.name).ok()?.into()));
            UnionType { description, name, directives, members: members.collect::<Option<_>>()? }.into()
        }
        "INPUT_OBJECT" => {
            let inputs = raw.input_fields.iter().flatten().map(|raw| {
                let input = input(raw)?;
                Some((input.name.clone(), Component::from(input)))
            });
            InputObjectType { description, name, directives, fields: inputs.collect::<Option<_>>()? }.into()
        }
        "ENUM" if raw.enum_values.is_some() => {
            let values = raw.enum_values.iter().flatten().map(|value| {
                let value = Name::new(&value.name).ok()?;
                let definition = EnumValueDefinition {
                    description: None,
                    value: value.clone(),
                    directives: DirectiveList::default(),
                };
                Some((value, Component::from(definition)))
            });
            EnumType { description, name, directives, values: values.collect::<Option<_>>()? }.into()
        }
        _ => ScalarType { description, name, directives }.into(),
    })
}

/// The gateway's own field of a namespace.
fn cluster_field() -> FieldDefinition {
    FieldDefinition {
        description: None,
        name: name!(cluster),
        arguments: Vec::new(),
        ty: ty!(String!),
        directives: DirectiveList::default(),
    }
}

fn fields(raw: &RawType) -> Option<IndexMap<Name, Component<FieldDefinition>>> {
    let field = |raw: &RawField| {
        let field = FieldDefinition {
            description: None,
            name: Name::new(&raw.name).ok()?,
            arguments: raw.args.iter().map(|raw| input(raw).map(Node::new)).collect::<Option<_>>()?,
            ty: reference(&raw.ty)?,
            directives: DirectiveList::default(),
        };
        Some((field.name.clone(), Component::from(field)))
    };
    raw.fields.iter().flatten().map(field).collect()
}

/// Defaults are left out: in Sensu, an argument that must not be null must be given even if it has one.
fn input(raw: &RawInput) -> Option<InputValueDefinition> {
    Some(InputValueDefinition {
        description: None,
        name: Name::new(&raw.name).ok()?,
        ty: Node::new(reference(&raw.ty)?),
        default_value: None,
        directives: DirectiveList::default(),
    })
}

fn reference(raw: &RawRef) -> Option<Type> {
    Some(match (raw.kind.as_str(), &raw.of_type) {
        ("NON_NULL", Some(inner)) => reference(inner)?.non_null(),
        ("LIST", Some(inner)) => reference(inner)?.list(),
        _ => Type::Named(Name::new(raw.name.as_deref()?).ok()?),
    })
}

/// Scalars that every schema has.
const BUILT_IN: &[&str] = &["Boolean", "Float", "ID", "Int", "String"];

/// What Sensu's library, which implements an earlier edition of the specification, accepts: integers beyond 32 bits, and
/// repeated directives. Documents nested too deeply for this validator are left to Sensu's.
const TOLERATED: &[&str] = &["IntCoercionError", "RecursionError", "RecursionLimitError", "UniqueDirective"];
