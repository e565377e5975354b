use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::{Merge, Terms, stream};
use crate::{
    error::Reply,
    member::{self, Outcome},
    types::{ClusterName, FailureClass},
    wire::{self, Body, ConcatBody},
};

/// Builds the response from what became of each member.
pub(super) fn answer(mut merge: Merge, terms: Terms) -> Response<Body> {
    let failures: Vec<(ClusterName, FailureClass)> =
        merge.slots.iter().filter_map(|slot| Some((slot.name.clone(), slot.failure()?))).collect();
    let complete = failures.is_empty();
    let outcomes: Vec<(&ClusterName, Outcome)> = merge
        .slots
        .iter()
        .map(|slot| (&slot.name, slot.failure().map_or(Outcome::Answered(StatusCode::OK), Outcome::Failed)))
        .collect();
    let mut headers = HeaderMap::with_capacity(2);
    member::insert_headers(&mut headers, &outcomes);
    let none = failures.len() == merge.slots.len();

    let mut response = if none && let Some(status) = passed_on(&merge, terms) {
        if status == StatusCode::UNAUTHORIZED && !terms.api_key {
            token_refused()
        } else {
            refusal(merge, status)
        }
    } else if (none && !terms.resumed) || (terms.strict && !complete) {
        failure(&failures, merge.slots.len())
    } else {
        merge.commit();
        list(merge)
    };
    response.headers_mut().extend(headers);
    response
}

/// The status that is passed on: the 4xx that all members gave. For an API key, what the cluster that issued it gave.
///
/// On a later page only the refusal of the key itself: the members of earlier pages gave none.
fn passed_on(merge: &Merge, terms: Terms) -> Option<StatusCode> {
    if terms.resumed {
        let local = merge.slots.iter().find(|slot| slot.name.is_local())?.refusal()?.status;
        return Some(local).filter(|status| terms.api_key && *status == StatusCode::UNAUTHORIZED);
    }
    if terms.api_key {
        let mut asked = merge.slots.iter().filter_map(|slot| slot.refusal()).map(|refusal| refusal.status);
        return asked.next().filter(StatusCode::is_client_error);
    }
    let mut statuses = merge.slots.iter().map(|slot| slot.refusal().map(|r| r.status));
    let first = statuses.next()??;
    let same = statuses.all(|status| status == Some(first));
    (same && first.is_client_error()).then_some(first)
}

/// Every cluster refused a token that the gateway has verified: its clock or its keys are behind. In Sensu's words, after
/// which clients get themselves a new one.
fn token_refused() -> Response<Body> {
    wire::reply(&Reply::middleware(StatusCode::UNAUTHORIZED, 5, "invalid credentials"))
}

/// The first member's refusal with that status, in its own words.
fn refusal(merge: Merge, status: StatusCode) -> Response<Body> {
    let refusal = merge.slots.into_iter().filter_map(super::Slot::into_refusal).find(|r| r.status == status);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if let Some(refusal) = refusal {
        for name in [header::CONTENT_TYPE, header::X_CONTENT_TYPE_OPTIONS] {
            if let Some(value) = refusal.headers.get(&name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        *response.body_mut() = Body::full(refusal.body);
    }
    response
}

fn failure(failures: &[(ClusterName, FailureClass)], members: usize) -> Response<Body> {
    let timeouts = failures.iter().all(|(_, failure)| *failure == FailureClass::Timeout);
    let status = if timeouts { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::BAD_GATEWAY };
    let message = if failures.len() == members {
        "no cluster answered with a list".to_owned()
    } else {
        format!("{} of {members} clusters failed, and a partial list was not wanted", failures.len())
    };
    let clusters: serde_json::Map<String, serde_json::Value> =
        failures.iter().map(|(name, failure)| (name.to_string(), failure.as_str().into())).collect();
    let body = serde_json::json!({ "message": message, "code": 0, "clusters": clusters });
    wire::json(status, body.to_string())
}

fn list(mut merge: Merge) -> Response<Body> {
    let whole = merge.slots.iter().all(|slot| slot.is_complete() || slot.failure().is_some());
    let bytes: usize = merge.slots.iter().map(super::Slot::buffered).sum();
    let body = if whole && bytes <= SHORT { Body::boxed(join(&mut merge)) } else { stream::body(merge) };
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Adds brackets and commas without copying an item.
fn join(merge: &mut Merge) -> ConcatBody {
    let fixed = |bytes| Body::full(Bytes::from_static(bytes));
    let mut parts = vec![fixed(b"[")];
    for slot in &mut merge.slots {
        let mut first = parts.len() > 1;
        while let Some(bytes) = slot.dequeue() {
            if std::mem::take(&mut first) {
                parts.push(fixed(b","));
            }
            parts.push(Body::full(bytes));
        }
    }
    parts.push(fixed(b"]"));
    parts.into_iter().collect()
}

/// A list up to this size is sent as a whole with its length. A longer one is streamed by a task, which gives up on a client
/// that stops reading.
const SHORT: usize = 64 * 1024;
