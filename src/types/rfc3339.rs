//! Instants as text, in UTC (RFC 3339).

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// `2026-11-24T05:49:37Z` for seconds since the Unix epoch; `None` outside the years 0 to 9999.
pub fn format(unix_seconds: i64) -> Option<String> {
    OffsetDateTime::from_unix_timestamp(unix_seconds).ok()?.format(&Rfc3339).ok()
}

/// Seconds since the Unix epoch, without their fraction.
pub fn parse(text: &str) -> Option<i64> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp)
}
