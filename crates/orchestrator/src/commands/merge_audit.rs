//! `orchestrator merge-audit`: redo every merge of a repository and compare it with git's.

use crate::{
    cli::MergeAuditArguments,
    failure::{Exit, Failure},
    output,
};
use git::{AuditReport, GaveUp, Times, Verdict};
use std::{
    io::{self, IsTerminal, Write},
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Time between two updates of the progress line.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Redoes the merges and prints the figures. A wrong merge fails the command.
pub(crate) async fn merge_audit(arguments: MergeAuditArguments, json: bool) -> Result<Exit, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked_to_stop = stop.clone();
    let audit = tokio::task::spawn_blocking(move || {
        let mut progress = Progress::new(asked_to_stop);
        let report = git::merge_audit(&arguments.repository, arguments.last, &mut |done, all| {
            progress.show(done, all)
        });
        progress.clear();
        report
    });
    let interrupted = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.store(true, Ordering::Relaxed);
        }
    });
    let report = audit
        .await
        .map_err(|error| Failure::environment("the audit was aborted").caused_by(error))?
        .map_err(|error| {
            Failure::usage(error.to_string()).hint("name the directory of a git repository that this account may read")
        })?;
    interrupted.abort();
    if json {
        output::document(&report)?;
    } else {
        output::line(&lines(&report).join("\n"))?;
    }
    Ok(exit(&report))
}

/// A wrong merge fails the command; an interrupted audit is incomplete.
fn exit(report: &AuditReport) -> Exit {
    if report.wrong > 0 {
        Exit::RunFailed
    } else if report.merges < report.found {
        Exit::Detached
    } else {
        Exit::Complete
    }
}

struct Progress {
    stop: Arc<AtomicBool>,
    started: Instant,
    /// When the line was last written; `None` without a terminal.
    shown: Option<Instant>,
}

impl Progress {
    fn new(stop: Arc<AtomicBool>) -> Self {
        let now = Instant::now();
        Self {
            stop,
            started: now,
            shown: io::stderr().is_terminal().then_some(now),
        }
    }

    fn show(&mut self, done: usize, all: usize) -> ControlFlow<()> {
        if let Some(shown) = self.shown.filter(|shown| shown.elapsed() >= PROGRESS_EVERY) {
            let per_second = done as f64 / self.started.elapsed().as_secs_f64().max(0.001);
            self.write(&format!("\r\x1b[K{done} of {all} merges, {per_second:.0} a second"));
            self.shown = Some(shown + shown.elapsed());
        }
        match self.stop.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn clear(&self) {
        if self.shown.is_some() {
            self.write("\r\x1b[K");
        }
    }

    fn write(&self, text: &str) {
        let mut terminal = io::stderr().lock();
        // A closed terminal is not an error.
        write!(terminal, "{text}")
            .and_then(|()| terminal.flush())
            .unwrap_or_default();
    }
}

fn lines(report: &AuditReport) -> Vec<String> {
    if report.found == 0 {
        return vec!["this repository has no merge of two commits".to_owned()];
    }
    let mut lines = vec![match report.merges == report.found {
        true => format!("{} redone", api::count(report.merges as u64, "merge")),
        false => format!("{} of {} merges redone, then stopped", report.merges, report.found),
    }];
    for (name, count, meaning) in [
        ("same", report.same, "clean, as committed"),
        (
            "different",
            report.different,
            "clean, but people committed another tree",
        ),
        ("conflict", report.conflict, "a conflict for us and for git"),
        ("false_conflict", report.false_conflict, "a conflict for us alone"),
        ("wrong", report.wrong, "clean where git has a conflict or another tree"),
        ("unrelated", report.unrelated, "no common history: refused by both"),
        ("unreadable", report.unreadable, "objects are missing"),
    ] {
        lines.push(format!("  {name:<15}{count:>8}  {meaning}"));
    }
    lines.push(String::new());
    let share = match report.clean {
        0 => String::new(),
        clean => format!(" ({:.1} %)", report.clean_decided as f64 * 100.0 / clean as f64),
    };
    lines.push(format!(
        "the fast engine decided {} of {} clean merges{share} and left {} to git",
        report.clean_decided, report.clean, report.gave_up
    ));
    lines.extend(
        report
            .gave_up_because
            .iter()
            .map(|(reason, count)| format!("  {:<40}{count:>6}", because(*reason))),
    );
    lines.push(String::new());
    for (name, times) in [
        ("ours, fast", report.fast),
        ("ours, left to git", report.ort),
        ("ours, all", report.ours),
        ("git merge-tree", report.git),
    ] {
        lines.push(spread(name, times));
    }
    for suspect in &report.suspects {
        let verdict = match suspect.verdict {
            Verdict::FalseConflict => "false conflict",
            Verdict::Wrong => "wrong",
            Verdict::Same | Verdict::Different | Verdict::Conflict | Verdict::Unrelated => "odd",
        };
        let tree = |tree: &Option<git::TreeId>| tree.as_ref().map_or("none".to_owned(), |tree| tree.to_string());
        lines.push(format!(
            "{verdict}: {} (our tree {}, git's {})",
            suspect.merge,
            tree(&suspect.ours),
            tree(&suspect.git)
        ));
    }
    lines.extend(
        report
            .first_unreadable
            .iter()
            .map(|said| format!("the first unreadable: {said}")),
    );
    lines
}

fn spread(name: &str, times: Times) -> String {
    let milliseconds = |us: u64| us as f64 / 1000.0;
    match times.count {
        0 => format!("{name:<18} none"),
        count => format!(
            "{name:<18} p50 {:>8.2} ms   p99 {:>8.2} ms   of {count}",
            milliseconds(times.p50_us),
            milliseconds(times.p99_us)
        ),
    }
}

fn because(reason: GaveUp) -> &'static str {
    match reason {
        GaveUp::SeveralBases => "several bases",
        GaveUp::ChangeMeetsDeletion => "changed here, removed or renamed there",
        GaveUp::BothDeleted => "removed on both sides, perhaps renamed",
        GaveUp::BothAdded => "added on both sides",
        GaveUp::KindChanged => "file, directory, symlink or submodule",
        GaveUp::Attributes => "attributes",
        GaveUp::NotText => "binary or very large",
        GaveUp::Lines => "the same lines",
        GaveUp::Unusual => "unusual modes or depth",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_in_a_table() {
        let mut report = AuditReport {
            found: 10,
            merges: 10,
            same: 7,
            different: 1,
            conflict: 2,
            gave_up: 3,
            clean: 8,
            clean_decided: 7,
            ..AuditReport::default()
        };
        report.gave_up_because.insert(GaveUp::Lines, 2);
        report.gave_up_because.insert(GaveUp::ChangeMeetsDeletion, 1);
        report.fast = Times {
            count: 7,
            p50_us: 310,
            p99_us: 1_270,
        };
        let text = lines(&report).join("\n");
        for line in [
            "10 merges redone",
            "  same                  7  clean, as committed",
            "the fast engine decided 7 of 8 clean merges (87.5 %) and left 3 to git",
            "  changed here, removed or renamed there       1",
            "ours, fast         p50     0.31 ms   p99     1.27 ms   of 7",
            "git merge-tree     none",
        ] {
            assert!(text.lines().any(|found| found == line), "{line:?} is not in\n{text}");
        }
        assert_eq!(exit(&report), Exit::Complete);
    }

    #[test]
    fn wrong_merge_fails_and_stopped_audit_is_incomplete() {
        let wrong = AuditReport {
            found: 2,
            merges: 2,
            wrong: 1,
            ..AuditReport::default()
        };
        assert_eq!(exit(&wrong), Exit::RunFailed);
        let stopped = AuditReport {
            found: 2,
            merges: 1,
            ..AuditReport::default()
        };
        assert_eq!(exit(&stopped), Exit::Detached);
        assert_eq!(lines(&stopped)[0], "1 of 2 merges redone, then stopped");
    }
}
