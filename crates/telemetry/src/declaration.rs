//! The declaration of a metric.

use crate::label::{Label, combinations};

/// The declaration of a metric.
#[derive(Clone, Copy, Debug)]
pub struct Declaration {
    /// Its name in OpenTelemetry, dotted and without a unit.
    pub otel: &'static str,
    /// Its unit in UCUM notation; in braces if it only names what is counted.
    pub unit: &'static str,
    /// Its exact name in Prometheus, which is a public interface.
    pub prometheus: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// What it means, in a sentence.
    pub help: &'static str,
    /// Its labels.
    pub labels: &'static [Label],
    /// The upper bounds of a histogram's buckets, in the metric's unit.
    pub buckets: &'static [f64],
    /// The most series; further ones are folded into `otel_metric_overflow="true"`. Raised at start if the configuration
    /// has more names.
    pub series_limit: usize,
    /// Whether every known series shows 0 from the start.
    pub starts_at_zero: bool,
    /// Whether it repeats another metric under a name of older dashboards; these can be disabled.
    pub compatibility: bool,
}

impl Declaration {
    /// A metric without labels.
    pub const fn new(otel: &'static str, unit: &'static str, prometheus: &'static str, help: &'static str) -> Self {
        Self {
            otel,
            unit,
            prometheus,
            kind: "",
            help,
            labels: &[],
            buckets: &[],
            series_limit: 200,
            starts_at_zero: true,
            compatibility: false,
        }
    }

    /// The same with labels.
    pub const fn labels(self, labels: &'static [Label]) -> Self {
        Self { labels, ..self }
    }

    /// The same with the buckets of a histogram.
    pub const fn buckets(self, buckets: &'static [f64]) -> Self {
        Self { buckets, ..self }
    }

    /// The same with this series limit.
    pub const fn series_limit(self, series_limit: usize) -> Self {
        Self { series_limit, ..self }
    }

    /// The same, absent until it has a value, because zero would be misleading.
    pub const fn absent_at_start(self) -> Self {
        Self {
            starts_at_zero: false,
            ..self
        }
    }

    /// The same, as a compatibility name.
    pub const fn compatibility(self) -> Self {
        Self {
            compatibility: true,
            ..self
        }
    }

    /// The series limit, raised to hold all configured names and the overflow series.
    pub(crate) fn effective_series_limit(&self) -> usize {
        self.series_limit.max(combinations(self.labels).len() + 1)
    }
}
