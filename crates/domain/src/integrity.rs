//! Integrity flags: what a merge brought that weakens what decides about it, or that runs by itself elsewhere.
//!
//! A flag refuses nothing. It is shown wherever the run is, and a run with flags moves the user's checkout only with
//! consent.

use crate::names::named;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumCount, EnumString, VariantArray, VariantNames};

named!(IntegrityFlagKind);

/// What a flag is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(Display, EnumCount, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum IntegrityFlagKind {
    /// A file that the check command runs was changed.
    CheckChanged,
    /// The test runner's configuration, or code that the runner loads by itself, was changed.
    RunnerConfigurationChanged,
    /// Tests that exist on the base were changed.
    TestsChanged,
    /// A file of tests was deleted.
    TestsDeleted,
    /// Fewer tests ran, or are defined, than before.
    FewerTests,
    /// Tests are skipped, ignored or expected to fail that were not before.
    NewSkips,
    /// Fewer assertions than before, or ones that always hold.
    WeakerAssertions,
    /// The result of the check could be read before and can't be read any more.
    ResultUnreadable,
    /// The check's output does not add up, or new code prints what only a test runner prints.
    ResultPrinted,
    /// New code ends its process with success, which ends the tests with it.
    ProcessExit,
    /// git runs it: a hook under a configured path.
    ExecutableByGit,
    /// An attribute that makes git run a filter or a driver.
    GitAttributesFilter,
    /// An editor runs it when the directory is opened.
    EditorTask,
    /// A forge or a CI system runs it.
    Workflow,
    /// A shell runs it when the directory is entered.
    Direnv,
    /// A package manager or build tool runs it, or takes programs from it.
    PackageScript,
    /// A link that leads out of the repository.
    LinkOutside,
}

/// One finding about one merge.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IntegrityFlag {
    /// What it is about.
    pub kind: IntegrityFlagKind,
    /// The file, where it is about one.
    #[serde(default)]
    pub path: Option<String>,
    /// What was found, in a sentence.
    pub detail: String,
}

impl IntegrityFlag {
    /// A finding about a file.
    pub fn in_file(kind: IntegrityFlagKind, path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            kind,
            path: Some(path.into()),
            detail: detail.into(),
        }
    }

    /// A finding about the merge as a whole.
    pub fn of_merge(kind: IntegrityFlagKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            path: None,
            detail: detail.into(),
        }
    }

    /// Kind and file: `check_changed test.sh`.
    pub fn title(&self) -> String {
        match &self.path {
            Some(path) => format!("{} {path}", self.kind),
            None => self.kind.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_one_name_that_leads_back_to_it() {
        for kind in IntegrityFlagKind::ALL {
            assert_eq!(IntegrityFlagKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(IntegrityFlagKind::NAMES.len(), IntegrityFlagKind::ALL.len());
    }
}
