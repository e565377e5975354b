//! Which literals Sensu reads for the scalars of its own.

use apollo_compiler::ast::Value;

/// Whether Sensu reads a literal for the scalar of this name. One that it is not known to read is left to the cluster.
pub(super) fn is_literal(scalar: &str, value: &Value) -> bool {
    match (scalar, value) {
        ("DateTime", Value::String(text)) => is_rfc3339(text),
        ("Uint", Value::String(text)) => is_uint(text),
        ("Uint", Value::Int(number)) => is_uint(number.as_str()),
        ("JSON", Value::String(_) | Value::Boolean(_) | Value::Float(_)) => true,
        ("JSON", Value::Int(number)) => number.as_str().parse::<i32>().is_ok(),
        _ => false,
    }
}

fn is_uint(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u32>().is_ok()
}

/// A time such as `2006-01-02T15:04:05.9+07:00`.
fn is_rfc3339(text: &str) -> bool {
    let number = |range: std::ops::Range<usize>| -> Option<u32> {
        let digits = text.get(range)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let has = |at: usize, byte: u8| text.as_bytes().get(at) == Some(&byte);
    let date = || {
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            1..=12 => 31,
            _ => return None,
        };
        let time = number(11..13)? < 24 && number(14..16)? < 60 && number(17..19)? < 60;
        (time && (1..=days).contains(&day)).then_some(())
    };
    let separated = has(4, b'-') && has(7, b'-') && has(10, b'T') && has(13, b':') && has(16, b':');
    if date().is_none() || !separated {
        return false;
    }
    let mut rest = &text[19..];
    if let Some(fraction) = rest.strip_prefix('.') {
        rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
        if rest.len() == fraction.len() {
            return false;
        }
    }
    let zone = rest.strip_prefix(['+', '-']).and_then(|zone| zone.split_once(':'));
    let part = |text: &str, below: u32| {
        text.len() == 2
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && text.parse::<u32>().is_ok_and(|n| n < below)
    };
    rest == "Z" || zone.is_some_and(|(hours, minutes)| part(hours, 24) && part(minutes, 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_go_reads_them() {
        for good in ["2006-01-02T15:04:05Z", "2024-02-29T00:00:00.123+07:00", "0000-12-31T23:59:59-00:00"] {
            assert!(is_rfc3339(good), "{good}");
        }
        for bad in [
            "",
            "x",
            "2006-01-02",
            "2006-01-02 15:04:05Z",
            "2006-01-02T15:04:05",
            "2006-13-02T15:04:05Z",
            "2023-02-29T15:04:05Z",
            "2006-01-02T24:04:05Z",
            "2006-01-02T15:04:05.Z",
            "2006-01-02T15:04:05z",
            "2006-01-02T15:04:05+7:00",
            "+006-01-02T15:04:05Z",
        ] {
            assert!(!is_rfc3339(bad), "{bad}");
        }
    }
}
