//! How a metric is declared.

use crate::label::{Label, combinations};

/// How a metric is declared.
#[derive(Clone, Copy, Debug)]
pub struct Declaration {
    /// Its name in OpenTelemetry, dotted and without a unit.
    pub otel: &'static str,
    /// Its unit as UCUM writes it; in braces when it only says what is counted.
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
    /// The most series it may have; further ones are folded into `otel_metric_overflow="true"`. Raised at start
    /// when the configuration knows more names than that.
    pub series_limit: usize,
    /// Whether every known series shows 0 from the start.
    pub starts_at_zero: bool,
    /// Whether it repeats another metric under a name that older dashboards use; these can be switched off.
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

    /// The same with room for so many series.
    pub const fn series_limit(self, series_limit: usize) -> Self {
        Self { series_limit, ..self }
    }

    /// The same, absent until it has a value, because a zero would mean something.
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

    /// The series limit, with room for everything the configuration knows and one for the overflow.
    pub(crate) fn effective_series_limit(&self) -> usize {
        self.series_limit.max(combinations(self.labels).len() + 1)
    }
}
