//! `viewer { namespaces }`: every cluster's lists as one.
//!
//! It has to answer whatever state the clusters are in, because the namespace switcher of Sensu's web UI does not recover from
//! a failure. For a cluster that fails or is slow, the last list that it showed to this user stands in.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Value as Json, json, value::RawValue};

use super::{
    Context,
    envelope::{Envelope, Merged},
    id,
    json_text::write_object,
    namespace_cache::{NamespaceCache, UserKey},
    plan::{NamespaceField, NamespaceFields, Plan, RootKind, Viewer},
    upstream_call,
};
use crate::{
    member::{Ask, Member, Outcome, ask_all},
    types::{ClusterName, FailureClass},
};

/// What became of each cluster's request, in order.
pub(super) type Outcomes = Vec<(ClusterName, Outcome)>;

/// Asks all clusters for some root fields and puts the values into `merged`.
///
/// # Errors
/// When no cluster answered and no list is cached.
pub(super) async fn fan_out(
    context: &Context<'_>,
    plan: &Arc<Plan>,
    body: Bytes,
    roots: &[usize],
    merged: &mut Merged<'_>,
) -> Result<Outcomes, FailureClass> {
    let most = context.config.max_members;
    let asks: Vec<_> = context
        .snapshot
        .iter()
        .take(most)
        .map(|cluster| {
            let (name, body) = (&cluster.name, body.clone());
            let ask = |member| ask(context, plan, member, body);
            Ask::new(context.candidate(name), Some(patience(context, name)), ask)
        })
        .collect();
    let answers = ask_all(asks, |name, answer| note(context, name, answer.as_ref().err().copied())).await;
    let read: Vec<(&ClusterName, Result<Envelope<'_>, FailureClass>)> = answers
        .iter()
        .map(|(name, answer)| {
            let read = |bytes| read(bytes).inspect_err(|failure| context.count_missing(name, *failure));
            (name, answer.as_ref().map_err(|failure| *failure).and_then(|bytes| read(bytes)))
        })
        .collect();
    let asked = read.iter().map(|(name, answer)| {
        let outcome = match answer {
            Ok(_) => Outcome::Answered(http::StatusCode::OK),
            Err(failure) => Outcome::Failed(*failure),
        };
        ((*name).clone(), outcome)
    });
    let omitted = context.snapshot.iter().skip(most).map(|cluster| (cluster.name.clone(), Outcome::Omitted));
    let outcomes: Outcomes = asked.chain(omitted).collect();
    let mut lists = Lists { context, offsets: BTreeMap::new() };
    let mut nothing = false;
    for root in roots {
        let RootKind::Viewer(viewer) = &plan.roots[*root].kind else { continue };
        match lists.root(&plan.roots[*root].key, viewer, &read) {
            Some(value) => merged.set(*root, value),
            None => nothing = true,
        }
    }
    if nothing {
        // The local cluster's refusal of a client is the answer, as without a gateway.
        if outcomes.iter().any(|(name, outcome)| name.is_local() && *outcome == UNAUTHORIZED) {
            return Err(FailureClass::Unauthorized);
        }
        let timeouts = read.iter().all(|(_, answer)| matches!(answer, Err(FailureClass::Timeout)));
        return Err(if timeouts { FailureClass::Timeout } else { FailureClass::Unreachable });
    }
    for (name, envelope) in read.iter().filter_map(|(name, answer)| Some((*name, answer.as_ref().ok()?))) {
        for error in envelope.errors.iter().flatten() {
            merged.error(lists.moved_error(name, error));
        }
    }
    merged.extensions = Some(extensions(&outcomes, context.snapshot.is_loaded()));
    Ok(outcomes)
}

/// How long a member may take for its answer.
fn patience(context: &Context<'_>, name: &ClusterName) -> Duration {
    let limit = context.config.member_timeout;
    let hurry = is_cached(context, name) || context.namespaces.is_unhealthy(name);
    if hurry { QUICK.min(limit) } else { limit }
}

fn is_cached(context: &Context<'_>, name: &ClusterName) -> bool {
    context.user.is_some_and(|user| context.namespaces.last_good(user, name).is_some())
}

/// Remembers what this answer says about the cluster for every user. One user's rights say nothing, nor does it that the
/// cluster was given little time because this user's list is cached.
fn note(context: &Context<'_>, name: &ClusterName, failure: Option<FailureClass>) {
    let hurried = || is_cached(context, name) && !context.namespaces.is_unhealthy(name);
    match failure {
        None => context.namespaces.note(name, true),
        Some(FailureClass::Timeout) if hurried() => {}
        Some(failure) if failure.is_outage() => context.namespaces.note(name, false),
        Some(_) => {}
    }
}

async fn ask(
    context: &Context<'_>,
    plan: &Arc<Plan>,
    member: Arc<dyn Member>,
    body: Bytes,
) -> Result<Bytes, FailureClass> {
    let response = upstream_call::send(&*member, context.head, body, true).await?;
    let edited = upstream_call::edited(upstream_call::good(response)?, plan, member.name());
    upstream_call::read_whole(edited, MEMBER_BYTES, &context.held).await
}

/// An answer with data.
fn read(answer: &[u8]) -> Result<Envelope<'_>, FailureClass> {
    let envelope = Envelope::read(answer)?;
    if envelope.data.is_some() { Ok(envelope) } else { Err(FailureClass::BadBody) }
}

/// Merges lists and remembers where each cluster's items begin.
struct Lists<'a> {
    context: &'a Context<'a>,
    /// By root key, list key and cluster.
    offsets: BTreeMap<(String, String, ClusterName), usize>,
}

/// An object whose values are left as they are.
type Members<'a> = BTreeMap<String, &'a RawValue>;

// === impl Lists ===

impl Lists<'_> {
    /// The value of one root field; `None` when no cluster answered and not all of it is cached.
    fn root(
        &mut self,
        key: &str,
        viewer: &Viewer,
        answers: &[(&ClusterName, Result<Envelope<'_>, FailureClass>)],
    ) -> Option<String> {
        let objects: Vec<(&ClusterName, Option<Members<'_>>)> = answers
            .iter()
            .map(|(name, answer)| {
                let value = answer.as_ref().ok().and_then(|envelope| envelope.data.as_ref()?.get(key));
                (*name, value.and_then(|value| serde_json::from_str(value.get()).ok()))
            })
            .collect();
        let base = objects.iter().find_map(|(name, object)| Some((*name, object.as_ref()?)));
        if base.is_none() && answers.iter().any(|(_, answer)| answer.is_ok()) {
            return Some("null".to_owned());
        }
        let mut members: BTreeMap<&str, String> = BTreeMap::new();
        for (list, simple) in &viewer.lists {
            let there = base.map_or(viewer.sure, |(_, object)| object.contains_key(&**list));
            if there {
                let items = self.items(key, list, simple.as_ref(), &objects);
                if base.is_none() && items.is_empty() {
                    return None;
                }
                members.insert(list, format!("[{}]", items.join(",")));
            }
        }
        rest(viewer, base, &mut members);
        let mut value = String::new();
        write_object(&mut value, members.iter().map(|(key, value)| (*key, value.as_str())));
        Some(value)
    }

    /// All clusters' items of one list.
    fn items(
        &mut self,
        root: &str,
        list: &str,
        simple: Option<&NamespaceFields>,
        objects: &[(&ClusterName, Option<Members<'_>>)],
    ) -> Vec<String> {
        let mut items = Vec::new();
        for (name, object) in objects {
            self.offsets.insert((root.to_owned(), list.to_owned(), (*name).clone()), items.len());
            let answered = object.as_ref().and_then(|object| object.get(list));
            if let Some(raw) = answered {
                let own: Vec<&RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
                if let (Some(simple), Some(user)) = (simple, self.context.user) {
                    learn(self.context.namespaces, user, name, simple, &own);
                }
                items.extend(own.iter().map(|item| item.get().to_owned()));
                continue;
            }
            let user = self.context.user.filter(|_| object.is_none());
            let cached = user.and_then(|user| self.context.namespaces.last_good(user, name));
            if let (Some(simple), Some(cached)) = (simple, cached) {
                items.extend(cached.names.iter().map(|qualified| item(simple, qualified, name)));
            }
        }
        items
    }

    /// A member's error, with the index of a list's item as it is in the merged list.
    fn moved_error(&self, cluster: &ClusterName, error: &RawValue) -> String {
        let unchanged = || error.get().to_owned();
        let Ok(mut moved) = serde_json::from_str::<Json>(error.get()) else { return unchanged() };
        let Some(path) = moved.get_mut("path").and_then(Json::as_array_mut) else { return unchanged() };
        let [Json::String(root), Json::String(list), Json::Number(index), ..] = path.as_slice() else {
            return unchanged();
        };
        let offset = self.offsets.get(&(root.clone(), list.clone(), cluster.clone())).copied();
        match (offset, index.as_u64()) {
            (Some(offset @ 1..), Some(index)) => {
                path[2] = json!(index + offset as u64);
                moved.to_string()
            }
            _ => unchanged(),
        }
    }
}

/// The keys other than the lists: only the local cluster's values count.
fn rest<'v>(
    viewer: &'v Viewer,
    base: Option<(&ClusterName, &Members<'_>)>,
    members: &mut BTreeMap<&'v str, String>,
) {
    let own = |key: &str| base.and_then(|(_, object)| object.get(key)).map(|value| value.get().to_owned());
    let there = |key: &str| base.is_none_or(|(_, object)| object.contains_key(key));
    for key in viewer.typenames.iter().filter(|key| there(key)) {
        members.insert(key, own(key).unwrap_or_else(|| format!("\"{}\"", viewer.ty)));
    }
    for key in viewer.others.iter().filter(|key| there(key)) {
        let local = base.is_some_and(|(name, _)| name.is_local());
        members.insert(key, own(key).filter(|_| local).unwrap_or_else(|| "null".to_owned()));
    }
}

/// Caches the names in a list, if it holds them.
fn learn(
    namespaces: &NamespaceCache,
    user: UserKey,
    cluster: &ClusterName,
    simple: &NamespaceFields,
    items: &[&RawValue],
) {
    let Some((key, _)) = simple.iter().find(|(_, field)| *field == NamespaceField::Name) else { return };
    let name = |item: &&RawValue| {
        let members: Members<'_> = serde_json::from_str(item.get()).ok()?;
        serde_json::from_str::<Box<str>>(members.get(&**key)?.get()).ok()
    };
    let names: Vec<Box<str>> = items.iter().filter_map(name).collect();
    if names.len() == items.len() {
        namespaces.learn(user, cluster, names);
    }
}

/// A namespace object whose selected fields all follow from its name.
pub(super) fn item(simple: &NamespaceFields, qualified: &str, cluster: &ClusterName) -> String {
    let values: Vec<String> = simple
        .iter()
        .map(|(_, field)| {
            let text = match field {
                NamespaceField::Name => qualified.to_owned(),
                NamespaceField::Id => id::of_namespace(qualified),
                NamespaceField::Cluster => cluster.to_string(),
                NamespaceField::Typename => "Namespace".to_owned(),
            };
            Json::from(text).to_string()
        })
        .collect();
    let mut out = String::new();
    write_object(&mut out, simple.iter().map(|(key, _)| &**key).zip(values.iter().map(String::as_str)));
    out
}

/// `extensions.fedgate` of a merged list: what became of each cluster's request.
fn extensions(outcomes: &Outcomes, is_loaded: bool) -> Json {
    let unread = ("*".to_owned(), FailureClass::Unreachable.as_str().into());
    let clusters: serde_json::Map<String, Json> = outcomes
        .iter()
        .map(|(name, outcome)| {
            let text = match outcome {
                Outcome::Answered(_) => "ok",
                Outcome::Failed(failure) => failure.as_str(),
                Outcome::Omitted => "omitted",
            };
            (name.to_string(), text.into())
        })
        .chain((!is_loaded).then_some(unread))
        .collect();
    json!({ "fedgate": { "clusters": clusters } })
}

const UNAUTHORIZED: Outcome = Outcome::Failed(FailureClass::Unauthorized);

/// Longest wait for a cluster whose list is cached, or whose last answer failed.
const QUICK: Duration = Duration::from_millis(1500);

/// Largest answer of one cluster, in bytes: it is held until all have answered.
const MEMBER_BYTES: usize = 4 * 1024 * 1024;
