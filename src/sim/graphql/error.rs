//! An error of an operation.

use apollo_compiler::{
    parser::LineColumn,
    response::{GraphQLError as ApolloError, ResponseDataPathSegment},
};
use serde_json::{Value, json};

/// An entry of `errors`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct GraphqlError {
    pub(super) message: String,
    locations: Vec<LineColumn>,
    /// Response keys and indices; of errors of execution only.
    pub(super) path: Option<Vec<Value>>,
}

// === impl GraphqlError ===

impl GraphqlError {
    pub(super) fn new(message: impl Into<String>, locations: impl IntoIterator<Item = LineColumn>) -> Self {
        Self { message: message.into(), locations: locations.into_iter().collect(), path: None }
    }

    pub(super) fn to_json(&self) -> Value {
        let place = |at: &LineColumn| json!({"line": at.line, "column": at.column});
        let locations: Vec<_> = self.locations.iter().map(place).collect();
        let mut error = json!({"message": self.message, "locations": locations});
        if let Some(path) = &self.path {
            error["path"] = Value::Array(path.clone());
        }
        error
    }
}

impl From<ApolloError> for GraphqlError {
    fn from(error: ApolloError) -> Self {
        let step = |step| match step {
            ResponseDataPathSegment::Field(name) => Value::from(name.as_str()),
            ResponseDataPathSegment::ListIndex(index) => index.into(),
        };
        let path: Vec<_> = error.path.into_iter().map(step).collect();
        let path = Some(path).filter(|path| !path.is_empty());
        Self { message: error.message, locations: error.locations, path }
    }
}
