use std::{error::Error, fmt::Write as _};

use http::{HeaderMap, HeaderValue, StatusCode};

use crate::{
    error::causes,
    types::{ClusterName, FailureClass},
    upstream,
    wire::header as names,
};

/// What became of one member's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its part is in the answer. The status that it sent.
    Answered(StatusCode),
    /// Its part is missing.
    Failed(FailureClass),
}

/// The class of a body that broke off or was not what it should be.
pub fn body_failure(error: &(dyn Error + 'static)) -> FailureClass {
    let found = causes(error).find_map(|cause| cause.downcast_ref::<upstream::Error>());
    let timed_out = found.is_some_and(|error| error.class() == FailureClass::Timeout);
    if timed_out { FailureClass::Timeout } else { FailureClass::BadBody }
}

/// Says in an answer's head what became of each member: `Fedgate-Complete` and `Fedgate-Clusters`.
pub fn insert_headers(headers: &mut HeaderMap, outcomes: &[(&ClusterName, Outcome)]) {
    let is_complete = outcomes.iter().all(|(_, outcome)| matches!(outcome, Outcome::Answered(_)));
    headers.insert(names::FEDGATE_COMPLETE, complete(is_complete));
    headers.insert(names::FEDGATE_CLUSTERS, clusters(outcomes));
}

/// Takes back that an answer is complete, if it says so: there may be clusters that were not asked.
pub fn mark_incomplete(headers: &mut HeaderMap) {
    if let Some(value) = headers.get_mut(names::FEDGATE_COMPLETE) {
        *value = complete(false);
    }
}

fn complete(is_complete: bool) -> HeaderValue {
    HeaderValue::from_static(if is_complete { "true" } else { "false" })
}

/// `Fedgate-Clusters`: an RFC 9651 list of strings with a parameter each. Names need no escaping.
///
/// Past 4 KiB only failures are listed; if these are too many, too, the last item says how many were left out.
fn clusters(outcomes: &[(&ClusterName, Outcome)]) -> HeaderValue {
    let items = |failures_only: bool| {
        outcomes
            .iter()
            .filter(move |(_, outcome)| !failures_only || matches!(outcome, Outcome::Failed(_)))
            .map(|(name, outcome)| match outcome {
                Outcome::Answered(status) => format!("\"{name}\";status={}", status.as_u16()),
                Outcome::Failed(failure) => format!("\"{name}\";error={}", failure.as_str()),
            })
    };
    let all = items(false).collect::<Vec<_>>().join(", ");
    let text = if all.len() <= MAX_HEADER { all } else { truncated(items(true).collect()) };
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// As many items as fit, and the number of those that do not.
fn truncated(items: Vec<String>) -> String {
    let mut text = String::new();
    let mut left = items.len();
    for item in items {
        let room = if left == 1 { MAX_HEADER } else { MAX_HEADER - OMITTED_ROOM };
        let separator = if text.is_empty() { "" } else { ", " };
        if text.len() + separator.len() + item.len() > room {
            let _ = write!(text, "{separator}\"*\";omitted={left}");
            break;
        }
        text.push_str(separator);
        text.push_str(&item);
        left -= 1;
    }
    text
}

/// Longest `Fedgate-Clusters` value, in bytes: half of what common proxies accept for a whole head.
const MAX_HEADER: usize = 4096;

const OMITTED_ROOM: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(failed: impl Fn(usize) -> bool) -> String {
        let names: Vec<ClusterName> =
            (0..256).map(|n| format!("{}-{n}", "cluster".repeat(6)).parse().unwrap()).collect();
        let outcome = |n| {
            if failed(n) { Outcome::Failed(FailureClass::Timeout) } else { Outcome::Answered(StatusCode::OK) }
        };
        let outcomes: Vec<_> = names.iter().enumerate().map(|(n, name)| (name, outcome(n))).collect();
        clusters(&outcomes).to_str().unwrap().to_owned()
    }

    #[test]
    fn past_the_limit_only_failures_are_listed() {
        let text = header(|n| n == 255);
        assert!(text.starts_with('"') && text.ends_with("-255\";error=timeout"), "{text}");
        assert!(!text.contains("status="));
    }

    #[test]
    fn past_that_again_the_rest_is_counted() {
        let text = header(|_| true);
        assert!(text.len() <= MAX_HEADER);
        let (listed, omitted) = text.rsplit_once(", \"*\";omitted=").unwrap();
        assert_eq!(listed.matches("error=timeout").count() + omitted.parse::<usize>().unwrap(), 256);
    }
}
