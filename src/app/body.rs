//! What a request's body may say, and how it is read: whole, bounded, and not for ever.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::Body as _;
use http_body_util::BodyExt;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use tokio::time::Instant;

use crate::{
    error::{Classify, ErrorKind, Reply},
    rewrite::{Shape, UnqualifyError, unqualify},
    routing::{BodyRule, Kind},
    types::{ClusterName, Snapshot},
    wire::Body,
};

/// Why a body was refused. Nothing has been forwarded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyError {
    /// Larger than `limits.request-body-bytes`.
    #[error("the request body is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Arrives slower than the minimum rate.
    #[error("the request body arrives too slowly")]
    Slow,
    /// The client broke off.
    #[error("the request body broke off")]
    Broken,
    /// A namespace in the body such as `@x` or `a@b@c`.
    #[error("a namespace in the body is not valid: write <namespace> or <namespace>@<cluster>")]
    Namespace,
    /// The body names another cluster than the path, or several.
    #[error("the body and the path must name the same cluster")]
    Cluster,
    /// The body's namespace names a cluster that is not registered.
    #[error("cluster {cluster:?} is not registered")]
    NotRegistered {
        /// The name in the body.
        cluster: String,
    },
    /// An entity or event whose body names another namespace than the path: Sensu would believe the body.
    #[error("the namespace of the resource ({found}) does not match the namespace of the URI ({expected})")]
    NamespaceMismatch {
        /// The namespace in the body.
        found: String,
        /// The namespace of the path.
        expected: String,
    },
    /// An entity whose body names another entity than the path.
    #[error("the name of the resource ({found}) does not match the name on the URI ({expected})")]
    NameMismatch {
        /// The name in the body.
        found: String,
        /// The name of the path.
        expected: String,
    },
}

/// Reads a body of at most `limit` bytes that keeps up a minimum rate.
pub(super) async fn read(mut body: Body, limit: usize) -> Result<Bytes, BodyError> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge { limit });
    }
    let begun = Instant::now();
    let mut whole = BytesMut::new();
    loop {
        let earned = Duration::from_secs(whole.len() as u64 / MIN_RATE);
        let frame = tokio::time::timeout_at(begun + GRACE + earned, body.frame());
        match frame.await.map_err(|_| BodyError::Slow)? {
            None => return Ok(whole.freeze()),
            Some(Err(_)) => return Err(BodyError::Broken),
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { continue };
                if whole.len() + data.len() > limit {
                    return Err(BodyError::TooLarge { limit });
                }
                if whole.is_empty() && body.is_end_stream() {
                    // One frame is the usual case and needs no copy.
                    return Ok(data);
                }
                whole.extend_from_slice(&data);
            }
        }
    }
}

/// Applies a route's rule: the body to forward, and the cluster that it goes to.
pub(super) fn apply(
    rule: &BodyRule,
    body: Bytes,
    cluster: ClusterName,
    clusters: &Snapshot,
) -> Result<(Bytes, ClusterName), BodyError> {
    if body.is_empty() {
        return Ok((body, cluster));
    }
    match rule {
        BodyRule::Raw => Ok((body, cluster)),
        BodyRule::MustEqual { namespace, name } => {
            let found = unqualify(&body, Shape::Resource).map_err(BodyError::from)?;
            if found.cluster.is_some() {
                return Err(BodyError::Cluster);
            }
            all_equal(&found.namespaces, namespace)?;
            same_name(&body, name.as_deref())?;
            Ok((body, cluster))
        }
        BodyRule::Namespaced { kind, must_equal, name } => {
            let found = unqualify(&body, shape(*kind)).map_err(BodyError::from)?;
            let target = found.cluster.clone().unwrap_or_else(ClusterName::local);
            // An empty namespace names no cluster: Sensu fills it in from the path, or refuses it.
            let names_one = found.namespaces.iter().any(|namespace| !namespace.is_empty());
            if found.mixed || (names_one && target != cluster) {
                return Err(BodyError::Cluster);
            }
            if let Some(namespace) = must_equal {
                all_equal(&found.namespaces, namespace)?;
            }
            same_name(&body, name.as_deref())?;
            Ok((found.body, cluster))
        }
        BodyRule::ChoosesCluster => {
            let found = unqualify(&body, Shape::Namespace).map_err(BodyError::from)?;
            if found.mixed {
                return Err(BodyError::Cluster);
            }
            let cluster = found.cluster.unwrap_or(cluster);
            if clusters.get(cluster.as_str()).is_none() {
                return Err(BodyError::NotRegistered { cluster: cluster.to_string() });
            }
            Ok((found.body, cluster))
        }
    }
}

/// The scanner's name for where a route's namespaces stand.
pub(super) fn shape(kind: Kind) -> Shape {
    match kind {
        Kind::Resource => Shape::Resource,
        Kind::Namespace => Shape::Namespace,
    }
}

fn all_equal(found: &[String], expected: &str) -> Result<(), BodyError> {
    // An empty one is as good as none: Sensu fills it in from the path, or refuses it.
    match found.iter().find(|namespace| !namespace.is_empty() && *namespace != expected) {
        None => Ok(()),
        Some(other) => {
            Err(BodyError::NamespaceMismatch { found: other.clone(), expected: expected.to_owned() })
        }
    }
}

fn same_name(body: &[u8], expected: Option<&str>) -> Result<(), BodyError> {
    let Some(expected) = expected else { return Ok(()) };
    // What is no JSON object is Sensu's to refuse, in its own words.
    let mut values = serde_json::Deserializer::from_slice(body);
    let Ok(Names(names)) = Names::deserialize(&mut values) else { return Ok(()) };
    match names.into_iter().find(|name| name != expected) {
        None => Ok(()),
        Some(found) => Err(BodyError::NameMismatch { found, expected: expected.to_owned() }),
    }
}

/// Every `metadata.name` of an object: Sensu takes keys in any case, and the last of several.
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        struct Metadata;

        impl<'de> Visitor<'de> for Object {
            type Value = Names;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    if key.eq_ignore_ascii_case("metadata") {
                        names.extend(map.next_value::<Inner>()?.0);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Names(names))
            }
        }

        impl<'de> Visitor<'de> for Metadata {
            type Value = Inner;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object or null")
            }

            fn visit_unit<E>(self) -> Result<Inner, E> {
                Ok(Inner(Vec::new()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Inner, A::Error> {
                let mut names = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    if key.eq_ignore_ascii_case("name") {
                        names.extend(map.next_value::<Option<String>>()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Inner(names))
            }
        }

        struct Inner(Vec<String>);

        impl<'de> Deserialize<'de> for Inner {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Metadata)
            }
        }

        deserializer.deserialize_map(Object)
    }
}

// === impl BodyError ===

impl From<UnqualifyError> for BodyError {
    fn from(error: UnqualifyError) -> Self {
        match error {
            UnqualifyError::Malformed => Self::Namespace,
            UnqualifyError::Mismatch => Self::Cluster,
        }
    }
}

impl Classify for BodyError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Client
    }

    fn reply(&self) -> Reply {
        let (status, code, close) = match self {
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, 1, true),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, 1, true),
            Self::Broken => (StatusCode::BAD_REQUEST, 1, true),
            Self::NotRegistered { .. } => (StatusCode::NOT_FOUND, 2, false),
            _ => (StatusCode::BAD_REQUEST, 1, false),
        };
        let mut reply = Reply::router(status, code, self.to_string());
        reply.close = close;
        reply
    }
}

/// Bytes per second that a request body has to bring after [`GRACE`].
const MIN_RATE: u64 = 1024;

const GRACE: Duration = Duration::from_secs(10);
