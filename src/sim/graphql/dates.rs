//! Times: seconds since 1970 on one side, RFC 3339 on the other.

/// A Unix time in UTC; `None` outside of the years 0 to 9999.
pub(super) fn format(unix: i64) -> Option<String> {
    let (days, seconds) = (unix.div_euclid(DAY), unix.rem_euclid(DAY));
    if !(-719_528..=2_932_896).contains(&days) {
        return None;
    }
    // Eras of 400 years that begin on the first of March of the year 0.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

/// The Unix time of an RFC 3339 text; fractions of a second are dropped.
pub(super) fn parse(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| {
        let digits = text.get(range)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<i64>().ok())?
    };
    let sign = |at: usize, wanted: &[u8]| text.as_bytes().get(at).filter(|b| wanted.contains(b));
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    for (at, wanted) in [(4, b"-"), (7, b"-"), (10, b"T"), (13, b":"), (16, b":")] {
        sign(at, wanted)?;
    }
    let in_range = (1..=12).contains(&month) && (1..=31).contains(&day);
    if !in_range || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let rest = text.get(19..)?;
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    let offset = zone(rest)?;
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let midnight = (era * 146_097 + day_of_era - 719_468) * DAY;
    // A day that its month does not have is another one.
    let is_day = format(midnight)?.get(..10) == text.get(..10);
    is_day.then_some(midnight + hour * 3600 + minute * 60 + second - offset)
}

/// `Z` or `±hh:mm`, in seconds east of Greenwich.
fn zone(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let seconds = hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60;
    match text.as_bytes().first()? {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

const DAY: i64 = 86_400;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_times_read_and_write() {
        assert_eq!(format(1_700_000_002).unwrap(), "2023-11-14T22:13:22Z");
        assert_eq!(format(0).unwrap(), "1970-01-01T00:00:00Z");
        assert_eq!(parse("2024-02-29T12:00:00.250+02:00"), Some(1_709_200_800));
        assert_eq!(format(9_007_199_254_740_993), None);
        assert_eq!(parse("tomorrow"), None);
        for never in ["2024-13-01", "2023-02-29", "2024-02-30", "2024-04-31", "2024-01-00"] {
            assert_eq!(parse(&format!("{never}T00:00:00Z")), None, "{never}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(unix in -62_167_219_200i64..253_402_300_799) {
            prop_assert_eq!(parse(&format(unix).unwrap()), Some(unix));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,30}|[0-9TZ:.+-]{0,30}") {
            let _ = parse(&text);
        }
    }
}
