use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use super::Body;
use crate::error::{Dialect, Reply};

const TEXT_PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Writes a [`Reply`] exactly as Sensu spells that dialect: content type sniffed as text, no newline after JSON.
pub fn reply(reply: &Reply) -> Response<Body> {
    let message = serde_json::Value::from(&*reply.message);
    let body = match reply.dialect {
        Dialect::Router => format!(r#"{{"message":{message},"code":{}}}"#, reply.code),
        Dialect::Middleware => format!(r#"{{"Code":{},"Message":{message}}}"#, reply.code),
        Dialect::Text => format!("{}\n", reply.message),
    };
    let mut response = text(reply.status, body);
    let headers = response.headers_mut();
    if reply.dialect != Dialect::Middleware {
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    if let Some(seconds) = reply.retry_after {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    if reply.close {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A `text/plain` response.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, TEXT_PLAIN);
    response
}

/// A JSON response of an already encoded body.
pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_spelled_as_sensu_spells_them() {
        let unauthenticated = reply(&Reply::middleware(StatusCode::UNAUTHORIZED, 5, "invalid credentials"));
        assert_eq!(
            unauthenticated.into_body().as_full(),
            Some(&br#"{"Code":5,"Message":"invalid credentials"}"#[..])
        );
        let missing = reply(&Reply::router(StatusCode::NOT_FOUND, 2, "cluster \"x\" is not registered"));
        assert_eq!(missing.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(
            missing.into_body().as_full(),
            Some(&br#"{"message":"cluster \"x\" is not registered","code":2}"#[..])
        );
    }
}
