use std::fmt::Write as _;

use http::{HeaderValue, StatusCode};

use crate::types::ClusterName;

/// Why a member has no part in the answer. The names are those of `Fedgate-Clusters`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection to any of its backends, or it was dropped without an answer.
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
/// Past [`MAX_HEADER`] only failures are listed, past that again the last item says how many were left out.
pub(super) fn clusters_header(outcomes: &[(&ClusterName, Outcome)]) -> HeaderValue {
    let full = render(outcomes.iter(), outcomes.len());
    let text = if full.len() <= MAX_HEADER {
        full
    } else {
        let failed: Vec<_> = outcomes.iter().filter(|(_, o)| matches!(o, Outcome::Failed(_))).collect();
        let total = failed.len();
        render(failed.into_iter(), total)
    };
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn render<'a>(outcomes: impl Iterator<Item = &'a (&'a ClusterName, Outcome)>, total: usize) -> String {
    let mut text = String::new();
    for (written, (name, outcome)) in outcomes.enumerate() {
        let separator = if written == 0 { "" } else { ", " };
        let item = match outcome {
            Outcome::Answered(status) => format!("{separator}\"{name}\";status={}", status.as_u16()),
            Outcome::Failed(failure) => format!("{separator}\"{name}\";error={}", failure.as_str()),
        };
        let left = total - written;
        // Room must stay for the item that counts the rest.
        if text.len() + item.len() + OMITTED_ROOM > MAX_HEADER && left > 1 {
            let _ = write!(text, "{separator}\"*\";omitted={left}");
            return text;
        }
        text.push_str(&item);
    }
    text
}

/// Longest `Fedgate-Clusters` value, in bytes: half of what common proxies accept for a whole head.
const MAX_HEADER: usize = 4096;

const OMITTED_ROOM: usize = 24;
