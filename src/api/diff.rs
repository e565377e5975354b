//! What a replicator would do now: both sides are read for the request, and nothing is written.
//!
//! Anyone who may read the replicator learns how much differs where. The objects themselves, and error texts, are for those
//! who may change the replicator: the gateway reads the clusters with its own rights, which reach further than the rights
//! that the caller has there.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use http::{HeaderValue, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use super::{Api, ApiError, format::tenths};
use crate::{
    authz::Verb,
    types::{
        ClusterName, Comparison, Difference, DifferenceAction, FieldDifference, Kind, PlaceComparison,
        Principal,
    },
    wire::{self, Body, header::FEDGATE_COMPLETE},
};

/// Compares what a replicator of this name copies, in all its clusters or in one; `None` if there is none. Takes bounded
/// time, and writes nothing anywhere.
pub type Compare =
    Arc<dyn Fn(String, Option<String>) -> BoxFuture<'static, Option<Comparison>> + Send + Sync>;

/// What compares, and how many may at once.
#[derive(Clone)]
pub struct Comparisons {
    by_etcd: Option<Compare>,
    by_api: Option<Compare>,
    slots: Slots,
}

/// How many comparisons may be under way. Those who may only read have their own: they must not keep out those who have to
/// know what they are about to do, however often they ask.
#[derive(Clone)]
struct Slots {
    editors: Arc<Semaphore>,
    readers: Arc<Semaphore>,
}

/// The answer.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    /// Only of those that have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_run: Option<bool>,
    /// Whether everything was compared.
    complete: bool,
    /// Whether everything was compared and nothing differs.
    equal: bool,
    /// Whether objects and error texts are shown.
    detailed: bool,
    took_ms: f64,
    clusters: Vec<Place<'a>>,
}

#[derive(Serialize)]
struct Place<'a> {
    name: &'a str,
    complete: bool,
    equal: bool,
    error: Option<&'a str>,
    /// How many objects it should hold.
    objects: u64,
    counts: Map<String, Value>,
    took_ms: f64,
    differences: Vec<Object<'a>>,
    /// There are more than are shown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
}

#[derive(Serialize)]
struct Object<'a> {
    kind: &'static str,
    namespace: &'a str,
    name: &'a str,
    action: &'static str,
    why: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Field<'a>>,
}

#[derive(Serialize)]
struct Field<'a> {
    path: &'a str,
    /// Neither is shown where they may be secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    copy: Option<&'a Value>,
}

// === impl Comparisons ===

impl Comparisons {
    /// Of etcd replicators and of `Replicator`s; `None` where this gateway cannot.
    pub fn new(by_etcd: Option<Compare>, by_api: Option<Compare>) -> Self {
        Self { by_etcd, by_api, slots: Slots::new() }
    }
}

impl Default for Comparisons {
    /// Compares nothing.
    fn default() -> Self {
        Self::new(None, None)
    }
}

// === impl Slots ===

impl Slots {
    fn new() -> Self {
        let slots = |count| Arc::new(Semaphore::new(count));
        Self { editors: slots(EDITORS_AT_ONCE), readers: slots(READERS_AT_ONCE) }
    }

    fn of(&self, may_update: bool) -> &Semaphore {
        if may_update { &self.editors } else { &self.readers }
    }
}

// === impl Api ===

impl Api {
    /// `encoded_name` is the name as the path has it.
    pub(super) async fn diff(
        &self,
        kind: Kind,
        name: &str,
        encoded_name: &str,
        query: Option<&str>,
        who: &Principal,
    ) -> Result<Response<Body>, ApiError> {
        let only = cluster_of(query)?;
        if only.is_some() && kind != Kind::Replicator {
            return Err(ApiError::OneDestination);
        }
        // As a reader would: the same answers when it is missing or cannot be read.
        self.get(kind, name).await?;
        let compare = match kind {
            Kind::EtcdReplicator => self.comparisons.by_etcd.as_ref().ok_or(ApiError::NoSource)?,
            Kind::Replicator => self.comparisons.by_api.as_ref().ok_or(ApiError::NoPrivateKey)?,
            Kind::Cluster => return Err(ApiError::NoRoute),
        };
        // Who cannot be judged sees what every reader sees.
        let detailed =
            self.authorizer.decide(who, Verb::Update, kind.collection(), encoded_name).unwrap_or(false);
        let _slot = self.comparisons.slots.of(detailed).try_acquire().map_err(|_| ApiError::Comparing)?;
        let cluster = only.as_ref().map(|cluster| cluster.as_str().to_owned());
        // Not in the view yet: written through another gateway a moment ago.
        let found = compare(name.to_owned(), cluster).await.ok_or(ApiError::Unread)?;
        if let Some(only) = only.filter(|_| found.places.is_empty()) {
            return Err(ApiError::NotCopiedTo(only));
        }
        let report = Report::of(kind, name, &found, detailed);
        let json = serde_json::to_vec(&report).expect("its maps have text keys, and its numbers are numbers");
        let mut response = wire::json(StatusCode::OK, json);
        let complete = HeaderValue::from_static(if report.complete { "true" } else { "false" });
        response.headers_mut().insert(FEDGATE_COMPLETE, complete);
        Ok(response)
    }
}

/// Of several the first counts, as with lists.
fn cluster_of(query: Option<&str>) -> Result<Option<ClusterName>, ApiError> {
    let mut pairs = query.unwrap_or_default().split('&');
    let Some(value) = pairs.find_map(|pair| pair.strip_prefix("cluster=")) else { return Ok(None) };
    let value = percent_decode_str(value).decode_utf8().map_err(|_| ApiError::Page("cluster"))?;
    if value.is_empty() {
        return Ok(None);
    }
    value.parse().map(Some).map_err(|_| ApiError::Page("cluster"))
}

// === impl Report ===

impl<'a> Report<'a> {
    fn of(kind: Kind, name: &'a str, found: &'a Comparison, detailed: bool) -> Self {
        let complete = found.is_complete();
        Self {
            kind: kind.type_name(),
            name,
            dry_run: (kind == Kind::Replicator).then_some(found.dry_run),
            complete,
            equal: complete && found.is_equal(),
            detailed,
            took_ms: milliseconds(found.took),
            clusters: found.places.iter().map(|place| Place::of(place, detailed)).collect(),
        }
    }
}

// === impl Place ===

impl<'a> Place<'a> {
    fn of(place: &'a PlaceComparison, detailed: bool) -> Self {
        let counts = DifferenceAction::ALL.iter();
        let counts = counts.map(|(text, action)| ((*text).to_owned(), place.counts.of(*action).into()));
        let complete = place.error.is_none();
        let shown = u64::try_from(place.differences.len()).unwrap_or(u64::MAX);
        Self {
            name: &place.name,
            complete,
            equal: complete && place.counts.total() == 0,
            error: place.error.as_deref().filter(|_| detailed),
            objects: place.compared,
            counts: counts.collect(),
            took_ms: milliseconds(place.took),
            differences: place.differences.iter().filter(|_| detailed).map(Object::of).collect(),
            truncated: detailed && place.counts.total() > shown,
            warnings: if detailed { &place.warnings } else { &[] },
        }
    }
}

// === impl Object ===

impl<'a> Object<'a> {
    fn of(it: &'a Difference) -> Self {
        let field = |field: &'a FieldDifference| Field {
            path: &field.path,
            source: field.values.as_ref().map(|(source, _)| source),
            copy: field.values.as_ref().map(|(_, copy)| copy),
        };
        Self {
            kind: it.kind,
            namespace: &it.namespace,
            name: &it.name,
            action: it.action.as_str(),
            why: &it.why,
            fields: it.fields.iter().map(field).collect(),
        }
    }
}

fn milliseconds(took: Duration) -> f64 {
    tenths(took.as_secs_f64() * 1e3)
}

/// Comparisons at once for those who may update the replicator. Each may hold all objects of a large cluster, and requests to
/// many.
const EDITORS_AT_ONCE: usize = 2;

/// The same for all others.
const READERS_AT_ONCE: usize = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cluster_is_read_from_the_query() {
        let of = |query| cluster_of(Some(query)).unwrap().map(|name| name.to_string());
        assert_eq!(of("limit=1&cluster=%61lpha&cluster=beta").as_deref(), Some("alpha"));
        assert_eq!((of("cluster="), of("clusters=x"), of("")), (None, None, None));
        assert_eq!(cluster_of(None).unwrap(), None);
        for bad in ["cluster=a%20b", "cluster=%ff", "cluster=.."] {
            assert!(matches!(cluster_of(Some(bad)), Err(ApiError::Page("cluster"))), "{bad}");
        }
    }
}
