//! One Prometheus registry for the process. Each module defines and registers its own families. Values that live
//! elsewhere (snapshots, atomics) are read when the page is scraped, so that they cost a request nothing.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, EncodeMetric,
        prometheus_text,
    },
    metrics::{TypedMetric, counter::ConstCounter, gauge::ConstGauge},
};

pub use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// The metrics page. The names of its families begin with `fedgate_`.
#[derive(Debug)]
pub struct Metrics(Registry);

/// Where a closure given to [`collect`] writes its families.
pub struct Families<'a>(DescriptorEncoder<'a>);

/// A closure that runs at each scrape.
struct OnScrape<F>(F);

// === impl Metrics ===

impl Metrics {
    /// The content type of [`Metrics::render`].
    pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

    /// A page with the binary's version and what `register` adds.
    pub fn new(register: impl FnOnce(&mut Registry)) -> Self {
        let mut registry = Registry::with_prefix("fedgate");
        collect(&mut registry, |families| {
            let version = [("version", env!("CARGO_PKG_VERSION"))];
            families.gauges("build_info", "Version of the running binary.", [(version, 1_u64)])
        });
        register(&mut registry);
        Self(registry)
    }

    /// The page in Prometheus' text format 0.0.4.
    pub fn render(&self) -> String {
        let mut text = String::new();
        if let Err(error) = prometheus_text::encode(&mut text, &self.0) {
            // Writing to a string cannot fail, so this is a family that cannot be expressed.
            tracing::error!(%error, "the metrics page is incomplete");
        }
        text
    }
}

// === impl Families ===

impl Families<'_> {
    /// A gauge without labels.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        let gauge = ConstGauge::new(value);
        gauge.encode(self.0.encode_descriptor(name, help, None, gauge.metric_type())?)
    }

    /// A family of gauges.
    pub fn gauges<L: EncodeLabelSet, N: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, N)>,
    ) -> fmt::Result {
        self.family(name, help, samples.into_iter().map(|(labels, value)| (labels, ConstGauge::new(value))))
    }

    /// A family of counters, whose `name` is without `_total`.
    pub fn counters<L: EncodeLabelSet, N: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, N)>,
    ) -> fmt::Result {
        self.family(name, help, samples.into_iter().map(|(labels, value)| (labels, ConstCounter::new(value))))
    }

    fn family<L: EncodeLabelSet, M: EncodeMetric + TypedMetric>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl Iterator<Item = (L, M)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, M::TYPE)?;
        for (labels, metric) in samples {
            metric.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

// === impl OnScrape ===

impl<F> Collector for OnScrape<F>
where
    F: Fn(&mut Families<'_>) -> fmt::Result + Send + Sync + 'static,
{
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        (self.0)(&mut Families(encoder))
    }
}

impl<F> fmt::Debug for OnScrape<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnScrape")
    }
}

/// Registers families that are computed at each scrape, in the order of registration.
pub fn collect(
    registry: &mut Registry,
    write: impl Fn(&mut Families<'_>) -> fmt::Result + Send + Sync + 'static,
) {
    registry.register_collector(Box::new(OnScrape(write)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_types_and_help_are_those_of_the_text_format() {
        let counter: Counter = Counter::default();
        counter.inc();
        let metrics = Metrics::new(|registry| {
            registry.register("plain", "A counter", counter.clone());
            collect(registry, |families| {
                families.gauge("size", "A gauge.", 7_u64)?;
                families.counters("seen", "By name.", [([("name", "a\"b\\c\nd")], 3_u64)])
            });
        });
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            metrics.render(),
            format!(
                r#"# HELP fedgate_plain_total A counter.
# TYPE fedgate_plain_total counter
fedgate_plain_total 1
# HELP fedgate_build_info Version of the running binary.
# TYPE fedgate_build_info gauge
fedgate_build_info{{version="{version}"}} 1
# HELP fedgate_size A gauge.
# TYPE fedgate_size gauge
fedgate_size 7
# HELP fedgate_seen_total By name.
# TYPE fedgate_seen_total counter
fedgate_seen_total{{name="a\"b\\c\nd"}} 3
"#
            )
        );
    }
}
