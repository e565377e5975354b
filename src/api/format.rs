//! How the status writes times and numbers, and what all of it says alike.

use std::time::{Duration, SystemTime};

use crate::types::rfc3339 as utc;

/// In UTC, to the second.
pub(super) fn rfc3339(at: SystemTime) -> String {
    let since_epoch = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since_epoch.as_secs()).ok().and_then(utc::format).unwrap_or_default()
}

pub(super) fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// The error of what is stored by a newer gateway.
pub(super) const UNREADABLE: &str = "the stored resource cannot be read by this version of the gateway";
