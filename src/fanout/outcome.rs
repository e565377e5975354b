use std::{error::Error, fmt::Write as _};

use http::{HeaderValue, StatusCode};

use crate::{error::causes, types::ClusterName, upstream};

/// Why a member has no part in the answer. The names are those of `Fedgate-Clusters`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection to any of its backends, all of them fail their health checks, or it was dropped without an answer.
    Unreachable,
    /// It did not answer in time.
    Timeout,
    /// Its certificate was refused, or the handshake failed.
    Tls,
    /// It answered 401.
    Unauthorized,
    /// It answered 403.
    Forbidden,
    /// It answered 404.
    NotFound,
    /// It answered 5xx, or something else that is no list.
    ServerError,
    /// Its body is no JSON list, or broke off.
    BadBody,
    /// Its body is larger than `max_member_bytes`.
    TooLarge,
    /// It was not asked: connecting failed several times in a row, and it is too early to try again.
    BreakerOpen,
}

/// What one member came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its items are in the answer. The status that it sent.
    Answered(StatusCode),
    /// Its items are missing.
    Failed(Failure),
}

// === impl Failure ===

impl Failure {
    /// What a body that broke off, or was not what it should be, says about its cluster.
    pub fn of_body(error: &(dyn Error + 'static)) -> Self {
        let found = causes(error).find_map(|cause| cause.downcast_ref::<upstream::Error>());
        if found.is_some_and(|error| error.class() == "timeout") { Self::Timeout } else { Self::BadBody }
    }

    /// The name in `Fedgate-Clusters` and in error bodies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::ServerError => "server-error",
            Self::BadBody => "bad-body",
            Self::TooLarge => "too-large",
            Self::BreakerOpen => "breaker-open",
        }
    }

    /// The failure that an answer other than 200 stands for.
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthorized,
            StatusCode::FORBIDDEN => Self::Forbidden,
            StatusCode::NOT_FOUND => Self::NotFound,
            _ => Self::ServerError,
        }
    }
}

/// `Fedgate-Clusters`: an RFC 9651 list of strings with a parameter each. Names need no escaping.
///
/// Past 4 KiB only failures are listed, past that again the last item says how many were left out.
pub fn clusters_header(outcomes: &[(&ClusterName, Outcome)]) -> HeaderValue {
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

/// As many items as fit, and how many did not.
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
            if failed(n) { Outcome::Failed(Failure::Timeout) } else { Outcome::Answered(StatusCode::OK) }
        };
        let outcomes: Vec<_> = names.iter().enumerate().map(|(n, name)| (name, outcome(n))).collect();
        clusters_header(&outcomes).to_str().unwrap().to_owned()
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
