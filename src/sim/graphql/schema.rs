//! Sensu's GraphQL schema, read once from `schema.graphql`.

use std::sync::LazyLock;

use apollo_compiler::{
    Schema,
    ast::{FieldDefinition, Type},
    schema::ExtendedType,
    validation::Valid,
};

/// The schema of Sensu 6.12.
pub(super) static SCHEMA: LazyLock<Valid<Schema>> = LazyLock::new(|| {
    let mut schema =
        Schema::parse(include_str!("schema.graphql"), "schema.graphql").expect("schema.graphql parses");
    // Sensu's library implements an earlier edition of the specification.
    for (name, field) in LATER_FIELDS {
        if let Some(ExtendedType::Object(ty)) = schema.types.get_mut(*name) {
            ty.make_mut().fields.shift_remove(*field);
        }
    }
    schema.directive_definitions.shift_remove("specifiedBy");
    schema.validate().expect("schema.graphql is valid")
});

/// Fields of introspection that Sensu does not have.
const LATER_FIELDS: &[(&str, &str)] = &[
    ("__Schema", "description"),
    ("__Type", "specifiedByURL"),
    ("__InputValue", "isDeprecated"),
    ("__InputValue", "deprecationReason"),
    ("__Directive", "isRepeatable"),
];

/// A field of a type, `__typename` and the root's meta-fields included.
pub(super) fn field(ty: &str, name: &str) -> Option<&'static FieldDefinition> {
    SCHEMA.type_field(ty, name).ok().map(|field| &***field)
}

/// The type that a reference names, without its lists and marks.
pub(super) fn named(ty: &Type) -> Option<&'static ExtendedType> {
    SCHEMA.types.get(ty.inner_named_type())
}

/// Whether values of a type have fields.
pub(super) fn is_composite(ty: &ExtendedType) -> bool {
    ty.is_object() || ty.is_interface()
}

/// Whether an object type is the named type or implements it.
pub(super) fn is_a(object: &str, name: &str) -> bool {
    object == name || SCHEMA.is_subtype(name, object)
}

/// The object types that implement an interface, by name.
pub(super) fn implementations(interface: &str) -> Vec<&'static str> {
    let objects = SCHEMA.types.values().filter_map(ExtendedType::as_object);
    let mut names: Vec<&str> = objects
        .filter(|object| object.implements_interfaces.contains(interface))
        .map(|object| object.name.as_str())
        .collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_named_in_the_schema_is_defined() {
        assert_eq!(SCHEMA.get_object("Event").unwrap().implements_interfaces.len(), 4);
        assert_eq!(implementations("Silenceable"), ["Check", "CheckConfig", "Entity", "Event"]);
    }
}
