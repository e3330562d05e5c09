//! A conflict as a person sees it: the versions, the places that both sides changed, what was decided before.

use super::ANSWER_BYTES;
use crate::merge::versions;
use domain::merge::Choice;
use git::{Conflict, ConflictFile, Hub, Version};
use store::waiting::AnswerRow;

/// The largest text that is shown of a version, in bytes.
const SHOWN_BYTES: usize = 256 << 10;
/// The mode of a submodule's commit.
const SUBMODULE: u32 = 0o160_000;

/// A conflict as a person sees it.
#[derive(Clone, Debug, Default)]
pub struct OpenConflict {
    /// The conflicting paths. Empty where the conflict is about directories, or nothing of it is left to see.
    pub files: Vec<OpenFile>,
    /// What git said.
    pub messages: Vec<String>,
    /// In words, why nothing of it is left to see, where that is so.
    pub gone: Option<String>,
}

impl OpenConflict {
    pub(super) fn gone(why: String) -> Self {
        Self {
            gone: Some(why),
            ..Self::default()
        }
    }
}

/// A conflicting path.
#[derive(Clone, Debug)]
pub struct OpenFile {
    /// The path.
    pub path: String,
    /// What meets there, as git's room names it.
    pub kind: String,
    /// Base, ours, theirs.
    pub versions: [Option<OpenVersion>; 3],
    /// The places that both sides changed; none where the conflict is not about lines.
    pub hunks: Vec<OpenHunk>,
    /// The whole text with the hunks between markers.
    pub marked: Option<String>,
    /// What was decided about these very versions: what, and by whom.
    pub answer: Option<(Choice, String)>,
}

/// A version of a path.
#[derive(Clone, Debug)]
pub struct OpenVersion {
    /// Its blob; for a submodule, the commit.
    pub blob: String,
    /// Its mode as git writes it.
    pub mode: u32,
    /// Its text; `None` where it is none, or too large to show.
    pub text: Option<String>,
}

/// A place that both sides changed.
#[derive(Clone, Debug)]
pub struct OpenHunk {
    /// The line it begins at, counted from 1, in the branch's version.
    pub line: usize,
    /// What the common base has here.
    pub base: String,
    /// What the branch has here.
    pub ours: String,
    /// What the work has here.
    pub theirs: String,
}

/// What is shown of a path.
pub(super) fn open(
    hub: &Hub,
    conflict: &Conflict,
    file: &ConflictFile,
    answers: &[AnswerRow],
) -> Result<OpenFile, git::GitError> {
    let version = |version: &Option<Version>| version.as_ref().map(|version| open_version(hub, version)).transpose();
    let path = file.path.to_string();
    let text = hub.hunks(conflict, file).ok();
    let hunks = text.iter().flat_map(|text| text.hunks()).map(|hunk| OpenHunk {
        line: hunk.line,
        base: hunk.base.clone(),
        ours: hunk.ours.clone(),
        theirs: hunk.theirs.clone(),
    });
    let now = versions(file);
    let answer = answers.iter().find(|row| row.path == path && row.versions == now);
    let kind = serde_json::to_value(file.kind).ok();
    Ok(OpenFile {
        kind: kind
            .and_then(|kind| kind.as_str().map(str::to_owned))
            .unwrap_or_default(),
        versions: [version(&file.base)?, version(&file.ours)?, version(&file.theirs)?],
        hunks: hunks.collect(),
        marked: text.map(|text| text.marked()).filter(|text| text.len() <= ANSWER_BYTES),
        answer: answer.map(|row| (row.choice.clone(), row.by.clone())),
        path,
    })
}

fn open_version(hub: &Hub, version: &Version) -> Result<OpenVersion, git::GitError> {
    // A submodule's commit is in another repository.
    let text = match version.mode {
        SUBMODULE => None,
        _ => String::from_utf8(hub.read_blob(&version.blob)?).ok(),
    };
    Ok(OpenVersion {
        blob: version.blob.0.clone(),
        mode: version.mode,
        text: text.filter(|text| text.len() <= SHOWN_BYTES && !text.contains('\0')),
    })
}
