//! The survey of a merge's changed files: what decides the check, what weakens tests, what ends the process.

use super::{
    Inspection, Kind,
    code::{self, Ends},
    documents::{self, Settings},
    listed,
    machinery::{Machinery, Part},
    scope::{Ownership, Scope},
    test_files::{self, Tests},
};
use domain::integrity::IntegrityFlag;
use git::{ChangedFile, Replacement};
use std::collections::BTreeMap;

/// A survey of the changed files, one after the other.
pub(super) struct Survey<'a> {
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

impl<'a> Survey<'a> {
    pub(super) fn new(scope: &'a Scope, machinery: &'a Machinery) -> Self {
        Self {
            scope,
            machinery,
            ok_decides: code::looks_for_ok(machinery.text()),
            found: Inspection::default(),
            before: Tests::default(),
            after: Tests::default(),
            own: [Tests::default(), Tests::default()],
            skips: BTreeMap::new(),
            deleted: Vec::new(),
        }
    }

    /// Looks at one changed file.
    pub(super) fn visit(&mut self, change: &ChangedFile, before: Option<&str>, after: Option<&str>) {
        let path = change.path.to_string();
        let ownership = self.scope.ownership(&path);
        let part = self.machinery.part(&path);
        if let Some(part) = part {
            self.machinery_changed(change, &path, ownership, part);
        } else if self.machinery.reads(&path) && change.before.is_some() {
            self.settings_changed(change, &path, ownership, (before, after));
        } else if test_files::is_test(&path) {
            self.tests_changed(change, &path, ownership, (before, after));
        }
        if change.after.is_none() && test_files::is_among_tests(&path) {
            self.found.is_compared = true;
        }
        self.count(&path, ownership, before, after);
        if part.is_none() && code::is_code(&path) {
            self.read_new_lines(&path, before.unwrap_or_default(), after.unwrap_or_default());
        }
    }

    fn machinery_changed(&mut self, change: &ChangedFile, path: &str, ownership: Ownership, part: Part) {
        let (kind, role) = match part {
            Part::Check => (Kind::CheckChanged, "the check command runs it"),
            Part::Runner => (Kind::RunnerConfigurationChanged, "a test runner reads it by itself"),
        };
        let detail = format!("{role}, and the work {} it", verb(change));
        self.found.flags.push(IntegrityFlag::in_file(kind, path, detail));
        self.found.is_compared = true;
        self.restore(change, path, ownership, earlier(change));
    }

    fn settings_changed(
        &mut self,
        change: &ChangedFile,
        path: &str,
        ownership: Ownership,
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
        self.restore(change, path, ownership, replacement);
    }

    fn tests_changed(
        &mut self,
        change: &ChangedFile,
        path: &str,
        ownership: Ownership,
        (before, after): (Option<&str>, Option<&str>),
    ) {
        let Some(earlier_entry) = &change.before else {
            return;
        };
        let Some(entry) = &change.after else {
            self.deleted
                .push((path.to_owned(), Tests::of(path, before.unwrap_or_default())));
            self.restore(change, path, ownership, earlier(change));
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
            self.restore(change, path, ownership, earlier(change));
        }
    }

    /// The check has to pass with an earlier version as well, unless the file is the task's own.
    fn restore(&mut self, change: &ChangedFile, path: &str, ownership: Ownership, earlier: Replacement) {
        match ownership {
            Ownership::Own => return,
            Ownership::Others => self.found.outside.push(path.to_owned()),
            Ownership::Unspecified => {}
        }
        self.found.restored.push((change.path.clone(), earlier));
    }

    fn count(&mut self, path: &str, ownership: Ownership, before: Option<&str>, after: Option<&str>) {
        let of = |text: Option<&str>| text.map(|text| Tests::of(path, text)).unwrap_or_default();
        let (before, after) = (of(before), of(after));
        if after.skips > before.skips {
            self.skips.insert(path.to_owned(), after.skips - before.skips);
        }
        if ownership == Ownership::Own || !test_files::is_test(path) {
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

    /// Compares the tests of all changed files, before and after.
    pub(super) fn finish(mut self, changes: &[ChangedFile]) -> Inspection {
        let lost = self.after.lacks(&self.before);
        let deleted = self.flag_deleted_tests(&lost, changes);
        if !deleted {
            self.flag_fewer_tests(&lost);
        }
        self.flag_new_skips();
        self.flag_weaker_assertions();
        self.found
    }

    /// Flags deleted test files whose tests are not defined elsewhere; whether there were any.
    fn flag_deleted_tests(&mut self, lost: &[String], changes: &[ChangedFile]) -> bool {
        let mut is_flagged = false;
        for (path, tests) in std::mem::take(&mut self.deleted) {
            let is_moved = match tests.defined.is_empty() {
                true => is_elsewhere(&path, changes),
                false => !tests.defined.keys().any(|name| lost.contains(name)),
            };
            if is_moved {
                continue;
            }
            let names: Vec<&str> = tests.defined.keys().map(String::as_str).collect();
            let detail = match names.is_empty() {
                true => "a test file is deleted".to_owned(),
                false => format!("a test file is deleted, with {}", listed(&names)),
            };
            self.flag(IntegrityFlag::in_file(Kind::TestsDeleted, path, detail));
            is_flagged = true;
        }
        is_flagged
    }

    fn flag_fewer_tests(&mut self, lost: &[String]) {
        if self.after.count() >= self.before.count() || lost.is_empty() {
            return;
        }
        let names: Vec<&str> = lost.iter().map(String::as_str).collect();
        let fewer = self.before.count() - self.after.count();
        let detail = format!("{fewer} fewer tests are defined than before; gone: {}", listed(&names));
        self.flag(IntegrityFlag::of_merge(Kind::FewerTests, detail));
    }

    fn flag_new_skips(&mut self) {
        if self.after.skips <= self.before.skips {
            return;
        }
        let paths: Vec<&str> = self.skips.keys().map(String::as_str).collect();
        let more = self.after.skips - self.before.skips;
        let detail = format!(
            "{more} more tests are skipped, ignored or expected to fail, in {}",
            listed(&paths)
        );
        let worst = self.skips.iter().max_by_key(|(_, more)| **more);
        let flag = IntegrityFlag {
            kind: Kind::NewSkips,
            path: worst.map(|(path, _)| path.clone()),
            detail,
        };
        self.flag(flag);
    }

    fn flag_weaker_assertions(&mut self) {
        let [was, is] = std::mem::take(&mut self.own);
        let tautologies = is.tautologies.saturating_sub(was.tautologies);
        if tautologies == 0 && (is.asserts >= was.asserts || is.count() < was.count()) {
            return;
        }
        let detail = match tautologies {
            0 => format!("{} assertions where there were {}", is.asserts, was.asserts),
            more => format!("{more} more assertions that always hold"),
        };
        self.flag(IntegrityFlag::of_merge(Kind::WeakerAssertions, detail));
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

/// A line of code, as a sentence quotes it.
fn shown(line: &str) -> String {
    format!("`{}`", domain::plan::first_line(line, 120).replace('`', "'"))
}
