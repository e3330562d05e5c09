//! The kinds of instruments: static items that do nothing until [`crate::init`] starts them.

use crate::{declaration::Declaration, label::combinations};
use opentelemetry::{
    KeyValue,
    metrics::{self, Meter},
};
use std::{
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

/// A metric: its declaration, and its instrument once telemetry has started. `LABELS` is the number of its labels,
/// so that a record with too few does not compile.
#[derive(Debug)]
pub struct Metric<I, const LABELS: usize> {
    declaration: Declaration,
    live: OnceLock<I>,
}

/// Counts things; only grows.
pub type Counter<const LABELS: usize = 0> = Metric<metrics::Counter<u64>, LABELS>;
/// Sums a quantity with fractions, such as dollars or seconds; only grows.
pub type Amount<const LABELS: usize = 0> = Metric<metrics::Counter<f64>, LABELS>;
/// Counts values by size.
pub type Distribution<const LABELS: usize = 0> = Metric<metrics::Histogram<f64>, LABELS>;
/// The latest value of something that is measured elsewhere.
pub type Gauge<const LABELS: usize = 0> = Metric<metrics::Gauge<f64>, LABELS>;
/// The current number of something, counted up and down.
pub type Level<const LABELS: usize = 0> = Metric<metrics::UpDownCounter<i64>, LABELS>;

/// A kind of instrument.
pub trait Kind: Sized {
    /// The name in the Prometheus format.
    const TYPE: &'static str;
    /// Creates the instrument.
    fn create(meter: &Meter, declaration: &Declaration) -> Self;
    /// Creates a series with the value 0.
    fn zero(&self, labels: &[KeyValue]);
}

/// What the catalogue needs from metrics of every kind.
pub trait Declared: Sync {
    /// Its declaration.
    fn declaration(&self) -> &Declaration;
    /// Creates its instrument and every series that is known at start.
    fn start(&'static self, meter: &Meter);
}

impl<I: Kind, const LABELS: usize> Metric<I, LABELS> {
    /// A metric as declared. Compiling fails if the number of labels differs from the type's.
    pub const fn new(declaration: Declaration) -> Self {
        assert!(
            declaration.labels.len() == LABELS,
            "the declaration's labels and the type's number differ"
        );
        Self {
            declaration: Declaration {
                kind: I::TYPE,
                ..declaration
            },
            live: OnceLock::new(),
        }
    }

    fn record(&self, values: [&str; LABELS], record: impl FnOnce(&I, &[KeyValue])) {
        if let Some(instrument) = self.live.get() {
            let labels: [KeyValue; LABELS] =
                std::array::from_fn(|index| self.declaration.labels[index].with(values[index]));
            record(instrument, &labels);
        }
    }
}

impl<I: Kind + Send + Sync, const LABELS: usize> Declared for Metric<I, LABELS> {
    fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    fn start(&'static self, meter: &Meter) {
        let instrument = self.live.get_or_init(|| I::create(meter, &self.declaration));
        if self.declaration.starts_at_zero {
            for labels in combinations(self.declaration.labels) {
                instrument.zero(&labels);
            }
        }
    }
}

impl<const LABELS: usize> Counter<LABELS> {
    /// Counts `by` more.
    pub fn add(&self, by: u64, labels: [&str; LABELS]) {
        self.record(labels, |counter, labels| counter.add(by, labels));
    }
}

impl<const LABELS: usize> Amount<LABELS> {
    /// Adds an amount; one that is negative or not a number is ignored, because a counter can't take it back.
    pub fn add(&self, by: f64, labels: [&str; LABELS]) {
        if by.is_finite() && by >= 0.0 {
            self.record(labels, |counter, labels| counter.add(by, labels));
        }
    }
}

impl<const LABELS: usize> Distribution<LABELS> {
    /// Records a duration in seconds.
    pub fn observe(&self, duration: Duration, labels: [&str; LABELS]) {
        self.observe_value(duration.as_secs_f64(), labels);
    }

    /// Records a value in the metric's unit; one that is not a number is ignored, because it would spoil the sum.
    pub fn observe_value(&self, value: f64, labels: [&str; LABELS]) {
        if value.is_finite() {
            self.record(labels, |histogram, labels| histogram.record(value, labels));
        }
    }
}

impl<const LABELS: usize> Gauge<LABELS> {
    /// Sets the value.
    pub fn set(&self, value: f64, labels: [&str; LABELS]) {
        self.record(labels, |gauge, labels| gauge.record(value, labels));
    }
}

impl<const LABELS: usize> Level<LABELS> {
    /// Adds this number, which may be negative.
    pub fn change(&self, by: i64, labels: [&str; LABELS]) {
        self.record(labels, |level, labels| level.add(by, labels));
    }
}

macro_rules! kind {
    ($instrument:ty, $type:literal, $builder:ident, |$live:ident, $labels:ident| $zero:expr) => {
        impl Kind for $instrument {
            const TYPE: &'static str = $type;
            fn create(meter: &Meter, declaration: &Declaration) -> Self {
                let builder = meter
                    .$builder(declaration.otel)
                    .with_description(declaration.help);
                builder.with_unit(declaration.unit).build()
            }
            fn zero(&self, $labels: &[KeyValue]) {
                let $live = self;
                $zero
            }
        }
    };
}

kind!(metrics::Counter<u64>, "counter", u64_counter, |live, labels| live
    .add(0, labels));
kind!(metrics::Counter<f64>, "counter", f64_counter, |live, labels| live
    .add(0.0, labels));
kind!(metrics::Gauge<f64>, "gauge", f64_gauge, |live, labels| live
    .record(0.0, labels));
kind!(
    metrics::UpDownCounter<i64>,
    "gauge",
    i64_up_down_counter,
    |live, labels| live.add(0, labels)
);
// For a histogram 0 is an observation, so it stays absent until there is one.
kind!(metrics::Histogram<f64>, "histogram", f64_histogram, |_live, _labels| ());

/// A value that may be unknown. Then it is absent from a scrape, because zero would be wrong.
#[derive(Debug)]
pub struct OptionalGauge {
    declaration: Declaration,
    value: Mutex<Option<f64>>,
    live: OnceLock<metrics::ObservableGauge<f64>>,
}

impl OptionalGauge {
    /// A gauge as declared, without labels.
    pub const fn new(declaration: Declaration) -> Self {
        assert!(declaration.labels.is_empty(), "an optional gauge has no labels");
        let declaration = Declaration {
            kind: "gauge",
            starts_at_zero: false,
            ..declaration
        };
        Self {
            declaration,
            value: Mutex::new(None),
            live: OnceLock::new(),
        }
    }

    /// Sets or clears the value.
    pub fn set(&self, value: Option<f64>) {
        *self.value.lock().unwrap_or_else(PoisonError::into_inner) = value;
    }
}

impl Declared for OptionalGauge {
    fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    fn start(&'static self, meter: &Meter) {
        self.live.get_or_init(|| {
            let builder = meter
                .f64_observable_gauge(self.declaration.otel)
                .with_unit(self.declaration.unit);
            let builder = builder.with_description(self.declaration.help);
            let observe = |observer: &dyn metrics::AsyncInstrument<f64>| {
                if let Some(value) = *self.value.lock().unwrap_or_else(PoisonError::into_inner) {
                    observer.observe(value, &[]);
                }
            };
            builder.with_callback(observe).build()
        });
    }
}
