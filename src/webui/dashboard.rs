use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use parking_lot::Mutex;

use super::WebUiError;
use crate::{
    types::{Backend, Cluster, ClusterName, Snapshot, Source, TlsFiles},
    upstream::{ClusterClient, Manager},
    wire::{Body, header::add_via},
};

/// A dashboard listener.
#[derive(Debug)]
pub(super) struct Origin {
    backend: Backend,
    host: HeaderValue,
    /// As a cluster, so that the clusters' connections can be used for it.
    snapshot: Arc<Snapshot>,
}

/// One worker's connections to the dashboard.
#[derive(Clone)]
pub(super) struct Client {
    manager: Manager,
    /// The origin that `manager` follows.
    applied: Arc<Mutex<Option<Arc<Snapshot>>>>,
}

// === impl Origin ===

impl Origin {
    pub(super) fn new(backend: Backend, tls: TlsFiles) -> Self {
        let host =
            HeaderValue::try_from(backend.authority()).unwrap_or(HeaderValue::from_static("dashboard"));
        let cluster = Cluster { name: name(), backends: vec![backend.clone()], tls, source: Source::Local };
        Self { backend, host, snapshot: Arc::new(Snapshot::new([cluster])) }
    }

    /// Passes on only what selects the file: no credentials, no cookies, no addresses.
    fn request(&self, method: &Method, target: Uri, headers: &HeaderMap) -> Request<Bytes> {
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = method.clone();
        *request.uri_mut() = target;
        let out = request.headers_mut();
        out.insert(header::HOST, self.host.clone());
        copy(headers, out, &TO_DASHBOARD);
        add_via(out);
        request
    }

    fn response(&self, response: Response<Body>) -> Response<Body> {
        let (mut parts, body) = response.into_parts();
        let received = std::mem::take(&mut parts.headers);
        copy(&received, &mut parts.headers, &FROM_DASHBOARD);
        if let Some(location) = received.get(header::LOCATION).and_then(|value| self.location(value)) {
            parts.headers.insert(header::LOCATION, location);
        }
        Response::from_parts(parts, body)
    }

    /// A redirect within the dashboard becomes one within the gateway; others are dropped.
    fn location(&self, value: &HeaderValue) -> Option<HeaderValue> {
        let location = value.to_str().ok()?;
        let path = location.strip_prefix(&self.backend.to_string()).unwrap_or(location);
        let is_path = path.starts_with('/') && !path.starts_with("//") && !path.contains('\\');
        is_path.then(|| HeaderValue::from_str(path).ok()).flatten()
    }
}

// === impl Client ===

impl Client {
    pub(super) fn new(manager: Manager) -> Self {
        Self { manager, applied: Arc::default() }
    }

    pub(super) async fn answer(
        &self,
        origin: &Origin,
        method: &Method,
        target: &str,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, WebUiError> {
        let (Some(client), Ok(target)) = (self.client(origin), target.parse::<Uri>()) else {
            // Cannot happen: the origin has just been applied, and hyper has parsed the target.
            return Ok(Response::builder().status(404).body(Body::empty()).unwrap_or_default());
        };
        Ok(origin.response(client.send(origin.request(method, target, headers)).await?))
    }

    /// Follows the origin. A new one may have the same address and other certificates, so no connection is kept.
    fn client(&self, origin: &Origin) -> Option<Arc<ClusterClient>> {
        let mut applied = self.applied.lock();
        if !applied.as_ref().is_some_and(|applied| Arc::ptr_eq(applied, &origin.snapshot)) {
            self.manager.apply(&origin.snapshot);
            if applied.replace(Arc::clone(&origin.snapshot)).is_some() {
                self.manager.renew(|_| true);
            }
        }
        self.manager.cluster(NAME)
    }
}

fn name() -> ClusterName {
    NAME.parse().expect("a valid name")
}

fn copy(from: &HeaderMap, to: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        for value in from.get_all(name) {
            to.append(name, value.clone());
        }
    }
}

/// Its name in the log.
const NAME: &str = "web-ui";

const TO_DASHBOARD: [HeaderName; 5] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::ACCEPT_LANGUAGE,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
];

const FROM_DASHBOARD: [HeaderName; 8] = [
    header::CACHE_CONTROL,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::ETAG,
    header::LAST_MODIFIED,
    header::VARY,
];
