//! Instants as people read them, in UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
    let (days, seconds) = (unix_seconds.div_euclid(DAY), unix_seconds.rem_euclid(DAY));
    let (year, month, day) = date(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Reads an RFC 3339 instant as Unix seconds.
pub(super) fn parse(text: &str) -> Option<i64> {
    let (day, rest) = text.split_once(['T', 't', ' '])?;
    let mut date = day.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = rest.split_at(zone_at);
    let mut clock = clock.splitn(3, ':').map(|part| part.split('.').next()?.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let offset = match zone.chars().next()? {
        'Z' | 'z' => 0,
        sign => {
            let (hours, minutes) = zone[1..].split_once(':')?;
            let seconds = hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60;
            if sign == '-' { -seconds } else { seconds }
        }
    };
    let legal = (1..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    legal.then(|| days(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset)
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

/// Year, month and day of a day counted from 1970-01-01 (proleptic Gregorian calendar).
fn date(days: i64) -> (i64, i64, i64) {
    // Counted from the first of March of the year 0, leap days come last in a year.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The inverse of [`date`].
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Seconds of a day.
const DAY: i64 = 86_400;

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
