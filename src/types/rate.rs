use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// So many of something in a time, as people write it: `10/min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many; 0 is no limit.
    pub count: u32,
    /// In which time.
    pub period: Duration,
}

/// Not a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a rate such as 10/min (a whole number per s, min or h), or off")]
pub struct RateError;

// === impl Rate ===

impl Rate {
    /// No limit.
    pub const OFF: Self = Self { count: 0, period: Duration::from_secs(60) };

    /// So many per minute.
    pub const fn per_minute(count: u32) -> Self {
        Self { count, period: Duration::from_secs(60) }
    }

    /// Whether there is no limit.
    pub fn is_off(&self) -> bool {
        self.count == 0
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        if text == "off" {
            return Ok(Self::OFF);
        }
        let (count, unit) = text.split_once('/').ok_or(RateError)?;
        let seconds = PERIODS.iter().find(|(name, _)| *name == unit).ok_or(RateError)?.1;
        let is_plain = count.bytes().all(|digit| digit.is_ascii_digit());
        match count.parse() {
            Ok(count @ 1..) if is_plain => Ok(Self { count, period: Duration::from_secs(seconds) }),
            _ => Err(RateError),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = PERIODS.iter().find(|(_, seconds)| *seconds == self.period.as_secs());
        match unit {
            Some((unit, _)) if !self.is_off() => write!(f, "{}/{unit}", self.count),
            _ => f.write_str("off"),
        }
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// Units in seconds.
const PERIODS: [(&str, u64); 3] = [("s", 1), ("min", 60), ("h", 3600)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_they_are_written() {
        for text in ["10/min", "1/s", "4294967295/h", "off"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        assert_eq!("10/min".parse(), Ok(Rate::per_minute(10)));
        for bad in
            ["", "10", "10/m", "0/min", "+1/min", "1.5/s", "10 /min", "10/min ", "4294967296/h", "/s", "Off"]
        {
            assert_eq!(bad.parse::<Rate>(), Err(RateError), "{bad}");
        }
    }
}
