//! From a field to its value: a table of those that need more than a look at the stored object.

use std::{collections::HashMap, sync::LazyLock};

use serde_json::Value;

use super::{
    ids,
    inputs::Values,
    lists, mutations,
    out::{Data, Node, Out},
    records, related, roots,
    session::{Resolver, Session},
};

static TABLE: LazyLock<HashMap<(&'static str, &'static str), Resolver>> = LazyLock::new(|| {
    let tables = [roots::FIELDS, lists::FIELDS, related::FIELDS, mutations::FIELDS];
    tables.into_iter().flatten().map(|(ty, field, resolver)| ((*ty, *field), *resolver)).collect()
});

/// Fields whose stored names do not follow from their own.
const RENAMED: &[(&str, &str, &str)] = &[
    ("System", "ARMVersion", "arm_version"),
    ("System", "VMRole", "vm_role"),
    ("System", "VMSystem", "vm_system"),
    ("System", "libCType", "libc_type"),
    ("Silenced", "expires", "expire_at"),
];

/// The value of a field.
///
/// # Errors
///
/// The message that goes to the client.
pub(super) fn resolve(
    session: &mut Session<'_>,
    node: &Node,
    field: &str,
    arguments: &Values,
) -> Result<Out, String> {
    if let Some(resolver) = TABLE.get(&(node.ty, field)) {
        return resolver(session, node, arguments);
    }
    Ok(match field {
        "id" if !matches!(node.data, Data::Fields(_)) => {
            records::id_of(node).map_or(Out::NULL, |id| Out::Value(ids::to_value(&id)))
        }
        "toJSON" => Out::Value(records::wrapped(node)),
        _ => stored(node, field),
    })
}

/// A field as it is stored: under its own name, that name in small letters, or in the metadata.
fn stored(node: &Node, field: &str) -> Out {
    let object = match &node.data {
        Data::Fields(fields) => {
            let found = fields.iter().find(|(name, _)| *name == field);
            return found.map_or(Out::NULL, |(_, out)| out.clone());
        }
        Data::Object(object) => object,
    };
    let renamed = RENAMED.iter().find(|(ty, name, _)| *ty == node.ty && *name == field);
    let key = match renamed {
        Some((_, _, key)) => (*key).to_owned(),
        None if object.contains_key(field) => field.to_owned(),
        None => snake(field),
    };
    let value = object.get(&key).or_else(|| match field {
        "name" | "namespace" => object.get("metadata")?.get(field),
        _ => None,
    });
    match value {
        // A list that was never set is empty, unless there is no such thing in the object.
        Some(Value::Null) if is_list(node.ty, field) => Out::List(Vec::new()),
        Some(value) => Out::Value(value.clone()),
        None => Out::NULL,
    }
}

fn is_list(ty: &str, field: &str) -> bool {
    super::schema::field(ty, field).is_some_and(|field| field.ty.is_list())
}

/// `lastOK` → `last_ok`.
fn snake(field: &str) -> String {
    let mut key = String::with_capacity(field.len() + 4);
    let mut small = false;
    for c in field.chars() {
        if c.is_ascii_uppercase() && small {
            key.push('_');
        }
        small = c.is_ascii_lowercase();
        key.push(c.to_ascii_lowercase());
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::graphql::schema::{self, SCHEMA};

    #[test]
    fn every_row_of_the_table_is_a_field_of_the_schema() {
        for (ty, field) in TABLE.keys() {
            assert!(schema::field(ty, field).is_some(), "{ty}.{field}");
        }
    }

    #[test]
    fn every_root_field_has_a_resolver() {
        for ty in ["Query", "Mutation"] {
            for field in SCHEMA.get_object(ty).unwrap().fields.keys() {
                assert!(TABLE.contains_key(&(ty, field.as_str())), "{ty}.{field}");
            }
        }
    }

    #[test]
    fn names_become_those_of_the_store() {
        assert_eq!(["lastOK", "entityClass", "envVars"].map(snake), ["last_ok", "entity_class", "env_vars"]);
    }
}
