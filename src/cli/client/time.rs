//! Instants as people read them, in UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::types::rfc3339;
pub(super) use crate::types::rfc3339::parse;

/// Seconds since the Unix epoch.
pub(super) fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}

/// `2026-11-24T05:49:37Z`; zero, which Sensu writes for never, is `N/A`.
pub(super) fn show(unix_seconds: i64) -> String {
    if unix_seconds == 0 {
        return "N/A".to_owned();
    }
    rfc3339::format(unix_seconds).unwrap_or_else(|| unix_seconds.to_string())
}

/// The largest unit or two: `45s`, `12m`, `3h05m`, `12d4h`.
pub(super) fn age(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn instants_are_shown_and_read() {
        assert_eq!(show(0), "N/A");
        assert_eq!(show(1_795_499_377), "2026-11-24T05:49:37Z");
        assert_eq!(show(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(parse("2026-11-24T05:49:37Z"), Some(1_795_499_377));
        assert_eq!(parse("2026-11-24T06:49:37.123456+01:00"), Some(1_795_499_377));
        for bad in
            ["", "today", "2026-11-24", "2026-13-01T00:00:00Z", "2026-11-24T05:49Z", "2026-11-24T05:49:37"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn ages_have_at_most_two_units() {
        let shown = |seconds| age(Duration::from_secs(seconds));
        assert_eq!(
            [shown(0), shown(61), shown(3 * 3600 + 300), shown(90_000)],
            ["0s", "1m", "3h05m", "1d1h"]
        );
    }

    proptest! {
        #[test]
        fn reading_undoes_showing(seconds in 1_i64..=253_402_300_799) {
            prop_assert_eq!(parse(&show(seconds)), Some(seconds));
        }

        #[test]
        fn no_text_is_too_odd_to_read(text in "[0-9TZ:+. -]{0,40}|.*") {
            let _ = parse(&text);
        }
    }
}
