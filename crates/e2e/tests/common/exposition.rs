//! An independent reader of the Prometheus text format. It is stricter than Prometheus and panics on anything doubtful.

use std::collections::{BTreeMap, BTreeSet};

/// A parsed scrape.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    /// Every family by its name.
    pub(crate) families: BTreeMap<String, Family>,
}

/// The samples of one name.
#[derive(Debug, Default)]
pub(crate) struct Family {
    /// `counter`, `gauge` or `histogram`.
    pub(crate) kind: String,
    /// In the order in which they were written.
    pub(crate) samples: Vec<Sample>,
}

/// One value.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// The family's name, or with `_bucket`, `_sum`, `_count`.
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

impl Exposition {
    /// Reads a scrape, or panics on anything that the format does not allow.
    pub(crate) fn read(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line is not ended");
        let mut read = Self::default();
        let mut helped = BTreeSet::new();
        let mut current = String::new();
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
                assert!(!help.trim().is_empty() && helped.insert(name.to_owned()), "{line}");
            } else if let Some(declared) = line.strip_prefix("# TYPE ") {
                let (name, kind) = declared.split_once(' ').unwrap_or_else(|| panic!("no type: {line}"));
                assert!(
                    matches!(kind, "counter" | "gauge" | "histogram") && is_name(name),
                    "{line}"
                );
                assert!(helped.contains(name), "{name} has no help");
                current = name.to_owned();
                let family = Family {
                    kind: kind.to_owned(),
                    samples: Vec::new(),
                };
                assert!(
                    read.families.insert(current.clone(), family).is_none(),
                    "{name} is declared twice"
                );
            } else {
                let sample = sample(line);
                let family = read
                    .families
                    .get_mut(&current)
                    .unwrap_or_else(|| panic!("no family: {line}"));
                assert!(
                    belongs(&sample.name, &current, &family.kind),
                    "{line} does not belong to {current}"
                );
                family.samples.push(sample);
            }
        }
        for (name, family) in &read.families {
            family.check(name);
        }
        read
    }

    /// The number of samples.
    pub(crate) fn samples(&self) -> usize {
        self.families.values().map(|family| family.samples.len()).sum()
    }

    /// The values of a counter or gauge by the values of these labels, which must be all its labels.
    pub(crate) fn by(&self, name: &str, labels: &[&str]) -> BTreeMap<Vec<String>, f64> {
        self.suffixed(name, "", labels)
    }

    /// The observation counts of a histogram, by the values of these labels.
    pub(crate) fn observations(&self, name: &str, labels: &[&str]) -> BTreeMap<Vec<String>, f64> {
        self.suffixed(name, "_count", labels)
    }

    /// A histogram's sums, by the values of these labels.
    pub(crate) fn sums(&self, name: &str, labels: &[&str]) -> BTreeMap<Vec<String>, f64> {
        self.suffixed(name, "_sum", labels)
    }

    fn suffixed(&self, name: &str, suffix: &str, labels: &[&str]) -> BTreeMap<Vec<String>, f64> {
        let wanted = format!("{name}{suffix}");
        let samples = self.families.get(name).into_iter().flat_map(|family| &family.samples);
        let samples = samples.filter(|sample| sample.name == wanted);
        samples
            .map(|sample| {
                assert_eq!(sample.labels.len(), labels.len(), "{name} has other labels: {sample:?}");
                let label = |label: &&str| sample.labels.get(*label).cloned();
                let values: Option<Vec<String>> = labels.iter().map(label).collect();
                (
                    values.unwrap_or_else(|| panic!("{name} has other labels: {sample:?}")),
                    sample.value,
                )
            })
            .collect()
    }

    /// The one value of a name without labels.
    #[track_caller]
    pub(crate) fn value(&self, name: &str) -> f64 {
        *self
            .by(name, &[])
            .get(&Vec::new())
            .unwrap_or_else(|| panic!("no sample {name}"))
    }

    /// The sum over all series of a counter or gauge.
    pub(crate) fn total(&self, name: &str) -> f64 {
        let samples = self.families.get(name).into_iter().flat_map(|family| &family.samples);
        samples.map(|sample| sample.value).sum()
    }
}

impl Family {
    fn check(&self, name: &str) {
        assert!(!self.samples.is_empty(), "{name} is declared and has no sample");
        let mut seen = BTreeSet::new();
        for sample in &self.samples {
            assert!(seen.insert((&sample.name, &sample.labels)), "two samples: {sample:?}");
            assert!(
                self.kind != "counter" || sample.value >= 0.0,
                "a counter below 0: {sample:?}"
            );
        }
        if self.kind == "histogram" {
            self.check_histogram(name);
        }
    }

    /// Checks that buckets increase up to `+Inf`, which equals the count, and that every series has a sum.
    fn check_histogram(&self, name: &str) {
        let mut buckets: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
        let mut single: BTreeMap<(&str, &BTreeMap<String, String>), f64> = BTreeMap::new();
        for sample in &self.samples {
            match sample.name.strip_prefix(name) {
                Some("_bucket") => {
                    let mut labels = sample.labels.clone();
                    let bound = number(&labels.remove("le").unwrap_or_else(|| panic!("no le: {sample:?}")));
                    buckets.entry(labels).or_default().push((bound, sample.value));
                }
                Some(suffix) => drop(single.insert((suffix, &sample.labels), sample.value)),
                None => unreachable!("checked while reading"),
            }
        }
        assert_eq!(
            single.len(),
            2 * buckets.len(),
            "{name}: every series has buckets, a sum and a count"
        );
        for (labels, buckets) in &buckets {
            assert!(
                buckets.is_sorted_by(|one, two| one.0 < two.0 && one.1 <= two.1),
                "{name}{labels:?}: {buckets:?}"
            );
            let last = buckets.last().copied();
            assert_eq!(
                last,
                Some((f64::INFINITY, single[&("_count", labels)])),
                "{name}{labels:?}"
            );
        }
    }
}

fn belongs(sample: &str, family: &str, kind: &str) -> bool {
    match kind {
        "histogram" => matches!(sample.strip_prefix(family), Some("_bucket" | "_sum" | "_count")),
        _ => sample == family,
    }
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// `name{label="value",…} number`, without a timestamp.
fn sample(line: &str) -> Sample {
    let wrong = || -> ! { panic!("not a sample: {line}") };
    let end = line.find(['{', ' ']).unwrap_or_else(|| wrong());
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"").unwrap_or_else(|| wrong());
            let (value, after) = quoted(after).unwrap_or_else(|| wrong());
            assert!(
                is_name(label) && labels.insert(label.to_owned(), value).is_none(),
                "{line}"
            );
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| wrong());
    assert!(is_name(name) && !value.contains(' '), "{line}");
    Sample {
        name: name.to_owned(),
        labels,
        value: number(value),
    }
}

/// The text up to the closing quote, unescaped, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                same @ ('\\' | '"') => same,
                _ => return None,
            }),
            other => value.push(other),
        }
    }
    None
}

fn number(text: &str) -> f64 {
    match text {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => number.parse().unwrap_or_else(|_| panic!("not a number: {number}")),
    }
}
