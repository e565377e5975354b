//! The introspection query that clusters are asked, and its answer.

use serde::Deserialize;

/// Asks for the parts of a schema that the gateway needs, within the depth that Sensu allows.
pub(super) const INTROSPECTION: &str = "query{__schema{queryType{name}mutationType{name}types{kind name \
    fields(includeDeprecated:true){name args{name type{...T}}type{...T}}inputFields{name type{...T}}possibleTypes{name}\
    enumValues(includeDeprecated:true){name}}}}\
    fragment T on __Type{kind name ofType{kind name ofType{kind name ofType{kind name}}}}";

#[derive(Deserialize)]
pub(super) struct Answer {
    pub(super) data: Option<Data>,
}

#[derive(Deserialize)]
pub(super) struct Data {
    #[serde(rename = "__schema")]
    pub(super) schema: RawSchema,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawSchema {
    pub(super) query_type: RawName,
    pub(super) mutation_type: Option<RawName>,
    pub(super) types: Vec<RawType>,
}

#[derive(Deserialize)]
pub(super) struct RawName {
    pub(super) name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawType {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) fields: Option<Vec<RawField>>,
    pub(super) input_fields: Option<Vec<RawInput>>,
    pub(super) possible_types: Option<Vec<RawName>>,
    pub(super) enum_values: Option<Vec<RawName>>,
}

#[derive(Deserialize)]
pub(super) struct RawField {
    pub(super) name: String,
    pub(super) args: Vec<RawInput>,
    #[serde(rename = "type")]
    pub(super) ty: RawRef,
}

#[derive(Deserialize)]
pub(super) struct RawInput {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) ty: RawRef,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawRef {
    pub(super) kind: String,
    pub(super) name: Option<String>,
    pub(super) of_type: Option<Box<RawRef>>,
}

// === impl RawRef ===

impl RawRef {
    pub(super) fn base(&self) -> Option<&str> {
        match &self.of_type {
            Some(inner) => inner.base(),
            None => self.name.as_deref(),
        }
    }

    pub(super) fn is_list(&self) -> bool {
        self.kind == "LIST" || self.of_type.as_ref().is_some_and(|inner| inner.is_list())
    }
}
