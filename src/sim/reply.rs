//! Answers, and the three dialects in which Sensu writes its errors.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use super::json;

/// An answer of the double.
pub(super) type Reply = Response<Full<Bytes>>;

/// In the extensions of a response: Sensu would have closed the connection without answering.
#[derive(Clone, Copy, Debug)]
pub struct Dropped;

/// Why a request was refused.
#[derive(Debug)]
pub(super) enum Failure {
    /// `{"message","code"}` of the routers.
    Router(u8, String),
    /// `{"Code","Message"}` of authentication and authorization.
    Middleware(u8, &'static str),
    /// Text and a newline.
    Text(StatusCode, String),
    /// The body is over the limit: as [`Failure::Router`], and the connection closes.
    TooLarge(u8),
    /// A query or form that does not parse, or a form over the limit.
    Form {
        /// Whether the connection closes.
        close: bool,
    },
    /// The handler crashed: no answer at all.
    Crash,
}

const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NOSNIFF: (HeaderName, HeaderValue) =
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));

// === impl Failure ===

impl Failure {
    pub(super) fn router(code: u8, message: impl Into<String>) -> Self {
        Self::Router(code, message.into())
    }

    pub(super) fn not_found() -> Self {
        Self::router(2, "not found")
    }

    pub(super) fn into_reply(self) -> Reply {
        match self {
            Self::Router(code, message) => router_error(code, &message),
            Self::TooLarge(code) => closing(router_error(code, "http: request body too large")),
            Self::Middleware(code, message) => {
                let status = match code {
                    0 => StatusCode::INTERNAL_SERVER_ERROR,
                    4 => StatusCode::FORBIDDEN,
                    _ => StatusCode::UNAUTHORIZED,
                };
                plain(status, format!("{{\"Code\":{code},\"Message\":\"{message}\"}}"))
            }
            Self::Text(status, message) => text_error(status, &message),
            Self::Form { close } => {
                let reply = text_error(StatusCode::INTERNAL_SERVER_ERROR, "Request exceeded max length");
                if close { closing(reply) } else { reply }
            }
            Self::Crash => {
                let mut reply = empty(StatusCode::BAD_GATEWAY);
                reply.extensions_mut().insert(Dropped);
                reply
            }
        }
    }
}

fn closing(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    reply
}

fn router_error(code: u8, message: &str) -> Reply {
    let status = match code {
        1 => StatusCode::BAD_REQUEST,
        2 | 4 => StatusCode::NOT_FOUND,
        3 => StatusCode::CONFLICT,
        5 => StatusCode::UNAUTHORIZED,
        7 => StatusCode::PRECONDITION_FAILED,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut body = String::from("{\"message\":");
    json::write_string(&mut body, message);
    body.push_str(",\"code\":");
    body.push_str(&code.to_string());
    body.push('}');
    with(plain(status, body), NOSNIFF)
}

fn text_error(status: StatusCode, message: &str) -> Reply {
    with(plain(status, format!("{message}\n")), NOSNIFF)
}

fn with(mut reply: Reply, (name, value): (HeaderName, HeaderValue)) -> Reply {
    reply.headers_mut().insert(name, value);
    reply
}

/// What Go's server says to a target it cannot parse.
pub(super) fn malformed() -> Reply {
    closing(plain(StatusCode::BAD_REQUEST, "400 Bad Request"))
}

/// The startup gate's answer.
pub(super) fn unavailable(wait: u32) -> Reply {
    let text = "API unavailable during startup.\nSee api-serve-wait-time settings.\n";
    with(text_error(StatusCode::SERVICE_UNAVAILABLE, text), (header::RETRY_AFTER, wait.into()))
}

/// No body, no content type.
pub(super) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = status;
    reply
}

/// No body, but the content type that Sensu's routers always set.
pub(super) fn done(status: StatusCode) -> Reply {
    with(empty(status), (header::CONTENT_TYPE, JSON))
}

/// A body whose content type Go's sniffing makes plain text.
pub(super) fn plain(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    with(reply, (header::CONTENT_TYPE, PLAIN))
}

/// 200 with a JSON body.
pub(super) fn ok(body: impl Into<Bytes>) -> Reply {
    with(Response::new(Full::new(body.into())), (header::CONTENT_TYPE, JSON))
}

/// 200 with a JSON body and the tag of the object it shows.
pub(super) fn tagged(body: String, etag: &str) -> Reply {
    let reply = ok(body);
    match HeaderValue::from_str(etag) {
        Ok(value) => with(reply, (header::ETAG, value)),
        Err(_) => reply,
    }
}

/// Sets `Location`.
pub(super) fn located(reply: Reply, location: &str) -> Reply {
    match HeaderValue::from_str(location) {
        Ok(value) => with(reply, (header::LOCATION, value)),
        Err(_) => reply,
    }
}

/// Sets `Sensu-Continue`.
pub(super) fn continued(reply: Reply, cursor: Option<String>) -> Reply {
    match cursor.and_then(|c| HeaderValue::try_from(c).ok()) {
        Some(value) => with(reply, (HeaderName::from_static("sensu-continue"), value)),
        None => reply,
    }
}

/// A strong entity tag: stable per content, up to 16 lower-case hex digits.
pub(super) fn etag(content: &str) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in content.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("\"{hash:x}\"")
}
