//! The figures as a table.

use super::{Figures, Overhead};

const LABEL: usize = 46;
const COLUMN: usize = 14;

/// The figures as lines.
pub(crate) fn lines(figures: &Figures) -> Vec<String> {
    let mut lines = vec![row("", "1 at a time", "8 at a time")];
    let overhead = |name: &str, overhead: &Option<Overhead>| {
        let cell = |pick: fn(&Overhead) -> f64| overhead.as_ref().map(pick);
        row(
            name,
            &ms(cell(|at| at.one_at_a_time_ms)),
            &ms(cell(|at| at.eight_at_a_time_ms)),
        )
    };
    lines.push(overhead(
        "one task from plan to landed, bubblewrap",
        &figures.bubblewrap,
    ));
    lines.push(overhead("one task from plan to landed, no sandbox", &figures.none));
    let raw = figures.raw_queue;
    lines.push(row(
        "raw SQL: claim and complete one row",
        &ms(raw.map(|raw| raw.one_client_ms)),
        &ms(raw.map(|raw| raw.eight_clients_ms)),
    ));
    lines.push(String::new());
    lines.push(row("merge and land, p50", &ms(figures.merge_ms_p50), ""));
    lines.push(row(
        "one git merge-tree --write-tree, p50",
        &ms(figures.merge_tree_ms_p50),
        "",
    ));
    let bytes = figures
        .scrape_bytes
        .map_or(String::new(), |bytes| format!("{} KiB", bytes / 1024));
    lines.push(row("/metrics, p50", &ms(figures.scrape_ms_p50), &bytes));
    lines.push(row("start to ready, first", &ms(Some(figures.start_first_ms)), ""));
    lines.push(row("start to ready, later", &ms(Some(figures.start_later_ms)), ""));
    if let Some(idle) = figures.idle {
        lines.push(row(
            "idle serve",
            &percent(idle.serve_cpu_percent),
            &mib(idle.serve_memory_mib),
        ));
        lines.push(row(
            "idle private Postgres",
            &percent(idle.postgres_cpu_percent),
            &mib(idle.postgres_memory_mib),
        ));
    }
    lines.push(String::new());
    lines.push(format!(
        "{} tasks a run; a task: a claim, a worktree, one answer of the scripted model at no latency, a file,\n\
         a snapshot, a merge without a gate. Idle: of one core. Times are wall clock over tasks.",
        figures.tasks
    ));
    lines.extend(figures.notes.iter().map(|note| format!("not measured: {note}")));
    lines
}

fn row(name: &str, first: &str, second: &str) -> String {
    format!("{name:<LABEL$}{first:>COLUMN$}{second:>COLUMN$}")
        .trim_end()
        .to_owned()
}

fn ms(value: Option<f64>) -> String {
    value.map_or_else(
        || "–".to_owned(),
        |ms| {
            if ms < 10.0 {
                format!("{ms:.2} ms")
            } else {
                format!("{ms:.1} ms")
            }
        },
    )
}

fn percent(value: f64) -> String {
    format!("{value:.2} %")
}

fn mib(value: f64) -> String {
    format!("{value:.1} MiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_measurements_are_listed() {
        let figures = Figures {
            notes: vec!["raw SQL: no pgbench".to_owned()],
            ..Figures::default()
        };
        let text = lines(&figures).join("\n");
        assert!(
            text.contains("–") && text.ends_with("not measured: raw SQL: no pgbench"),
            "{text}"
        );
    }
}
