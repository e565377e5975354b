//! `POST /graphql`: the part of Sensu's GraphQL that its web UI and the recorded exchanges use.
//!
//! The schema is complete, so that introspection shows what a real backend shows, but for descriptions. What is in
//! the schema and not imitated answers with an error that says so: `Query.metrics`.

mod apply;
mod dates;
mod execute;
mod filters;
mod ids;
mod inputs;
mod introspect;
mod lists;
mod mutations;
mod out;
mod problems;
mod records;
mod related;
mod resolve;
mod roots;
mod schema;
mod session;
mod suggest;
mod syntax;
mod validate;

use serde_json::{Map, Value, json};

use super::{
    Context, Outcome, Sensu, State,
    call::Call,
    json as go,
    rbac::User,
    reply::{self, Failure},
};
use session::Session;
use syntax::{Action, At};

/// An entry of `errors`.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::sim) struct GraphqlError {
    message: String,
    locations: Vec<At>,
    /// Response keys and indices; of errors of execution only.
    path: Option<Vec<Value>>,
}

/// Fragments are followed by recursion.
const MOST_FRAGMENTS: usize = 500;

/// What one operation answers: its data, and its errors.
type Answer = (Value, Vec<GraphqlError>);

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
    let refused = |errors| Ok((Value::Null, errors));
    let text = operation.get("query").and_then(Value::as_str).unwrap_or_default();
    let document = match syntax::parse(text) {
        Ok(document) => document,
        Err(error) => return refused(vec![error]),
    };
    if document.fragments.len() > MOST_FRAGMENTS {
        let text = format!("more than {MOST_FRAGMENTS} fragments are not imitated");
        return refused(vec![GraphqlError::new(text, [])]);
    }
    if let Some(error) = validate::depth(&document) {
        return refused(vec![error]);
    }
    if operation.get("skip_validation") != Some(&Value::Bool(true)) {
        if validate::is_endless(&document) {
            return Err(Failure::Crash);
        }
        let errors = validate::check(&document);
        if !errors.is_empty() {
            return refused(errors);
        }
    }
    let chosen = match document.operations.as_slice() {
        [only] => only,
        [] => return refused(vec![GraphqlError::new("Must provide an operation.", [])]),
        _ => {
            let text = "Must provide operation name if query contains multiple operations.";
            return refused(vec![GraphqlError::new(text, [])]);
        }
    };
    if chosen.action == Action::Subscription {
        let text = "Schema is not configured for subscriptions";
        return refused(vec![GraphqlError::new(text, [chosen.at])]);
    }
    let given = operation.get("variables").and_then(Value::as_object);
    match inputs::variables(chosen, given) {
        Ok(variables) => Ok(execute::execute(session, &document, chosen, &variables)),
        Err(error) => refused(vec![error]),
    }
}

// === impl GraphqlError ===

impl GraphqlError {
    fn new(message: impl Into<String>, locations: impl IntoIterator<Item = At>) -> Self {
        Self { message: message.into(), locations: locations.into_iter().collect(), path: None }
    }

    fn to_json(&self) -> Value {
        let place = |at: &At| json!({"line": at.line, "column": at.column});
        let locations: Vec<_> = self.locations.iter().map(place).collect();
        let mut error = json!({"message": self.message, "locations": locations});
        if let Some(path) = &self.path {
            error["path"] = Value::Array(path.clone());
        }
        error
    }
}

#[cfg(test)]
mod tests;
