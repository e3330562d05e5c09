//! Finds out, before the first paid call, whether the check command can start.

use super::programs;
use crate::context::Context;
use domain::run::{Check, CheckSource, Reason, ReasonCode};
use sandbox::{Access, Exit, Job};
use std::{path::Path, time::Duration};
use store::{effect::ClaimedEffect, run::RunDetails};

/// Prints those of its arguments that are no program here.
const MISSING: &str = r#"for program do case $program in
/*) [ -x "$program" ] ;;
*) command -v "$program" >/dev/null 2>&1 ;;
esac || printf '%s\n' "$program"; done"#;
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Fails when a program that the check command needs is missing in the sandbox of the gate.
///
/// Where that can't be found out, nothing is reported: the gate itself will tell.
pub(super) async fn check_can_start(
    context: &Context,
    details: &RunDetails,
    effect: &ClaimedEffect,
    check: &Check,
) -> Result<(), Reason> {
    let Some(command) = &check.command else {
        return Ok(());
    };
    let programs = programs::needed(command);
    if programs.is_empty() {
        return Ok(());
    }
    let directory = context.layout.probe(details.id, effect.fence);
    let missing = match tokio::fs::create_dir_all(&directory).await {
        Ok(()) => missing(context, details, &directory, &programs).await,
        Err(error) => Err(error.to_string()),
    };
    drop(tokio::fs::remove_dir_all(&directory).await);
    match missing {
        Ok(missing) if missing.is_empty() => Ok(()),
        Ok(missing) => Err(reason(check, command, &missing)),
        Err(error) => {
            tracing::warn!(run = %details.id, error, "Could not probe the check command");
            Ok(())
        }
    }
}

async fn missing(
    context: &Context,
    details: &RunDetails,
    directory: &Path,
    programs: &[String],
) -> Result<Vec<String>, String> {
    let mut argv = ["sh", "-c", MISSING, "sh"].map(str::to_owned).to_vec();
    argv.extend_from_slice(programs);
    let mut job = Job::new(argv, directory.to_owned());
    job.worktree_access = Access::ReadOnly;
    job.time_limit = TIME_LIMIT;
    job.extra_read_only = context.extra_read_only(&details.workspace_path);
    job.cancel = context.drain.child_token();
    let finished = context.sandbox.run(job).await.map_err(|error| error.to_string())?;
    match finished.exit {
        Exit::Code(0) => {
            let printed = finished.output_head_tail.lines().map(str::to_owned);
            // Anything else that is printed names no program.
            Ok(printed.filter(|line| programs.contains(line)).collect())
        }
        _ => Err(finished.output_head_tail),
    }
}

fn reason(check: &Check, command: &str, missing: &[String]) -> Reason {
    let hint = match check.source {
        CheckSource::Request => "name another one with --check",
        CheckSource::Configuration => "change the workspace's `check` in the configuration",
        CheckSource::Detected => "it was detected from the repository's files, and --check names another one",
        CheckSource::NotConfigured => "name one with --check",
    };
    let programs: Vec<String> = missing.iter().map(|program| format!("`{program}`")).collect();
    let are = if missing.len() == 1 { "is" } else { "are" };
    Reason::new(
        ReasonCode::Gate,
        format!(
            "the check command `{command}` can't start: {} {are} not found in the sandbox; install it, or {hint}",
            programs.join(", ")
        ),
    )
}
