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
    /// It was not asked: there are more members than a fan-out may have.
    Omitted,
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

/// Takes back that an answer is complete, if it says so: the registry was not read yet, so there may be clusters that
/// nobody has asked.
pub fn mark_incomplete(headers: &mut HeaderMap) {
    let Some(value) = headers.get_mut(names::FEDGATE_COMPLETE) else { return };
    *value = complete(false);
    let listed =
        headers.get(names::FEDGATE_CLUSTERS).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let separator = if listed.is_empty() { "" } else { ", " };
    if let Ok(value) = HeaderValue::try_from(format!("{listed}{separator}{UNREAD}")) {
        headers.insert(names::FEDGATE_CLUSTERS, value);
    }
}

fn complete(is_complete: bool) -> HeaderValue {
    HeaderValue::from_static(if is_complete { "true" } else { "false" })
}

/// `Fedgate-Clusters`: an RFC 9651 list of strings with a parameter each. Names need no escaping.
///
/// Past 4 KiB only failures are listed; if these are too many, too, the last item says how many were left out. Those
/// that were not asked are never listed, but counted.
fn clusters(outcomes: &[(&ClusterName, Outcome)]) -> HeaderValue {
    let items = |failures_only: bool| {
        outcomes
            .iter()
            .filter(move |(_, outcome)| !failures_only || matches!(outcome, Outcome::Failed(_)))
            .filter_map(|(name, outcome)| match outcome {
                Outcome::Answered(status) => Some(format!("\"{name}\";status={}", status.as_u16())),
                Outcome::Failed(failure) => Some(format!("\"{name}\";error={}", failure.as_str())),
                Outcome::Omitted => None,
            })
    };
    let omitted = outcomes.iter().filter(|(_, outcome)| *outcome == Outcome::Omitted).count();
    let room = MAX_HEADER - if omitted == 0 { 0 } else { OMITTED_ROOM };
    let all: Vec<String> = items(false).collect();
    let length: usize = all.iter().map(|item| item.len() + ", ".len()).sum();
    let listed = if length <= room + ", ".len() { all } else { items(true).collect() };
    let text = truncated(listed, omitted);
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// As many items as fit, and the number of those that do not; `omitted` are left out anyway.
fn truncated(items: Vec<String>, omitted: usize) -> String {
    let mut text = String::new();
    let mut left = items.len() + omitted;
    for item in items {
        let room = if left == 1 { MAX_HEADER } else { MAX_HEADER - OMITTED_ROOM };
        let separator = if text.is_empty() { "" } else { ", " };
        if text.len() + separator.len() + item.len() > room {
            break;
        }
        text.push_str(separator);
        text.push_str(&item);
        left -= 1;
    }
    if left > 0 {
        let separator = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{separator}\"*\";omitted={left}");
    }
    text
}

/// What stands for the clusters of a registry that was not read yet.
const UNREAD: &str = "\"*\";error=unreachable";

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
    fn those_that_were_not_asked_are_counted_and_make_it_incomplete() {
        let names: Vec<ClusterName> = (0..200).map(|n| format!("c{n}").parse().unwrap()).collect();
        for (asked, failed) in [(3, 0), (150, 0), (150, 150), (200, 200)] {
            let outcomes: Vec<_> = names
                .iter()
                .enumerate()
                .map(|(n, name)| match n {
                    n if n >= asked => (name, Outcome::Omitted),
                    n if n < failed => (name, Outcome::Failed(FailureClass::Unreachable)),
                    _ => (name, Outcome::Answered(StatusCode::OK)),
                })
                .collect();
            let mut headers = HeaderMap::new();
            insert_headers(&mut headers, &outcomes);
            assert_eq!(headers["fedgate-complete"] == "true", asked == 200 && failed == 0);
            let text = headers["fedgate-clusters"].to_str().unwrap();
            assert!(text.len() <= MAX_HEADER, "{}", text.len());
            let (listed, omitted) = text.rsplit_once("\"*\";omitted=").unwrap();
            let errors = listed.matches("error=").count();
            assert_eq!(omitted.parse::<usize>().unwrap() + errors, 200 - asked + failed, "{text}");
        }
    }

    #[test]
    fn an_unread_registry_is_said_after_the_clusters() {
        let local = ClusterName::local();
        let mut headers = HeaderMap::new();
        mark_incomplete(&mut headers);
        assert!(headers.is_empty(), "an answer that is no fan-out's says nothing");
        insert_headers(&mut headers, &[(&local, Outcome::Answered(StatusCode::OK))]);
        mark_incomplete(&mut headers);
        assert_eq!(headers["fedgate-complete"], "false");
        assert_eq!(headers["fedgate-clusters"], r#""local-cluster";status=200, "*";error=unreachable"#);
    }

    #[test]
    fn past_that_again_the_rest_is_counted() {
        let text = header(|_| true);
        assert!(text.len() <= MAX_HEADER);
        let (listed, omitted) = text.rsplit_once(", \"*\";omitted=").unwrap();
        assert_eq!(listed.matches("error=timeout").count() + omitted.parse::<usize>().unwrap(), 256);
    }
}
