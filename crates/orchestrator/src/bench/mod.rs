//! Measures the orchestration overhead on the product as a separate process, beside raw limits.

mod child;
mod load;
mod process;
mod raw;
mod table;

pub(crate) use table::lines;

use crate::failure::Failure;
use child::{Child, Harness};
use serde::Serialize;
use std::time::Duration;

/// How long an idle server is measured.
const IDLE: Duration = Duration::from_secs(5);
/// Tasks at one time in the wide measurement.
const WIDE: u32 = 8;

/// The figures. What could not be measured is absent, with the reason in [`Figures::notes`].
#[derive(Debug, Default, Serialize)]
pub(crate) struct Figures {
    pub(crate) tasks: u32,
    pub(crate) start_first_ms: f64,
    pub(crate) start_later_ms: f64,
    pub(crate) bubblewrap: Option<Overhead>,
    pub(crate) none: Option<Overhead>,
    pub(crate) raw_queue: Option<raw::RawQueue>,
    pub(crate) merge_ms_p50: Option<f64>,
    pub(crate) merge_tree_ms_p50: Option<f64>,
    pub(crate) scrape_ms_p50: Option<f64>,
    pub(crate) scrape_bytes: Option<usize>,
    pub(crate) idle: Option<process::Idle>,
    pub(crate) notes: Vec<String>,
}

/// Milliseconds from plan to landed, per task, with a model that answers at once.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Overhead {
    pub(crate) one_at_a_time_ms: f64,
    pub(crate) eight_at_a_time_ms: f64,
}

/// Measures, and reports each next step to `progress`.
pub(crate) async fn measure(tasks: u32, progress: impl Fn(&str)) -> Result<Figures, Failure> {
    let harness = Harness::new(tasks).await?;
    let mut figures = Figures {
        tasks,
        ..Figures::default()
    };
    progress("sandbox bubblewrap");
    match harness.start("bubblewrap").await {
        Ok(child) => {
            figures.start_first_ms = child.ready_ms;
            progress("idle");
            figures.idle = process::idle(child.pid(), &harness.data_dir, IDLE).await;
            figures.bubblewrap = Some(overhead(&harness, &child, &mut figures).await?);
            child.stop().await?;
        }
        Err(failure) => figures.notes.push(format!("sandbox bubblewrap: {}", failure.problem)),
    }
    progress("sandbox none");
    let child = harness.start("none").await?;
    figures.start_later_ms = child.ready_ms;
    figures.none = Some(overhead(&harness, &child, &mut figures).await?);
    child.stop().await?;
    progress("raw SQL");
    match raw::measure(&harness.data_dir).await {
        Ok(raw_queue) => figures.raw_queue = Some(raw_queue),
        Err(note) => figures.notes.push(format!("raw SQL: {note}")),
    }
    harness.close().await;
    Ok(figures)
}

async fn overhead(harness: &Harness, child: &Child, figures: &mut Figures) -> Result<Overhead, Failure> {
    let narrow = load::play(harness, child, harness.narrow(), 1).await?;
    let wide = load::play(harness, child, harness.wide(), WIDE).await?;
    figures.merge_ms_p50 = median(narrow.merge_ms.iter().chain(&wide.merge_ms).copied().collect());
    figures.merge_tree_ms_p50 = load::merge_tree(&wide.repository);
    let (scrape_ms, bytes) = load::scrape(child).await?;
    figures.scrape_ms_p50 = median(scrape_ms);
    figures.scrape_bytes = Some(bytes);
    Ok(Overhead {
        one_at_a_time_ms: narrow.per_task_ms,
        eight_at_a_time_ms: wide.per_task_ms,
    })
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_no_values_is_none() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
    }
}
