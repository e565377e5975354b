//! One operation: its groups asked, their answers put together.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Body as _;
use serde_json::Value as Json;

use super::{
    Context,
    envelope::{self, Envelope, Merged},
    error::describe,
    introspect, literal,
    plan::{NamespaceFields, Plan, Planned, RootKind},
    request::Operation,
    resolve::{self, Group, GroupTarget, Resolution, Target},
    upstream_call::{self, EditedBody},
    viewer::{self, Outcomes},
};
use crate::{
    member::{Answers, Ask, Member, Outcome as MemberOutcome, ask_all, ask_in_turn, within},
    types::{ClusterName, FailureClass, NamespaceRef},
    wire::{Body, TransformBody},
};

/// What became of one operation.
pub(super) struct Outcome {
    pub(super) answer: Answer,
    /// The clusters that were asked, fan-outs left out.
    pub(super) asked: Vec<ClusterName>,
    /// Set when all of it was for one cluster, and that failed.
    pub(super) failed: Option<(ClusterName, FailureClass)>,
    /// What became of each cluster's request, when all were asked.
    pub(super) outcomes: Option<Outcomes>,
}

/// An operation's answer.
pub(super) enum Answer {
    /// The local cluster's own response, of any status.
    Response(Response<Body>),
    /// The beginning, and what may follow.
    Parts(Bytes, Option<Body>),
}

/// How an operation's answer is delivered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivery {
    /// It is the only one of its request, so that a response may be passed on as it is.
    pub(super) sole: bool,
    /// It is needed in memory as a whole.
    pub(super) buffered: bool,
}

// === impl Delivery ===

impl Delivery {
    /// How much of an answer is read before any of it is passed on.
    fn start_bytes(self) -> usize {
        match self {
            Self { buffered: true, .. } => MERGE_BYTES,
            Self { sole: true, .. } => START_BYTES,
            Self { .. } => HOLD_BYTES,
        }
    }
}

// === impl Outcome ===

impl Outcome {
    fn bytes(bytes: Bytes) -> Self {
        Self { answer: Answer::Parts(bytes, None), asked: Vec::new(), failed: None, outcomes: None }
    }

    /// A copy, for an equal operation; only what is in memory can be copied.
    pub(super) fn again(&self) -> Option<Self> {
        let Answer::Parts(bytes, None) = &self.answer else { return None };
        let (asked, failed, outcomes) = (self.asked.clone(), self.failed.clone(), self.outcomes.clone());
        Some(Self { answer: Answer::Parts(bytes.clone(), None), asked, failed, outcomes })
    }

    /// How many clusters have got a request.
    pub(super) fn members_asked(&self) -> usize {
        let asked = |outcome: &MemberOutcome| !matches!(outcome, MemberOutcome::Omitted);
        let fanned = self.outcomes.iter().flatten().filter(|(_, outcome)| asked(outcome)).count();
        self.asked.len() + fanned
    }

    fn by(mut self, cluster: &ClusterName) -> Self {
        self.asked.push(cluster.clone());
        self
    }

    fn failed(mut self, cluster: &ClusterName, failure: FailureClass) -> Self {
        self.failed = Some((cluster.clone(), failure));
        self.by(cluster)
    }
}

// === impl Answer ===

impl Answer {
    /// Refuses what no GraphQL server would answer. A response that is passed on as it is says so by its status.
    fn checked(self) -> Result<Self, FailureClass> {
        let is_good = match &self {
            Self::Response(_) => true,
            Self::Parts(whole, None) => envelope::is_answer(whole),
            Self::Parts(start, Some(_)) => envelope::may_be_answer(start),
        };
        if is_good { Ok(self) } else { Err(FailureClass::BadBody) }
    }

    /// The parts of a body.
    pub(super) fn parts(self) -> impl Iterator<Item = Body> {
        let (start, rest) = match self {
            Self::Response(response) => (Bytes::new(), Some(response.into_body())),
            Self::Parts(start, rest) => (start, rest),
        };
        std::iter::once(Body::full(start)).chain(rest)
    }
}

/// Runs one operation.
pub(super) async fn run(
    context: &Context<'_>,
    operation: &Operation<'_>,
    planned: &Planned,
    delivery: Delivery,
) -> Outcome {
    match planned {
        Planned::Limit(limit) => Outcome::bytes(envelope::limited(*limit)),
        Planned::Unchanged => {
            if literal::any_traversal(&operation.query, operation.variables_raw) {
                return Outcome::bytes(envelope::refusal(PATH_TRAVERSAL, None));
            }
            let local = ClusterName::local();
            let body = Bytes::copy_from_slice(operation.raw.as_bytes());
            let answer = match context.member(&local) {
                Ok(member) => one(context, &*member, body, false, delivery, TransformBody::unchanged).await,
                Err(failure) => Err(failure),
            };
            let answer = answer.and_then(Answer::checked);
            match answer {
                Ok(answer) => Outcome { answer, ..Outcome::bytes(Bytes::new()) }.by(&local),
                Err(failure) => {
                    let message = describe(&local, failure);
                    Outcome::bytes(envelope::refusal(&message, Some(&local))).failed(&local, failure)
                }
            }
        }
        Planned::Federated(plan) => {
            let resolution = resolve::resolve(plan, operation, context.snapshot);
            if let Err(limit) =
                resolution.check(plan, operation, context.snapshot.len().min(context.config.max_members))
            {
                return Outcome::bytes(envelope::limited(limit));
            }
            if let Some(route) = Route::of(plan, operation, &resolution) {
                return route.run(context, operation, &resolution, delivery).await;
            }
            match resolution.whole() {
                Some(cluster) => {
                    let cluster = cluster.clone();
                    whole(context, plan, operation, &resolution, &cluster, delivery).await
                }
                None => Merge { context, plan, operation, resolution: &resolution }.run().await,
            }
        }
    }
}

/// Sends one cluster one request and passes its answer on, as soon as its beginning is there: within the member's
/// deadline.
async fn one(
    context: &Context<'_>,
    member: &dyn Member,
    body: Bytes,
    again: bool,
    delivery: Delivery,
    edit: impl FnOnce(Body) -> EditedBody,
) -> Result<Answer, FailureClass> {
    let begin = async {
        let response = upstream_call::send(member, context.head, body, again).await?;
        // The local cluster's refusals go to the client, as without a gateway.
        if delivery.sole && member.name().is_local() && response.status() != StatusCode::OK {
            return Ok(Answer::Response(response));
        }
        let mut edited = edit(upstream_call::good(response)?);
        let start = upstream_call::read_start(&mut edited, delivery.start_bytes(), &context.held).await?;
        if edited.is_end_stream() {
            return Ok(Answer::Parts(start, None));
        }
        if delivery.buffered {
            Err(FailureClass::TooLarge)
        } else {
            Ok(Answer::Parts(start, Some(Body::boxed(edited))))
        }
    };
    within(context.config.member_timeout, begin).await
}

/// One cluster gets the whole document.
async fn whole(
    context: &Context<'_>,
    plan: &Arc<Plan>,
    operation: &Operation<'_>,
    resolution: &Resolution,
    cluster: &ClusterName,
    delivery: Delivery,
) -> Outcome {
    let roots: Vec<usize> = (0..plan.roots.len()).collect();
    if context.is_key_elsewhere(cluster) {
        let mut merged = Merged::new(plan);
        refuse_key(&mut merged, &roots, cluster);
        return Outcome::bytes(merged.write());
    }
    let body = resolution.whole_body(plan, operation).into();
    let edit = |body| upstream_call::edited(body, plan, cluster);
    let answer = match context.member(cluster) {
        Ok(member) => one(context, &*member, body, !plan.is_mutation(), delivery, edit).await,
        Err(failure) => Err(failure),
    };
    match answer.and_then(Answer::checked) {
        Ok(answer) => Outcome { answer, ..Outcome::bytes(Bytes::new()) }.by(cluster),
        Err(failure) => {
            let mut merged = Merged::new(plan);
            merged.failed(&roots, cluster, failure);
            Outcome::bytes(merged.write()).failed(cluster, failure)
        }
    }
}

fn refuse_key(merged: &mut Merged<'_>, roots: &[usize], cluster: &ClusterName) {
    for root in roots {
        merged.fail(*root, Some(KEY_ELSEWHERE), Some(cluster));
    }
}

/// A query for fields of one namespace that all follow from its name. Sensu's web UI sends it first on every page, and takes an
/// answer that comes after the page's own for a fault, so it is answered from the cache when possible.
struct Route<'a> {
    plan: &'a Arc<Plan>,
    simple: &'a NamespaceFields,
    cluster: &'a ClusterName,
    qualified: String,
}

// === impl Route ===

impl<'a> Route<'a> {
    fn of(plan: &'a Arc<Plan>, operation: &Operation<'_>, resolution: &'a Resolution) -> Option<Self> {
        let ([root], [Target::Cluster(cluster)]) = (plan.roots.as_slice(), resolution.targets.as_slice())
        else {
            return None;
        };
        let (RootKind::Named(simple) | RootKind::Route(simple)) = &root.kind else { return None };
        let text = match root.variables.as_slice() {
            [] => root.literal.as_deref()?.to_owned(),
            [(name, _)] => serde_json::from_str(operation.variables.get(&**name)?.get()).ok()?,
            _ => return None,
        };
        let namespace = NamespaceRef::parse(&text).ok()?;
        let qualified = match namespace.cluster {
            Some(cluster) => format!("{}@{cluster}", namespace.namespace),
            None => namespace.namespace,
        };
        Some(Self { plan, simple, cluster, qualified })
    }

    async fn run(
        &self,
        context: &Context<'_>,
        operation: &Operation<'_>,
        resolution: &Resolution,
        delivery: Delivery,
    ) -> Outcome {
        let is_cached = |ever| {
            context.user.is_some_and(|user| context.namespaces.has(user, self.cluster, &self.qualified, ever))
        };
        if is_cached(false) {
            return self.derived();
        }
        let delivery = Delivery { buffered: true, ..delivery };
        let outcome = whole(context, self.plan, operation, resolution, self.cluster, delivery).await;
        if outcome.failed.is_some() && is_cached(true) {
            return self.derived();
        }
        if !self.is_there(&outcome) {
            return outcome;
        }
        if let Some(user) = context.user {
            context.namespaces.learn_one(user, &self.qualified);
        }
        if !matches!(self.plan.roots[0].kind, RootKind::Route(_)) {
            return outcome;
        }
        Outcome { asked: outcome.asked, ..self.derived() }
    }

    /// Whether an answer without errors shows the namespace.
    fn is_there(&self, outcome: &Outcome) -> bool {
        let Answer::Parts(answer, None) = &outcome.answer else { return false };
        let Ok(Envelope { data: Some(data), errors }) = Envelope::read(answer) else { return false };
        errors.is_none_or(|errors| errors.is_empty())
            && data.get(&*self.plan.roots[0].key).is_some_and(|value| value.get().starts_with('{'))
    }

    fn derived(&self) -> Outcome {
        let mut merged = Merged::new(self.plan);
        merged.set(0, viewer::item(self.simple, &self.qualified, self.cluster));
        Outcome::bytes(merged.write())
    }
}

/// An operation for several clusters.
struct Merge<'a> {
    context: &'a Context<'a>,
    plan: &'a Arc<Plan>,
    operation: &'a Operation<'a>,
    resolution: &'a Resolution,
}

// === impl Merge ===

impl Merge<'_> {
    async fn run(self) -> Outcome {
        let mut merged = Merged::new(self.plan);
        for (index, target) in self.resolution.targets.iter().enumerate() {
            match target {
                Target::Nowhere(why) => match &self.plan.roots[index].empty {
                    Some(empty) => merged.set(index, empty.to_string()),
                    None => merged.fail(index, self.plan.is_mutation().then_some(why), None),
                },
                Target::Conflict(why) => merged.fail(index, Some(why), None),
                _ => {}
            }
        }
        let mut failures: Vec<(ClusterName, FailureClass)> = Vec::new();
        let mut answered = false;
        let mut asked = Vec::new();
        let mut outcomes = None;
        let (answers, viewer) = futures::join!(self.answers(), self.viewer(&mut merged));
        match viewer {
            Some(Ok(found)) => {
                answered = true;
                outcomes = Some(found);
            }
            Some(Err((roots, failure))) => {
                let local = ClusterName::local();
                merged.failed(roots, &local, failure);
                failures.push((local, failure));
            }
            None => {}
        }
        for ((group, _), (cluster, answer)) in self.groups().zip(answers) {
            if self.context.is_key_elsewhere(&cluster) {
                refuse_key(&mut merged, &group.roots, &cluster);
                answered = true;
                continue;
            }
            asked.push(cluster.clone());
            let taken = answer.and_then(|answer| {
                let taken = self.take(group, &answer, &mut merged);
                taken.inspect_err(|failure| self.context.count_missing(&cluster, *failure))
            });
            match taken {
                Ok(()) => answered = true,
                Err(failure) => {
                    merged.failed(&group.roots, &cluster, failure);
                    failures.push((cluster, failure));
                }
            }
        }
        let failed = match failures.as_slice() {
            [first, rest @ ..] if !answered && rest.iter().all(|(cluster, _)| *cluster == first.0) => {
                Some(first.clone())
            }
            _ => None,
        };
        Outcome { asked, failed, outcomes, ..Outcome::bytes(merged.write()) }
    }

    /// The groups of single clusters, in order: all but that of the fan-out.
    fn groups(&self) -> impl Iterator<Item = (&Group, ClusterName)> {
        self.resolution.groups.iter().filter_map(|group| match group.target.or_local() {
            GroupTarget::Cluster(cluster) => Some((group, cluster)),
            _ => None,
        })
    }

    /// The answers of these groups: at once for a query, one after the other for a mutation.
    async fn answers(&self) -> Answers<Bytes> {
        let ask = |(group, cluster)| {
            Ask::new(self.context.candidate(&cluster), None, |member| self.ask(group, member))
        };
        let asks: Vec<_> = self.groups().map(ask).collect();
        if self.plan.is_mutation() { ask_in_turn(asks).await } else { ask_all(asks, |_, _| ()).await }
    }

    async fn ask(&self, group: &Group, member: Arc<dyn Member>) -> Result<Bytes, FailureClass> {
        let body = self.resolution.body(self.plan, self.operation, group).into();
        let delivery = Delivery { sole: false, buffered: true };
        let edit = |body| upstream_call::edited(body, self.plan, member.name());
        match one(self.context, &*member, body, !self.plan.is_mutation(), delivery, edit).await? {
            Answer::Parts(answer, None) => Ok(answer),
            Answer::Parts(..) | Answer::Response(_) => Err(FailureClass::TooLarge),
        }
    }

    fn take(&self, group: &Group, answer: &[u8], merged: &mut Merged<'_>) -> Result<(), FailureClass> {
        let introspection = group.target == GroupTarget::Introspection;
        merged.answer(&group.roots, answer, |key, value| {
            if !introspection {
                return None;
            }
            let mut value: Json = serde_json::from_str(value.get()).ok()?;
            let Plan { document, schema, introspected, .. } = &**self.plan;
            introspect::complete(document, schema, introspected.as_deref(), key, &mut value);
            Some(value.to_string())
        })
    }

    /// The fan-out, if there is one.
    async fn viewer(&self, merged: &mut Merged<'_>) -> Option<Result<Outcomes, (&[usize], FailureClass)>> {
        let group = self.resolution.groups.iter().find(|group| group.target == GroupTarget::Viewer)?;
        let body = self.resolution.body(self.plan, self.operation, group);
        let found = viewer::fan_out(self.context, self.plan, body.into(), &group.roots, merged).await;
        Some(found.map_err(|failure| (group.roots.as_slice(), failure)))
    }
}

/// Largest answer of one cluster that is merged with others, in bytes.
const MERGE_BYTES: usize = 16 * 1024 * 1024;

/// How much of an answer in a batch is held back, so that a cluster that fails early is reported and not cut off.
const HOLD_BYTES: usize = 1024 * 1024;

/// The same for the only answer of a request, which streams.
const START_BYTES: usize = 64 * 1024;

const PATH_TRAVERSAL: &str = "a name in the document or its variables leads out of its namespace";

const KEY_ELSEWHERE: &str =
    "an API key works in the cluster that issued it: use one of that cluster under /c/<cluster>/";
