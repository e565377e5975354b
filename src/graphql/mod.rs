//! GraphQL over all clusters: one endpoint in front of servers with the same schema.
//!
//! # The life of a request
//!
//! ```text
//! body ── request::read ── one operation or a list of up to 10           nothing readable ──► local cluster, as it is
//!            │
//!            ▼ for each operation, all at once
//!   plan (cached by document and schema)
//!     parse     text → Document            tokens and nesting are counted first
//!     measure   depth, root fields, aliases   each fragment once
//!     shape     what the answer looks like: where namespaces and ids stand, by the schema
//!     plan      root fields: what names their clusters, what only the gateway adds
//!     validate  the whole document, by the specification's rules and the schema
//!            │                                        not a valid operation ──► local cluster, unchanged
//!            ▼
//!   resolve (needs the variables)
//!     each root field → a cluster │ every cluster │ the local one │ nowhere
//!     fields of one cluster       → a group        mutations: neighbours only, one group after the other
//!            │
//!            ├─ one group     the whole document ──► cluster ──► Rewriter ──► client        streams
//!            ├─ several       document::part ──► clusters ──► Rewriter ──► Merged           in memory, bounded
//!            ├─ viewer        every cluster ──► lists joined; unhealthy ones as last seen
//!            └─ route         one namespace's name: answered from the cache
//!            ▼
//!   ConcatBody  [ answer , answer ]        502/504 only when all of it was for one cluster that failed
//! ```
//!
//! # What changes in a document
//!
//! A cluster gets the client's own text. What is for others is blanked, byte for byte, and a qualified namespace in a
//! literal leaves white space behind, so the lines and columns in the cluster's errors fit the client's document. Only
//! where the gateway asks for something of its own does text move; then locations are left out.
//!
//! # What changes in an answer
//!
//! Strings, by the shape of the selection: a namespace gets `@cluster`, an id gets it in its namespace part, the gateway's
//! own field gets its value. Errors of remote clusters get `extensions.cluster`. An answer of the local cluster has
//! nothing to change, unless `Namespace.cluster` was asked for.
//!
//! # What is trusted
//!
//! Nothing here grants anything: each cluster gets the client's own credentials and decides. Caches hold documents (no
//! user in them), the schema (the same for all) and names of namespaces (by user).
//!
//! Names that would lead out of their namespace are not sent. Sensu joins them to store keys and cleans these like paths,
//! after it has checked the rights in the namespace that was named: `check(namespace: "a", name: "../b/c")` reads from
//! `b` with rights in `a`.
//!
//! # Where this differs from Sensu
//!
//! * A document has one operation; Sensu refuses several, whatever `operationName` says.
//! * A variable that names a cluster loses it wherever it is used in a group, also where it is meant as plain text.
//! * Operations of a list run at once, not one after the other.

mod ast;
mod cycle;
mod document;
mod envelope;
mod error;
pub mod fuzzing;
mod go_oracle;
mod id;
mod introspect;
mod introspection;
mod json_text;
mod limits;
mod literal;
mod measure;
mod metrics;
mod mutations;
mod namespace_cache;
mod parse;
mod plan;
mod request;
mod request_filter;
mod resolve;
mod rewriter;
mod run;
mod scalars;
mod scan;
mod schema;
mod schemas;
mod shape;
mod strings;
mod traversal;
mod upstream_call;
mod validate;
mod viewer;

#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc, time::Duration};

use aws_lc_rs::digest;
use bytes::Bytes;
use futures::future::join_all;
use http::{HeaderMap, Request, Response, StatusCode, header};
use moka::sync::Cache;

use crate::{
    error::Reply,
    member::{self, Candidate, Member, Members, Openings},
    telemetry::metrics::{Registry, collect},
    types::{Caller, ClusterName, FailureClass, Snapshot},
    wire::{self, Body, Budget, ConcatBody, Held, budget::GRAPHQL_ANSWER_BYTES},
};

pub use error::GraphQlError;
pub use limits::BODY_BYTES;
pub use mutations::mutations;
pub use request_filter::inspect;

use limits::Limit;
use metrics::Metrics;
use namespace_cache::{NamespaceCache, UserKey};
use plan::Planned;
use request::{Incoming, Operation};
use run::{Answer, Delivery, Outcome};
use schema::Schema;
use schemas::Schemas;

/// Bounds of one engine.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Longest wait for one cluster in a fan-out.
    pub member_timeout: Duration,
    /// Most clusters of one fan-out.
    pub max_members: usize,
}

/// The GraphQL side of the gateway. Cheap to clone; all clones share caches.
#[derive(Clone, Debug)]
pub struct Engine {
    config: Config,
    schemas: Arc<Schemas>,
    plans: Cache<PlanKey, Planned>,
    namespaces: NamespaceCache,
    memory: Arc<Budget>,
    metrics: Metrics,
}

/// A request to answer.
pub struct Call<'a> {
    /// Method, target and headers as a cluster is to get them, the client's `Content-Type` included.
    pub head: &'a Request<()>,
    /// The whole body, at most [`BODY_BYTES`].
    pub body: Bytes,
    /// Who asks.
    pub caller: &'a Caller,
    /// The clusters' clients.
    pub clusters: &'a dyn Members,
    /// The clusters that are registered.
    pub snapshot: &'a Snapshot,
}

/// An answer, and whose it is.
#[derive(Debug)]
pub struct Answered {
    /// The response.
    pub response: Response<Body>,
    /// The clusters that were asked, fan-outs left out.
    pub asked: Vec<ClusterName>,
}

/// Generation of the schema, whether validation is skipped, and the document's digest.
type PlanKey = (u64, bool, [u8; 32]);

/// What all operations of a request share.
struct Context<'a> {
    config: Config,
    head: &'a Request<()>,
    caller: &'a Caller,
    user: Option<UserKey>,
    clusters: &'a dyn Members,
    snapshot: &'a Snapshot,
    namespaces: &'a NamespaceCache,
    held: Held,
}

// === impl Engine ===

impl Engine {
    /// Knows no schema yet: it asks for it with the first request.
    pub fn new(config: Config) -> Self {
        let weight = |_: &PlanKey, planned: &Planned| match planned {
            Planned::Federated(plan) => u32::try_from(plan.weight()).unwrap_or(u32::MAX),
            Planned::Unchanged | Planned::Limit(_) => SMALL_PLAN,
        };
        Self {
            config,
            schemas: Schemas::new(),
            plans: Cache::builder().weigher(weight).max_capacity(PLAN_BYTES).build(),
            namespaces: NamespaceCache::new(),
            memory: Budget::new(GRAPHQL_ANSWER_BYTES),
            metrics: Metrics::default(),
        }
    }

    /// Adds the families `graphql_…`.
    pub fn register(&self, registry: &mut Registry) {
        let engine = self.clone();
        collect(registry, move |families| {
            let metrics = &engine.metrics;
            families.counters(
                "graphql_operations",
                "GraphQL operations, by what was done with them.",
                [
                    ([("kind", "query")], metrics.sum(|it| &it.queries)),
                    ([("kind", "mutation")], metrics.sum(|it| &it.mutations)),
                    ([("kind", "passed")], metrics.sum(|it| &it.passed)),
                    ([("kind", "refused")], metrics.sum(|it| &it.refused)),
                ],
            )?;
            families.counters(
                "graphql_plan_cache",
                "Look-ups in the cache of planned documents.",
                [
                    ([("result", "hit")], metrics.sum(|it| &it.plans_found)),
                    ([("result", "miss")], metrics.sum(|it| &it.plans_made)),
                ],
            )?;
            families.gauge("graphql_plans", "Planned documents in the cache.", engine.plans.entry_count())?;
            families.counter(
                "graphql_members_asked",
                "Requests to clusters for GraphQL operations.",
                metrics.sum(|it| &it.asked),
            )
        });
    }

    /// What answers that wait for those of other clusters hold in memory.
    pub fn memory(&self) -> &Arc<Budget> {
        &self.memory
    }

    /// Answers a request.
    ///
    /// # Errors
    /// When all of it was for one cluster that gave no answer, or too many answers are in memory already.
    pub async fn handle(&self, call: Call<'_>) -> Result<Answered, GraphQlError> {
        if !is_json(call.head.headers()) {
            // Sensu should see no operation in it; if it does, it is one that was inspected.
            inspect(&call.body)?;
            return self.pass(&call).await;
        }
        let body = call.body.clone();
        let (operations, list) = match request::read(&body) {
            Incoming::Other if request_filter::is_odd(&body) => {
                let reply =
                    Reply::router(StatusCode::INTERNAL_SERVER_ERROR, 0, "the request body is not valid JSON");
                return Ok(Answered { response: wire::reply(&reply), asked: Vec::new() });
            }
            Incoming::Other => return self.pass(&call).await,
            Incoming::One(operation) => (vec![operation], false),
            Incoming::Many(operations) => (operations, true),
        };
        if operations.len() > limits::OPERATIONS {
            let refusal = Body::full(envelope::limited(Limit::Operations));
            self.metrics.here().refused.inc();
            return Ok(Answered { response: respond(list, [[refusal]]), asked: Vec::new() });
        }
        if matches!(call.caller, Caller::Anonymous) {
            // The local cluster refuses these itself, but reads their documents first.
            if operations.iter().any(request_filter::has_cycle) {
                let refusal = Body::full(envelope::limited(Limit::Cycle));
                return Ok(Answered { response: respond(list, [[refusal]]), asked: Vec::new() });
            }
            return self.pass(&call).await;
        }
        if self.memory.is_exhausted() {
            return Err(GraphQlError::Overloaded);
        }
        let mut head = upstream_call::json_head(call.head);
        head.extensions_mut().insert(Openings::new());
        let context = Context {
            config: self.config,
            head: &head,
            caller: call.caller,
            user: if let Caller::Token(principal) = call.caller {
                Some(UserKey::of(principal))
            } else {
                None
            },
            clusters: call.clusters,
            snapshot: call.snapshot,
            namespaces: &self.namespaces,
            held: self.memory.hold(),
        };
        let planned = self.plans(&context, &operations).await;
        self.metrics.count(&planned);
        let outcomes = run_all(&context, &operations, &planned).await;
        let asked: usize = outcomes.iter().map(Outcome::members_asked).sum();
        self.metrics.here().asked.add(asked as u64);
        let answered = assemble(outcomes, list)?;
        let response = answered.response.map(|body| match body.as_full() {
            Some(whole) if whole.len() <= SMALL_ANSWER => body,
            _ => body.holding(context.held),
        });
        Ok(Answered { response, ..answered })
    }

    /// Has the local cluster answer the request as it is.
    async fn pass(&self, call: &Call<'_>) -> Result<Answered, GraphQlError> {
        self.metrics.here().passed.inc();
        self.metrics.here().asked.inc();
        let local = ClusterName::local();
        let failed = |failure| GraphQlError::Cluster { cluster: ClusterName::local(), failure };
        let member = call.clusters.get(&local).ok_or(failed(FailureClass::Unreachable))?;
        let answer = upstream_call::send(&*member, call.head, call.body.clone(), false);
        let response = member::within(self.config.member_timeout, answer).await.map_err(failed)?;
        Ok(Answered { response, asked: vec![local] })
    }

    /// The plans of all operations; without a schema nothing is planned.
    async fn plans(&self, context: &Context<'_>, operations: &[Operation<'_>]) -> Vec<Planned> {
        let sources = || {
            let names = context.snapshot.iter().map(|cluster| &cluster.name);
            names.filter_map(|name| context.clusters.get(name)).collect()
        };
        let Some(schema) = self.schemas.get(context.head, sources).await else {
            return vec![Planned::Unchanged; operations.len()];
        };
        operations.iter().map(|operation| self.plan(operation, &schema)).collect()
    }

    fn plan(&self, operation: &Operation<'_>, schema: &Arc<Schema>) -> Planned {
        let text = &operation.query;
        let mut digest = [0; 32];
        digest.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
        let key = (schema.generation, operation.skip_validation, digest);
        if let Some(cached) = self.plans.get(&key) {
            self.metrics.here().plans_found.inc();
            return cached;
        }
        self.metrics.here().plans_made.inc();
        // Two workers may plan the same document at once; waiting for each other would cost more.
        let planned = if operation.skip_validation {
            plan::plan_unvalidated(text, schema)
        } else {
            plan::plan(text, schema)
        };
        self.plans.insert(key, planned.clone());
        planned
    }
}

// === impl Context ===

impl Context<'_> {
    /// A registered cluster.
    fn member(&self, name: &ClusterName) -> Result<Arc<dyn Member>, FailureClass> {
        self.clusters.get(name).ok_or(FailureClass::Unreachable)
    }

    /// A member of a fan-out. An API key belongs to the cluster that issued it, and no other sees it.
    fn candidate(&self, name: &ClusterName) -> Candidate {
        if self.is_key_elsewhere(name) {
            return Candidate::Skip(name.clone(), FailureClass::Unauthorized);
        }
        match self.member(name) {
            Ok(member) => Candidate::Send(member),
            Err(failure) => Candidate::Skip(name.clone(), failure),
        }
    }

    /// Counts an answer that turned out to be none.
    fn count_missing(&self, name: &ClusterName, why: FailureClass) {
        if let Ok(member) = self.member(name) {
            member.count_missing(why);
        }
    }

    /// Whether the caller's API key is good for another cluster than this one.
    fn is_key_elsewhere(&self, cluster: &ClusterName) -> bool {
        matches!(self.caller, Caller::ApiKey) && !cluster.is_local()
    }
}

/// Runs all operations at once, equal queries only once.
async fn run_all(context: &Context<'_>, operations: &[Operation<'_>], planned: &[Planned]) -> Vec<Outcome> {
    let sole = operations.len() == 1;
    let is_query = |index: usize| matches!(&planned[index], Planned::Federated(plan) if !plan.is_mutation());
    let same = |one: &Operation<'_>, other: &Operation<'_>| {
        (one.query_raw, one.variables_raw, one.skip_validation)
            == (other.query_raw, other.variables_raw, other.skip_validation)
    };
    let first_of = |index: usize| {
        let equal = |earlier: &usize| is_query(index) && same(&operations[*earlier], &operations[index]);
        (0..index).find(equal).unwrap_or(index)
    };
    let firsts: Vec<usize> = (0..operations.len()).map(first_of).collect();
    let unique = (0..operations.len()).filter(|index| firsts[*index] == *index);
    let running = unique.map(|index| {
        let repeated = firsts.iter().filter(|first| **first == index).count() > 1;
        let delivery = Delivery { sole, buffered: repeated };
        async move { (index, run::run(context, &operations[index], &planned[index], delivery).await) }
    });
    let mut done: HashMap<usize, Outcome> = join_all(running).await.into_iter().collect();
    firsts
        .iter()
        .enumerate()
        .filter_map(|(index, first)| {
            let last = !firsts[index + 1..].contains(first);
            if last { done.remove(first) } else { done.get(first).and_then(Outcome::again) }
        })
        .collect()
}

/// Puts the answers of all operations into one response.
fn assemble(mut outcomes: Vec<Outcome>, list: bool) -> Result<Answered, GraphQlError> {
    let mut asked: Vec<ClusterName> = outcomes.iter().flat_map(|outcome| &outcome.asked).cloned().collect();
    asked.sort();
    asked.dedup();
    let failures: Option<Vec<(ClusterName, FailureClass)>> =
        outcomes.iter().map(|outcome| outcome.failed.clone()).collect();
    if let Some([(cluster, failure), rest @ ..]) = failures.as_deref()
        && rest.iter().all(|(other, _)| other == cluster)
    {
        return Err(GraphQlError::Cluster { cluster: cluster.clone(), failure: *failure });
    }
    if let [Outcome { answer: Answer::Response(_), .. }] = outcomes.as_slice()
        && let Some(Outcome { answer: Answer::Response(response), .. }) = outcomes.pop()
    {
        return Ok(Answered { response, asked });
    }
    let members = outcomes.iter().find_map(|outcome| outcome.outcomes.clone());
    let mut response = respond(list, outcomes.into_iter().map(|outcome| outcome.answer.parts()));
    if let Some(members) = members {
        let members: Vec<_> = members.iter().map(|(name, outcome)| (name, *outcome)).collect();
        member::insert_headers(response.headers_mut(), &members);
    }
    Ok(Answered { response, asked })
}

/// A response of the answers' parts, in a list or not.
fn respond(list: bool, answers: impl IntoIterator<Item = impl IntoIterator<Item = Body>>) -> Response<Body> {
    let fixed = |bytes| Body::full(Bytes::from_static(bytes));
    let mut parts = Vec::new();
    for (index, answer) in answers.into_iter().enumerate() {
        if list {
            parts.push(fixed(if index == 0 { b"[" } else { b"," }));
        }
        parts.extend(answer);
    }
    if list {
        parts.push(fixed(if parts.is_empty() { b"[]" } else { b"]" }));
    }
    let mut response = wire::json(StatusCode::OK, Bytes::new());
    *response.body_mut() = parts.into_iter().collect::<ConcatBody>().into_body();
    response
}

/// Whether Sensu would read the body as JSON: without a type, or with a form's, it sees none.
fn is_json(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|ty| {
        let ty = ty.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        !ty.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
    })
}

/// Memory for plans, in bytes.
const PLAN_BYTES: u64 = 64 * 1024 * 1024;

/// An answer up to this size, in bytes, counts only while it is made: a connection's buffers hold as much.
const SMALL_ANSWER: usize = 64 * 1024;

/// What a document without a plan counts for, in bytes.
const SMALL_PLAN: u32 = 256;
