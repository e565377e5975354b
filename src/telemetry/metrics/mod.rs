//! The page that Prometheus scrapes. Each module defines and registers its own families, so a metric is added where its
//! value is known: a field that counts, and a line that writes it.
//!
//! Everything is read when the page is scraped. What a request counts goes into the set of its own worker
//! ([`PerWorker`]), so that workers share no counter; the sets are added up at the scrape. Labels are names that the
//! gateway knows: of routes, methods, registered clusters and replicators.

mod counts;
#[cfg(target_os = "linux")]
mod process;

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, EncodeMetric, MetricEncoder,
        NoLabelSet, prometheus_text,
    },
    metrics::{MetricType, TypedMetric, counter::ConstCounter, gauge::ConstGauge},
};

pub use counts::{ByStatus, Count, Distribution, Durations, PerWorker};
pub use prometheus_client::registry::Registry;

/// The metrics page. The names of its families begin with `fedgate_`, but for those of any process.
#[derive(Debug)]
pub struct Metrics {
    own: Registry,
    process: Registry,
}

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
        #[cfg_attr(not(target_os = "linux"), expect(unused_mut, reason = "nothing is known there"))]
        let mut process = Registry::default();
        #[cfg(target_os = "linux")]
        process::register(&mut process);
        Self { own: registry, process }
    }

    /// The page in Prometheus' text format 0.0.4.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for registry in [&self.own, &self.process] {
            if let Err(error) = prometheus_text::encode(&mut text, registry) {
                // Writing to a string cannot fail, so this is a family that cannot be expressed.
                tracing::error!(%error, "the metrics page is incomplete");
            }
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

    /// A counter without labels, whose `name` is without `_total`.
    pub fn counter(&mut self, name: &str, help: &str, value: impl EncodeCounterValue) -> fmt::Result {
        let counter = ConstCounter::new(value);
        counter.encode(self.0.encode_descriptor(name, help, None, counter.metric_type())?)
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

    /// A family of histograms.
    pub fn histograms<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, Distribution)>,
    ) -> fmt::Result {
        self.family(name, help, samples.into_iter())
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

// === impl Distribution ===

impl TypedMetric for Distribution {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Distribution {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_histogram::<NoLabelSet>(self.seconds(), self.count(), &self.buckets(), None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
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
    use std::time::Duration;

    use super::*;

    #[test]
    fn names_types_and_help_are_those_of_the_text_format() {
        let metrics = Metrics::new(|registry| {
            collect(registry, |families| {
                families.counter("plain", "A counter.", 1_u64)?;
                families.gauge("size", "A gauge.", 7_u64)?;
                families.counters("seen", "By name.", [([("name", "a\"b\\c\nd")], 3_u64)])
            });
        });
        let version = env!("CARGO_PKG_VERSION");
        let expected = format!(
            r#"# HELP fedgate_build_info Version of the running binary.
# TYPE fedgate_build_info gauge
fedgate_build_info{{version="{version}"}} 1
# HELP fedgate_plain_total A counter.
# TYPE fedgate_plain_total counter
fedgate_plain_total 1
# HELP fedgate_size A gauge.
# TYPE fedgate_size gauge
fedgate_size 7
# HELP fedgate_seen_total By name.
# TYPE fedgate_seen_total counter
fedgate_seen_total{{name="a\"b\\c\nd"}} 3
"#
        );
        let page = metrics.render();
        assert!(page.starts_with(&expected), "{page}");
    }

    #[test]
    fn a_histogram_has_cumulative_buckets_a_sum_and_a_count() {
        let metrics = Metrics::new(|registry| {
            collect(registry, |families| {
                let durations = Durations::default();
                [3, 3, 40_000].into_iter().map(Duration::from_millis).for_each(|it| durations.observe(it));
                let mut all = Distribution::default();
                all.add(&durations);
                families.histograms("took_seconds", "Durations.", [([("route", "list")], all)])
            });
        });
        let page = metrics.render();
        for line in [
            "# TYPE fedgate_took_seconds histogram",
            r#"fedgate_took_seconds_bucket{route="list",le="0.0001"} 0"#,
            r#"fedgate_took_seconds_bucket{route="list",le="0.005"} 2"#,
            r#"fedgate_took_seconds_bucket{route="list",le="30"} 2"#,
            r#"fedgate_took_seconds_bucket{route="list",le="+Inf"} 3"#,
            r#"fedgate_took_seconds_sum{route="list"} 40.006"#,
            r#"fedgate_took_seconds_count{route="list"} 3"#,
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is missing in\n{page}");
        }
    }
}
