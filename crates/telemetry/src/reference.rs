//! Generates the reference of all metrics from the catalogue.

use crate::{
    catalogue::{AREAS, Declaration},
    instrument::Declared,
    label::{Label, Values},
};

/// The line that starts the generated part of a page.
pub const BEGIN: &str = "<!-- generated from crates/telemetry/src/catalogue.rs: begin -->";
/// The line that ends it.
pub const END: &str = "<!-- generated: end -->";

/// A table for each area, in Markdown.
pub fn tables() -> String {
    let mut text = String::new();
    for area in AREAS {
        text.push_str(&format!("### {}\n\n", area.title));
        text.push_str("| Metric | Type | Labels | Series at most | Meaning |\n|---|---|---|---|---|\n");
        for metric in area.metrics.iter().copied().map(Declared::declaration) {
            text.push_str(&row(metric));
        }
        text.push('\n');
    }
    text
}

fn row(metric: &Declaration) -> String {
    let labels: Vec<String> = metric.labels.iter().map(label).collect();
    let labels = if labels.is_empty() {
        "–".to_owned()
    } else {
        labels.join("; ")
    };
    let buckets: Vec<String> = metric.buckets.iter().map(f64::to_string).collect();
    let kind = match metric.kind {
        "histogram" => format!("histogram, up to {}", buckets.join(" ")),
        kind => kind.to_owned(),
    };
    let limit = if metric.labels.is_empty() {
        "1".to_owned()
    } else {
        metric.series_limit.to_string()
    };
    format!(
        "| `{}` | {kind} | {labels} | {limit} | {} |\n",
        metric.prometheus, metric.help
    )
}

fn label(label: &Label) -> String {
    let values = match label.values {
        Values::Fixed(values) => values.join(", "),
        Values::Models => "the known models, other".to_owned(),
        Values::Tools => "the known tools, other".to_owned(),
        Values::Profiles => "the known profiles, other".to_owned(),
        Values::Bounded(source) => source.to_owned(),
    };
    format!("`{}`: {values}", label.name)
}
