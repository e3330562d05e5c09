//! Integrity: what in a merge weakens its check, or runs by itself elsewhere.
//!
//! A merge commit is compared with the commit it was merged onto; everything before that was compared when it landed. A
//! task may change what the check runs, what its runner reads, and existing tests where the plan gives these files to it.
//! Otherwise the check has to pass twice: on the tree that lands, and on that tree with those files as they were before.
//! So what lands was judged, by a check that the work did not write.

mod code;
mod conclude;
mod documents;
#[cfg(test)]
mod history;
mod machinery;
mod scope;
mod survey;
mod test_files;

use super::{Failure, entry::Entry, totals::TestTotals};
use crate::context::{blocking, user_git};
use domain::{
    CommitId,
    integrity::{IntegrityFlag, IntegrityFlagKind as Kind},
};
use git::{FileEntry, GitError, Hub, Replacement, RepoPath};
use machinery::Machinery;
use scope::Scope;
use std::collections::HashSet;
use survey::Survey;

/// Bytes of a file that is read. A longer one is judged by its path alone.
const TEXT_BYTES: usize = 1 << 20;
/// Changed files that are read. Further ones are judged by their paths alone.
const FILES: usize = 2_000;
/// Names in a sentence.
const NAMED: usize = 5;

/// Flags of a merge commit, from its tree alone.
pub(super) async fn of_tree(entry: &Entry, tip: &CommitId, merged: &CommitId) -> Result<Vec<IntegrityFlag>, Failure> {
    let (hub, tip, merged) = (entry.branch.hub.clone(), tip.clone(), merged.clone());
    let (context, details) = (entry.branch.context.clone(), entry.branch.details.clone());
    Ok(blocking(move || hub.executed(&tip, &merged, &user_git::commands(&context, &details))).await?)
}

/// Inspects a merge commit before its check runs.
pub(super) async fn inspect(
    entry: &Entry,
    command: &str,
    tip: &CommitId,
    merged: &CommitId,
) -> Result<Inspection, Failure> {
    let store = &entry.branch.context.store;
    let task = store.task_details(entry.merge.task).await?.ok_or(Failure::NotOurs)?;
    let plan = store.plan(entry.branch.details.id).await?.unwrap_or_default();
    let scope = Scope::of(&task.spec, &plan.shared_paths);
    let (hub, command) = (entry.branch.hub.clone(), command.to_owned());
    let (tip, merged) = (tip.clone(), merged.clone());
    let (context, details) = (entry.branch.context.clone(), entry.branch.details.clone());
    let inspected = blocking(move || {
        let mut inspection = Inspection::of(&hub, &command, &scope, &tip, &merged)?;
        let commands = user_git::commands(&context, &details);
        inspection.flags.extend(hub.executed(&tip, &merged, &commands)?);
        Ok::<_, GitError>(inspection)
    });
    Ok(inspected.await?)
}

/// The findings in a merge before its check ran.
#[derive(Debug, Default)]
pub(super) struct Inspection {
    /// Flags that don't depend on the check.
    flags: Vec<IntegrityFlag>,
    /// Files as they were before, for the second run of the check.
    restored: Vec<(RepoPath, Replacement)>,
    /// Those of them that the plan does not give to this task.
    outside: Vec<String>,
    /// Flags for the case that the check fails with the files as they were before.
    tests: Vec<IntegrityFlag>,
    /// Flags for the case that the result does not show that all tests ran.
    ends: Vec<IntegrityFlag>,
    /// Whether the totals before the work are needed.
    is_compared: bool,
    /// Whether new code prints test results, or ends the process before anything notices.
    is_forging: bool,
}

impl Inspection {
    fn of(hub: &Hub, command: &str, scope: &Scope, tip: &CommitId, merged: &CommitId) -> Result<Self, GitError> {
        let changes = hub.changed_files(tip, merged)?;
        if changes.is_empty() {
            return Ok(Self::default());
        }
        let mut paths: HashSet<String> = hub.paths(tip)?.iter().map(ToString::to_string).collect();
        paths.extend(changes.iter().map(|change| change.path.to_string()));
        let read = |path: &str| {
            let content = hub.read_file(tip, &RepoPath::from(path)).ok().flatten()?;
            (content.len() <= TEXT_BYTES).then(|| String::from_utf8_lossy(&content).into_owned())
        };
        let machinery = Machinery::of(command, &|path| paths.contains(path), &read);
        let mut survey = Survey::new(scope, &machinery);
        for (number, change) in changes.iter().enumerate() {
            let text = |entry: &Option<FileEntry>| match entry {
                Some(entry) if number < FILES => text(hub, entry),
                Some(_) | None => Ok(None),
            };
            let (before, after) = (text(&change.before)?, text(&change.after)?);
            survey.visit(change, before.as_deref(), after.as_deref());
        }
        Ok(survey.finish(&changes))
    }

    /// The files as they were before, for the second run of the check; none where it runs once.
    pub(super) fn restored(&self) -> &[(RepoPath, Replacement)] {
        &self.restored
    }

    /// Whether a red base excuses nothing here.
    pub(super) fn is_forging(&self) -> bool {
        self.is_forging
    }

    /// Whether the totals before the work are needed, given the totals now.
    pub(super) fn is_compared(&self, now: &TestTotals) -> bool {
        self.is_compared || now.tests.is_none() || now.is_odd || now.summaries > 1
    }
}

/// The first names, and how many more there are.
fn listed(names: &[&str]) -> String {
    let shown = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The text of a file; `None` where it is binary or too large.
fn text(hub: &Hub, entry: &FileEntry) -> Result<Option<String>, GitError> {
    if hub.blob_size(&entry.blob)? > TEXT_BYTES {
        return Ok(None);
    }
    let content = hub.read_blob(&entry.blob)?;
    Ok((!content.contains(&0)).then(|| String::from_utf8_lossy(&content).into_owned()))
}
