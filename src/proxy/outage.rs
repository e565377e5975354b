//! Sessions of the local cluster, renewed here while none of its backends answers: `auth.outage-sessions`.
//!
//! Without it, everybody is logged out of every cluster a few minutes after the local one goes away. It is asked first each
//! time, so this ends with the first answer that it gives. The refresh token stays the one that the cluster issued: with
//! it, and the same session in the access token, the cluster goes on with the session once it is back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header, request};
use serde::Deserialize;
use tokio::sync::watch;

use crate::{
    auth::{Authenticator, Credentials, credentials},
    authz::Minter,
    routing::Forward,
    telemetry::{
        RequestId,
        metrics::{Registry, collect},
    },
    types::{BackendState, ClusterHealth, OutageStatus, units},
    upstream,
    wire::{self, Body},
};

/// Renews sessions. Cheap to clone; clones share what they know.
#[derive(Clone)]
pub struct OutageSessions {
    authenticator: Arc<Authenticator>,
    minter: Minter,
    /// For how long after its last renewal by the cluster a session is renewed here.
    longest: Duration,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the first session was renewed in this outage, in seconds since the Unix epoch; 0 is never.
    since: AtomicU64,
    renewed: AtomicU64,
    refused: AtomicU64,
}

#[derive(Deserialize)]
struct RefreshBody {
    refresh_token: String,
}

// === impl OutageSessions ===

impl OutageSessions {
    /// Renews sessions that the local cluster has renewed within `longest`.
    pub fn new(authenticator: Arc<Authenticator>, minter: Minter, longest: Duration) -> Self {
        Self { authenticator, minter, longest, state: Arc::default() }
    }

    /// How it is now.
    pub fn status(&self) -> OutageStatus {
        let since = Some(self.state.since.load(Relaxed)).filter(|since| *since > 0);
        OutageStatus {
            since: since.map(|since| UNIX_EPOCH + Duration::from_secs(since)),
            longest: self.longest,
            renewed: self.state.renewed.load(Relaxed),
        }
    }

    /// Adds `outage_sessions_active` and `outage_session_renewals_total`.
    pub fn register(&self, registry: &mut Registry) {
        let state = Arc::clone(&self.state);
        collect(registry, move |families| {
            families.gauge(
                "outage_sessions_active",
                "1 while sessions of the local cluster are renewed by the gateway, else 0.",
                u64::from(state.since.load(Relaxed) > 0),
            )?;
            let results = [("renewed", &state.renewed), ("refused", &state.refused)];
            families.counters(
                "outage_session_renewals",
                "Sessions of the local cluster that the gateway was asked to renew in its place.",
                results.map(|(result, count)| ([("result", result)], count.load(Relaxed))),
            )
        });
    }

    /// Notices that the local cluster is back also when nobody asks it to renew a session. Runs until the health checks
    /// end.
    pub async fn follow(self, mut health: watch::Receiver<Arc<Vec<ClusterHealth>>>) {
        let mut was_up = true;
        while health.changed().await.is_ok() {
            let is_up = is_local_up(&health.borrow_and_update());
            // A check may lag behind the requests, so only what it sees change counts.
            if is_up && !was_up {
                self.over();
            }
            was_up = is_up;
        }
    }

    /// The local cluster has answered.
    pub(super) fn over(&self) {
        // Read first: a request must not write what all workers share.
        if self.state.since.load(Relaxed) > 0 && self.state.since.swap(0, Relaxed) > 0 {
            tracing::info!("the local cluster answers again, and renews its sessions itself");
        }
    }

    /// The answer to a request that renews a session, when the local cluster did not take it, for the reason given.
    /// `None` when it is none, or the session is not to be renewed: then the client gets what it would get anyway.
    pub(super) fn answer(
        &self,
        route: &Forward,
        head: &request::Parts,
        body: &[u8],
        error: &upstream::Error,
    ) -> Option<Response<Body>> {
        if !renews_session(route, &head.method) || !is_away(error) {
            return None;
        }
        let answer = self.renew(head, body);
        let count = if answer.is_some() { &self.state.renewed } else { &self.state.refused };
        count.fetch_add(1, Relaxed);
        answer
    }

    fn renew(&self, head: &request::Parts, body: &[u8]) -> Option<Response<Body>> {
        let Ok(Credentials::Bearer(access)) = credentials(&head.headers) else { return None };
        let RefreshBody { refresh_token } = serde_json::from_slice(body).ok()?;
        let request_id = head.extensions.get::<RequestId>().map(tracing::field::display);
        let session = match self.authenticator.session(access, &refresh_token, self.longest) {
            Ok(session) => session,
            Err(error) => {
                tracing::info!(request_id, %error, "a session of the local cluster, which is away, is not renewed");
                return None;
            }
        };
        let (access, expires) = self
            .minter
            .renew(&session)
            .inspect_err(|error| tracing::error!(%error, "a session cannot be renewed"))
            .ok()?;
        self.begin();
        tracing::info!(
            target: "fedgate::audit",
            request_id,
            subject = session.subject(),
            expires,
            "a session was renewed in the place of the local cluster"
        );
        Some(tokens(&access, expires, &refresh_token))
    }

    fn begin(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().max(1);
        if self.state.since.compare_exchange(0, now, Relaxed, Relaxed).is_ok() {
            tracing::warn!(
                longest = units::show_duration(self.longest),
                "the local cluster does not answer: its sessions are renewed here, also those of users whom it has \
                 disabled or logged out meanwhile"
            );
        }
    }
}

/// As Sensu writes it.
fn tokens(access: &str, expires: i64, refresh: &str) -> Response<Body> {
    let quoted = serde_json::Value::from(refresh);
    let body =
        format!("{{\"access_token\":\"{access}\",\"expires_at\":{expires},\"refresh_token\":{quoted}}}\n");
    let mut response = wire::json(StatusCode::OK, Bytes::from(body));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Under either spelling of the local cluster's path.
fn renews_session(route: &Forward, method: &Method) -> bool {
    let path = route.target.split('?').next().unwrap_or_default();
    route.cluster.is_local() && *method == Method::POST && path == "/auth/token"
}

/// Whether no backend was there to take the request. One that has taken it may have renewed the session, and the refresh
/// token with it, before its answer was lost.
fn is_away(error: &upstream::Error) -> bool {
    use upstream::Error;
    match error {
        Error::Connect { .. } | Error::Tls { .. } | Error::Down { .. } | Error::Open { .. } => true,
        Error::Timeout { phase, .. } => *phase == upstream::Phase::Connect,
        Error::Dropped { .. } | Error::BadResponse { .. } | Error::Body { .. } | Error::Overload { .. } => {
            false
        }
    }
}

fn is_local_up(health: &[ClusterHealth]) -> bool {
    health
        .iter()
        .filter(|cluster| cluster.name.is_local())
        .flat_map(|cluster| &cluster.backends)
        .any(|backend| backend.state == BackendState::Up)
}
