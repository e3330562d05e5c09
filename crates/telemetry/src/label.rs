//! Labels and the allowed sets of their values. Any other value is recorded as `other`, so that unknown names add no
//! series.

use opentelemetry::{KeyValue, StringValue, Value};
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

/// What a value outside its set is recorded as.
pub const OTHER: &str = "other";

/// Where the values of a label come from.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// Exactly these.
    Fixed(&'static [&'static str]),
    /// The models of the price table and the configuration.
    Models,
    /// The tools of the configuration.
    Tools,
    /// The worker profiles of the configuration.
    Profiles,
    /// Known only at run time; limited by its source (named here) and by the series limit.
    Bounded(&'static str),
}

/// A label of a metric.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its values.
    pub values: Values,
}

impl Label {
    /// A label with exactly these values.
    pub const fn fixed(name: &'static str, values: &'static [&'static str]) -> Self {
        Self {
            name,
            values: Values::Fixed(values),
        }
    }

    /// A label with values from this source.
    pub const fn of(name: &'static str, values: Values) -> Self {
        Self { name, values }
    }

    /// Every value that is known at start; `None` if values are known only at run time.
    pub(crate) fn known_values(&self) -> Option<Vec<Value>> {
        match self.values {
            Values::Fixed(values) => Some(values.iter().map(|value| Value::from(*value)).collect()),
            Values::Models => known().map(|known| all(&known.models)),
            Values::Tools => known().map(|known| all(&known.tools)),
            Values::Profiles => known().map(|known| all(&known.profiles)),
            Values::Bounded(_) => None,
        }
    }

    /// The label with a value of its set.
    pub(crate) fn with(&self, value: &str) -> KeyValue {
        let value = match self.values {
            Values::Fixed(values) => {
                Value::from(values.iter().find(|known| **known == value).copied().unwrap_or(OTHER))
            }
            Values::Models => configured(|known| &known.models, value),
            Values::Tools => configured(|known| &known.tools, value),
            Values::Profiles => configured(|known| &known.profiles, value),
            Values::Bounded(_) => Value::from(value.to_owned()),
        };
        KeyValue::new(self.name, value)
    }
}

type Names = BTreeMap<String, Arc<str>>;

/// The configured names.
#[derive(Debug)]
struct Known {
    models: Names,
    tools: Names,
    profiles: Names,
}

static KNOWN: OnceLock<Known> = OnceLock::new();

/// Stores the configured names; only the first call has an effect.
pub(crate) fn configure(models: &[String], tools: &[String], profiles: &[String]) {
    let names = |given: &[String]| {
        given
            .iter()
            .map(|name| (name.clone(), Arc::from(name.as_str())))
            .collect()
    };
    KNOWN.get_or_init(|| Known {
        models: names(models),
        tools: names(tools),
        profiles: names(profiles),
    });
}

fn known() -> Option<&'static Known> {
    KNOWN.get()
}

fn all(names: &Names) -> Vec<Value> {
    names
        .values()
        .map(shared)
        .chain((!names.contains_key(OTHER)).then(|| Value::from(OTHER)))
        .collect()
}

fn configured(names: impl Fn(&Known) -> &Names, value: &str) -> Value {
    known()
        .and_then(|known| names(known).get(value))
        .map_or(Value::from(OTHER), shared)
}

fn shared(name: &Arc<str>) -> Value {
    Value::String(StringValue::from(Arc::clone(name)))
}

/// Every combination of label values known at start; none if a label's values are known only at run time.
pub(crate) fn combinations(labels: &[Label]) -> Vec<Vec<KeyValue>> {
    labels.iter().fold(vec![Vec::new()], |combined, label| {
        let values = label.known_values().unwrap_or_default();
        let extend = |before: &Vec<KeyValue>| {
            let before = before.clone();
            let extended = values.iter().map(move |value| {
                let mut labels = before.clone();
                labels.push(KeyValue::new(label.name, value.clone()));
                labels
            });
            extended.collect::<Vec<_>>()
        };
        combined.iter().flat_map(extend).collect()
    })
}
