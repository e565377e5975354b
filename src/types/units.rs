//! Durations, sizes and addresses as people write them, and their serde helpers.

use std::{fmt::Display, net::SocketAddr, time::Duration};

use serde::{
    Deserialize, Deserializer, Serializer,
    de::{self, Visitor},
};

/// Why a duration or a size was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// No whole number with one of the units, or too large.
    #[error("must be a duration such as 10s (a whole number with ms, s, m or h)")]
    Duration,
    /// Neither `off` nor such a duration.
    #[error("must be off, or a duration such as 1h (a whole number with ms, s, m or h)")]
    DurationOrOff,
    /// No whole number, another unit, or too large.
    #[error("must be a size such as 64KiB (a whole number of bytes, or with KiB, MiB, GiB, KB, MB or GB)")]
    Size,
}

/// Parses `250ms`, `10s`, `2m` or `1h`.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let (number, unit) = split(text).ok_or(UnitError::Duration)?;
    let scale = DURATIONS.iter().find(|(name, _)| *name == unit).ok_or(UnitError::Duration)?.1;
    number.checked_mul(scale).map(Duration::from_millis).ok_or(UnitError::Duration)
}

/// Writes a duration of whole milliseconds so that [`parse_duration`] reads the same one: in the largest unit
/// that divides it.
pub fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    show(millis, &DURATIONS)
}

/// Parses `512000`, `64KiB`, `1MiB`, `1GiB`, `1KB` (1000 bytes), `1MB` or `1GB`.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let (number, unit) = split(text).ok_or(UnitError::Size)?;
    let scale = BINARY_SIZES
        .iter()
        .chain(&DECIMAL_SIZES)
        .find(|(name, _)| *name == unit)
        .map(|(_, scale)| *scale)
        .ok_or(UnitError::Size)?;
    number.checked_mul(scale).ok_or(UnitError::Size)
}

/// Writes a size so that [`parse_size`] reads the same one: in the largest binary unit that divides it.
pub fn show_size(bytes: u64) -> String {
    show(bytes, &BINARY_SIZES)
}

/// `#[serde(with)]` for durations.
pub mod duration {
    use super::{Deserializer, Duration, Serializer, Words, parse_duration, show_duration};

    /// In the largest unit that divides it.
    pub fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&show_duration(*value))
    }

    /// From a text such as `10s`.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        from.deserialize_any(Words(parse_duration))
    }
}

/// `#[serde(with)]` for durations that may be `off`.
pub mod duration_or_off {
    use super::{Deserializer, Duration, Serializer, UnitError, Words, parse_duration, show_duration};

    /// In the largest unit that divides it.
    pub fn serialize<S: Serializer>(value: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.serialize_str(&show_duration(*value)),
            None => to.serialize_str("off"),
        }
    }

    /// From `off` or a text such as `10s`.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        from.deserialize_any(Words(|text| match text {
            "off" => Ok(None),
            text => parse_duration(text).map(Some).map_err(|_| UnitError::DurationOrOff),
        }))
    }
}

/// `#[serde(with)]` for sizes in bytes, of any integer type.
pub mod size {
    use super::{Deserializer, Serializer, UnitError, Words, de, parse_size, show_size};

    /// In the largest binary unit that divides it.
    pub fn serialize<T, S>(value: &T, to: S) -> Result<S::Ok, S::Error>
    where
        T: Copy + TryInto<u64>,
        S: Serializer,
    {
        to.serialize_str(&show_size((*value).try_into().unwrap_or(u64::MAX)))
    }

    /// From a number of bytes or a text such as `64KiB`.
    pub fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: TryFrom<u64>,
        D: Deserializer<'de>,
    {
        let bytes = from.deserialize_any(Words(parse_size))?;
        T::try_from(bytes).map_err(|_| de::Error::custom(UnitError::Size))
    }
}

/// `#[serde(with)]` for an address to listen on.
pub mod address {
    use super::{Deserialize, Deserializer, Serializer, SocketAddr, de};

    /// As `address:port`.
    pub fn serialize<S: Serializer>(value: &SocketAddr, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    /// From `address:port`.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(|_| {
            de::Error::custom("must be an IP address and a port such as \"127.0.0.1:8080\" or \"[::]:8080\"")
        })
    }
}

/// Reads and writes types as the text that they parse from, so that an error is reported where the text stands.
macro_rules! serde_as_text {
    ($($kind:ty),*) => {
        $(impl<'de> serde::Deserialize<'de> for $kind {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl serde::Serialize for $kind {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        })*
    };
}

serde_as_text!(super::Backend, super::Cidr, super::ClusterName);

/// Reads a number or a text through one parser.
struct Words<T>(fn(&str) -> Result<T, UnitError>);

impl<T> Visitor<'_> for Words<T> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The parser's own error for an empty text says what it wants.
        match (self.0)("") {
            Err(wanted) => wanted.fmt(f),
            Ok(_) => Ok(()),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

/// Splits `10s` into 10 and `s`; only plain decimal digits.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

fn show(number: u64, units: &[(&str, u64)]) -> String {
    // The first unit is the largest and the last one is 1.
    let (unit, scale) =
        units.iter().find(|(_, scale)| number > 0 && number.is_multiple_of(*scale)).unwrap_or(&("", 1));
    format!("{}{unit}", number / scale)
}

/// Units of durations in milliseconds, largest first.
const DURATIONS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Units of sizes in bytes, largest first.
const BINARY_SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("", 1)];

/// Also read, never written.
const DECIMAL_SIZES: [(&str, u64); 3] = [("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1000)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_as_they_are_written() {
        for text in ["0s", "1ms", "1500ms", "10s", "2m", "1h", "90s"] {
            assert_eq!(show_duration(parse_duration(text).unwrap()), text);
        }
        for text in ["0", "1", "500KiB", "64KiB", "1MiB", "3GiB", "1025"] {
            assert_eq!(show_size(parse_size(text).unwrap()), text);
        }
        assert_eq!(parse_size("2KB"), Ok(2000));
        assert_eq!(parse_size("18446744073709551615KiB"), Err(UnitError::Size));
        assert_eq!(parse_duration("18446744073709551615h"), Err(UnitError::Duration));
        for bad in ["", "s", "1", "1.5s", "+1s", "1S", " 1s", "1s ", "1µs"] {
            assert_eq!(parse_duration(bad), Err(UnitError::Duration), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_duration_and_size_round_trips(number in 0..=u64::MAX / 4, scale in 0_u32..40) {
            let number = number >> scale;
            let duration = Duration::from_millis(number);
            proptest::prop_assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
            proptest::prop_assert_eq!(parse_size(&show_size(number)), Ok(number));
        }
    }
}
