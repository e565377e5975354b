//! One request to one cluster.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt;

use super::{plan::Plan, rewriter::Rewriter};
use crate::{
    member::{Member, Openings, Repeatable, body_failure},
    types::{ClusterName, FailureClass},
    wire::{Body, Held, TransformBody, header as names},
};

/// Sends a request body to a cluster with `POST`; the answer has any status.
///
/// `again`: the request changes nothing, so it may be sent again when its connection broke.
pub(super) async fn send(
    member: &dyn Member,
    head: &Request<()>,
    body: Bytes,
    again: bool,
) -> Result<Response<Body>, FailureClass> {
    let mut request = Request::new(body);
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = head.uri().clone();
    *request.headers_mut() = head.headers().clone();
    if let Some(openings) = head.extensions().get::<Openings>() {
        request.extensions_mut().insert(openings.clone());
    }
    if again {
        request.extensions_mut().insert(Repeatable);
    }
    member.send(request).await
}

/// A good answer to an operation: status 200 and JSON that can be edited.
pub(super) fn good(response: Response<Body>) -> Result<Body, FailureClass> {
    match response.status() {
        StatusCode::OK if response.headers().contains_key(header::CONTENT_ENCODING) => {
            Err(FailureClass::BadBody)
        }
        StatusCode::OK => Ok(response.into_body()),
        StatusCode::GATEWAY_TIMEOUT => Err(FailureClass::Timeout),
        StatusCode::UNAUTHORIZED => Err(FailureClass::Unauthorized),
        StatusCode::FORBIDDEN => Err(FailureClass::Forbidden),
        StatusCode::NOT_FOUND => Err(FailureClass::NotFound),
        _ => Err(FailureClass::ServerError),
    }
}

/// An answer on its way to the client, edited as it streams.
pub(super) type EditedBody = TransformBody<Rewriter>;

/// The answer of `cluster` to a document of the plan.
pub(super) fn edited(body: Body, plan: &Arc<Plan>, cluster: &ClusterName) -> EditedBody {
    let needs_edits = !cluster.is_local() || plan.edits_local();
    if needs_edits {
        TransformBody::new(body, Rewriter::new(Arc::clone(plan), cluster))
    } else {
        TransformBody::unchanged(body)
    }
}

/// Reads up to `limit` bytes, and the rest of the frame with which they are passed. The body keeps what follows.
pub(super) async fn read_start(
    body: &mut EditedBody,
    limit: usize,
    held: &Held,
) -> Result<Bytes, FailureClass> {
    let mut start = BytesMut::new();
    while start.len() <= limit
        && let Some(frame) = body.frame().await
    {
        let Ok(data) = frame.map_err(|error| body_failure(&*error))?.into_data() else { continue };
        if !held.add(data.len()) {
            return Err(FailureClass::TooLarge);
        }
        if start.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        start.extend_from_slice(&data);
    }
    Ok(start.freeze())
}

/// Reads a whole answer of at most `limit` bytes.
pub(super) async fn read_whole(
    mut body: EditedBody,
    limit: usize,
    held: &Held,
) -> Result<Bytes, FailureClass> {
    let whole = read_start(&mut body, limit, held).await?;
    if whole.len() > limit { Err(FailureClass::TooLarge) } else { Ok(whole) }
}

/// The head of a request with the gateway's own body.
pub(super) fn json_head(head: &Request<()>) -> Request<()> {
    let mut own = Request::new(());
    *own.uri_mut() = head.uri().clone();
    *own.headers_mut() = head.headers().clone();
    own.headers_mut().insert(header::CONTENT_TYPE, JSON);
    own
}

/// The head of a request of the gateway's own: nothing of the client's but its host, path and request id.
pub(super) fn own_head(head: &Request<()>) -> Request<()> {
    let mut own = Request::new(());
    own.headers_mut().insert(header::CONTENT_TYPE, JSON);
    *own.uri_mut() = head.uri().clone();
    for name in [header::HOST, header::VIA, names::X_REQUEST_ID] {
        if let Some(value) = head.headers().get(&name) {
            own.headers_mut().insert(name, value.clone());
        }
    }
    own
}

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Longest wait for the answer to a request of the gateway's own.
pub(super) const OWN_TIMEOUT: Duration = Duration::from_secs(5);
