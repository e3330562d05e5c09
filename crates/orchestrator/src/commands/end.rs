//! The end of a command that followed a run: report, next commands, exit code.

use super::next::next_commands;
use crate::{
    changes::Changes,
    client::{Attached, exit, failure},
    config::Loaded,
    failure::{Exit, Failure},
    following::{Ending, Mode},
    output,
    report::{self, RunDocument},
};
use std::{io::IsTerminal, path::Path};

/// The progress display for these flags.
pub(super) fn mode(json: bool, quiet: bool) -> Mode {
    match (quiet, json) {
        (true, _) => Mode::Quiet,
        (false, true) => Mode::Document,
        (false, false) => Mode::People,
    }
}

/// A run now, with its tasks and merges.
pub(super) async fn document(attached: &Attached, run: &str) -> Result<RunDocument, Failure> {
    let run = attached.client.run(run).await;
    let run = run.map_err(|error| attached.failure(error))?;
    let id = run.id.to_string();
    let task_list = attached.client.tasks(&id).await.map_err(failure)?.tasks;
    let merge_list = attached.client.merges(&id).await.map_err(failure)?.merges;
    let changes = match (&run.base_commit, &run.delivered_commit) {
        (Some(base), Some(commit)) => Changes::between(Path::new(&run.workspace_path), base, commit),
        (Some(_) | None, _) => None,
    };
    Ok(RunDocument {
        run,
        task_list,
        merge_list,
        changes,
    })
}

/// Prints the report of a run that ended, or how to return to one that was left.
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
    let document = document(attached, run).await?;
    if json {
        return output::document(&document);
    }
    let report = document.report();
    let next = next_commands(&loaded.invocation, &report);
    output::line(&report::lines(&report, &next, &loaded.invocation, columns()).join("\n"))
}

fn detached(attached: &Attached, loaded: &Loaded, run: &str) -> Result<(), Failure> {
    let follow = loaded.invocation.command(&["follow", run]);
    output::note(&match attached.is_here() {
        true => format!("stopping; work in progress is kept; continue with: {follow}"),
        false => format!("detached; the run continues; come back with: {follow}"),
    });
    Ok(())
}

/// The width of text.
pub(super) fn columns() -> usize {
    if !std::io::stdout().is_terminal() {
        return 100;
    }
    crate::progress::terminal_size().0.clamp(60, 120)
}
