//! `POST /graphql`: the part of Sensu's GraphQL that its web UI and the recorded exchanges use.
//!
//! The schema is complete, so that introspection shows what a real backend shows, but for descriptions. What is in
//! the schema and not imitated answers with an error that says so: `Query.metrics`.

mod apply;
mod dates;
mod document;
mod error;
mod execute;
mod filters;
mod ids;
mod inputs;
mod lists;
mod literals;
mod messages;
mod mutations;
mod out;
mod records;
mod related;
mod resolve;
mod roots;
mod schema;
mod session;
mod suggest;

use apollo_compiler::{
    ast::{Document, OperationType},
    parser::{LineColumn, SourceSpan},
    validation::Valid,
};
use serde_json::{Map, Value, json};

use super::{
    Context, Outcome, Sensu, State,
    call::Call,
    json as go,
    rbac::User,
    reply::{self, Failure},
};
use error::GraphqlError;
use execute::Answer;
use schema::SCHEMA;
use session::Session;

/// Fragments are followed by recursion.
const MOST_FRAGMENTS: usize = 500;

// === impl Sensu ===

impl Sensu {
    /// The GraphQL endpoint.
    pub(super) fn graphql(&self, state: &mut State, call: &Call) -> Outcome {
        let user = self.0.authenticate(state, call)?;
        call.check_form()?;
        if let Some(wait) = state.startup_wait {
            return Ok(reply::unavailable(wait));
        }
        let body = call.json(0)?;
        let unexpected = || Failure::router(0, "received unexpected request body");
        let operations: Vec<_> = match &body {
            Value::Array(items) => items.iter().filter_map(Value::as_object).collect(),
            Value::Object(operation) => vec![operation],
            _ => return Err(unexpected()),
        };
        let nobody = User::default();
        let context = Context {
            inner: &self.0,
            state,
            call,
            user: user.as_ref().unwrap_or(&nobody),
            now: self.0.clock.now(),
        };
        let mut session = Session::new(context, user.is_some());
        let mut answers = Vec::with_capacity(operations.len());
        for operation in operations {
            let (data, errors) = answer(&mut session, operation)?;
            let errors: Vec<_> = errors.iter().map(GraphqlError::to_json).collect();
            let errors = if errors.is_empty() { Value::Null } else { errors.into() };
            answers.push(json!({"auth": user.is_some(), "data": data, "errors": errors}));
        }
        let answer = match body {
            Value::Object(_) => answers.pop().unwrap_or_default(),
            _ => Value::Array(answers),
        };
        let mut text = String::new();
        go::write_in_order(&mut text, &answer);
        Ok(reply::ok(text))
    }
}

/// Parses, validates and executes one operation.
fn answer(session: &mut Session<'_>, operation: &Map<String, Value>) -> Result<Answer, Failure> {
    let refused = |error: GraphqlError| Ok((Value::Null, vec![error]));
    let text = operation.get("query").and_then(Value::as_str).unwrap_or_default();
    let document = match document::parse(text) {
        Ok(document) => document,
        Err(error) => return refused(error),
    };
    if document::fragments(&document).count() > MOST_FRAGMENTS {
        let text = format!("more than {MOST_FRAGMENTS} fragments are not imitated");
        return refused(GraphqlError::new(text, []));
    }
    if let Some(span) = document::too_deep(&document) {
        return refused(GraphqlError::new("Max depth exceeded", place(&document, Some(span))));
    }
    let executable = if operation.get("skip_validation") == Some(&Value::Bool(true)) {
        // What is unknown is left out.
        document.to_executable(&SCHEMA).unwrap_or_else(|failed| failed.partial)
    } else {
        if document::is_endless(&document) {
            return Err(Failure::Crash);
        }
        let (executable, errors) = match document.to_executable_validate(&SCHEMA) {
            Ok(valid) => (valid.into_inner(), literals::errors(&document)),
            Err(failed) => {
                let errors = messages::validation(&document, &failed.errors);
                (failed.partial, errors)
            }
        };
        if !errors.is_empty() {
            return Ok((Value::Null, errors));
        }
        executable
    };
    if let Some(error) = refuse_operation(&document) {
        return refused(error);
    }
    let Some(chosen) = executable.operations.iter().next().cloned() else {
        return refused(GraphqlError::new("Must provide an operation.", []));
    };
    let given = operation.get("variables").and_then(Value::as_object);
    match inputs::variables(&chosen, given, &executable.sources) {
        Ok(variables) => {
            let executable = Valid::assume_valid(executable);
            Ok(execute::execute(session, &executable, &chosen, &variables))
        }
        Err(error) => refused(error),
    }
}

/// Whether the one operation of a document can be executed. Sensu reads no `operationName`.
fn refuse_operation(document: &Document) -> Option<GraphqlError> {
    let operations: Vec<_> = document::operations(document).collect();
    let text = match operations.as_slice() {
        [only] if only.operation_type != OperationType::Subscription => return None,
        [only] => {
            let text = "Schema is not configured for subscriptions";
            return Some(GraphqlError::new(text, place(document, only.location())));
        }
        [] => "Must provide an operation.",
        _ => "Must provide operation name if query contains multiple operations.",
    };
    Some(GraphqlError::new(text, []))
}

fn place(document: &Document, span: Option<SourceSpan>) -> Option<LineColumn> {
    span?.line_column(&document.sources)
}

#[cfg(test)]
mod tests;
