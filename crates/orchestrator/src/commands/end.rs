//! The end of a command that followed a run: the report, the next commands, the exit code.

use crate::{
    changes::Changes,
    client::{Attached, exit, failure},
    config::Loaded,
    failure::{Exit, Failure},
    following::{Ending, Mode},
    output,
    report::{self, Report},
};
use std::{io::IsTerminal, path::Path};

/// How progress is shown for these flags.
pub(super) fn mode(json: bool, quiet: bool) -> Mode {
    match (quiet, json) {
        (true, _) => Mode::Quiet,
        (false, true) => Mode::Document,
        (false, false) => Mode::People,
    }
}

/// Everything there is to say about a run now.
pub(super) async fn report(attached: &Attached, run: &str) -> Result<Report, Failure> {
    let run = attached.client.run(run).await.map_err(failure)?;
    let id = run.id.to_string();
    let tasks = attached.client.tasks(&id).await.map_err(failure)?.tasks;
    let merges = attached.client.merges(&id).await.map_err(failure)?.merges;
    let changes = match (&run.base, &run.delivered_commit) {
        (Some(base), Some(commit)) => Changes::between(Path::new(&run.workspace_path), base, commit),
        (Some(_) | None, _) => None,
    };
    Ok(Report::new(run, tasks, merges, changes))
}

/// Prints the report of a run that is over, or where to find one that was left.
pub(super) async fn end(
    attached: Attached,
    loaded: &Loaded,
    run: &str,
    ending: Ending,
    json: bool,
) -> Result<Exit, Failure> {
    let printed = match ending {
        Ending::Over(state) => print(&attached, loaded, run, json).await.map(|()| exit(state)),
        Ending::Detached => detached(&attached, loaded, run).map(|()| Exit::Detached),
    };
    attached.close().await;
    printed
}

async fn print(attached: &Attached, loaded: &Loaded, run: &str, json: bool) -> Result<(), Failure> {
    let report = report(attached, run).await?;
    if json {
        return output::document(&report);
    }
    let next = next_commands(loaded, &report);
    output::line(&report::lines(&report, &next, columns()).join("\n"))
}

fn detached(attached: &Attached, loaded: &Loaded, run: &str) -> Result<(), Failure> {
    let follow = command(loaded, &format!("follow {run}"));
    output::note(&if attached.is_here() {
        format!("stopping; what is under way is kept, and goes on with: {follow}")
    } else {
        format!("detached; the run goes on, come back with: {follow}")
    });
    Ok(())
}

/// The three things one does next.
pub(super) fn next_commands(loaded: &Loaded, report: &Report) -> Vec<String> {
    let of_run = |name: &str| command(loaded, &format!("{name} {}", report.short));
    let repository = quoted(&report.repository);
    if let Some(merge) = report.waiting().next() {
        let own = |what: &str| command(loaded, &format!("merges {what} {}", merge.id));
        return vec![own("show"), format!("{} DIR", own("checkout")), of_run("follow")];
    }
    if report.commit.is_none() {
        let go_on = if report.state.is_final() { "logs" } else { "follow" };
        return vec![
            of_run(go_on),
            of_run("show --json"),
            format!("git -C {repository} status"),
        ];
    }
    if !report.integrity_flags.is_empty() && !report.allow_integrity_flags {
        return vec![
            of_run("diff"),
            format!("{} --allow-integrity-flags", of_run("deliver")),
            of_run("show --json"),
        ];
    }
    let is_merged = report
        .checkout
        .as_deref()
        .is_some_and(|checkout| checkout.contains("fast-forwarded"));
    let in_git = if is_merged { "log --graph --oneline" } else { "merge" };
    vec![
        of_run("diff"),
        of_run("show --json"),
        format!("git -C {repository} {in_git} {}", report.branch),
    ]
}

/// A command of this program on the same data directory.
pub(super) fn command(loaded: &Loaded, arguments: &str) -> String {
    let data_dir = if loaded.names_data_dir {
        format!(" --data-dir {}", quoted(&loaded.config.data_dir.display().to_string()))
    } else {
        String::new()
    };
    format!("{} {arguments}{data_dir}", program())
}

/// This program as it was called, so that what is printed can be typed again where it is not on the search path.
pub(super) fn program() -> String {
    let called = std::env::args().next().unwrap_or_default();
    if called.contains('/') {
        quoted(&called)
    } else {
        "orchestrator".to_owned()
    }
}

/// As a shell reads it back.
pub(super) fn quoted(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+:@%".contains(letter);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// How wide text may be.
pub(super) fn columns() -> usize {
    if !std::io::stdout().is_terminal() {
        return 100;
    }
    crate::progress::terminal_size().0.clamp(60, 120)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_can_be_pasted_into_a_shell() {
        assert_eq!(quoted("/a/b-c.d"), "/a/b-c.d");
        assert_eq!(quoted("/it's here"), "'/it'\\''s here'");
        assert_eq!(quoted(""), "''");
    }
}
