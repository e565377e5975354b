//! The schema in use: fetched when first needed, and refreshed periodically.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest;
use bytes::Bytes;
use futures::{
    StreamExt,
    future::{Either, ready, select},
    stream,
};
use http::Request;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use super::{introspection::INTROSPECTION, schema::Schema, upstream_call};
use crate::{
    member::Member,
    types::FailureClass,
    wire::{Budget, TransformBody},
};

/// Shared by all workers.
#[derive(Debug)]
pub(super) struct Schemas {
    current: ArcSwapOption<Held>,
    failed: ArcSwapOption<Instant>,
    generations: AtomicU64,
    /// One fetch at a time.
    asking: Semaphore,
}

#[derive(Debug)]
struct Held {
    schema: Arc<Schema>,
    digest: Vec<u8>,
    due: Instant,
}

/// The clusters to ask, in order: the local one first.
pub(super) type Sources = Vec<Arc<dyn Member>>;

// === impl Schemas ===

impl Schemas {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            current: ArcSwapOption::empty(),
            failed: ArcSwapOption::empty(),
            generations: AtomicU64::new(1),
            asking: Semaphore::new(1),
        })
    }

    /// The schema; `None` when no cluster answers with one.
    ///
    /// A schema that is due stays in use while a task fetches the next one.
    pub(super) async fn get(
        self: &Arc<Self>,
        head: &Request<()>,
        sources: impl FnOnce() -> Sources,
    ) -> Option<Arc<Schema>> {
        if let Some(held) = self.current.load_full() {
            if held.due <= Instant::now() && self.asking.available_permits() > 0 {
                let (schemas, head, sources) = (Arc::clone(self), upstream_call::own_head(head), sources());
                tokio::spawn(async move {
                    if let Ok(_permit) = schemas.asking.try_acquire() {
                        schemas.refresh(&head, &sources).await;
                    }
                });
            }
            return Some(Arc::clone(&held.schema));
        }
        if self.has_failed_lately() {
            return None;
        }
        let _permit = self.asking.acquire().await.ok()?;
        if self.current.load().is_none() && !self.has_failed_lately() {
            self.refresh(&upstream_call::own_head(head), &sources()).await;
        }
        self.current.load().as_ref().map(|held| Arc::clone(&held.schema))
    }

    fn has_failed_lately(&self) -> bool {
        self.failed.load().as_ref().is_some_and(|at| at.elapsed() < RETRY)
    }

    /// Asks for the schema, all of it within [`upstream_call::OWN_TIMEOUT`].
    async fn refresh(&self, head: &Request<()>, sources: &[Arc<dyn Member>]) {
        let found = timeout(upstream_call::OWN_TIMEOUT, self.first(head, sources)).await.ok().flatten();
        if let Some(found) = found {
            self.current.store(Some(Arc::new(found)));
        } else if let Some(old) = self.current.load_full() {
            let (schema, digest) = (Arc::clone(&old.schema), old.digest.clone());
            self.current.store(Some(Arc::new(Held { schema, digest, due: Instant::now() + RETRY })));
        } else {
            self.failed.store(Some(Arc::new(Instant::now())));
        }
    }

    /// The first cluster's schema, or, when that does not come for a while, that of whichever answers first.
    async fn first(&self, head: &Request<()>, sources: &[Arc<dyn Member>]) -> Option<Held> {
        let (own, others) = sources.split_first()?;
        let mut own = std::pin::pin!(self.ask(&**own, head, LIFE));
        let asks: Vec<_> = others.iter().map(|source| self.ask(&**source, head, STAND_IN_LIFE)).collect();
        let others = async {
            let mut answers = std::pin::pin!(stream::iter(asks).buffer_unordered(AT_ONCE).filter_map(ready));
            answers.next().await
        };
        match timeout(HEAD_START, &mut own).await {
            Ok(Some(found)) => return Some(found),
            Ok(None) => return others.await,
            Err(_) => {}
        }
        match select(own, std::pin::pin!(others)).await {
            Either::Left((Some(found), _)) | Either::Right((Some(found), _)) => Some(found),
            Either::Left((None, others)) => others.await,
            Either::Right((None, own)) => own.await,
        }
    }

    async fn ask(&self, source: &dyn Member, head: &Request<()>, life: Duration) -> Option<Held> {
        let answer = fetch(source, head).await?;
        let digest = digest::digest(&digest::SHA256, &answer).as_ref().to_vec();
        let old = self.current.load_full().filter(|old| old.digest == digest);
        let schema = if let Some(old) = old {
            Arc::clone(&old.schema)
        } else {
            let generation = self.generations.fetch_add(1, Ordering::Relaxed);
            let schema = Schema::read(&answer, generation).ok()?;
            tracing::info!(generation, cluster = %source.name(), "the GraphQL schema was read");
            Arc::new(schema)
        };
        Some(Held { schema, digest, due: Instant::now() + life })
    }
}

async fn fetch(source: &dyn Member, head: &Request<()>) -> Option<Bytes> {
    let body = serde_json::json!({ "query": INTROSPECTION }).to_string();
    let answer = async {
        let response = upstream_call::send(source, head, body.into(), true).await?;
        let body = TransformBody::unchanged(upstream_call::good(response)?);
        upstream_call::read_whole(body, MAX_SCHEMA, &Budget::new(MAX_SCHEMA).hold()).await
    };
    let failed = |failure: &FailureClass| {
        tracing::warn!(cluster = %source.name(), error = failure.as_str(), "no GraphQL schema");
    };
    answer.await.inspect_err(failed).ok()
}

/// How long a schema is used before it is asked for again.
const LIFE: Duration = Duration::from_secs(600);

/// The same for a remote cluster's, in use because the local one did not answer.
const STAND_IN_LIFE: Duration = Duration::from_secs(30);

/// How long the local cluster may take before the others are asked too.
const HEAD_START: Duration = Duration::from_secs(1);

/// How many clusters are asked for the schema at once: each answers with some 100 KB.
const AT_ONCE: usize = 16;

/// How long no cluster is asked after none has answered.
const RETRY: Duration = Duration::from_secs(5);

/// Largest answer to the introspection query, in bytes. Sensu's has about 100 KB.
const MAX_SCHEMA: usize = 8 * 1024 * 1024;
