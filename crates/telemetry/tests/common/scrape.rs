//! An independent reader of the text format.

use std::collections::BTreeMap;

/// A scrape as Prometheus would read it.
#[derive(Debug, Default)]
pub(crate) struct Scrape {
    /// Every sample by its name with labels, as written.
    pub(crate) samples: BTreeMap<String, f64>,
    /// The type of every family.
    pub(crate) types: BTreeMap<String, String>,
}

impl Scrape {
    pub(crate) fn read(text: &str) -> Self {
        let mut scrape = Self::default();
        for line in text.lines() {
            if let Some(declared) = line.strip_prefix("# TYPE ") {
                let (name, kind) = declared.split_once(' ').unwrap();
                let twice = scrape.types.insert(name.to_owned(), kind.to_owned());
                assert!(twice.is_none(), "{name} is declared twice");
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let twice = scrape.samples.insert(series.to_owned(), value.parse().unwrap());
                assert!(twice.is_none(), "{series} has two samples");
            }
        }
        scrape
    }

    pub(crate) fn now() -> Self {
        Self::read(&telemetry::prometheus_text())
    }

    #[track_caller]
    pub(crate) fn value(&self, series: &str) -> f64 {
        *self.samples.get(series).unwrap_or_else(|| panic!("no sample {series}"))
    }
}
