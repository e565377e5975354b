//! The recorded schema is what a real backend answered to an introspection query.

mod differential;
mod documents;
mod engine;
mod generate;
mod hostile;
mod mock;
mod replayed;
mod rewriting;
mod viewer;
mod world;

use std::sync::{Arc, LazyLock};

use bytes::BytesMut;

use super::{
    plan::{self, Plan, Planned},
    rewriter::{AnswerError, Rewriter},
    schema::Schema,
};
use crate::types::{Backend, Cluster, ClusterName, Snapshot, Source, TlsFiles};

/// The answer of a real backend to an introspection query.
const RECORDED: &[u8] = include_bytes!("../../../tests/data/graphql/introspection.json");

static SCHEMA: LazyLock<Arc<Schema>> =
    LazyLock::new(|| Arc::new(Schema::read(RECORDED, 1).expect("the recorded schema")));

/// The same, as JSON.
static RAW: LazyLock<serde_json::Value> = LazyLock::new(|| serde_json::from_slice(RECORDED).expect("JSON"));

/// Documents that Sensu refuses, three or more for each rule of the specification, each with this namespace in it.
fn invalid_documents(namespace: &str) -> impl Iterator<Item = String> {
    let documents = include_str!("../../../tests/data/graphql/invalid.txt").lines();
    let (quoted, in_id) = (format!("\"{namespace}\""), format!(":{namespace}:"));
    documents
        .filter(|line| !line.starts_with('#'))
        .map(move |document| document.replace("\"N\"", &quoted).replace(":N:", &in_id))
}

fn schema() -> Arc<Schema> {
    Arc::clone(&SCHEMA)
}

fn name(text: &str) -> ClusterName {
    text.parse().unwrap()
}

fn snapshot(names: &[&str]) -> Snapshot {
    let backends: Vec<Backend> = vec!["http://127.0.0.1:1".parse().unwrap()];
    Snapshot::new(names.iter().map(|cluster| Cluster {
        name: name(cluster),
        backends: backends.clone(),
        tls: TlsFiles::default(),
        source: Source::Config,
    }))
}

/// The plan of a valid document.
fn planned(text: &str) -> Arc<Plan> {
    federated(plan::plan(text, &schema()), text)
}

/// The plan of a document whose client skips validation.
fn planned_unvalidated(text: &str) -> Arc<Plan> {
    federated(plan::plan_unvalidated(text, &schema()), text)
}

fn federated(planned: Planned, text: &str) -> Arc<Plan> {
    match planned {
        Planned::Federated(plan) => plan,
        other => panic!("{other:?} for {text}"),
    }
}

fn rewrite(plan: &Arc<Plan>, cluster: &str, answer: &[u8], step: usize) -> Result<Vec<u8>, AnswerError> {
    let mut rewriter = Rewriter::new(Arc::clone(plan), &name(cluster));
    let mut out = BytesMut::new();
    for chunk in answer.chunks(step.max(1)) {
        rewriter.push(chunk, &mut out)?;
    }
    rewriter.finish()?;
    Ok(out.to_vec())
}
