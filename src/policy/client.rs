//! One cluster's API, as far as replication needs it.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, Method, Request, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::object::{Key, Object};
use crate::{corev2::Type, wire::header::continue_token};

/// Sends requests to clusters by name, with the rights of their administrators.
pub trait Reach: Send + Sync + 'static {
    /// Sends a request to a cluster in the name of `subject`. The error says in words why there is no answer.
    fn send<'a>(
        &'a self,
        cluster: &'a str,
        subject: &'a str,
        request: Request<Bytes>,
    ) -> BoxFuture<'a, Result<Answer, String>>;
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, of at most [`MAX_BODY`] bytes.
    pub body: Bytes,
}

/// The API of one cluster.
#[derive(Clone)]
pub(super) struct Client {
    reach: Arc<dyn Reach>,
    cluster: Arc<str>,
    subject: Arc<str>,
}

/// One page of a list.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) objects: Vec<Object>,
    /// Where the next one begins.
    pub(super) next: Option<String>,
}

/// Why a request did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The cluster cannot be used at present: whether the request was carried out is not known.
    Away(Arc<str>),
    /// The cluster does not know the kind. Usual cause: an older version.
    Unknown,
    /// The cluster refuses this kind, or this object; its words.
    Refused(Arc<str>),
    /// There is more than may be held.
    TooLarge {
        /// How much may be.
        mib: usize,
    },
    /// There is one of that name already.
    Exists,
    /// There is none of that name.
    Missing,
}

// === impl Client ===

impl Client {
    pub(super) fn new(reach: Arc<dyn Reach>, cluster: Arc<str>, subject: Arc<str>) -> Self {
        Self { reach, cluster, subject }
    }

    /// Its name.
    pub(super) fn cluster(&self) -> &Arc<str> {
        &self.cluster
    }

    /// A page of what there is of a kind, in one namespace or in all.
    pub(super) async fn list(
        &self,
        kind: Type,
        namespace: Option<&str>,
        from: Option<&str>,
    ) -> Result<Page, Failure> {
        let mut target = format!("{}?limit={PAGE}", collection(kind, namespace));
        if let Some(token) = from {
            target.extend(["&continue=", token]);
        }
        let answer = self.send(Method::GET, &target, Bytes::new()).await?;
        match answer.status {
            StatusCode::OK => read_page(kind, from, &answer),
            StatusCode::NOT_FOUND => Err(Failure::Unknown),
            _ => Err(refusal(&answer)),
        }
    }

    /// An object as it is now; `None` when there is none.
    pub(super) async fn get(&self, key: &Key) -> Result<Option<Object>, Failure> {
        let answer = self.send(Method::GET, &item(key), Bytes::new()).await?;
        match answer.status {
            StatusCode::OK => {
                let text = std::str::from_utf8(&answer.body).unwrap_or_default();
                let object = Object::read(key.kind, text);
                object.map(Some).ok_or_else(|| Failure::Refused("its answer is not such an object".into()))
            }
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(refusal(&answer)),
        }
    }

    /// Creates what is not there: unlike [`replace`](Self::replace) it never overwrites.
    pub(super) async fn create(&self, key: &Key, body: Bytes) -> Result<(), Failure> {
        let namespace = key.kind.is_namespaced().then_some(&*key.namespace);
        self.write(Method::POST, &collection(key.kind, namespace), body).await
    }

    pub(super) async fn replace(&self, key: &Key, body: Bytes) -> Result<(), Failure> {
        self.write(Method::PUT, &item(key), body).await
    }

    pub(super) async fn delete(&self, key: &Key) -> Result<(), Failure> {
        self.write(Method::DELETE, &item(key), Bytes::new()).await
    }

    async fn write(&self, method: Method, target: &str, body: Bytes) -> Result<(), Failure> {
        let answer = self.send(method, target, body).await?;
        match answer.status {
            status if status.is_success() => Ok(()),
            StatusCode::CONFLICT => Err(Failure::Exists),
            StatusCode::NOT_FOUND => Err(Failure::Missing),
            _ => Err(refusal(&answer)),
        }
    }

    async fn send(&self, method: Method, target: &str, body: Bytes) -> Result<Answer, Failure> {
        let mut request = Request::builder().method(method).uri(target).header(header::ACCEPT, JSON);
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, JSON);
        }
        let request = request.body(body).map_err(|_| Failure::Refused("its name makes no path".into()))?;
        let sent = timeout(TIMEOUT, self.reach.send(&self.cluster, &self.subject, request)).await;
        match sent {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(why)) => Err(Failure::Away(why.into())),
            Err(_) => Err(Failure::Away("it did not answer in time".into())),
        }
    }
}

// === impl Failure ===

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away(why) | Self::Refused(why) => f.write_str(why),
            Self::Unknown => f.write_str("the cluster does not know this type (an older version, perhaps)"),
            Self::TooLarge { mib } => write!(
                f,
                "there is more than can be compared on request ({mib} MiB): divide the replicator into several with \
                 fewer resources each"
            ),
            Self::Exists => f.write_str("there is one of that name already"),
            Self::Missing => f.write_str("there is none of that name"),
        }
    }
}

/// `from` is where the page begins.
fn read_page(kind: Type, from: Option<&str>, answer: &Answer) -> Result<Page, Failure> {
    let malformed = || Failure::Away("its answer is not a list".into());
    let items: Option<Vec<&RawValue>> = serde_json::from_slice(&answer.body).map_err(|_| malformed())?;
    let items = items.unwrap_or_default();
    let objects = items.iter().filter_map(|item| Object::read(kind, item.get())).collect();
    let next = continue_token(&answer.headers).map_err(|_| malformed())?;
    // One that leads nowhere else would lead round and round.
    let next = next.filter(|next| Some(*next) != from).map(str::to_owned);
    Ok(Page { objects, next })
}

/// What an answer means that no request expects. An overloaded or broken cluster may be well again later; the rest is
/// about what was asked.
fn refusal(answer: &Answer) -> Failure {
    let status = answer.status;
    let message = message(&answer.body);
    match status {
        StatusCode::UNAUTHORIZED => Failure::Away(REFUSED.into()),
        StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT
        | StatusCode::TOO_MANY_REQUESTS => Failure::Away(format!("it answered {status}: {message}").into()),
        StatusCode::FORBIDDEN => Failure::Refused(FORBIDDEN.into()),
        _ => Failure::Refused(format!("the cluster answered {status}: {message}").into()),
    }
}

/// Sensu's words in an answer, cut.
fn message(body: &[u8]) -> String {
    let read: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = read.get("message").or_else(|| read.get("Message")).and_then(serde_json::Value::as_str);
    text.unwrap_or("without a reason").escape_debug().take(MAX_MESSAGE).collect()
}

fn collection(kind: Type, namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) => format!("/api/core/v2/namespaces/{}/{}", segment(namespace), kind.collection()),
        None => format!("/api/core/v2/{}", kind.collection()),
    }
}

fn item(key: &Key) -> String {
    let namespace = key.kind.is_namespaced().then_some(&*key.namespace);
    format!("{}/{}", collection(key.kind, namespace), segment(&key.name))
}

fn segment(text: &str) -> String {
    utf8_percent_encode(text, &SEGMENT).to_string()
}

/// All but what stays as it is in every path. Colons do: RBAC compares names as they are encoded.
const SEGMENT: AsciiSet =
    NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':').remove(b'@');

const JSON: &str = "application/json";

/// Objects of a page: small enough to be read long before Sensu cuts an answer off.
const PAGE: usize = 250;

/// For one request, from connecting to the last byte.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The largest answer that is read.
pub const MAX_BODY: usize = 64 << 20;

const MAX_MESSAGE: usize = 200;

const REFUSED: &str = "it refuses the gateway's token: check that it is configured with the public key of \
     auth.jwt-private-key-file, and that the clocks agree";

const FORBIDDEN: &str = "the cluster does not let the gateway do it: its group cluster-admins needs the ClusterRole \
     cluster-admin, as sensu-backend init makes it";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::header::SENSU_CONTINUE;

    #[test]
    fn paths_lead_to_one_object_only() {
        let path = |kind, namespace: &str, name: &str| item(&Key::new(kind, namespace, name));
        assert_eq!(path(Type::Role, "n", "a:b"), "/api/core/v2/namespaces/n/roles/a:b");
        assert_eq!(path(Type::Asset, "n", "x/y"), "/api/core/v2/namespaces/n/assets/x%2Fy");
        assert_eq!(path(Type::ClusterRole, "", "ü?#"), "/api/core/v2/clusterroles/%C3%BC%3F%23");
        assert_eq!(collection(Type::CheckConfig, None), "/api/core/v2/checks");
    }

    #[test]
    fn an_answer_is_about_the_cluster_or_about_what_was_asked() {
        let failure = |status: u16, body: &'static str| {
            let status = StatusCode::from_u16(status).unwrap();
            refusal(&Answer { status, headers: HeaderMap::new(), body: Bytes::from_static(body.as_bytes()) })
        };
        assert!(matches!(failure(401, ""), Failure::Away(_)));
        assert!(matches!(failure(503, "x"), Failure::Away(_)));
        assert!(matches!(failure(403, ""), Failure::Refused(_)));
        let text = failure(500, r#"{"message":"the namespace x does not exist","code":0}"#).to_string();
        assert!(text.ends_with("500 Internal Server Error: the namespace x does not exist"), "{text}");
    }

    #[test]
    fn a_page_is_read_and_its_token_is_not_trusted() {
        let page = |body: &'static str, token: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(token) = token {
                headers.insert(SENSU_CONTINUE, token.parse().unwrap());
            }
            read_page(
                Type::Namespace,
                Some("bGFzdA"),
                &Answer { status: StatusCode::OK, headers, body: body.into() },
            )
        };
        let read = page(r#"[{"name":"a"},{"name":".."}]"#, Some("YQA")).unwrap();
        assert_eq!((read.objects.len(), read.next.as_deref()), (1, Some("YQA")));
        assert!(page("null", None).unwrap().objects.is_empty());
        assert_eq!(page("[]", Some("bGFzdA")).unwrap().next, None, "that is where this page began");
        for (body, token) in [("{}", None), ("[", None), ("[]", Some("a&limit=0")), ("[]", Some(""))] {
            assert!(page(body, token).is_err(), "{body} {token:?}");
        }
    }
}
