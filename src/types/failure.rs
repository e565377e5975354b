use std::fmt;

use http::StatusCode;

/// Why a cluster gave no usable answer: one word for clients, metrics and the log.
///
/// The names are those of `Fedgate-Clusters`, and part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// It gave no answer: a connection was refused, reset, or closed before the head of an answer.
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
    /// It answered 5xx, another status that is not an answer, or something that is not HTTP.
    ServerError,
    /// Its body is not what was asked for, or broke off.
    BadBody,
    /// Its body is larger than the gateway accepts.
    TooLarge,
    /// It was not asked: connecting failed several times in a row, and it is too early to try again.
    BreakerOpen,
}

// === impl FailureClass ===

impl FailureClass {
    /// Every class, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Unreachable,
        Self::Timeout,
        Self::Tls,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::ServerError,
        Self::BadBody,
        Self::TooLarge,
        Self::BreakerOpen,
    ];

    /// The name in `Fedgate-Clusters`, in error bodies and in metrics.
    pub const fn as_str(self) -> &'static str {
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

    /// Whether it is the cluster that failed, whoever asked: the others say something about one caller or one answer.
    pub const fn is_outage(self) -> bool {
        matches!(self, Self::Unreachable | Self::Timeout | Self::Tls | Self::BreakerOpen)
    }

    /// What an answer of this status, other than the one expected, stands for.
    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthorized,
            StatusCode::FORBIDDEN => Self::Forbidden,
            StatusCode::NOT_FOUND => Self::NotFound,
            _ => Self::ServerError,
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_where_its_number_says() {
        for (index, class) in FailureClass::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, index, "{class}");
        }
    }
}
