//! The one declaration of every metric. Instruments, views, the series shown at start, the golden test and the
//! reference page all come from here; no other crate names a metric.
//!
//! A family without a feature behind it is not declared: nothing is ever fed by a fake.

pub(crate) mod compatibility;
pub(crate) mod database;
pub(crate) mod http;
pub(crate) mod merges;
pub(crate) mod models;
pub(crate) mod queue;
pub(crate) mod runs;
pub(crate) mod sandboxes;
pub(crate) mod system;
pub(crate) mod tasks;
pub(crate) mod tools;

use crate::{
    instrument::{Declared, combinations},
    label::Label,
};

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

/// A group of metrics that belong together.
#[derive(Clone, Copy)]
pub struct Area {
    /// Its title.
    pub title: &'static str,
    /// Its metrics.
    pub metrics: &'static [&'static dyn Declared],
}

impl std::fmt::Debug for Area {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Area")
            .field("title", &self.title)
            .finish_non_exhaustive()
    }
}

/// Every metric of the product, by area.
pub static AREAS: &[&Area] = &[
    &merges::AREA,
    &tasks::AREA,
    &runs::AREA,
    &models::AREA,
    &sandboxes::AREA,
    &http::AREA,
    &tools::AREA,
    &database::AREA,
    &queue::AREA,
    &system::AREA,
    &compatibility::AREA,
];

/// Every metric of the product.
pub(crate) fn metrics() -> impl Iterator<Item = &'static dyn Declared> {
    AREAS.iter().flat_map(|area| area.metrics.iter().copied())
}

/// The declaration of every metric, for whatever has to agree with the names: dashboards, rules, pages.
pub fn declarations() -> impl Iterator<Item = &'static Declaration> {
    metrics().map(Declared::declaration)
}

/// Seconds, for what takes between a tenth of a millisecond and some seconds.
pub(crate) const SHORT_SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Seconds, for what takes between some milliseconds and minutes.
pub(crate) const MIDDLE_SECONDS: &[f64] = &[
    0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];
/// Seconds, for what takes between a second and an hour.
pub(crate) const LONG_SECONDS: &[f64] = &[1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];
