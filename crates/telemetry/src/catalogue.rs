//! The declarations of all metrics. Instruments, views, initial series, the golden test and the reference page are derived
//! from them; no other crate names a metric.
//!
//! Every declared metric has a feature behind it; none gets made-up values.

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

pub use crate::declaration::Declaration;

use crate::instrument::Declared;

/// A group of related metrics.
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

/// The declaration of every metric, for dashboards, rules and pages.
pub fn declarations() -> impl Iterator<Item = &'static Declaration> {
    metrics().map(Declared::declaration)
}

/// Buckets in seconds for durations from half a millisecond to ten seconds.
pub(crate) const SHORT_SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Buckets in seconds for durations from a millisecond to five minutes.
pub(crate) const MIDDLE_SECONDS: &[f64] = &[
    0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];
/// Buckets in seconds for durations from a second to an hour.
pub(crate) const LONG_SECONDS: &[f64] = &[1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];
