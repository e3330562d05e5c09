//! The end of a command that followed a run: the report, the next commands, the exit code.

use crate::{
    changes::{Changes, Standing, name_of},
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
    let run = attached.client.run(run).await;
    let run = run.map_err(|error| attached.failure(error))?;
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

/// What one does next: each works as it is printed, where this command was called.
pub(super) fn next_commands(loaded: &Loaded, report: &Report) -> Vec<String> {
    let of_run = |name: &str| command(loaded, &format!("{name} {}", report.short));
    let repository = Path::new(&report.repository);
    if let Some(merge) = report.waiting().next() {
        let own = |what: &str| command(loaded, &format!("merges {what} {}", merge.id));
        let checkout = command(loaded, &format!("merges checkout {} DIR", merge.id));
        return vec![own("show"), checkout, of_run("follow")];
    }
    let Some(commit) = &report.commit else {
        let go_on = if report.state.is_final() { "logs" } else { "follow" };
        let mut next = vec![of_run(go_on), of_run("show --json")];
        if repository.join(".git").exists() {
            next.push(format!("git -C {} status", quoted(&report.repository)));
        }
        return next;
    };
    let held_back = !report.integrity_flags.is_empty() && !report.allow_integrity_flags;
    let mut next = Vec::new();
    let standing = Standing::of(repository, commit);
    if standing != Standing::Unreadable {
        next.push(of_run("diff"));
    }
    if held_back && standing != Standing::Merged && report.expired_at.is_none() {
        next.push(command(
            loaded,
            &format!("deliver {} --allow-integrity-flags", report.short),
        ));
    }
    next.push(of_run("show --json"));
    if !held_back {
        next.extend(in_git(report, repository, commit, standing));
    }
    next
}

/// The step in the repository itself: merging what is not merged, else looking at what came.
fn in_git(report: &Report, repository: &Path, commit: &str, standing: Standing) -> Option<String> {
    let git = format!("git -C {}", quoted(&report.repository));
    let name = name_of(repository, &report.branch, commit);
    match (standing, &report.base) {
        (Standing::Unreadable, _) => None,
        (Standing::Unmerged, _) => Some(format!("{git} merge {}", quoted(name))),
        (Standing::Merged | Standing::NoCheckout, Some(base)) => {
            let base = base.get(..12).unwrap_or(base);
            Some(format!("{git} log --oneline {base}..{}", quoted(name)))
        }
        (Standing::Merged | Standing::NoCheckout, None) => None,
    }
}

/// A command of this program on the same data directory, with the same configuration.
pub(super) fn command(loaded: &Loaded, arguments: &str) -> String {
    let flag = |name: &str, path: &Path| format!(" {name} {}", quoted(&path.display().to_string()));
    let mut flags = String::new();
    if loaded.names_data_dir {
        flags += &flag("--data-dir", &loaded.config.data_dir);
    }
    if let Some(file) = loaded.file.as_ref().filter(|_| loaded.names_file) {
        let absolute = std::path::absolute(file);
        flags += &flag("--config", absolute.as_deref().unwrap_or(file));
    }
    format!("{} {arguments}{flags}", program())
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
