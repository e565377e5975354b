//! Entries for a fuzzer: each takes any bytes and panics when a property does not hold.

use std::sync::{Arc, LazyLock};

use bytes::BytesMut;

use super::{
    document, id, measure, parse,
    plan::{self, Plan, Planned},
    request, resolve,
    rewriter::{AnswerError, Rewriter},
    schema::Schema,
};
use crate::types::{ClusterName, Snapshot};

/// Checks that any document is planned or refused, and that the documents made of it keep the lines of the text and read
/// as documents again.
///
/// # Panics
///
/// When it is not so.
pub fn fuzz_document(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(parsed) = parse::parse(text) {
        let _ = measure::check(&parsed.document);
    }
    let Planned::Federated(plan) = plan::plan(text, &SCHEMA) else { return };
    let whole = document::whole(&plan);
    assert_eq!(whole.matches('\n').count(), text.matches('\n').count());
    assert!(parse::parse(&whole).is_ok(), "{whole}");
    for root in &plan.roots {
        let part = document::part(&plan, &root.fields.iter().copied().collect());
        assert!(plan.moved || part.len() == text.len());
        assert!(parse::parse(&part).is_ok(), "{part}");
    }
}

/// Checks that any request body is resolved without panicking, and that what is sent to clusters is JSON.
///
/// # Panics
///
/// When it is not so.
pub fn fuzz_request(data: &[u8]) {
    let operations = match request::read(data) {
        request::Incoming::One(operation) => vec![operation],
        request::Incoming::Many(operations) => operations,
        request::Incoming::Other => return,
    };
    for operation in &operations {
        let Planned::Federated(plan) = plan::plan(&operation.query, &SCHEMA) else { continue };
        let resolution = resolve::resolve(&plan, operation, &Snapshot::new([]));
        for group in &resolution.groups {
            let body = resolution.body(&plan, operation, group);
            assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), "{body}");
        }
        let body = resolution.whole_body(&plan, operation);
        assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), "{body}");
    }
}

/// Checks that an answer is read the same however it is cut, and that well-formed JSON stays so.
///
/// # Panics
///
/// When it is not so.
pub fn fuzz_answer(data: &[u8]) {
    let Some((choice, answer)) = data.split_first() else { return };
    let run = |step: usize| -> Result<BytesMut, AnswerError> {
        let mut rewriter = Rewriter::new(Arc::clone(&PLAN), &cluster());
        let mut out = BytesMut::new();
        for chunk in answer.chunks(step.max(1)) {
            rewriter.push(chunk, &mut out)?;
        }
        rewriter.finish()?;
        Ok(out)
    };
    let whole = run(answer.len());
    assert_eq!(whole, run(1 + usize::from(choice >> 2)));
    assert_eq!(whole, run(1));
    if let (Ok(whole), Ok(serde_json::Value::Object(_))) = (&whole, serde_json::from_slice(answer)) {
        assert!(serde_json::from_slice::<serde_json::Value>(whole).is_ok());
    }
}

/// Checks that an id which is given a cluster loses it again.
///
/// # Panics
///
/// When it does not.
pub fn fuzz_id(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let named = id::id(text);
    if let id::Named::Cluster(_, cut) = &named {
        assert!(text.is_char_boundary(cut.start) && text.is_char_boundary(cut.end));
    }
    let Some(at) = id::insertion(data) else { return };
    if named != id::Named::Plain {
        return;
    }
    let qualified = format!("{}@alpha{}", &text[..at], &text[at..]);
    let id::Named::Cluster(name, cut) = id::id(&qualified) else { panic!("{qualified} names no cluster") };
    assert_eq!(name, cluster());
    assert_eq!(format!("{}{}", &qualified[..cut.start], &qualified[cut.end..]), text);
}

fn cluster() -> ClusterName {
    "alpha".parse().expect("a valid name")
}

/// A small schema of the same form as Sensu's.
static SCHEMA: LazyLock<Arc<Schema>> =
    LazyLock::new(|| Arc::new(Schema::read(ANSWER.as_bytes(), 0).expect("a valid schema")));

static PLAN: LazyLock<Arc<Plan>> = LazyLock::new(|| {
    let text = "{node(id:\"srn:checks:a@alpha:b\"){id ...on Namespace{x:name cluster} ...on Check{x:namespace toJSON}}}";
    match plan::plan(text, &SCHEMA) {
        Planned::Federated(plan) => plan,
        other => unreachable!("a valid document, not {other:?}"),
    }
});

const ANSWER: &str = r#"{"data":{"__schema":{"queryType":{"name":"Query"},"mutationType":{"name":"Mutation"},"types":[
{"kind":"SCALAR","name":"ID"},{"kind":"SCALAR","name":"String"},{"kind":"SCALAR","name":"JSON"},
{"kind":"OBJECT","name":"Query","fields":[
 {"name":"namespace","args":[{"name":"name","type":{"kind":"SCALAR","name":"String"}}],"type":{"kind":"OBJECT","name":"Namespace"}},
 {"name":"check","args":[{"name":"namespace","type":{"kind":"SCALAR","name":"String"}}],"type":{"kind":"OBJECT","name":"Check"}},
 {"name":"viewer","args":[],"type":{"kind":"OBJECT","name":"Viewer"}},
 {"name":"node","args":[{"name":"id","type":{"kind":"SCALAR","name":"ID"}}],"type":{"kind":"INTERFACE","name":"Node"}}]},
{"kind":"OBJECT","name":"Mutation","fields":[
 {"name":"put","args":[{"name":"input","type":{"kind":"INPUT_OBJECT","name":"Input"}},{"name":"raw","type":{"kind":"SCALAR","name":"String"}}],"type":{"kind":"OBJECT","name":"Check"}}]},
{"kind":"INPUT_OBJECT","name":"Input","inputFields":[{"name":"id","type":{"kind":"SCALAR","name":"ID"}},{"name":"more","type":{"kind":"INPUT_OBJECT","name":"Input"}}]},
{"kind":"OBJECT","name":"Viewer","fields":[{"name":"namespaces","args":[],"type":{"kind":"LIST","ofType":{"kind":"OBJECT","name":"Namespace"}}}]},
{"kind":"INTERFACE","name":"Node","fields":[{"name":"id","args":[],"type":{"kind":"SCALAR","name":"ID"}}],"possibleTypes":[{"name":"Namespace"},{"name":"Check"}]},
{"kind":"OBJECT","name":"Namespace","fields":[{"name":"id","args":[],"type":{"kind":"SCALAR","name":"ID"}},{"name":"name","args":[],"type":{"kind":"SCALAR","name":"String"}},
 {"name":"checks","args":[],"type":{"kind":"LIST","ofType":{"kind":"OBJECT","name":"Check"}}}]},
{"kind":"OBJECT","name":"Check","fields":[{"name":"id","args":[],"type":{"kind":"SCALAR","name":"ID"}},{"name":"namespace","args":[],"type":{"kind":"SCALAR","name":"String"}},
 {"name":"toJSON","args":[],"type":{"kind":"SCALAR","name":"JSON"}},{"name":"name","args":[],"type":{"kind":"SCALAR","name":"String"}}]}
]}}}"#;
