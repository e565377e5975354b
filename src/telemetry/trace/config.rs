use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::types::Backend;

/// `tracing`: where spans of requests and of replication go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Config {
    /// The base URL of a collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`. Without it nothing is
    /// recorded.
    pub otlp_endpoint: Option<Backend>,
    /// The part of new traces that is recorded; clients that bring a trace decide about theirs.
    pub sample_ratio: Ratio,
}

/// A number from 0 to 1, to six digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio(u32);

// === impl Ratio ===

impl Ratio {
    /// `None` outside of 0 to 1.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 0 to a million")]
    pub fn new(value: f64) -> Option<Self> {
        (0.0..=1.0).contains(&value).then(|| Self((value * f64::from(ONE)).round() as u32))
    }

    /// As a number.
    pub fn get(self) -> f64 {
        f64::from(self.0) / f64::from(ONE)
    }
}

impl Default for Ratio {
    fn default() -> Self {
        Self(ONE)
    }
}

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(self.get())
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Number)
    }
}

struct Number;

impl de::Visitor<'_> for Number {
    type Value = Ratio;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("must be a number from 0 to 1, such as 0.1")
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Ratio, E> {
        Ratio::new(value).ok_or_else(|| E::invalid_type(de::Unexpected::Float(value), &self))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Ratio, E> {
        self.visit_f64(if value > 1 { f64::NAN } else { f64::from(u8::from(value == 1)) })
    }
}

const ONE: u32 = 1_000_000;
