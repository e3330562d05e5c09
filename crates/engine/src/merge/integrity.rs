//! What a merge brings that weakens what decides about it, or that runs by itself elsewhere.
//!
//! A merge commit is compared with the commit it was merged onto: everything before that was compared when it landed.
//! What the check runs, what its runner reads, and tests that were changed or deleted are the task's own to change where
//! the plan names them for it. Elsewhere the check has to pass twice: on the tree that lands, and with those files as
//! they were before. So what lands is what was judged, and it was judged by a check that the work did not write.

mod code;
mod documents;
#[cfg(test)]
mod history;
mod machinery;
mod scope;
mod test_files;

use super::{Failure, entry::Entry, gate::CheckResult, ran::Ran};
use crate::context::{blocking, user_git};
use code::Ends;
use documents::Settings;
use domain::{
    CommitId,
    integrity::{IntegrityFlag, IntegrityFlagKind as Kind},
};
use git::{ChangedFile, FileEntry, GitError, Hub, Replacement, RepoPath};
use machinery::{Machinery, Part};
use scope::{Scope, Standing};
use std::collections::{BTreeMap, HashSet};
use test_files::Tests;

/// Bytes of a file that is read; a longer one is known by its path alone.
const TEXT_BYTES: usize = 1 << 20;
/// Changed files that are read; what goes beyond is known by its path alone.
const FILES: usize = 2_000;
/// Names in a sentence.
const NAMED: usize = 5;

/// What a merge commit brings, by its tree alone.
pub(super) async fn of_tree(entry: &Entry, tip: &CommitId, merged: &CommitId) -> Result<Vec<IntegrityFlag>, Failure> {
    let (hub, tip, merged) = (entry.branch.hub.clone(), tip.clone(), merged.clone());
    let (context, details) = (entry.branch.context.clone(), entry.branch.details.clone());
    Ok(blocking(move || hub.executed(&tip, &merged, &user_git::commands(&context, &details))).await?)
}

/// What a merge commit brings, with what its check decides by: found before the check runs.
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

/// What was found in a merge before its check ran.
#[derive(Debug, Default)]
pub(super) struct Inspection {
    /// What is flagged whatever the check says.
    flags: Vec<IntegrityFlag>,
    /// Files as they were before, for the second run of the check.
    restored: Vec<(RepoPath, Replacement)>,
    /// Those of them that the plan gives to others.
    outside: Vec<String>,
    /// What is flagged only where the check fails with the files as they were before.
    tests: Vec<IntegrityFlag>,
    /// What is flagged only where the result does not show that all tests ran.
    ends: Vec<IntegrityFlag>,
    /// Whether how many tests ran before is worth knowing.
    is_compared: bool,
    /// Whether new code prints results, or ends the process past everything that would notice.
    is_forging: bool,
}

/// The last word about a merge's integrity.
#[derive(Debug, Default)]
pub(super) struct Concluded {
    /// What is recorded.
    pub(super) flags: Vec<IntegrityFlag>,
    /// Why the work goes back although the check passed on its tree.
    pub(super) refused: Option<String>,
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
        let mut looking = Looking {
            scope,
            machinery: &machinery,
            ok_decides: code::looks_for_ok(machinery.text()),
            found: Self::default(),
            before: Tests::default(),
            after: Tests::default(),
            own: [Tests::default(), Tests::default()],
            skips: BTreeMap::new(),
            deleted: Vec::new(),
        };
        for (number, change) in changes.iter().enumerate() {
            let text = |entry: &Option<FileEntry>| match entry {
                Some(entry) if number < FILES => text(hub, entry),
                Some(_) | None => Ok(None),
            };
            let (before, after) = (text(&change.before)?, text(&change.after)?);
            looking.at(change, before.as_deref(), after.as_deref());
        }
        Ok(looking.sum_up(&changes))
    }

    /// The files that the check is to run with as well, as they were before; none where it runs once.
    pub(super) fn restored(&self) -> &[(RepoPath, Replacement)] {
        &self.restored
    }

    /// Whether a red base excuses nothing here.
    pub(super) fn is_forging(&self) -> bool {
        self.is_forging
    }

    /// Whether it is worth knowing how many tests ran before, given how many ran now.
    pub(super) fn is_compared(&self, ran: &Ran) -> bool {
        self.is_compared || ran.tests.is_none() || ran.is_odd || ran.summaries > 1
    }

    /// What is to be said, given the check's report on the tree, that with the files as they were before, and how many
    /// tests ran before.
    pub(super) fn conclude(
        mut self,
        result: &CheckResult,
        restored: Option<&CheckResult>,
        before: Option<&Ran>,
    ) -> Concluded {
        let mut concluded = Concluded::default();
        match restored {
            Some(restored) if restored.lands() => self.tell_of_restored("it passes with the version before, too"),
            Some(restored) => {
                self.tell_of_restored(&format!("with the version before, {}", restored.report.sentence()));
                concluded.refused = self.refusal(restored);
                self.flags.append(&mut self.tests);
            }
            None => {}
        }
        let ran = result.how_ran();
        let doubts = before.map(|before| doubts(before, &ran)).unwrap_or_default();
        if ran.tests.is_none() || !doubts.is_empty() {
            self.flags.append(&mut self.ends);
        }
        self.flags.extend(doubts);
        self.flags.sort();
        self.flags
            .dedup_by(|one, other| (one.kind, &one.path) == (other.kind, &other.path));
        concluded.flags = self.flags;
        concluded
    }

    fn tell_of_restored(&mut self, what: &str) {
        let paths: HashSet<String> = self.restored.iter().map(|(path, _)| path.to_string()).collect();
        let restored = |flag: &&mut IntegrityFlag| flag.path.as_ref().is_some_and(|path| paths.contains(path));
        for flag in self.flags.iter_mut().chain(&mut self.tests).filter(restored) {
            flag.detail = format!("{}; {what}", flag.detail);
        }
    }

    fn refusal(&self, restored: &CheckResult) -> Option<String> {
        (!self.outside.is_empty()).then(|| {
            let paths: Vec<&str> = self.outside.iter().map(String::as_str).collect();
            format!(
                "{} decide whether the work is good, and are not among the paths of this task. With them as they were \
                 before, {}: leave them as they were, and make that check pass",
                listed(&paths),
                restored.report.sentence()
            )
        })
    }
}

/// What the numbers of two runs of a check say.
fn doubts(before: &Ran, now: &Ran) -> Vec<IntegrityFlag> {
    let mut flags = Vec::new();
    match (before.tests, now.tests) {
        (Some(before), Some(now)) if now < before => {
            let detail = format!("{now} tests ran, and {before} before the work");
            flags.push(IntegrityFlag::of_merge(Kind::FewerTests, detail));
        }
        (Some(before), None) if before > 0 => {
            let detail = format!(
                "the check ended well, but its output no longer says how many tests ran; before the work it was {before}"
            );
            flags.push(IntegrityFlag::of_merge(Kind::ResultUnreadable, detail));
        }
        _ => {}
    }
    if now.is_odd && !before.is_odd {
        let detail = "the numbers of the printed results have gaps or doubles, or are not those of the plan";
        flags.push(IntegrityFlag::of_merge(Kind::ResultPrinted, detail));
    }
    if now.summaries > before.summaries && before.summaries > 0 {
        let detail = format!(
            "{} lines sum up tests, and {} before the work",
            now.summaries, before.summaries
        );
        flags.push(IntegrityFlag::of_merge(Kind::ResultPrinted, detail));
    }
    flags
}

/// A look at the changed files, one after the other.
struct Looking<'a> {
    scope: &'a Scope,
    machinery: &'a Machinery,
    ok_decides: bool,
    found: Inspection,
    /// Tests in the changed files, before and after.
    before: Tests,
    after: Tests,
    /// The same of those that no earlier version is run of.
    own: [Tests; 2],
    /// New skips by file.
    skips: BTreeMap<String, usize>,
    /// Deleted files of tests, with what they defined.
    deleted: Vec<(String, Tests)>,
}

impl Looking<'_> {
    fn at(&mut self, change: &ChangedFile, before: Option<&str>, after: Option<&str>) {
        let path = change.path.to_string();
        let standing = self.scope.standing(&path);
        let part = self.machinery.part(&path);
        if let Some(part) = part {
            self.machinery_changed(change, &path, standing, part);
        } else if self.machinery.reads(&path) && change.before.is_some() {
            self.settings_changed(change, &path, standing, (before, after));
        } else if test_files::is_test(&path) {
            self.tests_changed(change, &path, standing, (before, after));
        }
        if change.after.is_none() && test_files::is_among_tests(&path) {
            self.found.is_compared = true;
        }
        self.count(&path, standing, before, after);
        if part.is_none() && code::is_code(&path) {
            self.read_new_lines(&path, before.unwrap_or_default(), after.unwrap_or_default());
        }
    }

    fn machinery_changed(&mut self, change: &ChangedFile, path: &str, standing: Standing, part: Part) {
        let (kind, role) = match part {
            Part::Check => (Kind::CheckChanged, "the check command runs it"),
            Part::Runner => (Kind::RunnerConfigurationChanged, "a test runner reads it by itself"),
        };
        let detail = format!("{role}, and the work {} it", verb(change));
        self.found.flags.push(IntegrityFlag::in_file(kind, path, detail));
        self.found.is_compared = true;
        self.restore(change, path, standing, earlier(change));
    }

    fn settings_changed(
        &mut self,
        change: &ChangedFile,
        path: &str,
        standing: Standing,
        (before, after): (Option<&str>, Option<&str>),
    ) {
        let Some(Settings::Changed { keys, restored }) = documents::compare(path, before, after, self.machinery.text())
        else {
            return;
        };
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let detail = format!("what a test runner reads in it was changed: {}", listed(&keys));
        let flag = IntegrityFlag::in_file(Kind::RunnerConfigurationChanged, path, detail);
        self.found.flags.push(flag);
        self.found.is_compared = true;
        let mode = change.after.as_ref().map(|entry| entry.mode);
        let replacement = match (restored, mode) {
            (Some(text), Some(mode)) => Replacement::Content(text.into_bytes(), mode),
            (Some(_) | None, _) => earlier(change),
        };
        self.restore(change, path, standing, replacement);
    }

    fn tests_changed(
        &mut self,
        change: &ChangedFile,
        path: &str,
        standing: Standing,
        (before, after): (Option<&str>, Option<&str>),
    ) {
        let Some(earlier_entry) = &change.before else {
            return;
        };
        let Some(entry) = &change.after else {
            self.deleted
                .push((path.to_owned(), Tests::of(path, before.unwrap_or_default())));
            self.restore(change, path, standing, earlier(change));
            return;
        };
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        let loses = !code::added(after, before).is_empty() || entry.mode != earlier_entry.mode;
        let disables = code::added(before, after).into_iter().any(test_files::disables);
        if loses || disables {
            let detail = "tests that were there before are changed";
            self.found
                .tests
                .push(IntegrityFlag::in_file(Kind::TestsChanged, path, detail));
            self.found.is_compared |= disables;
            self.restore(change, path, standing, earlier(change));
        }
    }

    /// The check has to pass with an earlier version as well, unless the file is the task's own.
    fn restore(&mut self, change: &ChangedFile, path: &str, standing: Standing, earlier: Replacement) {
        match standing {
            Standing::Named => return,
            Standing::Outside => self.found.outside.push(path.to_owned()),
            Standing::Unsaid => {}
        }
        self.found.restored.push((change.path.clone(), earlier));
    }

    fn count(&mut self, path: &str, standing: Standing, before: Option<&str>, after: Option<&str>) {
        let of = |text: Option<&str>| text.map(|text| Tests::of(path, text)).unwrap_or_default();
        let (before, after) = (of(before), of(after));
        if after.skips > before.skips {
            self.skips.insert(path.to_owned(), after.skips - before.skips);
        }
        if standing == Standing::Named || !test_files::is_test(path) {
            let [was, is] = std::mem::take(&mut self.own);
            self.own = [was.and(&before), is.and(&after)];
        }
        self.before = std::mem::take(&mut self.before).and(&before);
        self.after = std::mem::take(&mut self.after).and(&after);
    }

    fn read_new_lines(&mut self, path: &str, before: &str, after: &str) {
        let is_test = test_files::is_test(path);
        for line in code::added(before, after) {
            let shown = shown(line);
            match code::ends(line) {
                Some(Ends::AtOnce) => {
                    let detail = format!("new code ends its process at once, and the tests with it: {shown}");
                    self.found
                        .flags
                        .push(IntegrityFlag::in_file(Kind::ProcessExit, path, detail));
                    self.found.is_forging = true;
                    self.found.is_compared = true;
                }
                Some(Ends::Well) => {
                    let detail = format!(
                        "new code ends its process with success, and the result does not show that all tests ran: {shown}"
                    );
                    self.found
                        .ends
                        .push(IntegrityFlag::in_file(Kind::ProcessExit, path, detail));
                    self.found.is_compared = true;
                }
                None => {}
            }
            if !is_test && code::prints_result(line, self.ok_decides) {
                let detail = format!("new code prints what a test runner prints: {shown}");
                self.found
                    .flags
                    .push(IntegrityFlag::in_file(Kind::ResultPrinted, path, detail));
                self.found.is_forging = true;
                self.found.is_compared = true;
            }
        }
    }

    fn sum_up(mut self, changes: &[ChangedFile]) -> Inspection {
        let lost = self.after.lacks(&self.before);
        let mut is_told = false;
        for (path, tests) in std::mem::take(&mut self.deleted) {
            let is_moved = match tests.defined.is_empty() {
                true => is_elsewhere(&path, changes),
                false => !tests.defined.keys().any(|name| lost.contains(name)),
            };
            if !is_moved {
                let names: Vec<&str> = tests.defined.keys().map(String::as_str).collect();
                let detail = match names.is_empty() {
                    true => "a file of tests is deleted".to_owned(),
                    false => format!("a file of tests is deleted, with {}", listed(&names)),
                };
                self.flag(IntegrityFlag::in_file(Kind::TestsDeleted, path, detail));
                is_told = true;
            }
        }
        if self.after.count() < self.before.count() && !lost.is_empty() && !is_told {
            let names: Vec<&str> = lost.iter().map(String::as_str).collect();
            let fewer = self.before.count() - self.after.count();
            let detail = format!(
                "{fewer} fewer tests are defined than before; gone are {}",
                listed(&names)
            );
            self.flag(IntegrityFlag::of_merge(Kind::FewerTests, detail));
        }
        if self.after.skips > self.before.skips {
            let paths: Vec<&str> = self.skips.keys().map(String::as_str).collect();
            let more = self.after.skips - self.before.skips;
            let detail = format!(
                "{more} more tests are skipped, ignored or expected to fail, in {}",
                listed(&paths)
            );
            let worst = self
                .skips
                .iter()
                .max_by_key(|(_, more)| **more)
                .map(|(path, _)| path.clone());
            let flag = IntegrityFlag {
                kind: Kind::NewSkips,
                path: worst,
                detail,
            };
            self.flag(flag);
        }
        let [was, is] = std::mem::take(&mut self.own);
        let hollow = is.tautologies.saturating_sub(was.tautologies);
        if hollow > 0 || (is.asserts < was.asserts && is.count() >= was.count()) {
            let detail = match hollow {
                0 => format!("{} assertions where there were {}", is.asserts, was.asserts),
                _ => format!("{hollow} more assertions that always hold"),
            };
            self.flag(IntegrityFlag::of_merge(Kind::WeakerAssertions, detail));
        }
        self.found
    }

    fn flag(&mut self, flag: IntegrityFlag) {
        self.found.flags.push(flag);
        self.found.is_compared = true;
    }
}

/// Whether the content of a deleted file is there under another name.
fn is_elsewhere(path: &str, changes: &[ChangedFile]) -> bool {
    let own = changes.iter().find(|change| change.path.to_string() == path);
    let blob = own.and_then(|change| change.before.as_ref()).map(|entry| &entry.blob);
    let is_same = |change: &ChangedFile| change.after.as_ref().map(|entry| &entry.blob) == blob;
    blob.is_some() && changes.iter().any(is_same)
}

fn earlier(change: &ChangedFile) -> Replacement {
    change.before.clone().map_or(Replacement::Absent, Replacement::Entry)
}

fn verb(change: &ChangedFile) -> &'static str {
    match (&change.before, &change.after) {
        (None, _) => "adds",
        (Some(_), None) => "deletes",
        (Some(before), Some(after)) if before.blob == after.blob => "changes the mode of",
        (Some(_), Some(_)) => "changes",
    }
}

fn text(hub: &Hub, entry: &FileEntry) -> Result<Option<String>, GitError> {
    if hub.blob_size(&entry.blob)? > TEXT_BYTES {
        return Ok(None);
    }
    let content = hub.read_blob(&entry.blob)?;
    Ok((!content.contains(&0)).then(|| String::from_utf8_lossy(&content).into_owned()))
}

/// A line of code, as a sentence quotes it.
fn shown(line: &str) -> String {
    format!("`{}`", domain::plan::first_line(line, 120).replace('`', "'"))
}

/// Some names, and how many more there are.
fn listed(names: &[&str]) -> String {
    let shown = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
